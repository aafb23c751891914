//! Upload sessions: opening, chunks, status (checklist §5.1, U1 to U19, and §5.3).

use crate::root;
use tests::content::{sha256, sha512, unique_bytes};
use tests::raw::Answer;
use tests::registry::{fresh_repository, with_query};

/// Checks what every answer about a live session with `received` bytes carries.
pub(crate) fn assert_session(answer: &Answer, status: u16, received: usize) -> String {
    answer.assert_status(status);
    let range = format!("0-{}", received.saturating_sub(1));
    assert_eq!(answer.header("range"), Some(range.as_str()), "U53");
    let location = answer.location();
    let path = location.split('?').next().expect("a path");
    let id = answer.header("docker-upload-uuid");
    assert!(id == path.rsplit('/').next() || (id.is_none() && status == 416), "U50");
    assert!(path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte)), "U51: {path}");
    location
}

fn patch(location: &str, range: Option<&str>, bytes: &[u8]) -> Answer {
    let client = root();
    let request = client.patch(location).header("Content-Type", "application/octet-stream").body(bytes);
    match range {
        Some(range) => request.header("Content-Range", range).send(),
        None => request.send(),
    }
}

fn status(location: &str) -> Answer {
    root().get(location).send()
}

#[test]
fn post_opens_a_session_in_a_new_repository() {
    // U1, U2, U47, U55, U56
    let repository = fresh_repository("uploads");
    let answer = root().post(format!("/v2/{repository}/blobs/uploads/")).send();
    let location = assert_session(&answer, 202, 0);
    assert!(location.starts_with(&format!("/v2/{repository}/blobs/uploads/")), "{location}");
    assert_eq!(answer.header("content-length"), Some("0"));
    assert!(answer.header("oci-chunk-min-length").is_none_or(|value| value == "1" || value == "0"));
    assert_ne!(root().start_upload(&repository), location, "ids are unique");
}

#[test]
fn post_with_digest_and_body_stores_the_blob() {
    // U3, U5, U56, K2, K4
    let repository = fresh_repository("uploads");
    for bytes in [unique_bytes(512), Vec::new(), b"{}".to_vec()] {
        for digest in [sha256(&bytes), sha512(&bytes)] {
            let target = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
            let answer = root().post(target).body(bytes.clone()).send();
            answer.assert_status(201);
            assert_eq!(answer.location(), format!("/v2/{repository}/blobs/{digest}"));
            assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
            let got = root().get(answer.location()).send();
            got.assert_status(200);
            assert_eq!(got.body, bytes);
        }
    }
}

#[test]
fn post_with_a_wrong_digest_stores_nothing() {
    // U4, K3, K13
    let repository = fresh_repository("uploads");
    let bytes = unique_bytes(100);
    let (wrong, right) = (sha256(b"something else"), sha256(&bytes));
    for digest in
        [wrong.as_str(), "sha256:baddigeststring", "sha256:", "md5:00000000000000000000000000000000", "x"]
    {
        let target = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        root().post(target).body(bytes.clone()).send().assert_error(400, "DIGEST_INVALID");
    }
    for digest in [wrong, right] {
        root().head(format!("/v2/{repository}/blobs/{digest}")).send().assert_bodyless(404);
    }
}

#[test]
fn post_that_only_announces_a_digest_is_no_success() {
    // U6
    let repository = fresh_repository("uploads");
    let digest = sha256(&unique_bytes(9));
    let answer = root().post(format!("/v2/{repository}/blobs/uploads/?digest={digest}")).send();
    assert!(matches!(answer.status, 202 | 400), "{}", answer.status);
    root().head(format!("/v2/{repository}/blobs/{digest}")).send().assert_bodyless(404);
}

#[test]
fn post_names_the_algorithm_beforehand() {
    // U7, U8, end-4c
    let repository = fresh_repository("uploads");
    for algorithm in ["sha256", "sha512"] {
        let answer =
            root().post(format!("/v2/{repository}/blobs/uploads/?digest-algorithm={algorithm}")).send();
        assert_session(&answer, 202, 0);
    }
    for algorithm in ["md5", "", "SHA256", "sha256:"] {
        let answer =
            root().post(format!("/v2/{repository}/blobs/uploads/?digest-algorithm={algorithm}")).send();
        answer.assert_error(400, "DIGEST_INVALID");
    }
}

#[test]
fn a_stream_without_content_range_is_appended() {
    // U9 chunked and with a length, M23
    let repository = fresh_repository("uploads");
    let bytes = unique_bytes(300_000);
    let location = root().start_upload(&repository);
    let answer = root().patch(&location).chunked(&bytes[..200_000], 7000).send();
    let location = assert_session(&answer, 202, 200_000);
    let location = assert_session(&patch(&location, None, &bytes[200_000..]), 202, 300_000);
    let digest = sha256(&bytes);
    root().put(with_query(&location, &format!("digest={digest}"))).send().assert_status(201);
    assert_eq!(root().get(format!("/v2/{repository}/blobs/{digest}")).send().body, bytes);
}

#[test]
fn chunks_with_content_range_are_appended_in_order_only() {
    // U10, U11, U17, K5, K15
    let repository = fresh_repository("uploads");
    let bytes = unique_bytes(300);
    let first = root().start_upload(&repository);
    assert_session(&status(&first), 204, 0);
    assert_session(&patch(&first, Some("0-99"), &bytes[..100]), 202, 100);
    for (range, chunk) in
        [("200-299", 200..300), ("0-99", 0..100), ("99-198", 99..199), ("101-200", 101..201)]
    {
        let answer = patch(&first, Some(range), &bytes[chunk]);
        answer.assert_refused(&[416]);
        assert_session(&answer, 416, 100);
        assert_session(&status(&first), 204, 100);
    }
    assert_session(&patch(&first, Some("100-199"), &bytes[100..200]), 202, 200);
    // U18: the first Location still works
    assert_session(&patch(&first, Some("200-299"), &bytes[200..]), 202, 300);
    assert_session(&status(&first), 204, 300);
    let digest = sha256(&bytes);
    root().put(with_query(&first, &format!("digest={digest}"))).send().assert_status(201);
    assert_eq!(root().get(format!("/v2/{repository}/blobs/{digest}")).send().body, bytes);
}

#[test]
fn content_ranges_of_old_clients_are_understood() {
    // G8
    let repository = fresh_repository("uploads");
    let bytes = unique_bytes(30);
    let location = root().start_upload(&repository);
    assert_session(&patch(&location, Some("bytes 0-9/30"), &bytes[..10]), 202, 10);
    assert_session(&patch(&location, Some("10-19/*"), &bytes[10..20]), 202, 20);
    assert_session(&patch(&location, Some("bytes 20-29"), &bytes[20..]), 202, 30);
}

#[test]
fn content_ranges_that_do_not_fit_change_nothing() {
    // U12
    let repository = fresh_repository("uploads");
    let location = root().start_upload(&repository);
    patch(&location, Some("0-9"), &unique_bytes(10)).assert_status(202);
    for range in ["10-15", "10-20", "15-10", "10", "a-b", "-", "10-", "", "10-19-29"] {
        patch(&location, Some(range), &unique_bytes(10)).assert_refused(&[400, 416]);
        assert_session(&status(&location), 204, 10);
    }
    patch(&location, Some("10-15"), &unique_bytes(10)).assert_error(400, "SIZE_INVALID");
}

#[test]
fn an_empty_chunk_changes_nothing() {
    // U14
    let repository = fresh_repository("uploads");
    let location = root().start_upload(&repository);
    assert_session(&patch(&location, None, b""), 202, 0);
    patch(&location, None, b"abc").assert_status(202);
    assert_session(&patch(&location, None, b""), 202, 3);
}

#[test]
fn status_tells_the_same_with_a_digest_parameter() {
    // U19
    let repository = fresh_repository("uploads");
    let location = root().start_upload(&repository);
    patch(&location, None, b"abc").assert_status(202);
    let digest = sha256(b"abc");
    assert_session(&status(&with_query(&location, &format!("digest={digest}"))), 204, 3);
}

#[test]
fn a_chunk_cut_by_the_client_leaves_a_truthful_session() {
    // U15: what GET reports can be continued from
    use tests::raw::Connection;
    let repository = fresh_repository("uploads");
    let bytes = unique_bytes(200_000);
    let location = root().start_upload(&repository);
    let whole = root().patch(&location).body(bytes.clone()).bytes();
    let mut connection = Connection::open(root().host()).expect("connect");
    connection.send(&whole[..whole.len() - 100_000]).expect("send");
    drop(connection);
    // The server may still be reading: ask until the session answers to a chunk at the reported offset.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let answer = status(&location);
        answer.assert_status(204);
        let end: usize = answer
            .header("range")
            .and_then(|range| range.strip_prefix("0-"))
            .expect("range")
            .parse()
            .expect("end");
        let received = if end == 0 { 0 } else { end + 1 };
        assert!(received <= 100_000, "more than was sent: {received}");
        let rest = format!("{received}-{}", bytes.len() - 1);
        if patch(&location, Some(&rest), &bytes[received..]).status == 202 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the session never becomes free");
    }
    let digest = sha256(&bytes);
    root().put(with_query(&location, &format!("digest={digest}"))).send().assert_status(201);
    assert!(root().get(format!("/v2/{repository}/blobs/{digest}")).send().body == bytes);
}

#[test]
fn a_large_blob_has_no_body_limit() {
    // U59: past every framework's default
    let repository = fresh_repository("uploads");
    let bytes = unique_bytes(24 << 20);
    let location = root().start_upload(&repository);
    root()
        .patch(&location)
        .header("Content-Type", "text/plain")
        .body(bytes.clone())
        .send()
        .assert_status(202);
    let digest = sha256(&bytes);
    root().put(with_query(&location, &format!("digest={digest}"))).send().assert_status(201);
    let answer = root().get(format!("/v2/{repository}/blobs/{digest}")).send();
    assert!(answer.body == bytes, "other bytes");
}
