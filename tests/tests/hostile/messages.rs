//! HTTP/1.1 messages: section 5 of `specs/hostile-inputs.md`, XH1, XH2, XH4, XH6, XH9 to XH13.

use std::io::Write;
use std::time::Duration;

use crate::{anonymous, assert_alive, own_server, root};
use shoal_tests::content::unique_bytes;
use shoal_tests::raw::{Answer, Connection};
use shoal_tests::registry::{fresh_repository, is_full_run};

/// Sends `bytes` and returns everything that comes back until the server ends the connection.
fn conversation(bytes: &[u8]) -> String {
    let mut connection = Connection::open(root().host()).expect("connect");
    // The server may end the connection before it has everything.
    let _ = connection.send(bytes);
    let answer = connection.read_until_closed(Duration::from_secs(30)).expect("the connection is ended");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses in a conversation.
fn statuses(text: &str) -> Vec<&str> {
    text.match_indices("HTTP/1.1 ").map(|(at, found)| &text[at + found.len()..at + found.len() + 3]).collect()
}

fn exchange(request: &str) -> Answer {
    let method = request.split(' ').next().unwrap_or_default();
    Connection::open(root().host()).expect("connect").exchange(method, request.as_bytes()).expect("an answer")
}

/// Checks for one refusal and an end, or an end without words.
fn assert_refused_and_closed(name: &str, text: &str) {
    let found = statuses(text);
    assert!(found.len() <= 1, "{name}: a second request was seen: {found:?}");
    assert!(found.iter().all(|status| status.starts_with('4') || *status == "501"), "{name}: {found:?}");
}

#[test]
fn ambiguous_framing_is_refused_and_no_second_request_is_seen() {
    // XH1
    let repository = fresh_repository("messages");
    let session = root().start_upload(&repository);
    let smuggled = format!("GET /v2/_catalog HTTP/1.1\r\nHost: x\r\n{}\r\n", root().authorization_line());
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length: 5, 6",
        "Content-Length: 5 5",
        "Content-Length : 5",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked;x=1",
        " Transfer-Encoding: chunked",
    ] {
        let request = format!(
            "PATCH {session} HTTP/1.1\r\nHost: x\r\n{}{framing}\r\n\r\n0\r\n\r\n{smuggled}",
            root().authorization_line()
        );
        assert_refused_and_closed(framing, &conversation(request.as_bytes()));
    }
    assert_alive();
}

#[test]
fn the_same_length_twice_is_one_request_or_none() {
    // XH1: `5, 5` and two equal lines may be taken as one (RFC 9112 6.3)
    let repository = fresh_repository("messages");
    for framing in ["Content-Length: 5, 5", "Content-Length: 5\r\nContent-Length: 5"] {
        let session = root().start_upload(&repository);
        let request = format!(
            "PATCH {session} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}{framing}\r\n\r\nhello",
            root().authorization_line()
        );
        let text = conversation(request.as_bytes());
        assert!(matches!(statuses(&text)[..], ["202" | "400"]), "{framing}: {text}");
    }
    assert_alive();
}

#[test]
fn broken_chunks_are_refused() {
    // XH2
    let repository = fresh_repository("messages");
    let extension = format!("5;x={}\r\nhello\r\n0\r\n\r\n", "y".repeat(1 << 20));
    let trailers = format!("5\r\nhello\r\n0\r\n{}\r\n", "X-Trailer: y\r\n".repeat(10_000));
    for body in [
        "FFFFFFFFFFFFFFFF1\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhello0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloworld\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "5;\nhello\r\n0\r\n\r\n",
        &extension,
        &trailers,
    ] {
        let session = root().start_upload(&repository);
        let smuggled = format!("GET /v2/_catalog HTTP/1.1\r\nHost: x\r\n{}\r\n", root().authorization_line());
        let request = format!(
            "PATCH {session} HTTP/1.1\r\nHost: x\r\n{}Transfer-Encoding: chunked\r\n\r\n{body}{smuggled}",
            root().authorization_line()
        );
        let name: String = body.chars().take(20).collect();
        assert_refused_and_closed(&name, &conversation(request.as_bytes()));
    }
    assert_alive();
}

#[test]
fn a_million_tiny_chunks_cost_little() {
    // XH2: one byte each
    let server = own_server();
    let client = server.root();
    let repository = fresh_repository("messages");
    let session = client.start_upload(&repository);
    let count = if is_full_run() { 1_000_000 } else { 100_000 };
    let before = server.usage();
    let bytes = unique_bytes(count);
    let answer = client.patch(&session).chunked(bytes, 1).send();
    assert!(matches!(answer.status, 202 | 400), "{}", answer.status);
    let after = server.usage();
    assert!(after.memory < before.memory + (32 << 20), "{before:?} {after:?}");
    // Unoptimised, so far above the specification's figure.
    assert!(after.cpu - before.cpu < Duration::from_secs(20), "{before:?} {after:?}");
    client.assert_serves();
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
fn characters_that_headers_may_not_hold_are_refused() {
    // XH4
    for header in ["X: a\0b", "X: a\rb", "X\u{e9}: b", "X y: b", ": b", "X", "X\0: b", "X(: b", "X: a\u{1}b"]
    {
        let request = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n\r\n");
        let text = conversation(request.as_bytes());
        assert!(matches!(statuses(&text)[..], ["400"]), "{header:?}: {text}");
    }
    for line in [
        "GET /v2/",
        "GET  /v2/ HTTP/1.1",
        "GET /v2/ HTTP/1.1 x",
        "GET /v2/ HTTP/9.9",
        "GET /v2/ FTP/1.1",
        "GET\t/v2/ HTTP/1.1",
        "G\0T /v2/ HTTP/1.1",
        "/v2/ HTTP/1.1",
    ] {
        let text = conversation(format!("{line}\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
        let found = statuses(&text);
        assert!(
            found.len() <= 1 && found.iter().all(|status| status.starts_with('4') || *status == "505"),
            "{line:?}: {text}"
        );
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
fn what_follows_a_body_is_a_request_of_its_own() {
    // XH10: a body of length 0 with bytes following is no body
    let repository = fresh_repository("messages");
    let session = root().start_upload(&repository);
    let authorization = root().authorization_line();
    let request = format!(
        "PATCH {session} HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: 0\r\n\r\nGET /v2/_catalog HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    );
    let text = conversation(request.as_bytes());
    // The second request has no credentials of its own, and those of the first do not stick.
    assert_eq!(statuses(&text), ["202", "401"], "{text}");
    assert_eq!(root().get(&session).send().header("range"), Some("0-0"));
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
