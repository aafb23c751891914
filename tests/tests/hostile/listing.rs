//! Lists: section 4 of `specs/hostile-inputs.md`.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use crate::{anonymous, assert_alive, own_server, root};
use tests::content::{self, ZERO_DIGEST, media_type};
use tests::http::Client;
use tests::registry::{Image, fresh_repository, is_full_run};

#[test]
fn page_sizes_allocate_nothing() {
    // XL1, S2
    let server = own_server();
    let client = server.root();
    let repository = fresh_repository("listing");
    let image = client.push_image(&repository, "v1");
    let before = server.usage();
    for path in [
        "_catalog".to_owned(),
        format!("{repository}/tags/list"),
        format!("{repository}/referrers/{}", image.digest),
    ] {
        for size in [
            "100000000000",
            "9223372036854775808",
            "18446744073709551616",
            "-1",
            "abc",
            "1e9",
            "",
            "0x10",
            "%00",
            "%F0%9F%90%9F",
            "1&n=2",
        ] {
            let began = Instant::now();
            let answer = client.get(format!("/v2/{path}?n={size}")).send();
            assert!(matches!(answer.status, 200 | 400), "{path}?n={size}: {}", answer.status);
            assert!(began.elapsed() < Duration::from_secs(2));
        }
    }
    let after = server.usage();
    assert!(after.memory < before.memory + (16 << 20), "{before:?} {after:?}");
    client.assert_serves();
}

#[test]
fn lists_are_for_those_who_may_read() {
    // XL2, S14
    let (mine, theirs) = (fresh_repository("listing"), fresh_repository("listing"));
    root().push_image(&mine, "v1");
    root().push_image(&theirs, "v1");
    let narrow = Client::bearer(root().host(), &root().token(&[&format!("repository:{mine}:pull")]));
    for client in [anonymous(), narrow] {
        for path in [
            "_catalog".to_owned(),
            format!("{theirs}/tags/list"),
            format!("{theirs}/referrers/{ZERO_DIGEST}"),
        ] {
            let answer = client.get(format!("/v2/{path}")).send();
            answer.assert_error(401, "UNAUTHORIZED");
            assert!(!answer.text().contains(&theirs) && answer.header("link").is_none());
        }
    }
    assert_alive();
}

#[test]
fn an_open_registry_lists_but_does_not_take() {
    // XL2 with anonymous pull: readable means listed, and nothing more
    let server = tests::Server::start(tests::ServerOptions { anonymous_pull: true, ..Default::default() });
    let repository = fresh_repository("listing");
    let image = server.root().push_image(&repository, "v1");
    // As docker does: no credentials, then an anonymous token.
    let scope = format!("repository:{repository}:pull,push,delete");
    let token = server.anonymous().token(&[&scope, "registry:catalog:*"]);
    let stranger = Client::bearer(server.host(), &token);
    assert_eq!(stranger.get(format!("/v2/{repository}/manifests/v1")).send().body, image.manifest);
    assert_eq!(stranger.tags(&repository), ["v1"]);
    for answer in [
        stranger.post(format!("/v2/{repository}/blobs/uploads/")).send(),
        stranger.put(format!("/v2/{repository}/manifests/v2")).body(image.manifest.clone()).send(),
        stranger.delete(format!("/v2/{repository}/manifests/v1")).send(),
        server.anonymous().post(format!("/v2/{repository}/blobs/uploads/")).send(),
        server.anonymous().get("/v2/").send(),
    ] {
        answer.assert_error(401, "UNAUTHORIZED");
    }
}

#[test]
fn a_place_to_go_on_from_is_taken_as_text() {
    // XL3, S36
    let repository = fresh_repository("listing");
    let image = root().push_image(&repository, "m");
    root().put_image(&repository, "n", &image.manifest);
    for last in [
        "..%2f..%2fx",
        "%00",
        "'%20OR%201=1--",
        ".*",
        "%5b",
        "zz",
        "M%FF",
        "%0d%0aX-Evil:%201",
        "%F0%9F%90%9F",
        "%",
        "a".repeat(7000).as_str(),
    ] {
        for path in [format!("{repository}/tags/list"), "_catalog".to_owned()] {
            let answer = root().get(format!("/v2/{path}?n=1&last={last}")).send();
            assert!(matches!(answer.status, 200 | 400), "{path} {last}: {}", answer.status);
            assert_eq!(answer.header("x-evil"), None);
        }
    }
    let huge = root().get(format!("/v2/{repository}/tags/list?last={}", "a".repeat(1 << 20))).try_send();
    assert!(huge.map_or(true, |answer| matches!(answer.status, 414 | 431)));
    assert_alive();
}

#[test]
fn artifact_types_are_compared_as_text() {
    // XL5
    let image = Image::new(&fresh_repository("listing"));
    root().push_blobs_of(&image);
    let mut document = content::image(&image.config, &[]);
    document["subject"] = content::descriptor(media_type::IMAGE, b"absent");
    document["artifactType"] = serde_json::json!("application/x+json");
    root().put_image(&image.repository, "r", &content::bytes_of(&document));
    let digest = content::sha256(b"absent");
    for (value, count) in [
        ("*", 0),
        ("application/*", 0),
        (".*", 0),
        ("application/x%2Bjson", 1),
        ("APPLICATION/X%2BJSON", 0),
        ("%00", 0),
        ("%FF", 0),
    ] {
        let answer =
            root().get(format!("/v2/{}/referrers/{digest}?artifactType={value}", image.repository)).send();
        if answer.status == 200 {
            assert_eq!(answer.json()["manifests"].as_array().map(Vec::len), Some(count), "{value}");
        } else {
            answer.assert_refused(&[400]);
        }
    }
    let long = root()
        .get(format!("/v2/{}/referrers/{digest}?artifactType={}", image.repository, "a".repeat(64 << 10)))
        .try_send();
    assert!(long.map_or(true, |answer| matches!(answer.status, 400 | 414 | 431)));
    assert_alive();
}

#[test]
fn thousands_of_tags_are_listed_by_many_during_deletes() {
    // XL7: a million in the full run takes too long for one node; 100,000 do
    let server = own_server();
    let client = server.root();
    let image = Image::new(&fresh_repository("listing"));
    client.push_blobs_of(&image);
    let count = if is_full_run() { 100_000 } else { 3_000 };
    let tags: Vec<String> = (0..count).map(|number| format!("t{number:07}")).collect();
    for part in tags.chunks(10) {
        let query: Vec<String> = part.iter().map(|tag| format!("tag={tag}")).collect();
        let reference = format!("{}?{}", image.digest, query.join("&"));
        client
            .put_manifest(&image.repository, &reference, media_type::IMAGE, &image.manifest)
            .assert_status(201);
    }
    let list = || {
        let mut found = Vec::new();
        let mut target = Some(format!("/v2/{}/tags/list?n=500", image.repository));
        while let Some(page) = target {
            let answer = client.get(page).send();
            answer.assert_status(200);
            found.extend(answer.strings("tags"));
            target = answer.next_page();
        }
        found
    };
    let before = server.usage();
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let found = list();
                let unique: BTreeSet<&String> = found.iter().collect();
                assert_eq!(unique.len(), found.len(), "doubled");
                // Only even tags are deleted meanwhile.
                let odd = found.iter().filter(|tag| tag.ends_with(['1', '3', '5', '7', '9'])).count();
                assert_eq!(odd, count / 2, "lost");
            });
        }
        scope.spawn(|| {
            for tag in tags.iter().step_by(2).take(150) {
                client.delete(format!("/v2/{}/manifests/{tag}", image.repository)).send().assert_status(202);
            }
        });
    });
    assert_eq!(list().len(), count - 150);
    let after = server.usage();
    assert!(after.memory < before.memory + (64 << 20), "{before:?} {after:?}");
    client.assert_serves();
}

#[test]
fn a_right_ends_where_the_name_ends() {
    // XL8: a sibling that shares the prefix
    let repository = fresh_repository("listing");
    for name in [repository.clone(), format!("{repository}-secret"), format!("{repository}/secret")] {
        root().push_image(&name, "v1");
    }
    let client = Client::bearer(root().host(), &root().token(&[&format!("repository:{repository}:pull")]));
    assert_eq!(client.tags(&repository), ["v1"]);
    for suffix in ["-secret", "/secret", "%00", "*"] {
        let answer = client.get(format!("/v2/{repository}{suffix}/tags/list")).send();
        answer.assert_refused(&[400, 401]);
    }
    assert_alive();
}
