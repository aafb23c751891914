//! E42: SIGTERM. Pulls on their way come to their end, nobody new gets in, and the process ends cleanly.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use tests::content::{sha256, unique_bytes};
use tests::raw::Connection;

use crate::node::{Place, wait_until};
use crate::{report, size};

const BLOB: usize = 12 << 20;
/// What a slow client reads at once, and how long it waits in between: about 3 MiB/s, so 4 s for the blob.
const SIP: usize = 64 << 10;
const PAUSE: Duration = Duration::from_millis(20);
/// E42: pulls on their way end within this.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn pulls_on_their_way_end_whole_after_sigterm_and_nobody_new_gets_in() {
    let rounds = size(1, 20);
    let place = Place::new();
    let root = place.root();
    let content = unique_bytes(BLOB);
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        let mut node = place.start();
        let digest = root.push_blob("drained/blobs", &content);
        let head = format!(
            "GET /v2/drained/blobs/blobs/{digest} HTTP/1.1\r\nHost: {}\r\n{}\r\n",
            place.host,
            root.authorization_line(),
        );
        let pulls: Vec<_> = (0..4).map(|_| begin_pull(&place.host, &head)).collect();
        let mut half_asked = Connection::open(&place.host).expect("a connection");
        half_asked.send(b"GET /readyz HTTP/1.1\r\n").expect("sent");
        node.signal("TERM");
        let began = Instant::now();
        let pulls: Vec<_> = pulls.into_iter().map(|pull| thread::spawn(move || finish_pull(pull))).collect();
        wait_until("new connections to be refused", Duration::from_secs(5), || {
            TcpStream::connect(&place.host).is_err()
        });
        // Whoever is already connected is told that the node is not ready, or is let go.
        let told = half_asked
            .send(b"Host: x\r\n\r\n")
            .and_then(|()| half_asked.answer("GET"))
            .map(|answer| answer.status);
        assert!(!matches!(told, Ok(status) if status != 503), "readyz says {told:?} while the node drains");
        for pull in pulls {
            let body = pull.join().expect("a reader");
            assert_eq!(sha256(&body), digest, "round {round}: a pull was cut after {} bytes", body.len());
        }
        longest = longest.max(began.elapsed());
        let status = node.ended(LIMIT).expect("the node to end");
        assert!(status.success(), "{status}: {}", node.log());
    }
    report(
        "E42",
        &format!("{rounds} x SIGTERM with 4 slow pulls of 12 MiB: 0 cut, the last ended after {longest:?}"),
    );
    assert!(longest <= LIMIT);
}

/// Asks for the blob and reads the beginning of the answer.
fn begin_pull(host: &str, head: &str) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(host).expect("a connection");
    stream.set_read_timeout(Some(LIMIT)).expect("set");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut read = vec![0; 4096];
    let count = stream.read(&mut read).expect("an answer");
    read.truncate(count);
    assert!(read.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&read));
    (stream, read)
}

/// Reads on slowly until the blob is whole or the connection ends; the body.
fn finish_pull((mut stream, mut read): (TcpStream, Vec<u8>)) -> Vec<u8> {
    let mut buffer = vec![0; SIP];
    loop {
        let head_end = read.windows(4).position(|part| part == b"\r\n\r\n").map(|at| at + 4);
        if let Some(head_end) = head_end.filter(|end| read.len() - end >= BLOB) {
            return read.split_off(head_end);
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return head_end.map(|end| read.split_off(end)).unwrap_or_default(),
            Ok(count) => read.extend_from_slice(&buffer[..count]),
        }
        thread::sleep(PAUSE);
    }
}
