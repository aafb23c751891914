//! Names and tags: section 1 of `specs/hostile-inputs.md`, XN1 to XN7, XN11.

use crate::routes::line;
use crate::{assert_alive, root};
use tests::content::{ZERO_DIGEST, media_type};
use tests::http::Client;
use tests::raw::Answer;
use tests::registry::fresh_repository;

fn get(target: &str) -> Answer {
    line(&root(), &format!("GET {target}"))
}

#[test]
fn dots_in_paths_lead_nowhere() {
    // XN1, XN2
    let repository = fresh_repository("names");
    root().push_image(&repository, "v1");
    for target in [
        "/v2/../../../etc/passwd/manifests/x".to_owned(),
        format!("/v2/{repository}/../../../etc/passwd/manifests/x"),
        format!("/v2/{repository}/../{repository}/manifests/v1"),
        "/v2/%2e%2e%2f%2e%2e%2fetc/manifests/x".into(),
        "/v2/..%2f..%2fetc/manifests/x".into(),
        "/v2/%252e%252e%252fetc/manifests/x".into(),
        "/v2/a%5c..%5cb/manifests/x".into(),
        format!("/v2/{repository}/manifests/..%2f..%2fx"),
        format!("/v2/{repository}/manifests/%2e%2e"),
        format!("/v2/{repository}/manifests/%252e%252e%252fx"),
        format!("/v2/{repository}/blobs/sha256:..%2f..%2fx"),
        format!("/v2/{repository}/blobs/sha256:%2e%2e%5cx"),
        format!("/v2/{repository}/blobs/uploads/..%2f..%2fx"),
        format!("/v2/{repository}/blobs/uploads/%2e%2e"),
        format!("/v2/{repository}/blobs/uploads/%252e%252e%252fx"),
    ] {
        get(&target).assert_refused(&[400, 404]);
    }
    assert_alive();
}

#[test]
fn control_characters_and_delimiters_in_names_are_refused_and_not_echoed() {
    // XN3
    for odd in [
        "%00",
        "%0d%0aX-Evil:%201",
        "%09",
        "%7f",
        "%5c",
        ";v=1",
        "%3bv=1",
        "%23",
        "%3f",
        "%20",
        "%ff",
        "%zz",
        "%",
    ] {
        for path in ["manifests/v1", "tags/list", "blobs/uploads/"] {
            let answer = get(&format!("/v2/names/a{odd}b/{path}"));
            // Not UTF-8, or a POST-only path: other refusals are as good.
            answer.assert_refused(&[400, 404, 405]);
            assert_eq!(answer.header("x-evil"), None);
        }
    }
    let answer = root().post("/v2/names/a%00b/blobs/uploads/").send();
    answer.assert_error(400, "NAME_INVALID");
    assert_alive();
}

#[test]
fn names_outside_the_grammar_are_refused() {
    // XN4, XN6
    for name in [
        "A/b",
        "a//b",
        ".a",
        "a.",
        "a/-b",
        "a___b",
        "a..b",
        "-",
        "_",
        "a/",
        "/a",
        "a._b",
        "%EF%BD%81pp",
        "%D0%B0",
        "a%CC%81",
        "a%E2%80%8Db",
        "a%E2%80%AEb",
        "%F0%9F%90%9F",
    ] {
        for (method, path) in [("POST", "blobs/uploads/"), ("GET", "tags/list"), ("GET", "manifests/v1")] {
            let answer = line(&root(), &format!("{method} /v2/{name}/{path}"));
            answer.assert_error(400, "NAME_INVALID");
        }
    }
    assert_alive();
}

#[test]
fn names_have_a_length_and_targets_too() {
    // XN5: at the limit, one above, far above
    let longest = format!("names/{}", "a".repeat(249));
    assert_eq!(longest.len(), 255);
    root().push_image(&longest, "v1");
    let longer = format!("{longest}a");
    root().post(format!("/v2/{longer}/blobs/uploads/")).send().assert_error(400, "NAME_INVALID");
    for name in [longer, "a".repeat(4096), ["a"; 300].join("/")] {
        root().get(format!("/v2/{name}/tags/list")).send().assert_error(400, "NAME_INVALID");
    }
    let target = |size: usize| {
        let path = "/v2/a/tags/list?x=";
        format!("{path}{}", "y".repeat(size - path.len()))
    };
    assert_ne!(root().get(target(8 << 10)).send().status, 414);
    let above = root().get(target((8 << 10) + 1)).send();
    assert_eq!(above.status, 414);
    let huge = root().get(target(1 << 20)).try_send();
    // A head of 1 MiB may be answered or cut.
    assert!(huge.map_or(true, |answer| matches!(answer.status, 414 | 431)));
    assert_alive();
}

#[test]
fn repositories_named_like_routes_are_ordinary() {
    // XN7
    for name in ["x/manifests/y", "x/blobs/uploads", "x/tags/list", "x/referrers", "manifests", "x/_catalog"]
    {
        let name = format!("{}/{name}", fresh_repository("names"));
        if name.contains("_catalog") {
            root().get(format!("/v2/{name}/tags/list")).send().assert_error(400, "NAME_INVALID");
            continue;
        }
        let image = root().push_image(&name, "v1");
        assert_eq!(root().get(format!("/v2/{name}/manifests/v1")).send().body, image.manifest);
        assert_eq!(root().tags(&name), ["v1"]);
        // The right on the resulting repository is the one that counts.
        let other =
            Client::bearer(root().host(), &root().token(&["repository:x:pull", "repository:names:pull"]));
        other.get(format!("/v2/{name}/manifests/v1")).send().assert_error(401, "UNAUTHORIZED");
    }
    assert_alive();
}

#[test]
fn tags_outside_the_grammar_are_400_on_put_and_404_on_read() {
    // XN11
    let repository = fresh_repository("names");
    let image = root().push_image(&repository, "v1");
    for tag in ["t".repeat(129), ".x".into(), "-x".into(), "a%00".into(), "a%2fb".into(), "a%20".into()] {
        let put = root().put_manifest(&repository, &tag, media_type::IMAGE, &image.manifest);
        put.assert_refused(&[400, 404]);
        get(&format!("/v2/{repository}/manifests/{tag}")).assert_refused(&[404]);
    }
    let not_utf8 = root().put_manifest(&repository, "a%ff", media_type::IMAGE, &image.manifest);
    not_utf8.assert_refused(&[400, 404]);
    // A reference with a colon is a digest or nothing.
    for reference in ["a:b", "v1:", "sha256:v1"] {
        let put = root().put_manifest(&repository, reference, media_type::IMAGE, &image.manifest);
        put.assert_error(400, "DIGEST_INVALID");
        get(&format!("/v2/{repository}/manifests/{reference}")).assert_refused(&[400, 404]);
    }
    let other = root().put_manifest(&repository, ZERO_DIGEST, media_type::IMAGE, &image.manifest);
    other.assert_error(400, "DIGEST_INVALID");
    assert_eq!(root().tags(&repository), ["v1"]);
    assert_alive();
}
