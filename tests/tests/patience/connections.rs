//! Connections without requests, or without anybody who reads the answers.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::{TEN_SECONDS, own_server, wait_for};
use tests::content::unique_bytes;
use tests::raw::Connection;
use tests::registry::{fresh_repository, is_full_run};
use tests::tls::{client_config, connect};
use tests::{Server, ServerOptions, wait_until};

/// Opens `count` connections and sends `first` over each.
pub(crate) fn sockets(count: usize, host: &str, first: &[u8]) -> Vec<Connection<TcpStream>> {
    let open = |_| {
        let mut connection = Connection::open(host).expect("connect");
        connection.send(first).expect("send");
        connection
    };
    (0..count).map(open).collect()
}

/// Connections of a row: 5000 in the full run.
pub(crate) fn count() -> usize {
    if is_full_run() { 5000 } else { 500 }
}

/// Checks that the server ends every connection until `deadline`.
pub(crate) fn assert_closed_by(connections: &mut [Connection<TcpStream>], began: Instant, limit: Duration) {
    for connection in connections {
        let left = (began + limit).saturating_duration_since(Instant::now()).max(Duration::from_millis(50));
        assert!(connection.is_closed_within(left), "open after {:?}", began.elapsed());
    }
}

#[test]
fn sockets_without_a_head_or_with_half_of_one_are_cut() {
    wait_for("silent sockets");
}

pub(crate) fn silent_sockets() {
    // XH5: no header; half a header
    let server = own_server(ServerOptions::default());
    let before = server.usage();
    let mut silent = sockets(count() / 2, server.host(), b"");
    let mut half = sockets(count() / 2, server.host(), b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Half: ");
    // From the last one: opening thousands takes its time.
    let began = Instant::now();
    server.root().assert_serves();
    let during = server.usage();
    let allowed = (count() as u64) * (96 << 10) + (16 << 20);
    assert!(during.memory < before.memory + allowed, "{before:?} {during:?}");
    assert_closed_by(&mut silent, began, TEN_SECONDS);
    assert_closed_by(&mut half, began, TEN_SECONDS);
    assert!(began.elapsed() > Duration::from_secs(5), "cut too early for slow links: {:?}", began.elapsed());
    server.root().assert_serves();
}

#[test]
fn a_head_that_comes_byte_by_byte_is_cut() {
    wait_for("slow head");
}

pub(crate) fn slow_head() {
    // XH5: activity alone does not keep a connection
    let server = own_server(ServerOptions::default());
    let began = Instant::now();
    let mut connection = Connection::open(server.host()).expect("connect");
    let mut writer = connection.stream().try_clone().expect("a handle");
    thread::scope(|scope| {
        scope.spawn(move || {
            let head = b"GET /v2/ HTTP/1.1\r\nX: ".iter().copied().chain(std::iter::repeat(b'y'));
            for byte in head.take(100) {
                if writer.write_all(&[byte]).is_err() {
                    break;
                }
                thread::park_timeout(Duration::from_millis(500));
            }
        });
        assert!(connection.is_closed_within(TEN_SECONDS), "never cut");
        // Lets the writer notice.
        let _ = connection.stream().shutdown(Shutdown::Both);
    });
    assert!(began.elapsed() < TEN_SECONDS);
    server.root().assert_serves();
}

/// A request over TLS: the node still works.
fn assert_answers(server: &Server) {
    let mut connection =
        connect(server.host(), client_config(&server.authority(), &[])).expect("a handshake");
    let client = server.root();
    let request = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{}\r\n", client.authorization_line());
    connection.send(request.as_bytes()).expect("send");
    connection.answer("GET").expect("an answer").assert_status(200);
}

#[test]
fn sockets_without_a_tls_hello_are_cut() {
    wait_for("silent sockets before TLS");
}

pub(crate) fn silent_sockets_before_tls() {
    // XH5
    let server = own_server(ServerOptions { tls: true, ..ServerOptions::default() });
    let mut silent = sockets(count() / 2, server.host(), b"");
    let mut half = sockets(count() / 2, server.host(), &[0x16, 3, 1, 2, 0, 1]);
    let began = Instant::now();
    assert_answers(server);
    assert_closed_by(&mut silent, began, TEN_SECONDS);
    assert_closed_by(&mut half, began, TEN_SECONDS);
    assert_answers(server);
}

#[test]
fn a_pipeline_whose_answers_are_not_read_is_bounded_and_cut() {
    wait_for("pipeline");
}

pub(crate) fn pipeline() {
    // XH9
    let server = own_server(ServerOptions::default());
    let client = server.root();
    let repository = fresh_repository("patience");
    let digest = client.push_blob(&repository, &unique_bytes(1 << 20));
    let authorization = client.authorization_line();
    let request = format!("GET /v2/{repository}/blobs/{digest} HTTP/1.1\r\nHost: x\r\n{authorization}\r\n");
    let before = server.usage();
    let mut connection = Connection::open(client.host()).expect("connect");
    connection.stream().set_write_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    // What the server does not take, the timeout ends.
    let _ = connection.send(request.repeat(1000).as_bytes());
    connection.stream().read_exact(&mut [0; 16]).expect("an answer begins");
    let during = server.usage();
    assert!(during.memory < before.memory + (24 << 20), "{before:?} {during:?}");
    let sockets = server.sockets();
    wait_until("the reader is cut", Duration::from_secs(50), || server.sockets() < sockets);
    client.assert_serves();
}

#[test]
fn a_connection_that_is_half_closed_still_ends() {
    wait_for("half closed");
}

pub(crate) fn half_closed() {
    // XH5: FIN after the request; answered or dropped, never kept
    let server = own_server(ServerOptions::default());
    let began = Instant::now();
    let request = server.root().get("/v2/").bytes();
    for part in [&request[..], &request[..20], b""] {
        let mut connections = sockets(1, server.host(), part);
        connections[0].stream().shutdown(Shutdown::Write).expect("shutdown");
        assert_closed_by(&mut connections, began, TEN_SECONDS);
    }
    server.root().assert_serves();
}

#[test]
fn a_finished_connection_is_kept_for_a_while() {
    // XH5: idle between requests. Only the full run waits for its end, two minutes.
    let server = own_server(ServerOptions::default());
    let request = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{}\r\n", server.root().authorization_line());
    let mut connection = Connection::open(server.host()).expect("connect");
    for _ in 0..2 {
        connection.send(request.as_bytes()).expect("send");
        connection.answer("GET").expect("an answer").assert_status(200);
    }
    if is_full_run() {
        assert!(connection.is_closed_within(Duration::from_secs(150)), "idle for ever");
    }
}
