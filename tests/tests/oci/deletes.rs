//! Deleting tags, manifests and blobs (checklist §8).

use crate::root;
use tests::content::{self, ZERO_DIGEST, bytes_of, media_type, sha256, unique_bytes};
use tests::raw::Answer;
use tests::registry::fresh_repository;

fn delete(repository: &str, path: &str) -> Answer {
    root().delete(format!("/v2/{repository}/{path}")).send()
}

fn status(repository: &str, path: &str) -> u16 {
    root().head(format!("/v2/{repository}/{path}")).send().status
}

#[test]
fn deleting_a_tag_leaves_the_manifest_and_the_other_tags() {
    // D1, D6
    let repository = fresh_repository("deletes");
    let image = root().push_image(&repository, "v1");
    root().put_image(&repository, "v2", &image.manifest);
    delete(&repository, "manifests/v1").assert_status(202);
    root().get(format!("/v2/{repository}/manifests/v1")).send().assert_error(404, "MANIFEST_UNKNOWN");
    assert_eq!(status(&repository, "manifests/v2"), 200);
    assert_eq!(status(&repository, &format!("manifests/{}", image.digest)), 200);
    assert_eq!(root().tags(&repository), ["v2"]);
    delete(&repository, "manifests/v1").assert_error(404, "MANIFEST_UNKNOWN");
}

#[test]
fn deleting_a_manifest_removes_its_tags() {
    // D2, K12
    let repository = fresh_repository("deletes");
    let image = root().push_image(&repository, "v1");
    root().put_image(&repository, "v2", &image.manifest);
    let other = root().push_image(&repository, "other");
    let path = format!("manifests/{}", image.digest);
    delete(&repository, &path).assert_status(202);
    for gone in [path.as_str(), "manifests/v1", "manifests/v2"] {
        assert_eq!(status(&repository, gone), 404, "{gone}");
    }
    assert_eq!(root().tags(&repository), ["other"]);
    assert_eq!(status(&repository, &format!("manifests/{}", other.digest)), 200);
    delete(&repository, &path).assert_error(404, "MANIFEST_UNKNOWN");
}

#[test]
fn deleting_what_is_not_there_is_404() {
    // D2
    let repository = fresh_repository("deletes");
    root().push_image(&repository, "v1");
    let unknown = fresh_repository("deletes");
    for name in [&repository, &unknown] {
        for path in
            [format!("manifests/{ZERO_DIGEST}"), format!("blobs/{ZERO_DIGEST}"), "manifests/none".into()]
        {
            delete(name, &path).assert_refused(&[404]);
        }
    }
    delete(&repository, "blobs/sha256:x").assert_error(400, "DIGEST_INVALID");
    delete(&repository, "manifests/sha256:x").assert_error(400, "DIGEST_INVALID");
    delete(&repository, "manifests/.x").assert_refused(&[404]);
}

#[test]
fn a_deleted_blob_is_gone_here_and_stays_elsewhere() {
    // D4, D6
    let (here, there) = (fresh_repository("deletes"), fresh_repository("deletes"));
    let bytes = unique_bytes(3000);
    let digest = root().push_blob(&here, &bytes);
    root().push_blob(&there, &bytes);
    let path = format!("blobs/{digest}");
    assert_eq!(status(&here, &path), 200);
    delete(&here, &path).assert_status(202);
    assert_eq!(status(&here, &path), 404);
    root().get(format!("/v2/{here}/{path}")).send().assert_error(404, "BLOB_UNKNOWN");
    delete(&here, &path).assert_error(404, "BLOB_UNKNOWN");
    assert_eq!(root().get(format!("/v2/{there}/{path}")).send().body, bytes);
}

#[test]
fn a_blob_that_a_manifest_needs_is_not_deleted() {
    // lead's decision: 405 UNSUPPORTED while a manifest of the repository needs it
    let repository = fresh_repository("deletes");
    let image = root().push_image(&repository, "v1");
    for bytes in [&image.config, &image.layer] {
        let path = format!("blobs/{}", sha256(bytes));
        delete(&repository, &path).assert_error(405, "UNSUPPORTED");
        assert_eq!(status(&repository, &path), 200);
    }
    delete(&repository, &format!("manifests/{}", image.digest)).assert_status(202);
    for bytes in [&image.config, &image.layer] {
        let path = format!("blobs/{}", sha256(bytes));
        delete(&repository, &path).assert_status(202);
        assert_eq!(status(&repository, &path), 404);
    }
}

#[test]
fn deleted_content_can_be_pushed_again() {
    // D9
    let repository = fresh_repository("deletes");
    let image = root().push_image(&repository, "v1");
    let blob = format!("blobs/{}", sha256(&image.layer));
    let manifest = format!("manifests/{}", image.digest);
    for _ in 0..3 {
        delete(&repository, &manifest).assert_status(202);
        delete(&repository, &blob).assert_status(202);
        assert_eq!((status(&repository, &manifest), status(&repository, &blob)), (404, 404));
        root().push_blobs_of(&image);
        root().put_image(&repository, "v1", &image.manifest);
        assert_eq!((status(&repository, &manifest), status(&repository, &blob)), (200, 200));
        assert_eq!(root().get(format!("/v2/{repository}/{blob}")).send().body, image.layer);
    }
}

#[test]
fn a_child_of_an_index_is_deleted_or_kept_and_the_index_stays_readable() {
    // D7
    let repository = fresh_repository("deletes");
    let image = root().push_image(&repository, "child");
    let index = content::index(&[content::descriptor(media_type::IMAGE, &image.manifest)]);
    root().put_manifest(&repository, "multi", media_type::INDEX, &bytes_of(&index)).assert_status(201);
    let answer = delete(&repository, &format!("manifests/{}", image.digest));
    assert!(matches!(answer.status, 202 | 403 | 405), "{}", answer.status);
    let parent = root().get(format!("/v2/{repository}/manifests/multi")).send();
    parent.assert_status(200);
    assert_eq!(parent.body, bytes_of(&index));
}

#[test]
fn a_repository_whose_content_is_deleted_still_answers() {
    // K12, T3
    let repository = fresh_repository("deletes");
    let image = root().push_image(&repository, "v1");
    delete(&repository, "manifests/v1").assert_status(202);
    delete(&repository, &format!("manifests/{}", image.digest)).assert_status(202);
    let answer = root().get(format!("/v2/{repository}/tags/list")).send();
    assert!(matches!(answer.status, 200 | 404), "{}", answer.status);
    if answer.status == 200 {
        assert!(answer.strings("tags").is_empty());
    }
}
