//! Digests and blobs: section 2 of `specs/hostile-inputs.md`, XU1, XU2, XU11, XU12.

use crate::{assert_alive, root};
use serde_json::json;
use tests::content::{self, ZERO_DIGEST, bytes_of, media_type, sha256, sha512, unique_bytes};
use tests::http::Client;
use tests::registry::{Image, fresh_repository, with_query};

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
fn a_mount_without_the_right_on_the_source_is_never_a_mount() {
    // XU12, A8: the right is that of the token. Who could get a wider token is told which one, whether the blob
    // is there or not.
    let (source, target) = (fresh_repository("digests"), fresh_repository("digests"));
    let digest = root().push_blob(&source, &unique_bytes(300));
    let scope = format!("repository:{target}:pull,push");
    let narrow = Client::bearer(root().host(), &root().token(&[&scope]));
    let many: String = (0..10).map(|_| format!("&from={source}")).collect();
    let absent = fresh_repository("digests");
    for (query, status) in [
        (format!("mount={digest}&from={source}"), 401),
        (format!("mount={ZERO_DIGEST}&from={source}"), 401),
        (format!("mount={digest}{many}"), 401),
        (format!("mount={digest}&from={absent}"), 401),
        (format!("mount={digest}"), 202),
        (format!("mount={digest}&from={target}"), 202),
    ] {
        let answer = narrow.post(format!("/v2/{target}/blobs/uploads/?{query}")).send();
        answer.assert_status(status);
        if status == 401 {
            let challenge = answer.header("www-authenticate").expect("a challenge");
            assert!(challenge.contains(&scope) && challenge.contains("insufficient_scope"), "{challenge}");
        }
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
fn the_algorithms_do_not_mix() {
    // XM17 for blobs: a sha512 of the bytes is another name, not another blob's
    let repository = fresh_repository("digests");
    let bytes = unique_bytes(64);
    root().push_blob(&repository, &bytes);
    let target = format!("/v2/{repository}/blobs/uploads/?digest={}", sha512(b"other"));
    root().post(target).body(bytes).send().assert_error(400, "DIGEST_INVALID");
}
