//! HTTP/2 floods over TLS: XH3 of `specs/hostile-inputs.md`.
//!
//! Frames are written by hand: a proper client would not send them.

use std::time::{Duration, Instant};

use crate::tls::{assert_alive, server};
use tests::registry::is_full_run;
use tests::tls::{TlsConnection, client_config, connect};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET /v2/` as HPACK: two indexed fields, the path, the authority.
fn request() -> Vec<u8> {
    // :method GET, :scheme https, :path literal with indexed name 4, :authority literal with indexed name 1
    let mut block = vec![0x82, 0x87, 0x04, 4];
    block.extend_from_slice(b"/v2/");
    block.extend_from_slice(&[0x01, 9]);
    block.extend_from_slice(b"localhost");
    block
}

fn open() -> TlsConnection {
    let config = client_config(&server().authority(), &["h2"]);
    let mut connection = connect(server().host(), config).expect("a handshake");
    assert_eq!(connection.stream().conn.alpn_protocol(), Some(b"h2".as_slice()), "F1");
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("send");
    connection.send(&frame(SETTINGS, 0, 0, &[])).expect("send");
    connection
}

/// Sends `part(n)` up to `count` times and returns the connection, unless the server ended it meanwhile.
fn flood(count: usize, part: impl Fn(u32) -> Vec<u8>) -> Option<TlsConnection> {
    let mut connection = open();
    let tcp = connection.stream().sock.try_clone().expect("a handle");
    tcp.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    tcp.set_write_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    for number in 0..u32::try_from(count).expect("a count") / 100 {
        let burst: Vec<u8> = (0..100).flat_map(|each| part(number * 100 + each)).collect();
        if connection.send(&burst).is_err() {
            return None;
        }
    }
    Some(connection)
}

/// Checks that the server ends the connection during such a flood or after it, with or without GOAWAY.
fn assert_flood_ends(count: usize, part: impl Fn(u32) -> Vec<u8>) {
    let left = flood(count, part);
    assert!(left.is_none_or(|mut connection| ends(&mut connection)), "still open");
}

/// Reads frames until GOAWAY or the end; false when the server falls silent first.
fn ends(connection: &mut TlsConnection) -> bool {
    use std::io::Read;
    let mut head = [0; 9];
    loop {
        match connection.stream().read_exact(&mut head) {
            Ok(()) if head[3] == GOAWAY => return true,
            Ok(()) => {
                let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                let mut payload = vec![0; length];
                if connection.stream().read_exact(&mut payload).is_err() {
                    return true;
                }
            }
            Err(error) => return !tests::raw::is_timeout(&error),
        }
    }
}

/// Runs `part` and checks what it cost: at most one second of CPU per 10,000 frames, times what an
/// unoptimised build takes, and bounded memory.
fn costs_little<T>(count: usize, part: impl FnOnce() -> T) {
    let before = server().usage();
    // What it returns is kept until the figures are read.
    let _kept = part();
    let after = server().usage();
    let allowed =
        Duration::from_secs(5) + Duration::from_millis(5) * u32::try_from(count / 10).expect("a count");
    assert!(after.cpu - before.cpu < allowed, "{before:?} {after:?}");
    assert!(after.memory < before.memory + (48 << 20), "{before:?} {after:?}");
    assert_alive();
}

fn many() -> usize {
    if is_full_run() { 100_000 } else { 20_000 }
}

#[test]
fn a_plain_request_is_answered() {
    // F1: the frames below are right, so that the floods test what they say
    let mut connection = open();
    connection.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &request())).expect("send");
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut head = [0; 9];
    loop {
        assert!(Instant::now() < deadline);
        std::io::Read::read_exact(connection.stream(), &mut head).expect("a frame");
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        std::io::Read::read_exact(connection.stream(), &mut payload).expect("a payload");
        assert_ne!(head[3], GOAWAY, "{payload:?}");
        if head[3] == HEADERS {
            break;
        }
    }
}

#[test]
fn streams_opened_and_reset_at_once_end_the_connection() {
    // XH3, CVE-2023-44487
    let request = request();
    costs_little(many(), || {
        assert_flood_ends(many(), |number| {
            let stream = number * 2 + 1;
            let headers = frame(HEADERS, END_STREAM | END_HEADERS, stream, &request);
            [headers, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
        });
    });
}

#[test]
fn a_head_without_end_ends_the_connection() {
    // XH3, RUSTSEC-2024-0332
    let request = request();
    costs_little(many(), || {
        assert_flood_ends(many(), |number| match number {
            0 => frame(HEADERS, 0, 1, &request),
            // A literal header field without indexing: name x, value of 100 bytes.
            _ => frame(CONTINUATION, 0, 1, &[&[0x00, 1, b'x', 100][..], &[b'y'; 100]].concat()),
        });
    });
}

#[test]
fn empty_continuations_end_the_connection() {
    // XH3
    let request = request();
    costs_little(many(), || {
        assert_flood_ends(many(), |number| match number {
            0 => frame(HEADERS, 0, 1, &request),
            _ => frame(CONTINUATION, 0, 1, &[]),
        });
    });
}

#[test]
fn settings_pings_and_empty_data_cost_little() {
    // XH3, CVE-2019-9512, CVE-2019-9515, CVE-2019-9518: cut or merely cheap, and answers never pile up
    let request = request();
    for kind in [SETTINGS, PING, DATA, WINDOW_UPDATE] {
        costs_little(many(), || {
            flood(many(), |number| match (kind, number) {
                (PING, _) => frame(PING, 0, 0, &u64::from(number).to_be_bytes()),
                (SETTINGS, _) => frame(SETTINGS, 0, 0, &[]),
                (WINDOW_UPDATE, _) => frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
                (_, 0) => frame(HEADERS, END_HEADERS, 1, &request),
                _ => frame(DATA, 0, 1, &[]),
            })
        });
    }
}

#[test]
fn a_window_of_zero_holds_little() {
    // XH3: answers that may not be sent
    let request = request();
    costs_little(1000, || {
        let mut connection = open();
        // SETTINGS_INITIAL_WINDOW_SIZE = 0
        connection.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).expect("send");
        for number in 0..100 {
            connection
                .send(&frame(HEADERS, END_STREAM | END_HEADERS, number * 2 + 1, &request))
                .expect("send");
        }
        assert_alive();
    });
}

#[test]
fn nonsense_frames_end_the_connection() {
    // XH3: reserved stream, wrong sizes, unknown huge frame, headers on stream 0, stream ids going back
    let request = request();
    let huge = [&[0xff, 0xff, 0xff, 0, 0][..], &1_u32.to_be_bytes(), &[0; 100]].concat();
    for bytes in [
        frame(HEADERS, END_STREAM | END_HEADERS, 0, &request),
        frame(HEADERS, END_STREAM | END_HEADERS, 2, &request),
        frame(PING, 0, 0, &[1, 2, 3]),
        frame(SETTINGS, 0, 0, &[1]),
        frame(SETTINGS, 0, 7, &[]),
        frame(WINDOW_UPDATE, 0, 0, &0_u32.to_be_bytes()),
        frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()),
        frame(DATA, 0, 99, b"x"),
        frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff; 50]),
        huge,
    ] {
        let mut connection = open();
        connection.send(&bytes).expect("send");
        connection.stream().sock.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        assert!(ends(&mut connection), "{:?}", &bytes[..9]);
    }
    assert_alive();
}
