//! E31: clients that send or take almost nothing. All are cut, cost little, and others are served meanwhile.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use shoal_tests::content::unique_bytes;
use shoal_tests::http::Client;
use socket2::{Domain, Socket, Type};

use crate::node::{Node, Place};
use crate::{report, size};

/// Between two bytes of a dribbling client.
const TICK: Duration = Duration::from_secs(1);
/// E31: a head in 10 s, a body 1 KiB/s over 10 s, a reader that takes nothing 30 s; with room for a busy machine.
const HEAD_LIMIT: Duration = Duration::from_secs(20);
const BODY_LIMIT: Duration = Duration::from_secs(30);
const READER_LIMIT: Duration = Duration::from_secs(75);
/// E31: memory of one such connection, bytes.
const MEMORY: u64 = 64 << 10;
const BLOB: usize = 8 << 20;

/// A client that goes as slowly as it can.
struct Slow {
    stream: TcpStream,
    ended: Option<Duration>,
}

#[test]
fn clients_that_dribble_heads_are_cut() {
    let count = size(500, 5000);
    let place = Place::new();
    let node = place.start();
    let slow = || open(&place.host, "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    run("heads", &place, &node, connect(count, slow), HEAD_LIMIT, |stream| stream.write(b"a").map(drop));
}

#[test]
fn clients_that_dribble_bodies_are_cut() {
    let count = size(100, 1000);
    let place = Place::new();
    let (node, root) = (place.start(), place.root());
    let slow = || {
        let location = root.start_upload("slow/bodies");
        let head = format!(
            "PATCH {location} HTTP/1.1\r\nHost: x\r\n{}Content-Length: 1000000\r\n\r\n",
            root.authorization_line(),
        );
        open(&place.host, &head)
    };
    run("bodies", &place, &node, connect(count, slow), BODY_LIMIT, |stream| stream.write(b"a").map(drop));
}

#[test]
fn clients_that_take_a_byte_a_second_are_cut() {
    let count = size(100, 1000);
    let place = Place::new();
    let (node, root) = (place.start(), place.root());
    let digest = root.push_blob("slow/readers", &unique_bytes(BLOB));
    // Once by somebody else, so that what is known of the blob is not counted as the slow ones'.
    root.get(format!("/v2/slow/readers/blobs/{digest}")).send().assert_status(200);
    let head = format!(
        "GET /v2/slow/readers/blobs/{digest} HTTP/1.1\r\nHost: x\r\n{}\r\n",
        root.authorization_line(),
    );
    let slow = connect(count, || open(&place.host, &head));
    run("readers", &place, &node, slow, READER_LIMIT, |stream| match stream.read(&mut [0]) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        read => read.map(drop),
    });
}

fn connect(count: usize, slow: impl Fn() -> TcpStream) -> Vec<Slow> {
    (0..count).map(|_| Slow { stream: slow(), ended: None }).collect()
}

/// A connection with small buffers that has sent `head`.
fn open(host: &str, head: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    socket.connect(&host.parse::<std::net::SocketAddr>().expect("an address").into()).expect("a connection");
    let mut stream = TcpStream::from(socket);
    stream.write_all(head.as_bytes()).expect("sent");
    stream.set_nonblocking(true).expect("set");
    stream
}

/// Lets all dribble until each was cut, and serves another client meanwhile.
fn run(
    what: &str,
    place: &Place,
    node: &Node,
    mut all: Vec<Slow>,
    limit: Duration,
    dribble: impl Fn(&mut TcpStream) -> std::io::Result<()>,
) {
    // What the node takes for its first requests is not theirs.
    let root = place.root();
    let digest = root.push_blob("quick/blobs", &unique_bytes(100_000));
    let before = node.memory().0;
    let began = Instant::now();
    let (mut memory, mut slowest) = (0, Duration::ZERO);
    while all.iter().any(|slow| slow.ended.is_none()) {
        assert!(began.elapsed() < limit, "{what}: {} are not cut after {limit:?}", all.iter().filter(|slow| slow.ended.is_none()).count());
        let tick = Instant::now();
        for slow in all.iter_mut().filter(|slow| slow.ended.is_none()) {
            if is_cut(&mut slow.stream, &dribble) {
                slow.ended = Some(began.elapsed());
            }
        }
        slowest = slowest.max(pull(&root, &digest));
        memory = memory.max(node.memory().0.saturating_sub(before));
        thread::sleep(TICK.saturating_sub(tick.elapsed()));
    }
    let ended: Vec<Duration> = all.iter().filter_map(|slow| slow.ended).collect();
    let each = memory / all.len() as u64;
    report("E31", &format!(
        "{} dribbling {what}: all cut after {:?} to {:?}; {} KiB each; others waited {slowest:?} at most",
        all.len(), ended.iter().min().unwrap_or(&Duration::ZERO), ended.iter().max().unwrap_or(&Duration::ZERO), each >> 10,
    ));
    assert!(each <= MEMORY, "{what}: {each} bytes for each");
    assert!(ended.iter().all(|ended| *ended > Duration::from_secs(5)), "{what}: cut before it was slow");
}

/// Whether the node has ended the connection. Its last words are read before that shows.
fn is_cut(stream: &mut TcpStream, dribble: impl Fn(&mut TcpStream) -> std::io::Result<()>) -> bool {
    match dribble(stream) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => true,
        _ => {
            let mut byte = [0];
            // A client that dribbles bytes out learns by reading.
            matches!(stream.peek(&mut byte), Ok(0)) || stream.take_error().ok().flatten().is_some()
        }
    }
}

fn pull(root: &Client, digest: &str) -> Duration {
    let began = Instant::now();
    let answer = root.get(format!("/v2/quick/blobs/blobs/{digest}")).send();
    answer.assert_status(200);
    began.elapsed()
}
