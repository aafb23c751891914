//! Digests and blobs: section 2 of `specs/hostile-inputs.md`, XU1, XU2, XU11 to XU15, XU17.

use crate::{anonymous, assert_alive, own_server, root};
use serde_json::json;
use shoal_tests::content::{self, ZERO_DIGEST, bytes_of, media_type, sha256, sha512, unique_bytes};
use shoal_tests::http::Client;
use shoal_tests::registry::{Image, fresh_repository, with_query};

/// Digests that are none, as they go into a URL.
fn no_digests() -> Vec<String> {
    let hex = "0".repeat(64);
    vec![
        "sha256:..%2f..%2fetc%2fx".into(),
        format!("sha256:{}", "0".repeat(63)),
        format!("sha256:{}", "0".repeat(65)),
        format!("sha256:{}", "A".repeat(64)),
        format!("SHA256:{hex}"),
        format!("md5:{}", "0".repeat(32)),
        format!("sha512:{hex}"),
        "sha256:".into(),
        ":abc".into(),
        format!("sha256:{}%00", "0".repeat(63)),
        format!("sha256:{hex}%00"),
        format!("sha256:%20{}", "0".repeat(63)),
        format!("sha256+b64:{hex}"),
        format!("sha256%5c{hex}:x"),
        "%ff:x".into(),
    ]
}

#[test]
fn no_place_takes_a_malformed_digest() {
    // XU1
    let repository = fresh_repository("digests");
    root().push_image(&repository, "v1");
    for digest in no_digests() {
        for (method, collection) in [
            ("GET", "blobs"),
            ("HEAD", "blobs"),
            ("DELETE", "blobs"),
            ("GET", "manifests"),
            ("PUT", "manifests"),
            ("GET", "referrers"),
        ] {
            let answer = root().request(method, format!("/v2/{repository}/{collection}/{digest}")).send();
            assert!(matches!(answer.status, 400 | 404), "{method} {collection}/{digest}: {}", answer.status);
        }
        let posted = root().post(format!("/v2/{repository}/blobs/uploads/?digest={digest}")).body("x").send();
        posted.assert_error(400, "DIGEST_INVALID");
        let session = root().start_upload(&repository);
        let put = root().put(with_query(&session, &format!("digest={digest}"))).body("x").send();
        put.assert_error(400, "DIGEST_INVALID");
        let mount =
            root().post(format!("/v2/{repository}/blobs/uploads/?mount={digest}&from={repository}")).send();
        assert!(matches!(mount.status, 202 | 400), "mount {digest}: {}", mount.status);
        root().delete(&session).send().assert_status(204);
    }
    assert_alive();
}

#[test]
fn no_manifest_names_a_malformed_digest() {
    // XU1
    let repository = fresh_repository("digests");
    let image = Image::new(&repository);
    root().push_blobs_of(&image);
    let hex = "0".repeat(64);
    for digest in [
        "sha256:../../etc/x",
        "sha256:",
        ":abc",
        "sha256:\u{0}",
        "",
        &format!("SHA256:{hex}"),
        &format!("md5:{hex}"),
        &format!(" sha256:{hex}"),
    ] {
        for place in ["config", "layer", "subject", "child"] {
            let mut document = content::image(&image.config, &[&image.layer]);
            match place {
                "config" => document["config"]["digest"] = json!(digest),
                "layer" => document["layers"][0]["digest"] = json!(digest),
                "subject" => {
                    document["subject"] = json!({"mediaType": media_type::IMAGE, "digest": digest, "size": 2})
                }
                _ => {
                    document = content::index(&[
                        json!({"mediaType": media_type::IMAGE, "digest": digest, "size": 2}),
                    ])
                }
            }
            let media_type = document["mediaType"].as_str().expect("a type").to_owned();
            let answer = root().put_manifest(&repository, "bad", &media_type, &bytes_of(&document));
            answer.assert_refused(&[400]);
        }
    }
    assert!(root().tags(&repository).is_empty());
    assert_alive();
}

#[test]
fn a_body_with_another_digest_becomes_nothing() {
    // XU2
    let repository = fresh_repository("digests");
    let bytes = unique_bytes(5000);
    let digest = sha256(&bytes);
    let longer = [bytes.as_slice(), b"x"].concat();
    for body in [longer.clone(), bytes[1..].to_vec(), Vec::from(&b"other"[..])] {
        let session = root().start_upload(&repository);
        let answer = root().put(with_query(&session, &format!("digest={digest}"))).body(body.clone()).send();
        answer.assert_error(400, "DIGEST_INVALID");
        root().get(&session).send().assert_error(404, "BLOB_UPLOAD_UNKNOWN");
        for found in [&digest, &sha256(&body)] {
            root().head(format!("/v2/{repository}/blobs/{found}")).send().assert_bodyless(404);
        }
    }
    assert_alive();
}

#[test]
fn encoded_bodies_are_refused() {
    // XU11
    let repository = fresh_repository("digests");
    let bytes = unique_bytes(100);
    let digest = sha256(&bytes);
    let image = Image::new(&repository);
    root().push_blobs_of(&image);
    for encoding in ["gzip", "zstd", "deflate", "br", "gzip, identity", "x"] {
        let session = root().start_upload(&repository);
        for request in [
            root().patch(&session).body(bytes.clone()),
            root().put(with_query(&session, &format!("digest={digest}"))).body(bytes.clone()),
            root().post(format!("/v2/{repository}/blobs/uploads/?digest={digest}")).body(bytes.clone()),
            root()
                .put(format!("/v2/{repository}/manifests/v1"))
                .header("Content-Type", media_type::IMAGE)
                .body(image.manifest.clone()),
        ] {
            request.header("Content-Encoding", encoding).send().assert_refused(&[415]);
        }
        let status = root().get(&session).send();
        status.assert_status(204);
        assert_eq!(status.header("range"), Some("0-0"));
    }
    root().head(format!("/v2/{repository}/blobs/{digest}")).send().assert_bodyless(404);
    assert_alive();
}

#[test]
fn a_mount_without_the_right_on_the_source_is_a_session() {
    // XU12, A8: the right is that of the token
    let (source, target) = (fresh_repository("digests"), fresh_repository("digests"));
    let digest = root().push_blob(&source, &unique_bytes(300));
    let scope = format!("repository:{target}:pull,push");
    let narrow = Client::bearer(root().host(), &root().token(&[&scope]));
    let many: String = (0..10).map(|_| format!("&from={source}")).collect();
    for query in [
        format!("mount={digest}&from={source}"),
        format!("mount={ZERO_DIGEST}&from={source}"),
        format!("mount={digest}"),
        format!("mount={digest}{many}"),
        format!("mount={digest}&from={}", fresh_repository("digests")),
        format!("mount={digest}&from={target}"),
    ] {
        let answer = narrow.post(format!("/v2/{target}/blobs/uploads/?{query}")).send();
        answer.assert_status(202);
        root().head(format!("/v2/{target}/blobs/{digest}")).send().assert_bodyless(404);
    }
    assert_alive();
}

#[test]
fn a_mount_from_a_repository_that_lost_the_blob_is_a_session() {
    // XU12, S5
    let (source, target) = (fresh_repository("digests"), fresh_repository("digests"));
    let digest = root().push_blob(&source, &unique_bytes(300));
    root().delete(format!("/v2/{source}/blobs/{digest}")).send().assert_status(202);
    let mount = || root().post(format!("/v2/{target}/blobs/uploads/?mount={digest}&from={source}")).send();
    mount().assert_status(202);
    root().push_image(&source, "again");
    mount().assert_status(202);
    assert_alive();
}

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

#[test]
fn the_algorithms_do_not_mix() {
    // XM17 for blobs: a sha512 of the bytes is another name, not another blob's
    let repository = fresh_repository("digests");
    let bytes = unique_bytes(64);
    root().push_blob(&repository, &bytes);
    let target = format!("/v2/{repository}/blobs/uploads/?digest={}", sha512(b"other"));
    root().post(target).body(bytes).send().assert_error(400, "DIGEST_INVALID");
}
