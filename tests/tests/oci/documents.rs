//! What clients put as manifests, byte for byte and of every kind (checklist §4, §6).

use crate::root;
use serde_json::{Value, json};
use tests::content::{self, bytes_of, media_type, sha256, unique_bytes};
use tests::registry::{Image, fresh_repository};

#[test]
fn odd_bytes_survive() {
    // M2
    let repository = fresh_repository("manifests");
    let image = Image::new(&repository);
    root().push_blobs_of(&image);
    let text = String::from_utf8(image.manifest.clone()).expect("text");
    let odd = format!(
        "\n {} \r\n\t\n",
        text.replacen('{', "{ \"\\u0061\\/b\":\t[1.0e0, \"\\ud83d\\ude00 \u{e9}\"] ,", 1)
    );
    let digest = root().put_image(&repository, "odd", odd.as_bytes());
    let answer = root().get(format!("/v2/{repository}/manifests/odd")).send();
    assert_eq!(answer.body, odd.as_bytes());
    assert_eq!(sha256(&answer.body), digest);
}

#[test]
fn content_types_are_read_tolerantly_and_must_agree() {
    // M5, M6, M7
    let repository = fresh_repository("manifests");
    let image = Image::new(&repository);
    root().push_blobs_of(&image);
    let charset = format!("{}; charset=utf-8", media_type::IMAGE);
    for given in [charset.as_str(), "application/json"] {
        root().put_manifest(&repository, "v1", given, &image.manifest).assert_status(201);
        let answer = root().get(format!("/v2/{repository}/manifests/v1")).send();
        assert_eq!(answer.header("content-type"), Some(media_type::IMAGE));
    }
    let target = format!("/v2/{repository}/manifests/v2");
    root().put(&target).body(image.manifest.clone()).send().assert_status(201);
    for other in [media_type::DOCKER_IMAGE, media_type::INDEX, "text/plain"] {
        let answer = root().put_manifest(&repository, "v3", other, &image.manifest);
        answer.assert_refused(&[400, 415]);
    }
    let mut nameless = content::image(&image.config, &[&image.layer]);
    nameless.as_object_mut().expect("an object").remove("mediaType");
    root().put_manifest(&repository, "v4", media_type::IMAGE, &bytes_of(&nameless)).assert_status(201);
    root()
        .put(format!("/v2/{repository}/manifests/v5"))
        .body(bytes_of(&nameless))
        .send()
        .assert_refused(&[400, 415]);
    root()
        .put_manifest(&repository, "v5", "application/json", &bytes_of(&nameless))
        .assert_refused(&[400, 415]);
}

#[test]
fn a_manifest_of_four_mebibytes_is_the_largest() {
    // M8, S1
    let repository = fresh_repository("manifests");
    let image = Image::new(&repository);
    root().push_blobs_of(&image);
    let padded = |size: usize| {
        let mut bytes = image.manifest.clone();
        bytes.pop();
        bytes.extend_from_slice(b",\"annotations\":{\"padding\":\"");
        let tail = b"\"}}";
        bytes.resize(size - tail.len(), b'x');
        bytes.extend_from_slice(tail);
        bytes
    };
    let largest = padded(4 << 20);
    root().put_image(&repository, "largest", &largest);
    assert!(root().get(format!("/v2/{repository}/manifests/largest")).send().body == largest);
    let larger = padded((4 << 20) + 1);
    root().put_manifest(&repository, "larger", media_type::IMAGE, &larger).assert_refused(&[413]);
    let target = format!("/v2/{repository}/manifests/larger");
    let chunked = root().put(target).header("Content-Type", media_type::IMAGE).chunked(larger, 65_536).send();
    chunked.assert_refused(&[413]);
    root().get(format!("/v2/{repository}/manifests/larger")).send().assert_error(404, "MANIFEST_UNKNOWN");
}

#[test]
fn a_chunked_manifest_is_put() {
    // M23
    let repository = fresh_repository("manifests");
    let image = Image::new(&repository);
    root().push_blobs_of(&image);
    let target = format!("/v2/{repository}/manifests/v1");
    let answer =
        root().put(target).header("Content-Type", media_type::IMAGE).chunked(image.manifest, 50).send();
    answer.assert_status(201);
}

/// Puts a document under `tag` and checks that it comes back the same.
fn assert_taken(repository: &str, tag: &str, media_type: &str, mut document: Value) {
    document["schemaVersion"] = json!(2);
    document["mediaType"] = json!(media_type);
    let bytes = bytes_of(&document);
    let put = root().put_manifest(repository, tag, media_type, &bytes);
    assert_eq!(put.status, 201, "{tag}: {}", put.text());
    let got = root().get(format!("/v2/{repository}/manifests/{tag}")).send();
    assert_eq!(got.header("content-type"), Some(media_type));
    assert_eq!(got.body, bytes);
}

#[test]
fn images_and_artifacts_of_every_client_are_taken() {
    // M12, M23, C12, C17, V8, V13
    let repository = fresh_repository("documents");
    let (empty, layer) = (b"{}", unique_bytes(64));
    root().push_blob(&repository, empty);
    root().push_blob(&repository, &layer);
    let config = content::descriptor(media_type::EMPTY, empty);
    let missing = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let mut foreign = content::descriptor(missing, b"never pushed");
    foreign["urls"] = json!(["https://example.invalid/layer"]);
    let mut with_data = config.clone();
    with_data["data"] = json!("e30=");
    let helm_config = content::descriptor("application/vnd.cncf.helm.config.v1+json", empty);
    let helm_chart = content::descriptor("application/vnd.cncf.helm.chart.content.v1.tar+gzip", &layer);
    let docker_config = content::descriptor("application/vnd.docker.container.image.v1+json", empty);
    let docker_layer = content::descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", &layer);
    for (tag, document) in [
        ("no-layers", json!({"config": config, "layers": []})),
        ("data", json!({"artifactType": "application/x", "config": with_data, "layers": [with_data]})),
        ("foreign", json!({"config": config, "layers": [foreign]})),
        ("helm", json!({"config": helm_config, "layers": [helm_chart]})),
        ("same-twice", json!({"config": config, "layers": [config, config]})),
        ("custom", json!({"org.x": {"a": [1, null]}, "config": config, "layers": []})),
    ] {
        assert_taken(&repository, tag, media_type::IMAGE, document);
    }
    let docker = json!({"config": docker_config, "layers": [docker_layer]});
    assert_taken(&repository, "docker", media_type::DOCKER_IMAGE, docker);
}

#[test]
fn indexes_of_every_client_are_taken() {
    // M11, M12, M13, C17, C18
    let repository = fresh_repository("documents");
    let image = root().push_image(&repository, "base");
    let child = content::descriptor(media_type::IMAGE, &image.manifest);
    let absent = content::descriptor(media_type::IMAGE, b"absent");
    let layer = content::descriptor(media_type::LAYER, &image.layer);
    let cache = content::descriptor("application/vnd.buildkit.cacheconfig.v0", &image.config);
    assert_taken(&repository, "empty", media_type::INDEX, json!({"manifests": []}));
    assert_taken(&repository, "sparse", media_type::INDEX, json!({"manifests": [absent]}));
    assert_taken(&repository, "buildkit-cache", media_type::INDEX, json!({"manifests": [layer, cache]}));
    assert_taken(&repository, "list", media_type::DOCKER_LIST, json!({"manifests": [child]}));
    let mut odd = child.clone();
    (odd["data"], odd["newUnspecifiedField"]) = (json!("e30="), json!("value"));
    assert_taken(
        &repository,
        "odd",
        media_type::INDEX,
        json!({"manifests": [odd], "another": {"deep": [1]}}),
    );
    let nested = content::index(std::slice::from_ref(&child));
    root().put_manifest(&repository, "inner", media_type::INDEX, &bytes_of(&nested)).assert_status(201);
    let inner = content::descriptor_of(&nested);
    assert_taken(&repository, "nested", media_type::INDEX, json!({"manifests": [inner, child]}));
}
