//! Framing of HTTP/1.1 messages: section 5 of `specs/hostile-inputs.md`, XH1, XH2, XH4, XH10.

use std::time::Duration;

use crate::{assert_alive, own_server, root};
use tests::content::unique_bytes;
use tests::raw::Connection;
use tests::registry::{fresh_repository, is_full_run};

/// Sends `bytes` and returns everything that comes back until the server ends the connection.
pub(crate) fn conversation(bytes: &[u8]) -> String {
    let mut connection = Connection::open(root().host()).expect("connect");
    // The server may end the connection before it has everything.
    let _ = connection.send(bytes);
    let answer = connection.read_until_closed(Duration::from_secs(30)).unwrap_or_else(|| {
        let text = String::from_utf8_lossy(bytes);
        panic!("the connection stays open after {:?}", text.chars().take(400).collect::<String>());
    });
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses in a conversation.
fn statuses(text: &str) -> Vec<&str> {
    text.match_indices("HTTP/1.1 ").map(|(at, found)| &text[at + found.len()..at + found.len() + 3]).collect()
}

/// Checks for one refusal and an end, or an end without words.
pub(crate) fn assert_refused_and_closed(name: &str, text: &str) {
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
fn a_length_beside_chunks_does_not_count_and_ends_the_connection() {
    // XH1: hyper takes the chunks and hides the length, so that a refusal is out of reach; RFC 9112 6.1 allows
    // this when the connection is closed after the answer. What matters: no second request is seen.
    let repository = fresh_repository("framing");
    let smuggled = format!("GET /v2/_catalog HTTP/1.1\r\nHost: x\r\n{}\r\n", root().authorization_line());
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
    ] {
        let session = root().start_upload(&repository);
        let authorization = root().authorization_line();
        let request = format!(
            "PATCH {session} HTTP/1.1\r\nHost: x\r\n{authorization}{framing}\r\n\r\n0\r\n\r\n{smuggled}"
        );
        let text = conversation(request.as_bytes());
        assert!(matches!(statuses(&text)[..], ["202" | "400"]), "{framing}: {text}");
        let status = root().get(&session).send();
        assert_eq!(status.header("range"), Some("0-0"), "{framing}");
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
    let count: u32 = if is_full_run() { 1_000_000 } else { 100_000 };
    let before = server.usage();
    let bytes = unique_bytes(count as usize);
    let answer = client.patch(&session).chunked(bytes, 1).send();
    assert!(matches!(answer.status, 202 | 400), "{}", answer.status);
    let after = server.usage();
    assert!(after.memory < before.memory + (32 << 20), "{before:?} {after:?}");
    // Linear, at what an unoptimised build takes for a chunk (an optimised one: 3 us).
    assert!(after.cpu - before.cpu < Duration::from_micros(60) * count, "{before:?} {after:?}");
    client.assert_serves();
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
