//! Mounting blobs from other repositories (checklist §5.2).

use crate::root;
use crate::uploads::assert_session;
use tests::content::{sha256, unique_bytes};
use tests::raw::Answer;
use tests::registry::{fresh_repository, with_query};

fn mount(target: &str, query: &str) -> Answer {
    root().post(format!("/v2/{target}/blobs/uploads/?{query}")).send()
}

#[test]
fn a_blob_is_mounted_from_a_repository_that_has_it() {
    // U40, U49
    let (source, target) = (fresh_repository("mounts"), fresh_repository("mounts"));
    let bytes = unique_bytes(4000);
    let digest = root().push_blob(&source, &bytes);
    let answer = mount(&target, &format!("mount={digest}&from={source}"));
    answer.assert_status(201);
    assert_eq!(answer.location(), format!("/v2/{target}/blobs/{digest}"));
    assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
    root().delete(format!("/v2/{source}/blobs/{digest}")).send().assert_status(202);
    root().head(format!("/v2/{source}/blobs/{digest}")).send().assert_bodyless(404);
    assert_eq!(root().get(format!("/v2/{target}/blobs/{digest}")).send().body, bytes);
}

#[test]
fn a_blob_that_the_source_lacks_becomes_a_session() {
    // U41, U42, U43, U47, K6
    let (source, other, target) =
        (fresh_repository("mounts"), fresh_repository("mounts"), fresh_repository("mounts"));
    root().push_image(&source, "v1");
    let elsewhere = root().push_blob(&other, &unique_bytes(40));
    let nowhere = sha256(&unique_bytes(40));
    for query in [
        format!("mount={nowhere}&from={source}"),
        format!("mount={elsewhere}&from={source}"),
        format!("mount={elsewhere}&from={}", fresh_repository("mounts")),
        format!("mount={nowhere}"),
    ] {
        let answer = mount(&target, &query);
        let location = assert_session(&answer, 202, 0);
        assert!(location.starts_with(&format!("/v2/{target}/blobs/uploads/")), "{location}");
        root().head(format!("/v2/{target}/blobs/{elsewhere}")).send().assert_bodyless(404);
        let bytes = unique_bytes(10);
        let digest = sha256(&bytes);
        root().put(with_query(&location, &format!("digest={digest}"))).body(bytes).send().assert_status(201);
    }
}

#[test]
fn a_mount_without_a_source_is_a_mount_or_a_session() {
    // U44, end-11
    let (source, target) = (fresh_repository("mounts"), fresh_repository("mounts"));
    let digest = root().push_blob(&source, &unique_bytes(40));
    let answer = mount(&target, &format!("mount={digest}"));
    assert!(matches!(answer.status, 201 | 202), "{}", answer.status);
    let there = root().head(format!("/v2/{target}/blobs/{digest}")).send().status;
    assert_eq!(there, if answer.status == 201 { 200 } else { 404 });
}

#[test]
fn odd_mount_parameters_do_no_harm() {
    // U45
    let (source, target) = (fresh_repository("mounts"), fresh_repository("mounts"));
    let digest = root().push_blob(&source, &unique_bytes(40));
    for query in ["mount=sha256:x", "mount=", "mount=md5:0", "mount=../x", "mount=sha256:..%2f..%2fx"] {
        let answer = mount(&target, &format!("{query}&from={source}"));
        assert!(matches!(answer.status, 202 | 400), "{query}: {}", answer.status);
    }
    for from in ["", "A", "..%2f..", "%00"] {
        let answer = mount(&target, &format!("mount={digest}&from={from}"));
        assert!(matches!(answer.status, 201 | 202 | 400), "{from}: {}", answer.status);
    }
    mount(&target, &format!("mount={digest}&from={source}&origin=docker.io&ns=x")).assert_status(201);
}

#[test]
fn a_blob_is_mounted_from_its_own_repository() {
    let repository = fresh_repository("mounts");
    let digest = root().push_blob(&repository, &unique_bytes(40));
    mount(&repository, &format!("mount={digest}&from={repository}")).assert_status(201);
}

#[test]
fn a_mounted_blob_can_be_named_by_a_manifest_at_once() {
    // U48, L2
    let (source, target) = (fresh_repository("mounts"), fresh_repository("mounts"));
    let image = root().push_image(&source, "v1");
    for bytes in [&image.config, &image.layer] {
        mount(&target, &format!("mount={}&from={source}", sha256(bytes))).assert_status(201);
    }
    root().put_image(&target, "v1", &image.manifest);
}
