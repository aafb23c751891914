//! How upload sessions end: finished, cancelled, lost (checklist §5.1, U20 to U33).

use crate::root;
use crate::uploads::assert_session;
use tests::content::{sha256, sha512, unique_bytes};
use tests::raw::Connection;
use tests::registry::{fresh_repository, with_query};

fn session_with(repository: &str, bytes: &[u8]) -> String {
    let location = root().start_upload(repository);
    root().patch(&location).body(bytes).send().assert_status(202);
    location
}

fn close(location: &str, digest: &str) -> String {
    with_query(location, &format!("digest={digest}"))
}

#[test]
fn put_without_a_body_closes_the_session() {
    // U20, U56
    let repository = fresh_repository("uploads");
    let bytes = unique_bytes(700);
    let digest = sha256(&bytes);
    let location = session_with(&repository, &bytes);
    let answer = root().put(close(&location, &digest)).send();
    answer.assert_status(201);
    assert_eq!(answer.location(), format!("/v2/{repository}/blobs/{digest}"));
    assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
    assert_eq!(answer.header("content-length"), Some("0"));
}

#[test]
fn put_may_bring_all_bytes_or_the_last_ones() {
    // U21, U22, U23, K2, K5
    let repository = fresh_repository("uploads");
    let bytes = unique_bytes(300);
    let digest = sha256(&bytes);
    let location = root().start_upload(&repository);
    root().put(close(&location, &digest)).body(bytes.clone()).send().assert_status(201);

    let bytes = unique_bytes(300);
    let digest = sha256(&bytes);
    let location = session_with(&repository, &bytes[..200]);
    let target = close(&location, &digest);
    for range in ["100-199", "201-300", "0-99"] {
        let answer = root().put(&target).header("Content-Range", range).body(&bytes[200..]).send();
        answer.assert_refused(&[416]);
        assert_session(&answer, 416, 200);
    }
    root().put(&target).header("Content-Range", "200-299").body(&bytes[200..]).send().assert_status(201);
    assert_eq!(root().get(format!("/v2/{repository}/blobs/{digest}")).send().body, bytes);
}

#[test]
fn put_in_chunked_encoding_closes_the_session() {
    // M23, U21
    let repository = fresh_repository("uploads");
    let bytes = unique_bytes(50_000);
    let location = root().start_upload(&repository);
    root().put(close(&location, &sha256(&bytes))).chunked(bytes, 999).send().assert_status(201);
}

#[test]
fn put_with_another_digest_discards_the_session() {
    // U24
    let repository = fresh_repository("uploads");
    let bytes = unique_bytes(300);
    let location = session_with(&repository, &bytes);
    root().put(close(&location, &sha256(b"other"))).send().assert_error(400, "DIGEST_INVALID");
    root().get(&location).send().assert_error(404, "BLOB_UPLOAD_UNKNOWN");
    root().head(format!("/v2/{repository}/blobs/{}", sha256(&bytes))).send().assert_bodyless(404);
}

#[test]
fn put_without_a_usable_digest_keeps_the_session() {
    // U25
    let repository = fresh_repository("uploads");
    let bytes = unique_bytes(300);
    let location = session_with(&repository, &bytes);
    let targets =
        [location.clone(), close(&location, ""), close(&location, "sha256:x"), close(&location, "md5:0")];
    for target in targets {
        root().put(target).send().assert_error(400, "DIGEST_INVALID");
        assert_session(&root().get(&location).send(), 204, 300);
    }
    root().put(close(&location, &sha256(&bytes))).send().assert_status(201);
}

#[test]
fn the_algorithm_may_be_known_only_at_the_end() {
    // U26
    let repository = fresh_repository("uploads");
    let bytes = unique_bytes(40_000);
    let location = session_with(&repository, &bytes);
    let digest = sha512(&bytes);
    root().put(close(&location, &digest)).send().assert_status(201);
    assert_eq!(root().get(format!("/v2/{repository}/blobs/{digest}")).send().body, bytes);
}

#[test]
fn a_repeated_close_does_no_harm() {
    // U27
    let repository = fresh_repository("uploads");
    let bytes = unique_bytes(40);
    let digest = sha256(&bytes);
    let location = session_with(&repository, &bytes);
    root().put(close(&location, &digest)).send().assert_status(201);
    let again = root().put(close(&location, &digest)).send();
    assert!(matches!(again.status, 201 | 404), "{}", again.status);
    for answer in [root().get(&location).send(), root().patch(&location).body("x").send()] {
        answer.assert_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
}

#[test]
fn a_cancelled_session_is_gone() {
    // U28, K7
    let repository = fresh_repository("uploads");
    let location = session_with(&repository, b"abc");
    root().delete(&location).send().assert_status(204);
    for answer in [
        root().get(&location).send(),
        root().patch(&location).body("x").send(),
        root().put(close(&location, &sha256(b"abc"))).send(),
        root().delete(&location).send(),
    ] {
        answer.assert_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
    root().head(format!("/v2/{repository}/blobs/{}", sha256(b"abc"))).send().assert_bodyless(404);
}

#[test]
fn a_session_belongs_to_its_repository() {
    // U29, U30
    let (here, there) = (fresh_repository("uploads"), fresh_repository("uploads"));
    root().push_image(&there, "v1");
    let bytes = unique_bytes(20);
    let location = session_with(&here, &bytes);
    let elsewhere = location.replacen(&here, &there, 1);
    assert_ne!(location, elsewhere);
    for answer in [
        root().get(&elsewhere).send(),
        root().patch(&elsewhere).body("x").send(),
        root().put(close(&elsewhere, &sha256(&bytes))).send(),
        root().delete(&elsewhere).send(),
    ] {
        answer.assert_error(404, "BLOB_UPLOAD_UNKNOWN");
    }
    assert_session(&root().get(&location).send(), 204, 20);
}

#[test]
fn two_chunks_at_once_never_interleave() {
    // U31: one stream is held open while another chunk is tried
    let repository = fresh_repository("uploads");
    let bytes = unique_bytes(60_000);
    let location = root().start_upload(&repository);
    let request = root().patch(&location).body(bytes.clone()).bytes();
    let mut connection = Connection::open(root().host()).expect("connect");
    connection.send(&request[..request.len() - 1]).expect("send");
    let other = root().patch(&location).header("Content-Range", "0-9").body(unique_bytes(10)).send();
    connection.send(&request[request.len() - 1..]).expect("send");
    let first = connection.answer("PATCH").expect("an answer");
    // Which request came first is the scheduler's choice.
    let wins = [&first, &other].iter().filter(|answer| answer.status == 202).count();
    assert!(wins >= 1, "{} and {}", first.status, other.status);
    if first.status == 202 && other.status != 202 {
        other.assert_refused(&[416]);
        root().put(close(&location, &sha256(&bytes))).send().assert_status(201);
    }
}

#[test]
fn pushing_a_known_blob_again_still_verifies_it() {
    // U32
    let repository = fresh_repository("uploads");
    let bytes = unique_bytes(5000);
    let digest = root().push_blob(&repository, &bytes);
    assert_eq!(root().push_blob(&repository, &bytes), digest);
    let target = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
    root().post(target).body(unique_bytes(5000)).send().assert_error(400, "DIGEST_INVALID");
    assert_eq!(root().get(format!("/v2/{repository}/blobs/{digest}")).send().body, bytes);
}

#[test]
fn continue_is_sent_before_the_body() {
    // U58, F15
    let repository = fresh_repository("uploads");
    let location = root().start_upload(&repository);
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nHost: x\r\n{}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n",
        root().authorization_line()
    );
    let mut connection = Connection::open(root().host()).expect("connect");
    connection.send(head.as_bytes()).expect("send");
    assert_eq!(connection.any_answer("PATCH").expect("an interim answer").status, 100);
    connection.send(b"abc").expect("send");
    connection.answer("PATCH").expect("an answer").assert_status(202);
}

#[test]
fn continue_is_not_sent_to_callers_without_rights() {
    // U58, F15, A7
    let repository = fresh_repository("uploads");
    let head = format!(
        "POST /v2/{repository}/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    );
    let mut connection = Connection::open(root().host()).expect("connect");
    connection.send(head.as_bytes()).expect("send");
    connection.any_answer("POST").expect("an answer").assert_error(401, "UNAUTHORIZED");
}
