//! HTTP/1.1 messages: section 5 of `specs/hostile-inputs.md`, XH4, XH6, XH9 to XH13.

use std::io::Write;
use std::time::Duration;

use crate::framing::{assert_refused_and_closed, conversation};
use crate::{anonymous, assert_alive, own_server, root};
use tests::content::unique_bytes;
use tests::raw::{Answer, Connection};
use tests::registry::fresh_repository;

fn exchange(request: &str) -> Answer {
    let method = request.split(' ').next().unwrap_or_default();
    Connection::open(root().host()).expect("connect").exchange(method, request.as_bytes()).expect("an answer")
}

#[test]
fn heads_have_limits() {
    // XH4: 128 headers and 32 KiB
    let with = |headers: &str| {
        let request = format!(
            "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}{headers}\r\n",
            root().authorization_line()
        );
        exchange(&request).status
    };
    // Three headers are in every request here.
    let many = |count: usize| (3..count).map(|number| format!("X-{number}: y\r\n")).collect::<String>();
    assert_eq!(with(&many(128)), 200);
    assert_eq!(with(&many(129)), 431);
    assert_eq!(with(&format!("X: {}\r\n", "y".repeat(30 << 10))), 200);
    assert_eq!(with(&format!("X: {}\r\n", "y".repeat(32 << 10))), 431);
    for huge in [many(10_000), format!("X: {}\r\n", "y".repeat(1 << 20))] {
        let request = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{huge}\r\n");
        assert_refused_and_closed("huge", &conversation(request.as_bytes()));
    }
    assert_alive();
}

#[test]
fn other_protocols_are_dropped() {
    // XH6 on the plain port: TLS, HTTP/2's preface, SSH, noise, a line without end
    let server = own_server();
    let before = server.usage();
    let noise = unique_bytes(100_000);
    let hello =
        [&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03][..], &noise[..500]].concat();
    let endless = vec![b'x'; 4 << 20];
    for bytes in [
        hello.as_slice(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"SSH-2.0-x\r\n",
        &noise,
        &endless,
        &[0; 1000],
    ] {
        let mut connection = Connection::open(server.host()).expect("connect");
        let _ = connection.send(bytes);
        let answer = connection.read_until_closed(Duration::from_secs(20)).expect("dropped");
        assert!(answer.len() < 1000, "{} bytes", answer.len());
        assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1 2"));
    }
    let after = server.usage();
    assert!(after.memory < before.memory + (16 << 20), "{before:?} {after:?}");
    server.root().assert_serves();
}

#[test]
fn a_pipeline_that_is_read_is_answered_in_order() {
    // XH9
    let count = 200;
    let mut connection = Connection::open(root().host()).expect("connect");
    let mut writer = connection.stream().try_clone().expect("a handle");
    let request = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{}\r\n", root().authorization_line());
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(request.repeat(count).as_bytes()));
        for _ in 0..count {
            connection.answer("GET").expect("an answer").assert_status(200);
        }
    });
    assert_alive();
}

#[test]
fn there_is_one_authorization_or_none() {
    // XH10
    let right = root().authorization_line();
    let value = right.trim_end().trim_start_matches("Authorization: ").to_owned();
    for lines in [
        format!("{right}{right}"),
        format!("{right}Authorization: Bearer x\r\n"),
        format!("Authorization: Bearer x\r\n{right}"),
        format!("Authorization: Basic {}\r\n{right}", "Og=="),
        format!("Authorization: {value}, Bearer x\r\n"),
        format!("Authorization: Bearer x, {value}\r\n"),
        format!("Authorization: {value} x\r\n"),
        "Authorization: \r\n".into(),
        "Authorization: Basic\r\n".into(),
        "Authorization: Negotiate abc\r\n".into(),
    ] {
        let answer = exchange(&format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n"));
        assert!(matches!(answer.status, 400 | 401), "{lines}: {}", answer.status);
    }
    let huge =
        format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", "x".repeat(1 << 20));
    assert_refused_and_closed("1 MiB", &conversation(huge.as_bytes()));
    assert_alive();
}

#[test]
fn forwarding_headers_of_strangers_are_ignored() {
    // XH11, L12
    let host = anonymous().host().to_owned();
    let repository = fresh_repository("messages");
    let headers = "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.invalid\r\nX-Forwarded-Port: 1\r\nForwarded: for=10.0.0.1;host=evil.invalid;proto=https\r\nX-Real-IP: 10.0.0.1\r\n";
    let answer =
        exchange(&format!("GET /v2/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"));
    answer.assert_error(401, "UNAUTHORIZED");
    let challenge = answer.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains(&format!("realm=\"http://{host}/token\"")), "{challenge}");
    let upload = exchange(&format!(
        "POST /v2/{repository}/blobs/uploads/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n{}{headers}\r\n",
        root().authorization_line()
    ));
    assert!(!format!("{:?}", upload.headers).contains("evil"), "{:?}", upload.headers);
    assert_alive();
}

#[test]
fn protocols_are_not_switched() {
    // XH12
    for headers in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ] {
        let mut connection = Connection::open(root().host()).expect("connect");
        let request = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{}{headers}\r\n", root().authorization_line());
        connection.send(request.as_bytes()).expect("send");
        let answer = connection.any_answer("GET").expect("an answer");
        assert_ne!(answer.status, 101);
        assert!(answer.status < 500);
    }
    for target in ["127.0.0.1:22", "x:1", "/v2/", "http://127.0.0.1:22/"] {
        let answer = exchange(&format!(
            "CONNECT {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}\r\n",
            root().authorization_line()
        ));
        assert!((400..500).contains(&answer.status), "{target}: {}", answer.status);
    }
    assert_alive();
}

#[test]
fn long_accept_lists_are_bounded() {
    // XH13
    let repository = fresh_repository("messages");
    let image = root().push_image(&repository, "v1");
    let accept = |size: usize| "application/x;q=0.1, ".repeat(size / 21);
    let path = format!("/v2/{repository}/manifests/v1");
    let fits = root()
        .get(&path)
        .header("Accept", accept(24 << 10))
        .header("Accept-Encoding", "gzip;q=1, *;q=0")
        .send();
    fits.assert_status(200);
    assert_eq!(fits.body, image.manifest);
    assert_eq!(fits.header("content-encoding"), None);
    let large = root().get(&path).header("Accept", accept(64 << 10)).try_send();
    assert!(large.map_or(true, |answer| answer.status == 431));
    assert_alive();
}
