//! Clients that keep a connection and give nothing: XH5 of `specs/hostile-inputs.md`.
//!
//! These rows are about time, so they take some: each waits for the server to end the connections.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::{assert_serves, full, own_server};
use shoal_tests::raw::Connection;

/// 10 s in the server's rules, and what a busy machine adds.
const CUT: Duration = Duration::from_secs(16);

fn sockets(count: usize, host: &str, first: &[u8]) -> Vec<Connection<TcpStream>> {
    let open = |_| {
        let mut connection = Connection::open(host).expect("connect");
        connection.send(first).expect("send");
        connection
    };
    (0..count).map(open).collect()
}

fn count() -> usize {
    if full() { 5000 } else { 500 }
}

#[test]
fn sockets_without_a_head_or_with_half_of_one_are_cut() {
    // XH5: no header; half a header
    let server = own_server();
    let before = server.usage();
    let began = Instant::now();
    let mut silent = sockets(count() / 2, server.host(), b"");
    let mut half = sockets(count() / 2, server.host(), b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Half: ");
    assert_serves(&server.root());
    let during = server.usage();
    assert!(during.memory < before.memory + (count() as u64) * (96 << 10) + (16 << 20), "{before:?} {during:?}");
    for connection in silent.iter_mut().chain(&mut half) {
        let left = (began + CUT).saturating_duration_since(Instant::now()).max(Duration::from_millis(50));
        assert!(connection.is_closed_within(left), "open after {:?}", began.elapsed());
    }
    assert!(began.elapsed() > Duration::from_secs(5), "cut too early for slow links: {:?}", began.elapsed());
    assert_serves(&server.root());
}

#[test]
fn a_head_that_comes_byte_by_byte_is_cut() {
    // XH5: activity alone does not keep a connection
    let server = own_server();
    let began = Instant::now();
    let mut connection = Connection::open(server.host()).expect("connect");
    let mut writer = connection.stream().try_clone().expect("a handle");
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut head = b"GET /v2/ HTTP/1.1\r\nX: ".iter().copied().chain(std::iter::repeat(b'y'));
            while began.elapsed() < CUT * 2 && writer.write_all(&[head.next().unwrap_or(b'y')]).is_ok() {
                thread::park_timeout(Duration::from_millis(500));
            }
        });
        assert!(connection.is_closed_within(CUT), "never cut");
        let _ = connection.stream().shutdown(std::net::Shutdown::Both);
    });
    assert_serves(&server.root());
}

#[test]
#[ignore = "takes two minutes, which is how long an idle connection is kept"]
fn a_finished_connection_is_kept_only_for_a_while() {
    // XH5: idle between requests
    let server = own_server();
    let client = server.root();
    let request = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{}\r\n", client.authorization_line());
    let mut connection = Connection::open(server.host()).expect("connect");
    for _ in 0..2 {
        connection.send(request.as_bytes()).expect("send");
        connection.answer("GET").expect("an answer").assert_status(200);
    }
    assert!(connection.is_closed_within(Duration::from_secs(150)), "idle for ever");
}

#[test]
fn many_bodies_of_one_byte_per_five_seconds_are_cut() {
    // XH5, XH9: by the minimum rate of 1 KiB/s over 10 s
    let server = own_server();
    let client = server.root();
    let session = client.start_upload("slow/body");
    let head = |target: &str| {
        let authorization = client.authorization_line();
        format!("PATCH {target} HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: 100000\r\n\r\nx")
    };
    let began = Instant::now();
    let mut dribblers = sockets(count() / 5, server.host(), head(&session).as_bytes());
    assert_serves(&client);
    for round in 1..=2 {
        let next = began + Duration::from_secs(5) * round;
        for connection in &mut dribblers {
            let left = next.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            connection.is_closed_within(left);
            let _ = connection.send(b"x");
        }
    }
    for connection in &mut dribblers {
        let left = (began + Duration::from_secs(28)).saturating_duration_since(Instant::now()).max(Duration::from_millis(50));
        assert!(connection.is_closed_within(left), "open after {:?}", began.elapsed());
    }
    assert_serves(&client);
}
