//! Putting and getting manifests (checklist §4 and §6).

use std::fmt::Write;

use crate::root;
use tests::content::{self, bytes_of, media_type, sha256, sha512};
use tests::registry::{Image, fresh_repository};

#[test]
fn a_manifest_comes_back_as_it_was_put() {
    // M1, M22, P4, P5, K10
    let repository = fresh_repository("manifests");
    let image = Image::new(&repository);
    root().push_blobs_of(&image);
    let put = root().put_manifest(&repository, "v1", media_type::IMAGE, &image.manifest);
    put.assert_status(201);
    assert_eq!(put.header("docker-content-digest"), Some(image.digest.as_str()));
    let length = image.manifest.len().to_string();
    for path in [
        put.location(),
        format!("/v2/{repository}/manifests/v1"),
        format!("/v2/{repository}/manifests/{}", image.digest),
    ] {
        let get = root().get(&path).send();
        get.assert_status(200);
        assert_eq!(get.body, image.manifest);
        let head = root().head(&path).send();
        head.assert_bodyless(200);
        for answer in [get, head] {
            assert_eq!(answer.header("content-type"), Some(media_type::IMAGE));
            assert_eq!(answer.header("content-length"), Some(length.as_str()));
            assert_eq!(answer.header("docker-content-digest"), Some(image.digest.as_str()));
            assert_eq!(answer.header("etag"), Some(format!("\"{}\"", image.digest).as_str()));
        }
    }
}

#[test]
fn digest_urls_are_cached_for_ever_and_tag_urls_are_not() {
    // F8
    let repository = fresh_repository("manifests");
    let image = root().push_image(&repository, "v1");
    let cache = |reference: &str| {
        let answer = root().get(format!("/v2/{repository}/manifests/{reference}")).send();
        answer.header("cache-control").expect("Cache-Control").to_owned()
    };
    assert!(cache(&image.digest).contains("immutable"));
    assert!(cache("v1").contains("no-cache"));
}

#[test]
fn a_digest_in_the_path_must_be_that_of_the_bytes() {
    // M3, K13
    let repository = fresh_repository("manifests");
    let image = Image::new(&repository);
    root().push_blobs_of(&image);
    for wrong in [sha256(b"x"), sha512(b"x"), "sha256:baddigeststring".into()] {
        let answer = root().put_manifest(&repository, &wrong, media_type::IMAGE, &image.manifest);
        answer.assert_error(400, "DIGEST_INVALID");
    }
    root().put_image(&repository, &image.digest, &image.manifest);
    assert!(root().tags(&repository).is_empty());
}

#[test]
fn a_manifest_pushed_by_sha512_is_read_by_sha512() {
    // M1, M3, M4
    let repository = fresh_repository("manifests");
    let image = Image::new(&repository);
    root().push_blobs_of(&image);
    let digest = sha512(&image.manifest);
    let put = root().put_manifest(&repository, &digest, media_type::IMAGE, &image.manifest);
    put.assert_status(201);
    assert_eq!(put.header("docker-content-digest"), Some(digest.as_str()));
    let answer = root().get(format!("/v2/{repository}/manifests/{digest}")).send();
    answer.assert_status(200);
    assert_eq!(answer.header("docker-content-digest"), Some(digest.as_str()));
    assert_eq!(answer.body, image.manifest);
    let by_sha256 = root().get(format!("/v2/{repository}/manifests/{}", image.digest)).send();
    assert!(by_sha256.status == 404 || by_sha256.body == image.manifest);
}

#[test]
fn a_tag_moves_and_the_old_manifest_stays() {
    // M14, M15
    let repository = fresh_repository("manifests");
    let old = root().push_image(&repository, "v1");
    root().put_image(&repository, "v1", &old.manifest);
    let new = root().push_image(&repository, "v1");
    let by = |reference: &str| root().get(format!("/v2/{repository}/manifests/{reference}")).send();
    assert_eq!(by("v1").body, new.manifest);
    assert_eq!(by(&old.digest).body, old.manifest);
    let list = content::index(&[content::descriptor(media_type::IMAGE, &new.manifest)]);
    root().put_manifest(&repository, "v1", media_type::INDEX, &bytes_of(&list)).assert_status(201);
    assert_eq!(by("v1").header("content-type"), Some(media_type::INDEX));
}

#[test]
fn every_accept_gets_the_stored_type() {
    // P6, P7
    let repository = fresh_repository("manifests");
    let image = root().push_image(&repository, "v1");
    let client = root();
    let many = (0..200).fold(String::new(), |mut text, number| {
        let _ = write!(text, "application/x-{number};q=0.{number}, ");
        text
    });
    for accept in [
        "*/*",
        "text/html",
        media_type::DOCKER_IMAGE,
        media_type::INDEX,
        "application/*;q=0.5, x",
        "",
        ";;,",
        &many,
    ] {
        let answer = client.get(format!("/v2/{repository}/manifests/v1")).header("Accept", accept).send();
        answer.assert_status(200);
        assert_eq!(answer.header("content-type"), Some(media_type::IMAGE), "{accept}");
        assert_eq!(answer.body, image.manifest);
    }
    let twice = client
        .get(format!("/v2/{repository}/manifests/v1"))
        .header("Accept", "a/b")
        .header("Accept", "c/d")
        .send();
    twice.assert_status(200);
}

#[test]
fn a_known_manifest_gets_304() {
    // P8, F9
    let repository = fresh_repository("manifests");
    let image = root().push_image(&repository, "v1");
    for value in
        [format!("\"{}\"", image.digest), image.digest.clone(), format!("W/\"{}\"", image.digest), "*".into()]
    {
        let answer =
            root().get(format!("/v2/{repository}/manifests/v1")).header("If-None-Match", &value).send();
        answer.assert_bodyless(304);
        assert_eq!(answer.header("etag"), Some(format!("\"{}\"", image.digest).as_str()));
    }
    let moved = root().push_image(&repository, "v1");
    let path = format!("/v2/{repository}/manifests/v1");
    let answer = root().get(path).header("If-None-Match", format!("\"{}\"", image.digest)).send();
    answer.assert_status(200);
    assert_eq!(answer.body, moved.manifest);
}

#[test]
fn manifests_that_are_not_there_are_404() {
    // K13, K14, C12, G3
    let repository = fresh_repository("manifests");
    let image = root().push_image(&repository, "v1");
    let blob = sha256(&image.layer);
    for reference in ["none", ".INVALID_MANIFEST_NAME", "-x", &"t".repeat(129), &sha256(b"none"), &blob] {
        root()
            .get(format!("/v2/{repository}/manifests/{reference}"))
            .send()
            .assert_error(404, "MANIFEST_UNKNOWN");
        root().head(format!("/v2/{repository}/manifests/{reference}")).send().assert_bodyless(404);
    }
    let unknown = fresh_repository("manifests");
    root().get(format!("/v2/{unknown}/manifests/v1")).send().assert_refused(&[404]);
}

#[test]
fn bad_tags_are_refused_on_put() {
    // G3
    let repository = fresh_repository("manifests");
    let image = root().push_image(&repository, "v1");
    for tag in [".x", "-x", "a+b", "a%20b", "%C3%A9", &"t".repeat(129)] {
        root()
            .put_manifest(&repository, tag, media_type::IMAGE, &image.manifest)
            .assert_error(400, "TAG_INVALID");
    }
    for tag in ["_x", "A.b-c_9", &"t".repeat(128)] {
        root().put_image(&repository, tag, &image.manifest);
    }
}

#[test]
fn many_tags_are_put_with_one_manifest() {
    // M17, M18, end-7b
    let repository = fresh_repository("manifests");
    let image = Image::new(&repository);
    root().push_blobs_of(&image);
    let tags: Vec<String> = (0..12).map(|number| format!("t{number:02}")).collect();
    let query = tags.iter().map(|tag| format!("tag={tag}")).collect::<Vec<_>>().join("&");
    let put = root().put_manifest(
        &repository,
        &format!("{}?{query}", image.digest),
        media_type::IMAGE,
        &image.manifest,
    );
    put.assert_status(201);
    let mut echoed: Vec<String> =
        put.all("oci-tag").flat_map(|line| line.split(',')).map(|tag| tag.trim().to_owned()).collect();
    echoed.sort();
    assert_eq!(echoed, tags);
    assert_eq!(root().tags(&repository), tags);
    let bad = format!("{}?tag=good&tag=.bad", image.digest);
    root().put_manifest(&repository, &bad, media_type::IMAGE, &image.manifest).assert_refused(&[400]);
    assert_eq!(root().tags(&repository), tags);
    let ignored = root().put_manifest(&repository, "t00?tag=other", media_type::IMAGE, &image.manifest);
    ignored.assert_status(201);
    assert_eq!(ignored.header("oci-tag"), None);
    assert_eq!(root().tags(&repository), tags);
}
