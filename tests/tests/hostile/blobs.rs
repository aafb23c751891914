//! Reading blobs: section 2 of `specs/hostile-inputs.md`, XU13 to XU15, XU17.

use crate::{anonymous, assert_alive, own_server, root};
use tests::content::{ZERO_DIGEST, unique_bytes};
use tests::registry::fresh_repository;

#[test]
fn a_blob_of_another_repository_says_nothing_of_itself() {
    // XU13, S4
    let (mine, theirs) = (fresh_repository("digests"), fresh_repository("digests"));
    root().push_image(&mine, "v1");
    let digest = root().push_blob(&theirs, &unique_bytes(700));
    let ask = |digest: &str, method: &str, header: (&str, &str)| {
        let answer =
            root().request(method, format!("/v2/{mine}/blobs/{digest}")).header(header.0, header.1).send();
        assert_eq!(answer.status, 404);
        let headers: Vec<_> = answer
            .headers
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id"))
            .cloned()
            .collect();
        (headers, answer.text().replace(digest, "*"))
    };
    let etag = format!("\"{digest}\"");
    for (method, header) in [
        ("GET", ("X", "y")),
        ("HEAD", ("X", "y")),
        ("GET", ("Range", "bytes=0-0")),
        ("GET", ("If-None-Match", etag.as_str())),
        ("GET", ("If-None-Match", "*")),
    ] {
        let there = ask(&digest, method, header);
        assert_eq!(there, ask(ZERO_DIGEST, method, header));
        assert!(!format!("{there:?}").contains("etag"));
    }
    anonymous().get(format!("/v2/{theirs}/blobs/{digest}")).send().assert_error(401, "UNAUTHORIZED");
    assert_alive();
}

#[test]
fn a_deleted_blob_stays_deleted_however_warm_the_caches() {
    // XU14, S9
    let (a, b) = (fresh_repository("digests"), fresh_repository("digests"));
    let bytes = unique_bytes(4000);
    let digest = root().push_blob(&a, &bytes);
    root().push_blob(&b, &bytes);
    for repository in [&a, &b] {
        assert_eq!(root().get(format!("/v2/{repository}/blobs/{digest}")).send().body, bytes);
    }
    root().delete(format!("/v2/{a}/blobs/{digest}")).send().assert_status(202);
    root().head(format!("/v2/{b}/blobs/{digest}")).send().assert_bodyless(200);
    for _ in 0..5 {
        root().get(format!("/v2/{a}/blobs/{digest}")).send().assert_error(404, "BLOB_UNKNOWN");
        let known = root()
            .get(format!("/v2/{a}/blobs/{digest}"))
            .header("If-None-Match", format!("\"{digest}\""))
            .send();
        assert_eq!(known.status, 404);
    }
    assert_alive();
}

#[test]
fn ranges_never_send_more_than_the_blob() {
    // XU15
    let server = own_server();
    let client = server.root();
    let repository = fresh_repository("digests");
    let bytes = unique_bytes(100_000);
    let digest = client.push_blob(&repository, &bytes);
    let empty = client.push_blob(&repository, b"");
    let list = |part: &dyn Fn(usize) -> String| (0..1000).map(part).collect::<Vec<_>>().join(",");
    let before = server.usage();
    for range in [
        list(&|part| format!("{}-{}", part * 10, part * 10)),
        list(&|_| "0-99999".into()),
        list(&|_| "0-".into()),
        list(&|part| format!("{}-{}", 99_999 - part * 10, 99_999 - part * 10)),
        list(&|_| "-0".into()),
        list(&|_| "-1".into()),
        "0-1000000000000000000000000000000".into(),
        "1000000000000000000000000000000-".into(),
        "-1000000000000000000000000000000".into(),
        "abc-def".into(),
        "-".into(),
        ",,,,".into(),
        "0-0,".into(),
        format!("0-0,{}", " ".repeat(20_000)),
        "99999-100000,100000-".into(),
    ] {
        for digest in [&digest, &empty] {
            let answer = client
                .get(format!("/v2/{repository}/blobs/{digest}"))
                .header("Range", format!("bytes={range}"))
                .send();
            assert!(matches!(answer.status, 200 | 206 | 400 | 416), "{}", answer.status);
            // Parts of a multipart answer have heads; at most 256 parts.
            assert!(answer.body.len() <= bytes.len() + 256 * 200, "{} bytes", answer.body.len());
        }
    }
    let after = server.usage();
    assert!(after.memory < before.memory + (32 << 20), "{before:?} {after:?}");
    assert_alive();
}

#[test]
fn a_blob_is_never_a_document_to_a_browser() {
    // XU17, S36
    let repository = fresh_repository("digests");
    let html = format!("<html><script>alert({})</script>", unique_bytes(1)[0]).into_bytes();
    let digest = root().push_blob(&repository, &html);
    let answer = root().get(format!("/v2/{repository}/blobs/{digest}")).header("Accept", "text/html").send();
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let attachment =
        answer.header("content-disposition").is_some_and(|value| value.starts_with("attachment"));
    let sandbox = answer.header("content-security-policy").is_some_and(|value| value.contains("sandbox"));
    assert!(attachment || sandbox, "{:?}", answer.headers);
    assert_alive();
}
