//! What manifests name: section 3 of `specs/hostile-inputs.md`, XM5, XM6, XM8, XM9, XM12 to XM14.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::{assert_alive, root};
use serde_json::{Value, json};
use tests::content::{self, bytes_of, media_type, serial, sha256, unique_bytes};
use tests::registry::{Image, fresh_repository, is_full_run};

/// What the specification allows, times what an unoptimised build on a busy machine takes.
const ONE_SECOND: Duration = Duration::from_secs(5);

fn put_index(repository: &str, reference: &str, document: &Value) -> Vec<u8> {
    let bytes = bytes_of(document);
    root().put_manifest(repository, reference, media_type::INDEX, &bytes).assert_status(201);
    bytes
}

#[test]
fn thousands_of_descriptors_are_one_batch() {
    // XM5, V13
    let image = Image::new(&fresh_repository("manifests"));
    root().push_blobs_of(&image);
    let layer = content::descriptor(media_type::LAYER, &image.layer);
    let mut same = content::image(&image.config, &[]);
    same["layers"] = Value::Array(vec![layer.clone(); 20_000]);
    let mut missing = same.clone();
    let absent =
        |number: usize| json!({"mediaType": "a/b", "digest": format!("sha256:{number:064x}"), "size": 1});
    missing["layers"] = Value::Array((0..20_000).map(absent).collect());
    let mut config_is_layer = content::image(&image.config, &[]);
    config_is_layer["layers"] = json!([config_is_layer["config"]]);
    for (document, statuses) in [(same, vec![201, 400]), (missing, vec![400]), (config_is_layer, vec![201])] {
        let bytes = bytes_of(&document);
        assert!(bytes.len() <= 4 << 20, "{}", bytes.len());
        let began = Instant::now();
        let answer = root().put_manifest(&image.repository, "many", media_type::IMAGE, &bytes);
        assert!(statuses.contains(&answer.status), "{}", answer.status);
        assert!(began.elapsed() < ONE_SECOND, "{:?}", began.elapsed());
        assert!(answer.body.len() < 8 << 20);
    }
    assert_alive();
}

#[test]
fn indexes_of_indexes_are_walked_in_bounds() {
    // XM6, V12: 50 deep, and a diamond of 40 levels
    for (levels, twice) in [(50, false), (40, true)] {
        let repository = fresh_repository("manifests");
        let image = root().push_image(&repository, "leaf");
        let mut below = content::descriptor(media_type::IMAGE, &image.manifest);
        for level in 0..levels {
            let mut document =
                content::index(&if twice { vec![below.clone(), below.clone()] } else { vec![below.clone()] });
            document["annotations"] = json!({"level": level.to_string()});
            let began = Instant::now();
            let bytes = put_index(&repository, "top", &document);
            assert!(began.elapsed() < ONE_SECOND, "level {level}: {:?}", began.elapsed());
            below = content::descriptor(media_type::INDEX, &bytes);
        }
        let top = below["digest"].as_str().expect("a digest");
        let began = Instant::now();
        root().delete(format!("/v2/{repository}/manifests/{top}")).send().assert_status(202);
        assert!(root().tags(&repository) == ["leaf"]);
        assert!(began.elapsed() < ONE_SECOND, "{:?}", began.elapsed());
    }
    assert_alive();
}

#[test]
fn an_index_of_ten_thousand_children_is_put_and_deleted() {
    // XM6
    let repository = fresh_repository("manifests");
    let child = |number: usize| json!({"mediaType": media_type::IMAGE, "digest": format!("sha256:{number:064x}"), "size": 7});
    let children: Vec<Value> = (0..10_000).map(child).collect();
    let began = Instant::now();
    let bytes = put_index(&repository, "wide", &content::index(&children));
    assert!(began.elapsed() < ONE_SECOND, "{:?}", began.elapsed());
    assert!(root().get(format!("/v2/{repository}/manifests/wide")).send().body == bytes);
    root().delete(format!("/v2/{repository}/manifests/{}", sha256(&bytes))).send().assert_status(202);
    assert!(began.elapsed() < ONE_SECOND * 2, "{:?}", began.elapsed());
    assert_alive();
}

#[test]
fn a_manifest_does_not_open_another_repositorys_blob() {
    // XM8, V6
    let (mine, theirs) = (fresh_repository("manifests"), fresh_repository("manifests"));
    let secret = unique_bytes(500);
    root().push_blob(&theirs, &secret);
    let image = Image::new(&mine);
    root().push_blobs_of(&image);
    let never = unique_bytes(400);
    let deleted = unique_bytes(300);
    let digest = root().push_blob(&mine, &deleted);
    root().delete(format!("/v2/{mine}/blobs/{digest}")).send().assert_status(202);
    let document = content::image(&image.config, &[&secret, &never, &deleted]);
    let answer = root().put_manifest(&mine, "bad", media_type::IMAGE, &bytes_of(&document));
    answer.assert_error(400, "MANIFEST_BLOB_UNKNOWN");
    for bytes in [&secret, &never, &deleted] {
        assert!(answer.text().contains(&sha256(bytes)), "{}", answer.text());
        root().get(format!("/v2/{mine}/blobs/{}", sha256(bytes))).send().assert_error(404, "BLOB_UNKNOWN");
    }
    // The size of what is elsewhere is not told either: a wrong one gets the same answer.
    let mut sized = content::image(&image.config, &[&secret]);
    let right = root().put_manifest(&mine, "bad", media_type::IMAGE, &bytes_of(&sized));
    sized["layers"][0]["size"] = json!(1);
    let wrong = root().put_manifest(&mine, "bad", media_type::IMAGE, &bytes_of(&sized));
    assert_eq!((right.status, right.codes()), (wrong.status, wrong.codes()));
    assert_alive();
}

#[test]
fn urls_in_layers_are_never_fetched() {
    // XM9, S23
    let trap = TcpListener::bind("127.0.0.1:0").expect("a port");
    trap.set_nonblocking(true).expect("nonblocking");
    let address = trap.local_addr().expect("an address");
    let image = Image::new(&fresh_repository("manifests"));
    root().push_blobs_of(&image);
    let layer = unique_bytes(10);
    let mut foreign =
        content::descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", &layer);
    foreign["urls"] = json!([
        format!("http://{address}/x"),
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "javascript:x"
    ]);
    let mut document = content::image(&image.config, &[]);
    document["layers"] = json!([foreign]);
    root().put_image(&image.repository, "foreign", &bytes_of(&document));
    root().get(format!("/v2/{}/manifests/foreign", image.repository)).send().assert_status(200);
    let digest = sha256(&layer);
    root().get(format!("/v2/{}/blobs/{digest}", image.repository)).send().assert_error(404, "BLOB_UNKNOWN");
    assert_alive();
    assert!(trap.accept().is_err(), "somebody came");
}

#[test]
fn huge_and_evil_annotations_are_stored_as_they_are() {
    // XM12
    let image = Image::new(&fresh_repository("manifests"));
    root().push_blobs_of(&image);
    let many: serde_json::Map<String, Value> =
        (0..100_000).map(|number| (format!("k{number}"), json!("v"))).collect();
    let evil = json!({"<script>alert(1)</script>": "javascript:alert(1)", "\u{1b}[31m": "\u{1b}]0;x\u{7}", "a\r\nb": "c\u{1}d"});
    for annotations in [json!({"k".repeat(1 << 20): "v"}), Value::Object(many), evil] {
        let mut document = content::image(&image.config, &[&image.layer]);
        document["annotations"] = annotations;
        document["subject"] = content::descriptor(media_type::IMAGE, b"absent");
        let bytes = bytes_of(&document);
        let began = Instant::now();
        let put = root().put_manifest(&image.repository, "odd", media_type::IMAGE, &bytes);
        put.assert_status(201);
        assert!(root().get(format!("/v2/{}/manifests/odd", image.repository)).send().body == bytes);
        assert!(began.elapsed() < ONE_SECOND, "{:?}", began.elapsed());
    }
    let listed = root().referrers(&image.repository, &sha256(b"absent"));
    assert!(!listed.is_empty());
    assert_alive();
}

#[test]
fn odd_subjects_are_taken_and_bad_ones_refused() {
    // XM13
    let (mine, theirs) = (fresh_repository("manifests"), fresh_repository("manifests"));
    let other = root().push_image(&theirs, "v1");
    let image = Image::new(&mine);
    root().push_blobs_of(&image);
    let put = |subject: &Value| {
        let mut document = content::image(&image.config, &[&image.layer]);
        document["subject"] = subject.clone();
        document["annotations"] = json!({"serial": serial().to_string()});
        root().put_manifest(&mine, "s", media_type::IMAGE, &bytes_of(&document))
    };
    put(&content::descriptor(media_type::IMAGE, b"unknown")).assert_status(201);
    put(&content::descriptor(media_type::INDEX, b"index")).assert_status(201);
    put(&content::descriptor("application/x", &image.layer)).assert_status(201);
    put(&content::descriptor(media_type::IMAGE, &other.manifest)).assert_status(201);
    // Naming it opens nothing, and shows nothing over there.
    root().get(format!("/v2/{mine}/manifests/{}", other.digest)).send().assert_error(404, "MANIFEST_UNKNOWN");
    assert!(root().referrers(&theirs, &other.digest).is_empty());
    assert_eq!(root().referrers(&mine, &other.digest).len(), 1);
    for bad in
        [json!({"mediaType": "a/b", "digest": "sha256:x", "size": 1}), json!({}), json!("x"), json!([])]
    {
        put(&bad).assert_refused(&[400]);
    }
    assert_alive();
}

#[test]
fn many_large_referrers_are_listed_in_pages() {
    // XM14, R12, S25
    let image = Image::new(&fresh_repository("manifests"));
    root().push_blobs_of(&image);
    let subject = format!("missing {}", serial());
    let count = if is_full_run() { 40 } else { 8 };
    for number in 0..count {
        let mut document = content::image(&image.config, &[]);
        document["subject"] = content::descriptor(media_type::IMAGE, subject.as_bytes());
        document["annotations"] = json!({"n": number.to_string(), "padding": "x".repeat(1 << 20)});
        root().put_image(&image.repository, &format!("r{number}"), &bytes_of(&document));
    }
    let mut found = 0;
    let mut target = Some(format!("/v2/{}/referrers/{}", image.repository, sha256(subject.as_bytes())));
    while let Some(page) = target {
        let answer = root().get(page).send();
        answer.assert_status(200);
        assert!(answer.body.len() < 6 << 20, "a page of {} bytes", answer.body.len());
        assert_eq!(answer.header("content-type"), Some(media_type::INDEX));
        let entries = answer.json()["manifests"].as_array().map(Vec::len).expect("an array");
        target = answer.next_page();
        assert!(entries > 0 || target.is_none(), "a page that does not move on");
        found += entries;
    }
    assert_eq!(found, count);
    assert_alive();
}

#[test]
fn many_referrers_of_one_subject_stay_quick() {
    // XM14: 100,000 in the full run
    let repository = fresh_repository("manifests");
    root().push_blob(&repository, b"{}");
    let subject = content::descriptor(media_type::IMAGE, format!("missing {}", serial()).as_bytes());
    let count = if is_full_run() { 100_000 } else { 300 };
    for number in 0..count {
        let mut document = content::image(b"{}", &[]);
        document["subject"] = subject.clone();
        document["annotations"] = json!({"n": number.to_string()});
        let bytes = bytes_of(&document);
        root().put_image(&repository, &sha256(&bytes), &bytes);
    }
    let began = Instant::now();
    assert!(!root().referrers(&repository, subject["digest"].as_str().expect("a digest")).is_empty());
    assert!(began.elapsed() < ONE_SECOND, "{:?}", began.elapsed());
    assert_alive();
}
