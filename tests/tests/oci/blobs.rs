//! Reading blobs (checklist §4).

use crate::root;
use tests::content::{ZERO_DIGEST, sha256, sha512, unique_bytes};
use tests::raw::Connection;
use tests::registry::fresh_repository;

#[test]
fn a_blob_comes_back_with_length_digest_type_and_validators() {
    // P1, P2, F8
    let repository = fresh_repository("blobs");
    let bytes = unique_bytes(100_000);
    let digest = root().push_blob(&repository, &bytes);
    let answer = root().get(format!("/v2/{repository}/blobs/{digest}")).send();
    answer.assert_status(200);
    assert_eq!(answer.body, bytes);
    assert_eq!(answer.header("content-length"), Some("100000"));
    assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.header("etag"), Some(format!("\"{digest}\"").as_str()));
    let cache = answer.header("cache-control").expect("Cache-Control");
    assert!(cache.contains("max-age=31536000") && cache.contains("immutable"), "{cache}");
    assert_eq!(answer.header("content-range"), None, "P33");
    assert_eq!(answer.header("transfer-encoding"), None, "H5");
}

#[test]
fn head_tells_the_same_as_get() {
    // P3
    let repository = fresh_repository("blobs");
    for bytes in [unique_bytes(3000), Vec::new()] {
        let digest = root().push_blob(&repository, &bytes);
        let path = format!("/v2/{repository}/blobs/{digest}");
        let (get, head) = (root().get(&path).send(), root().head(&path).send());
        head.assert_bodyless(200);
        assert_eq!(get.body, bytes);
        assert_eq!(head.header("content-length"), Some(bytes.len().to_string().as_str()));
        for name in [
            "content-length",
            "docker-content-digest",
            "accept-ranges",
            "content-type",
            "etag",
            "cache-control",
        ] {
            assert_eq!(head.header(name), get.header(name), "{name}");
        }
    }
}

#[test]
fn a_blob_pushed_by_sha512_is_read_by_sha512() {
    // P1
    let repository = fresh_repository("blobs");
    let bytes = unique_bytes(512);
    let digest = sha512(&bytes);
    let target = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
    root().post(target).body(bytes.clone()).send().assert_status(201);
    for method in ["GET", "HEAD"] {
        let answer = root().request(method, format!("/v2/{repository}/blobs/{digest}")).send();
        answer.assert_status(200);
        assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
    }
}

#[test]
fn a_blob_of_another_repository_or_of_none_is_not_here() {
    // P9
    let (here, there) = (fresh_repository("blobs"), fresh_repository("blobs"));
    root().push_image(&here, "v1");
    let digest = root().push_blob(&there, &unique_bytes(100));
    for path in [
        format!("/v2/{here}/blobs/{digest}"),
        format!("/v2/{here}/blobs/{ZERO_DIGEST}"),
        format!("/v2/{}/blobs/{digest}", fresh_repository("blobs")),
    ] {
        let answer = root().get(&path).send();
        answer.assert_refused(&[404]);
        assert!(answer.header("etag").is_none() && answer.header("docker-content-digest").is_none());
        root().head(&path).send().assert_bodyless(404);
    }
}

#[test]
fn malformed_digests_are_400() {
    // G4, G5, §17
    let repository = fresh_repository("blobs");
    root().push_image(&repository, "v1");
    let short = &ZERO_DIGEST[..ZERO_DIGEST.len() - 1];
    for digest in [
        short.to_owned(),
        format!("{ZERO_DIGEST}0"),
        ZERO_DIGEST.replace('0', "A"),
        "sha256:baddigeststring".into(),
        format!("md5:{}", "0".repeat(32)),
        "sha256:".into(),
        "nodigest".into(),
    ] {
        for collection in ["blobs", "manifests", "referrers"] {
            if collection == "manifests" && !digest.contains(':') {
                continue; // a tag
            }
            let answer = root().get(format!("/v2/{repository}/{collection}/{digest}")).send();
            answer.assert_error(400, "DIGEST_INVALID");
        }
    }
}

#[test]
fn an_encoded_colon_is_a_colon() {
    // G12
    let repository = fresh_repository("blobs");
    let bytes = unique_bytes(10);
    let digest = root().push_blob(&repository, &bytes).replace(':', "%3A");
    let answer = root().get(format!("/v2/{repository}/blobs/{digest}")).send();
    answer.assert_status(200);
    assert_eq!(answer.body, bytes);
}

#[test]
fn a_known_etag_gets_304_without_a_body() {
    // P8
    let repository = fresh_repository("blobs");
    let digest = root().push_blob(&repository, &unique_bytes(50));
    let path = format!("/v2/{repository}/blobs/{digest}");
    for value in [
        format!("\"{digest}\""),
        digest.clone(),
        format!("W/\"{digest}\""),
        "*".into(),
        format!("\"{ZERO_DIGEST}\", \"{digest}\""),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = root().request(method, &path).header("If-None-Match", &value).send();
            answer.assert_bodyless(304);
            assert_eq!(answer.header("etag"), Some(format!("\"{digest}\"").as_str()), "{value}");
        }
    }
    let other = root().get(&path).header("If-None-Match", format!("\"{ZERO_DIGEST}\"")).send();
    other.assert_status(200);
}

#[test]
fn blobs_are_never_encoded_on_the_way() {
    // H4
    let repository = fresh_repository("blobs");
    let bytes = vec![b'a'; 20_000];
    let digest = root().push_blob(&repository, &bytes);
    let answer = root()
        .get(format!("/v2/{repository}/blobs/{digest}"))
        .header("Accept-Encoding", "zstd;q=1, gzip, deflate, br")
        .send();
    answer.assert_status(200);
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.body, bytes);
}

#[test]
fn a_client_that_leaves_in_the_middle_harms_nobody() {
    // P12: containerd's parallel fetch aborts by design
    let repository = fresh_repository("blobs");
    let bytes = unique_bytes(8 << 20);
    let digest = root().push_blob(&repository, &bytes);
    let path = format!("/v2/{repository}/blobs/{digest}");
    for _ in 0..20 {
        let mut connection = Connection::open(root().host()).expect("connect");
        connection.send(&root().get(&path).bytes()).expect("send");
        let mut first = [0; 1000];
        std::io::Read::read_exact(connection.stream(), &mut first).expect("the beginning");
    }
    let answer = root().get(&path).send();
    answer.assert_status(200);
    assert_eq!(sha256(&answer.body), digest);
}

#[test]
fn answers_come_one_after_the_other_on_one_connection() {
    // F1
    let repository = fresh_repository("blobs");
    let blobs: Vec<Vec<u8>> = (0..5).map(|_| unique_bytes(70_000)).collect();
    let mut connection = Connection::open(root().host()).expect("connect");
    for bytes in &blobs {
        let digest = root().push_blob(&repository, bytes);
        let request = format!(
            "GET /v2/{repository}/blobs/{digest} HTTP/1.1\r\nHost: x\r\n{}\r\n",
            root().authorization_line()
        );
        connection.send(request.as_bytes()).expect("send");
        let answer = connection.answer("GET").expect("an answer");
        answer.assert_status(200);
        assert_eq!(&answer.body, bytes);
    }
}
