//! The base endpoint, what every answer carries, and unknown paths (checklist §2, §3, A1, A2).

use crate::{anonymous, root};
use tests::content::{ZERO_DIGEST, sha256};
use tests::registry::fresh_repository;

#[test]
fn the_base_answers_200_with_an_empty_object_to_a_principal() {
    // end-1, A2, G13
    for path in ["/v2/", "/v2"] {
        let answer = root().get(path).send();
        answer.assert_status(200);
        assert_eq!(answer.text(), "{}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("location"), None);
    }
}

#[test]
fn the_base_challenges_anonymous_callers_with_a_bearer_realm_on_the_asked_host() {
    // A1, A5, A10
    let client = anonymous();
    for path in ["/v2/", "/v2"] {
        let answer = client.get(path).send();
        answer.assert_error(401, "UNAUTHORIZED");
        let challenges: Vec<&str> = answer.all("www-authenticate").collect();
        let expected = format!("Bearer realm=\"http://{}/token\",service=\"shoal\"", client.host());
        assert_eq!(challenges, [expected]);
    }
}

#[test]
fn every_answer_names_the_api_version_and_forbids_sniffing() {
    // H1, S36; X-Registry-Supports-Signatures: C8
    let repository = fresh_repository("base");
    root().push_image(&repository, "v1");
    for (client, target) in [
        (root(), "/v2/".to_owned()),
        (anonymous(), "/v2/".into()),
        (root(), format!("/v2/{repository}/manifests/v1")),
        (root(), format!("/v2/{repository}/manifests/none")),
        (root(), format!("/v2/{repository}/tags/list")),
        (root(), format!("/v2/{repository}/blobs/{ZERO_DIGEST}")),
        (root(), "/v2/_catalog".into()),
        (root(), "/v2/nothing/here".into()),
    ] {
        let answer = client.get(&target).send();
        assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"), "{target}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{target}");
        assert_ne!(answer.header("x-registry-supports-signatures"), Some("1"), "{target}");
        assert!(answer.header("content-length").is_some(), "H5: {target}");
    }
}

#[test]
fn errors_are_json_and_head_gets_the_same_status_without_a_body() {
    // H2, H3
    let repository = fresh_repository("base");
    root().push_image(&repository, "v1");
    for (client, path) in [
        (root(), format!("/v2/{repository}/manifests/none")),
        (root(), format!("/v2/{repository}/blobs/{ZERO_DIGEST}")),
        (root(), format!("/v2/{repository}/blobs/sha256:short")),
        (anonymous(), format!("/v2/{repository}/manifests/v1")),
        (anonymous(), format!("/v2/{repository}/blobs/{ZERO_DIGEST}")),
    ] {
        let got = client.get(&path).send();
        got.assert_refused(&[400, 401, 404]);
        let head = client.head(&path).send();
        head.assert_bodyless(got.status);
        assert_eq!(head.header("www-authenticate"), got.header("www-authenticate"));
    }
}

#[test]
fn unknown_paths_are_404_json_and_wrong_methods_405_with_allow() {
    // H9
    let repository = fresh_repository("base");
    for path in ["/v2/nothing".to_owned(), format!("/v2/{repository}/other/thing"), "/v2/_catalog/".into()] {
        root().get(&path).send().assert_refused(&[404]);
    }
    for (method, path) in [
        ("POST", format!("/v2/{repository}/manifests/v1")),
        ("PATCH", "/v2/".into()),
        ("PUT", format!("/v2/{repository}/blobs/{ZERO_DIGEST}")),
        ("DELETE", format!("/v2/{repository}/tags/list")),
        ("PUT", format!("/v2/{repository}/blobs/uploads/")),
    ] {
        let answer = root().request(method, &path).send();
        answer.assert_error(405, "UNSUPPORTED");
        let allow = answer.header("allow").expect("Allow goes with 405");
        assert!(allow.contains("GET") || allow.contains("POST"), "{allow}");
        assert!(!allow.contains(method), "{method} in {allow}");
    }
}

#[test]
fn the_first_version_of_the_protocol_is_not_here() {
    // H10
    for path in ["/v1/_ping", "/v1/search"] {
        assert_eq!(root().get(path).send().status, 404, "{path}");
    }
}

#[test]
fn both_spellings_of_the_uploads_path_open_a_session() {
    // G13
    let repository = fresh_repository("base");
    for path in ["blobs/uploads", "blobs/uploads/"] {
        root().post(format!("/v2/{repository}/{path}")).send().assert_status(202);
    }
}

#[test]
fn unknown_query_parameters_are_ignored() {
    // §2; Y1: ns= of a mirror's client, S36: not echoed
    let repository = fresh_repository("base");
    let image = root().push_image(&repository, "v1");
    for target in [
        format!("/v2/{repository}/manifests/v1?ns=docker.io&x=1"),
        format!("/v2/{repository}/blobs/{}?ns=docker.io", sha256(&image.layer)),
        format!("/v2/{repository}/tags/list?ns=a%0d%0ab&tab=info"),
        "/v2/?x".into(),
    ] {
        let answer = root().get(&target).send();
        answer.assert_status(200);
        assert_eq!(answer.header("b"), None);
    }
}

#[test]
fn the_extensions_endpoint_lists_or_is_absent() {
    // ext-2, G10
    let repository = fresh_repository("base");
    root().push_image(&repository, "v1");
    for path in ["/v2/_oci/ext/discover".to_owned(), format!("/v2/{repository}/_oci/ext/discover")] {
        let answer = root().get(&path).send();
        assert!(matches!(answer.status, 200 | 404), "{path}: {}", answer.status);
        if answer.status == 200 {
            assert!(answer.json()["extensions"].is_array(), "{}", answer.text());
        }
    }
}
