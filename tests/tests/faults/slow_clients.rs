//! E31: clients that send or take almost nothing. All are cut, cost little, and others are served meanwhile.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tests::content::unique_bytes;
use tests::http::Client;

use crate::node::{Node, Place};
use crate::{report, size};

/// Between two bytes of a dribbling client.
const TICK: Duration = Duration::from_secs(1);
/// Nobody is slow before this.
const AT_LEAST: Duration = Duration::from_secs(5);
/// E31: a head in 10 s, a body 1 KiB/s over 10 s, a reader that takes nothing 30 s; with room for what was in
/// buffers at the beginning, for the connection's end, and for a busy machine.
const HEAD_LIMIT: Duration = Duration::from_secs(20);
const BODY_LIMIT: Duration = Duration::from_secs(30);
const READER_LIMIT: Duration = Duration::from_secs(60);
/// E31: memory of one such connection, bytes.
const MEMORY: u64 = 64 << 10;
/// What a node's memory moves by itself, bytes.
const NOISE: u64 = 3 << 20;
const BLOB: usize = 8 << 20;
/// One principal may have 1000 open uploads; some are left for the other clients.
const MOST_UPLOADS: usize = 990;

#[test]
fn clients_that_dribble_heads_are_cut() {
    let place = Place::new();
    let slow = Slow { what: "heads", count: size(500, 5000), limit: HEAD_LIMIT };
    let open = |_: &Client| open(&place.host, "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    slow.run(&place, open, |stream| drop(stream.write(b"a")));
}

#[test]
fn clients_that_dribble_bodies_are_cut() {
    let place = Place::new();
    let slow = Slow { what: "bodies", count: size(100, MOST_UPLOADS), limit: BODY_LIMIT };
    let open = |root: &Client| {
        let location = root.start_upload("slow/bodies");
        let authorization = root.authorization_line();
        let head =
            format!("PATCH {location} HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: 1000000\r\n\r\n");
        open(&place.host, &head)
    };
    slow.run(&place, open, |stream| drop(stream.write(b"a")));
}

#[test]
fn clients_that_take_a_byte_a_second_are_cut() {
    let place = Place::new();
    let slow = Slow { what: "readers", count: size(100, 1000), limit: READER_LIMIT };
    let content = unique_bytes(BLOB);
    let digest = tests::content::sha256(&content);
    let open = |root: &Client| {
        let target = format!("/v2/slow/readers/blobs/{digest}");
        if root.head(&target).send().status == 404 {
            root.push_blob("slow/readers", &content);
            // What the node remembers of the blob is not counted as the slow ones'.
            root.get(&target).send().assert_status(200);
        }
        open(&place.host, &format!("GET {target} HTTP/1.1\r\nHost: x\r\n{}\r\n", root.authorization_line()))
    };
    let crowd = slow.run(&place, open, |stream| drop(stream.read(&mut [0])));
    // What was not sent must not stay with the kernel for as long as they like to take it.
    let reset = crowd.iter().filter(|stream| matches!(stream.take_error(), Ok(Some(_)))).count();
    assert_eq!(reset, crowd.len(), "some are still being sent to, though the node let go of them");
}

/// A crowd of clients that go as slowly as they can.
struct Slow {
    what: &'static str,
    count: usize,
    limit: Duration,
}

impl Slow {
    /// Lets all dribble until the node has let go of each, and serves another client meanwhile. Returns them.
    fn run(
        &self,
        place: &Place,
        open: impl Fn(&Client) -> TcpStream,
        dribble: impl Fn(&mut TcpStream),
    ) -> Vec<TcpStream> {
        let Self { what, count, limit } = *self;
        let (node, root) = (place.start(), place.root());
        let digest = root.push_blob("quick/blobs", &unique_bytes(100_000));
        // One that is not counted, for what comes with the first.
        drop(open(&root));
        let others = fewest_sockets(&node);
        let memory_before = node.memory().0;
        let began = Instant::now();
        let mut crowd: Vec<TcpStream> = (0..count).map(|_| open(&root)).collect();
        let opened = Instant::now();
        let (mut memory, mut slowest, mut first) = (0, Duration::ZERO, None);
        loop {
            let tick = Instant::now();
            let left = fewest_sockets(&node).saturating_sub(others);
            // Some tell nothing: a connection of before that was still counted.
            first = first.or((left < count * 9 / 10).then(|| began.elapsed()));
            if left == 0 {
                break;
            }
            assert!(opened.elapsed() < limit, "{what}: {left} are not cut after {limit:?}");
            crowd.iter_mut().for_each(&dribble);
            slowest = slowest.max(pull(&root, &digest));
            memory = memory.max(node.memory().0.saturating_sub(memory_before));
            thread::sleep(TICK.saturating_sub(tick.elapsed()));
        }
        let (first, each) = (first.unwrap_or_default(), memory.saturating_sub(NOISE) / count as u64);
        report(
            "E31",
            &format!(
                "{count} dribbling {what}: cut {first:?} after the first came to {:?} after the last; {} KiB each; others waited {slowest:?} at most",
                opened.elapsed(),
                each >> 10,
            ),
        );
        assert!(each <= MEMORY, "{what}: {each} bytes for each");
        assert!(first > AT_LEAST, "{what}: cut before they were slow");
        crowd
    }
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

/// The node's sockets without those that are just being closed.
fn fewest_sockets(node: &Node) -> usize {
    let look = |_| {
        thread::sleep(Duration::from_millis(10));
        node.sockets()
    };
    (0..5).map(look).min().unwrap_or_default()
}

fn pull(root: &Client, digest: &str) -> Duration {
    let began = Instant::now();
    root.get(format!("/v2/quick/blobs/blobs/{digest}")).send().assert_status(200);
    began.elapsed()
}
