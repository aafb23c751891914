//! What a manifest must be to be taken (checklist §13).

use crate::root;
use serde_json::{Value, json};
use tests::content::{self, bytes_of, media_type, sha256, unique_bytes};
use tests::raw::Answer;
use tests::registry::{Image, fresh_repository};

/// A repository with the blobs of an image, and the image's document.
fn prepared() -> (String, Value) {
    let repository = fresh_repository("validation");
    let image = Image::new(&repository);
    root().push_blobs_of(&image);
    (repository, content::image(&image.config, &[&image.layer]))
}

fn put(repository: &str, document: &Value) -> Answer {
    let media_type = document["mediaType"].as_str().unwrap_or(media_type::IMAGE);
    root().put_manifest(repository, "v1", media_type, &bytes_of(document))
}

fn assert_nothing_stored(repository: &str) {
    root().get(format!("/v2/{repository}/manifests/v1")).send().assert_refused(&[404]);
}

#[test]
fn only_schema_version_two_is_taken() {
    // V2
    let (repository, mut document) = prepared();
    for version in [json!(1), json!("2"), json!(2.5), json!(true), json!(null), json!(3), json!([])] {
        document["schemaVersion"] = version;
        put(&repository, &document).assert_error(400, "MANIFEST_INVALID");
    }
    document.as_object_mut().expect("an object").remove("schemaVersion");
    put(&repository, &document).assert_error(400, "MANIFEST_INVALID");
    assert_nothing_stored(&repository);
}

#[test]
fn ambiguous_documents_are_refused() {
    // V4, S3
    let (repository, image) = prepared();
    let index = content::index(&[]);
    for (base, field, value) in [
        (&image, "manifests", json!([])),
        (&index, "config", image["config"].clone()),
        (&index, "layers", json!([])),
        (&image, "fsLayers", json!([])),
        (&index, "fsLayers", json!([])),
    ] {
        let mut document = base.clone();
        document[field] = value;
        put(&repository, &document).assert_error(400, "MANIFEST_INVALID");
    }
    assert_nothing_stored(&repository);
}

#[test]
fn bad_descriptors_are_refused() {
    // V5
    let (repository, image) = prepared();
    for (field, value) in [
        ("size", json!(-1)),
        ("size", json!(1.5)),
        ("size", json!("5")),
        ("size", json!(null)),
        ("digest", json!("sha256:x")),
        ("digest", json!("../../x")),
        ("digest", json!(5)),
        ("mediaType", json!("")),
        ("mediaType", json!("no slash")),
        ("mediaType", json!(7)),
    ] {
        for place in ["/config", "/layers/0"] {
            let mut document = image.clone();
            document.pointer_mut(place).expect("a descriptor")[field] = value.clone();
            let answer = put(&repository, &document);
            answer.assert_refused(&[400]);
        }
    }
    let mut lacking = image.clone();
    lacking["layers"] = json!([{"mediaType": media_type::LAYER}]);
    put(&repository, &lacking).assert_refused(&[400]);
    assert_nothing_stored(&repository);
}

#[test]
fn every_missing_blob_is_named() {
    // V6, M10
    let (repository, mut document) = prepared();
    let elsewhere = fresh_repository("validation");
    let other = unique_bytes(80);
    root().push_blob(&elsewhere, &other);
    let missing = unique_bytes(90);
    document["layers"] = json!([
        content::descriptor(media_type::LAYER, &other),
        content::descriptor(media_type::LAYER, &missing)
    ]);
    let answer = put(&repository, &document);
    answer.assert_error(400, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(answer.codes().len(), 2);
    for bytes in [&other, &missing] {
        assert!(answer.text().contains(&sha256(bytes)), "{}", answer.text());
    }
    assert_nothing_stored(&repository);
}

#[test]
fn a_descriptor_must_tell_the_stored_size() {
    // V7
    let (repository, mut document) = prepared();
    let size = document["layers"][0]["size"].as_u64().expect("a size");
    document["layers"][0]["size"] = json!(size + 1);
    put(&repository, &document).assert_error(400, "SIZE_INVALID");
    assert_nothing_stored(&repository);
}

#[test]
fn unknown_and_old_document_types_are_refused() {
    // §13 table
    let (repository, document) = prepared();
    for media_type in [
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.example+json",
        "text/html",
    ] {
        let mut document = document.clone();
        document["mediaType"] = json!(media_type);
        put(&repository, &document).assert_refused(&[400, 415]);
    }
    assert_nothing_stored(&repository);
}

#[test]
fn texts_that_are_no_json_object_are_refused() {
    // V1
    let (repository, _) = prepared();
    for text in ["", "null", "[]", "\"x\"", "{", "{}x", "{\"schemaVersion\":2,}", "not json"] {
        let answer = root().put_manifest(&repository, "v1", media_type::IMAGE, text.as_bytes());
        answer.assert_error(400, "MANIFEST_INVALID");
    }
    assert_nothing_stored(&repository);
}

#[test]
fn a_manifest_is_no_blob_and_a_blob_no_manifest() {
    // V15
    let repository = fresh_repository("validation");
    let image = root().push_image(&repository, "v1");
    let blob = sha256(&image.config);
    root().get(format!("/v2/{repository}/manifests/{blob}")).send().assert_refused(&[404]);
    let as_blob = root().get(format!("/v2/{repository}/blobs/{}", image.digest)).send();
    assert!(as_blob.status == 404 || as_blob.body == image.manifest, "{}", as_blob.status);
}
