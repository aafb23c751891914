//! What the suite of specification 1.1.1 asks and its successor no longer does.
//!
//! That suite's own program is not to be had on the project's machines (see `tests/install`), so its checks are
//! written here from the specification: rows K14 and K15 of `specs/oci-registry-api.md`, and what they refer to.

use serde_json::{Value, json};
use tests::content::{self, media_type, sha256, unique_bytes};
use tests::http::Client;
use tests::registry::with_query;

use crate::server;

const REPOSITORY: &str = "conformance/old";
const OTHER: &str = "conformance/other";

/// Puts an artifact of this type about `subject`.
fn put_referrer(root: &Client, subject: &Value, kind: &str, annotations: &Value) -> String {
    let config = b"{}";
    root.push_blob(REPOSITORY, config);
    let layer = unique_bytes(64);
    root.push_blob(REPOSITORY, &layer);
    let mut manifest = content::image(config, &[&layer]);
    manifest["config"]["mediaType"] = json!(media_type::EMPTY);
    manifest["artifactType"] = json!(kind);
    manifest["subject"] = subject.clone();
    manifest["annotations"] = annotations.clone();
    let bytes = content::bytes_of(&manifest);
    let digest = sha256(&bytes);
    let answer = root.put_manifest(REPOSITORY, &digest, media_type::IMAGE, &bytes);
    answer.assert_status(201);
    assert_eq!(answer.header("oci-subject"), subject["digest"].as_str(), "{answer:?}");
    digest
}

#[test]
fn a_reference_that_is_no_tag_is_not_found() {
    let server = server();
    let root = server.root();
    root.push_image(REPOSITORY, "latest");
    for reference in [".INVALID_MANIFEST_NAME", "-", ".", "no:tag:at:all"] {
        let target = format!("/v2/{REPOSITORY}/manifests/{reference}");
        // A reference with a colon is a digest, for which 400 is as good.
        let allowed: &[u16] = if reference.contains(':') { &[400, 404] } else { &[404] };
        root.get(&target).send().assert_refused(allowed);
        assert!(allowed.contains(&root.head(&target).send().status), "HEAD {reference}");
    }
}

#[test]
fn a_mount_answers_with_exactly_the_location_of_the_blob() {
    let server = server();
    let root = server.root();
    let digest = root.push_blob(REPOSITORY, &unique_bytes(1000));
    let mount = |from: &str| root.post(format!("/v2/{OTHER}/blobs/uploads/?mount={digest}{from}")).send();
    let mounted = mount(&format!("&from={REPOSITORY}"));
    mounted.assert_status(201);
    assert_eq!(mounted.header("location"), Some(format!("/v2/{OTHER}/blobs/{digest}").as_str()));
    root.head(mounted.location()).send().assert_status(200);
}

#[test]
fn a_mount_that_finds_nothing_opens_an_upload_in_the_repository() {
    let server = server();
    let root = server.root();
    let bytes = unique_bytes(1000);
    let digest = sha256(&bytes);
    for from in ["", "&from=conformance/nowhere"] {
        let answer = root.post(format!("/v2/{OTHER}/blobs/uploads/?mount={digest}{from}")).send();
        answer.assert_status(202);
        let location = answer.location();
        assert!(location.starts_with(&format!("/v2/{OTHER}/blobs/uploads/")), "{location}");
        root.put(with_query(&location, &format!("digest={digest}")))
            .body(bytes.clone())
            .send()
            .assert_status(201);
        root.delete(format!("/v2/{OTHER}/blobs/{digest}")).send().assert_status(202);
    }
}

#[test]
fn referrers_lists_five_and_two_of_them_by_type() {
    let server = server();
    let root = server.root();
    let image = root.push_image(REPOSITORY, "latest");
    let subject = content::descriptor(media_type::IMAGE, &image.manifest);
    let kinds = ["a", "a", "b", "b", "c"].map(|kind| format!("application/vnd.example.{kind}+json"));
    let mut pushed = Vec::new();
    for (number, kind) in kinds.iter().enumerate() {
        let annotations = json!({"org.example.number": number.to_string()});
        pushed.push((put_referrer(&root, &subject, kind, &annotations), annotations));
    }
    let listed = root.referrers(REPOSITORY, &image.digest);
    assert_eq!(listed.len(), 5, "{listed:?}");
    for (digest, annotations) in &pushed {
        let entry = listed.iter().find(|entry| entry["digest"] == digest.as_str()).expect("a descriptor");
        assert_eq!(&entry["annotations"], annotations);
    }
    let target =
        format!("/v2/{REPOSITORY}/referrers/{}?artifactType=application/vnd.example.b%2Bjson", image.digest);
    let filtered = root.get(target).send();
    assert_eq!(filtered.header("oci-filters-applied"), Some("artifactType"));
    assert_eq!(filtered.header("content-type"), Some(media_type::INDEX));
    assert_eq!(filtered.json()["manifests"].as_array().map(Vec::len), Some(2), "{}", filtered.text());
}

#[test]
fn an_index_may_carry_data_and_fields_that_nobody_knows() {
    let server = server();
    let root = server.root();
    let image = root.push_image(REPOSITORY, "latest");
    let mut child = content::descriptor(media_type::IMAGE, &image.manifest);
    child["data"] = json!(base64_of(&image.manifest));
    child["newUnspecifiedField"] = json!("value");
    let mut index = content::index(&[child]);
    index["anotherField"] = json!({"deep": [1, 2, 3]});
    let bytes = content::bytes_of(&index);
    root.put_manifest(REPOSITORY, "list", media_type::INDEX, &bytes).assert_status(201);
    let held = root.get(format!("/v2/{REPOSITORY}/manifests/list")).send();
    assert_eq!(held.assert_status(200).body, bytes);
}

#[test]
fn a_chunk_repeated_at_the_first_location_is_refused_and_the_progress_told_there() {
    let server = server();
    let root = server.root();
    let bytes = unique_bytes(2048);
    let first = root.start_upload(REPOSITORY);
    let send = |location: &str, from: usize, to: usize| {
        let range = format!("{from}-{}", to - 1);
        root.patch(location).header("Content-Range", range).body(&bytes[from..to]).send()
    };
    let second = send(&first, 0, 1024).assert_status(202).location();
    send(&first, 0, 1024).assert_status(416);
    let progress = root.get(&first).send();
    assert_eq!(progress.assert_status(204).header("range"), Some("0-1023"));
    let third = send(&second, 1024, 2048).assert_status(202).location();
    let digest = sha256(&bytes);
    root.put(with_query(&third, &format!("digest={digest}"))).send().assert_status(201);
    assert_eq!(root.get(format!("/v2/{REPOSITORY}/blobs/{digest}")).send().body, bytes);
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
