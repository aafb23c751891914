//! E32: thousands of idle connections kept alive, and the node goes on answering on all of them.

use std::time::{Duration, Instant};

use tests::content::unique_bytes;
use tests::raw::Connection;

use crate::node::Place;
use crate::{alone, report, size};

/// E32: resident bytes at most.
const MEMORY: u64 = 512 << 20;
const REQUESTS: usize = 2000;

#[test]
fn idle_connections_kept_alive_cost_little_and_disturb_nobody() {
    let _alone = alone();
    let idle = size(2000, 10_000);
    let place = Place::new();
    let (node, root) = (place.start(), place.root());
    let content = unique_bytes(2000);
    let digest = root.push_blob("idle/blobs", &content);
    let request = format!(
        "GET /v2/idle/blobs/blobs/{digest} HTTP/1.1\r\nHost: {}\r\n{}\r\n",
        place.host,
        root.authorization_line(),
    );
    let before = node.memory().0;
    let ask = |connection: &mut Connection<_>| {
        connection.send(request.as_bytes()).expect("sent");
        let answer = connection.answer("GET").expect("an answer");
        answer.assert_status(200);
        assert!(answer.body == content, "wrong bytes");
    };
    let open = || {
        let mut connection = Connection::open(&place.host).expect("a connection");
        ask(&mut connection);
        connection
    };
    let mut connections: Vec<_> = (0..idle).map(|_| open()).collect();
    let each = node.memory().0.saturating_sub(before) / idle as u64;
    let mut times: Vec<Duration> = (0..REQUESTS)
        .map(|number| {
            let began = Instant::now();
            ask(&mut connections[number * 7919 % idle]);
            began.elapsed()
        })
        .collect();
    times.sort();
    // Every one of them is still open.
    connections.iter_mut().for_each(ask);
    let memory = node.memory().1;
    report(
        "E32",
        &format!(
            "{idle} idle connections, {} requests, 0 errors; p99 {:?}; {} KiB each, {} MiB resident at most",
            2 * idle + REQUESTS,
            times[REQUESTS * 99 / 100],
            each >> 10,
            memory >> 20,
        ),
    );
    assert!(memory <= MEMORY, "{memory} bytes resident");
}
