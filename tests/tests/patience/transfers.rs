//! Bodies that hardly come and bodies that nobody takes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::connections::{assert_closed_by, count, sockets};
use crate::{TEN_SECONDS, own_server, wait_for};
use socket2::{Domain, Socket, Type};

use tests::content::unique_bytes;
use tests::http::Client;
use tests::raw::Connection;
use tests::registry::{fresh_repository, is_full_run};
use tests::{ServerOptions, wait_until};

/// The head of a chunk that never comes whole, and its first byte.
fn head(client: &Client, session: &str, length: usize) -> String {
    let authorization = client.authorization_line();
    format!("PATCH {session} HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: {length}\r\n\r\nx")
}

/// Bytes that a session says it has.
fn received(client: &Client, session: &str) -> usize {
    let status = client.get(session).send();
    status.assert_status(204);
    let end = status.header("range").and_then(|range| range.strip_prefix("0-")).expect("a range");
    // `0-0` is none or one.
    end.parse::<usize>().map(|end| if end == 0 { 0 } else { end + 1 }).expect("a number")
}

#[test]
fn many_bodies_of_one_byte_per_five_seconds_are_cut() {
    wait_for("dribbled bodies");
}

pub(crate) fn dribbled_bodies() {
    // XH5: by the minimum rate of 1 KiB/s over 10 s
    let server = own_server(ServerOptions::default());
    let client = server.root();
    let began = Instant::now();
    let mut dribblers = Vec::new();
    // Below the thousand sessions that a principal may have.
    for _ in 0..count() / 6 {
        let session = client.start_upload("patience/bodies");
        dribblers.extend(sockets(1, server.host(), head(&client, &session, 100_000).as_bytes()));
    }
    client.assert_serves();
    for round in 1..=2 {
        let next = began + Duration::from_secs(5) * round;
        for connection in &mut dribblers {
            let left = next.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            connection.is_closed_within(left);
            // Too late for those that were cut.
            let _ = connection.send(b"x");
        }
    }
    assert_closed_by(&mut dribblers, began, TEN_SECONDS * 2);
    client.assert_serves();
}

#[test]
fn a_body_of_one_byte_per_second_is_cut_and_the_session_stays() {
    wait_for("one byte a second");
}

pub(crate) fn one_byte_a_second() {
    // XU9, XH5, faults E31
    let server = own_server(ServerOptions::default());
    let client = server.root();
    let session = client.start_upload("patience/session");
    let mut connection = Connection::open(client.host()).expect("connect");
    connection.send(head(&client, &session, 100_000).as_bytes()).expect("send");
    let began = Instant::now();
    let mut writer = connection.stream().try_clone().expect("a second handle");
    thread::scope(|scope| {
        scope.spawn(move || {
            while began.elapsed() < TEN_SECONDS * 2 && writer.write_all(b"x").is_ok() {
                thread::park_timeout(Duration::from_secs(1));
            }
        });
        assert!(connection.is_closed_within(TEN_SECONDS), "never cut");
        // Lets the writer notice.
        let _ = connection.stream().shutdown(Shutdown::Both);
    });
    assert!(began.elapsed() >= Duration::from_secs(8), "cut too early: {:?}", began.elapsed());
    let at = received(&client, &session);
    assert!(at < 40, "{at} bytes of a few");
    let rest = client.patch(&session).header("Content-Range", format!("{at}-{}", at + 2)).body("abc").send();
    rest.assert_status(202);
    client.assert_serves();
}

#[test]
fn continue_then_silence_frees_the_slot() {
    wait_for("continue");
}

pub(crate) fn continue_then_silence() {
    // XU10
    let server = own_server(ServerOptions::default());
    let client = server.root();
    let session = client.start_upload("patience/continue");
    let authorization = client.authorization_line();
    let head = format!(
        "PATCH {session} HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
    );
    let mut connection = Connection::open(client.host()).expect("connect");
    connection.send(head.as_bytes()).expect("send");
    assert_eq!(connection.any_answer("PATCH").expect("an interim answer").status, 100);
    assert!(connection.is_closed_within(TEN_SECONDS), "the slot is never freed");
    client.patch(&session).body("abc").send().assert_status(202);
    client.assert_serves();
}

#[test]
fn readers_that_take_nothing_hold_little_and_are_cut() {
    wait_for("readers");
}

pub(crate) fn readers_that_take_nothing() {
    // XU16, F12
    const SIZE: usize = 32 << 20;
    let server = own_server(ServerOptions::default());
    let client = server.root();
    let repository = fresh_repository("patience");
    let digest = client.push_blob(&repository, &unique_bytes(SIZE));
    let request = client.get(format!("/v2/{repository}/blobs/{digest}")).bytes();
    let before = server.usage();
    let count = if is_full_run() { 1000 } else { 60 };
    let mut readers = sockets(count, client.host(), &request);
    for reader in &mut readers {
        let mut first = [0; 16];
        reader.stream().read_exact(&mut first).expect("an answer begins");
    }
    let during = server.usage();
    assert!(during.memory < before.memory + (count as u64) * (1 << 20), "{before:?} {during:?}");
    assert!(server.sockets() >= count, "{} sockets", server.sockets());
    client.assert_serves();
    // Deleting does not wait for them.
    client.delete(format!("/v2/{repository}/blobs/{digest}")).send().assert_status(202);
    // All of them: until no socket has gone for a while. Reading from one that is not cut yet would revive it.
    let (mut lowest, mut since) = (usize::MAX, Instant::now());
    wait_until("readers that take nothing are cut", Duration::from_secs(50), || {
        let now = server.sockets();
        if now < lowest {
            (lowest, since) = (now, Instant::now());
        }
        now < count / 4 && since.elapsed() > Duration::from_secs(3)
    });
    for reader in &mut readers {
        let left = reader.read_until_closed(Duration::from_secs(5)).expect("cut");
        assert!(left.len() < SIZE, "it got everything");
    }
    client.assert_serves();
}

#[test]
fn readers_of_one_byte_per_second_are_cut() {
    wait_for("dribbling readers");
}

pub(crate) fn readers_of_one_byte_a_second() {
    // XU16: a small receive buffer, so that the kernel does not read for them
    let server = own_server(ServerOptions::default());
    let client = server.root();
    let repository = fresh_repository("patience");
    let digest = client.push_blob(&repository, &unique_bytes(16 << 20));
    let request = client.get(format!("/v2/{repository}/blobs/{digest}")).bytes();
    let host: SocketAddr = server.host().parse().expect("an address");
    let open = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        socket.connect(&host.into()).expect("connect");
        let mut stream = TcpStream::from(socket);
        stream.write_all(&request).expect("send");
        stream
    };
    let count = if is_full_run() { 1000 } else { 40 };
    let mut readers: Vec<TcpStream> = (0..count).map(open).collect();
    wait_until("all are served", Duration::from_secs(10), || server.sockets() >= count);
    let began = Instant::now();
    let mut next = began;
    wait_until("slow readers are cut", Duration::from_secs(50), || {
        if Instant::now() >= next {
            next += Duration::from_secs(1);
            for reader in &mut readers {
                // A byte each second; those that were cut have some left to read.
                let _ = reader.read(&mut [0]);
            }
        }
        server.sockets() < count / 4
    });
    client.assert_serves();
}
