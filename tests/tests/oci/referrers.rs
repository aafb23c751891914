//! Referrers (checklist §7, R1 to R13, and M9).

use crate::root;
use serde_json::{Value, json};
use tests::content::{self, ZERO_DIGEST, bytes_of, media_type, serial, sha256, sha512};
use tests::raw::Answer;
use tests::registry::fresh_repository;

const EMPTY: &[u8] = b"{}";

/// A repository that holds the empty blob.
fn prepared() -> String {
    let repository = fresh_repository("referrers");
    root().push_blob(&repository, EMPTY);
    repository
}

/// An artifact manifest that names `subject`.
fn artifact(subject: &Value, artifact_type: Option<&str>) -> Value {
    let mut document = json!({
        "schemaVersion": 2,
        "mediaType": media_type::IMAGE,
        "config": content::descriptor(media_type::EMPTY, EMPTY),
        "layers": [content::descriptor(media_type::EMPTY, EMPTY)],
        "subject": subject,
        "annotations": {"serial": serial().to_string(), "org.opencontainers.x": "<b>&\u{e9}"},
    });
    if let Some(artifact_type) = artifact_type {
        document["artifactType"] = json!(artifact_type);
    }
    document
}

fn put(repository: &str, reference: &str, document: &Value) -> Answer {
    let media_type = document["mediaType"].as_str().expect("a type");
    let answer = root().put_manifest(repository, reference, media_type, &bytes_of(document));
    answer.assert_status(201);
    answer
}

#[test]
fn unknown_subjects_and_repositories_have_an_empty_index() {
    // R1, R2, R3, K1
    let repository = prepared();
    let unknown = fresh_repository("referrers");
    for path in [
        format!("/v2/{repository}/referrers/{ZERO_DIGEST}"),
        format!("/v2/{unknown}/referrers/{ZERO_DIGEST}"),
        format!("/v2/{unknown}/referrers/{}", sha512(b"x")),
    ] {
        let answer = root().get(&path).send();
        answer.assert_status(200);
        assert_eq!(answer.header("content-type"), Some(media_type::INDEX));
        assert_eq!(answer.json()["schemaVersion"], 2);
        assert_eq!(answer.json()["mediaType"], media_type::INDEX);
        assert_eq!(answer.json()["manifests"], json!([]));
        assert_eq!(answer.header("oci-filters-applied"), None);
    }
    for digest in ["sha256:x", "latest"] {
        root().get(format!("/v2/{repository}/referrers/{digest}")).send().assert_error(400, "DIGEST_INVALID");
    }
}

#[test]
fn a_manifest_with_a_subject_is_listed_as_its_referrer() {
    // M9, R4, R5, R8, K11
    let repository = prepared();
    let image = root().push_image(&repository, "v1");
    let subject = content::descriptor(media_type::IMAGE, &image.manifest);
    let typed = artifact(&subject, Some("application/vnd.example.sbom"));
    let untyped = artifact(&subject, None);
    let mut index = content::index(&[]);
    index["subject"] = subject.clone();
    index["annotations"] = json!({"serial": serial().to_string()});
    for (document, reference) in
        [(&typed, "sbom".to_owned()), (&untyped, sha256(&bytes_of(&untyped))), (&index, "idx".into())]
    {
        let answer = put(&repository, &reference, document);
        assert_eq!(answer.header("oci-subject"), Some(image.digest.as_str()));
    }
    let listed = root().referrers(&repository, &image.digest);
    assert_eq!(listed.len(), 3);
    for (document, artifact_type) in [
        (&typed, json!("application/vnd.example.sbom")),
        (&untyped, json!(media_type::EMPTY)),
        (&index, Value::Null),
    ] {
        let bytes = bytes_of(document);
        let entry = listed.iter().find(|entry| entry["digest"] == sha256(&bytes).as_str()).expect("listed");
        assert_eq!(entry["size"], bytes.len());
        assert_eq!(entry["mediaType"], document["mediaType"]);
        assert_eq!(entry["artifactType"], artifact_type);
        assert_eq!(entry["annotations"], document["annotations"]);
    }
    let plain = root().push_image(&repository, "v2");
    assert!(root().referrers(&repository, &plain.digest).is_empty());
}

#[test]
fn a_put_without_a_subject_says_nothing_of_one() {
    let repository = fresh_repository("referrers");
    let image = root().push_image(&repository, "v1");
    let again = root().put_manifest(&repository, "v1", media_type::IMAGE, &image.manifest);
    assert_eq!(again.header("oci-subject"), None);
}

#[test]
fn a_referrer_may_come_before_its_subject() {
    // M9, R8
    let repository = prepared();
    let subject = content::descriptor(media_type::IMAGE, format!("missing {}", serial()).as_bytes());
    let digest = subject["digest"].as_str().expect("a digest");
    let answer = put(&repository, "sig", &artifact(&subject, Some("a/b")));
    assert_eq!(answer.header("oci-subject"), Some(digest));
    assert_eq!(root().referrers(&repository, digest).len(), 1);
}

#[test]
fn the_list_is_filtered_by_artifact_type() {
    // R6
    let repository = prepared();
    let subject = content::descriptor(media_type::IMAGE, format!("missing {}", serial()).as_bytes());
    let digest = subject["digest"].as_str().expect("a digest");
    for (tag, artifact_type) in
        [("a", "application/vnd.x+json"), ("b", "application/vnd.y"), ("c", "application/vnd.y")]
    {
        put(&repository, tag, &artifact(&subject, Some(artifact_type)));
    }
    for (value, count) in [
        ("application/vnd.y", 2),
        ("application%2Fvnd.y", 2),
        ("application/vnd.x%2Bjson", 1),
        ("application/vnd.x+json", 1),
        ("application/none", 0),
    ] {
        let answer = root().get(format!("/v2/{repository}/referrers/{digest}?artifactType={value}")).send();
        answer.assert_status(200);
        assert_eq!(answer.json()["manifests"].as_array().map(Vec::len), Some(count), "{value}");
        assert_eq!(answer.header("oci-filters-applied"), Some("artifactType"));
    }
    assert_eq!(root().referrers(&repository, digest).len(), 3);
}

#[test]
fn a_referrer_is_listed_once_however_many_tags_it_has() {
    // R10
    let repository = prepared();
    let subject = content::descriptor(media_type::IMAGE, format!("missing {}", serial()).as_bytes());
    let document = artifact(&subject, Some("a/b"));
    for tag in ["one", "two", &sha256(&bytes_of(&document))] {
        put(&repository, tag, &document);
    }
    assert_eq!(root().referrers(&repository, subject["digest"].as_str().expect("a digest")).len(), 1);
}

#[test]
fn deleting_a_referrer_removes_it_and_deleting_a_subject_keeps_the_list() {
    // R8, R9
    let repository = prepared();
    let image = root().push_image(&repository, "v1");
    let subject = content::descriptor(media_type::IMAGE, &image.manifest);
    let (first, second) = (artifact(&subject, Some("a/b")), artifact(&subject, Some("a/b")));
    put(&repository, "first", &first);
    put(&repository, "second", &second);
    let digest = sha256(&bytes_of(&first));
    root().delete(format!("/v2/{repository}/manifests/{digest}")).send().assert_status(202);
    let listed = root().referrers(&repository, &image.digest);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["digest"], sha256(&bytes_of(&second)).as_str());
    root().delete(format!("/v2/{repository}/manifests/{}", image.digest)).send().assert_status(202);
    // Kept or dropped is policy; an error is neither.
    assert!(root().referrers(&repository, &image.digest).len() <= 1);
}

#[test]
fn subjects_by_sha512_have_referrers() {
    // R13
    let repository = prepared();
    let mut subject = content::descriptor(media_type::IMAGE, b"x");
    let digest = sha512(format!("missing {}", serial()).as_bytes());
    subject["digest"] = json!(digest);
    put(&repository, "sig", &artifact(&subject, Some("a/b")));
    assert_eq!(root().referrers(&repository, &digest).len(), 1);
}

#[test]
fn a_bad_subject_digest_is_refused() {
    // XM13
    let repository = prepared();
    let mut subject = content::descriptor(media_type::IMAGE, b"x");
    subject["digest"] = json!("sha256:../../x");
    let document = artifact(&subject, None);
    let answer = root().put_manifest(&repository, "sig", media_type::IMAGE, &bytes_of(&document));
    answer.assert_refused(&[400]);
}

#[test]
fn many_referrers_come_on_one_page() {
    // R12: clients that do not follow Link see all of them
    let repository = prepared();
    let subject = content::descriptor(media_type::IMAGE, format!("missing {}", serial()).as_bytes());
    for number in 0..120 {
        put(&repository, &format!("r{number}"), &artifact(&subject, Some("a/b")));
    }
    let digest = subject["digest"].as_str().expect("a digest");
    let answer = root().get(format!("/v2/{repository}/referrers/{digest}")).send();
    assert_eq!(answer.json()["manifests"].as_array().map(Vec::len), Some(120));
    assert_eq!(answer.header("link"), None);
}
