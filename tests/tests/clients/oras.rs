//! oras: artifacts, and artifacts about artifacts.

use serde_json::Value;
use tests::content::unique_bytes;
use tests::sandbox::Sandbox;

use crate::{setup, stranger};

const THING: &str = "application/vnd.example.thing";
const REPORT: &str = "application/vnd.example.report+json";

fn log_in(sandbox: &Sandbox) {
    let arguments = ["login", "--plain-http", "-u", sandbox.user(), "--password-stdin", sandbox.host()];
    sandbox.log_in("oras", &arguments).assert_success();
}

/// Pushes a thing as `name` and returns its bytes and the digest of its manifest.
fn push_thing(sandbox: &Sandbox, name: &str) -> (Vec<u8>, String) {
    let bytes = unique_bytes(100_000);
    std::fs::write(sandbox.path("work/thing"), &bytes).expect("a file");
    sandbox.run(
        "oras",
        &["push", "--plain-http", "--artifact-type", THING, name, "thing:application/octet-stream"],
    );
    (bytes, digest_of(sandbox, name))
}

fn digest_of(sandbox: &Sandbox, name: &str) -> String {
    let descriptor = sandbox.run("oras", &["manifest", "fetch", "--plain-http", "--descriptor", name]);
    let descriptor: Value = serde_json::from_str(&descriptor).expect("JSON");
    descriptor["digest"].as_str().expect("a digest").to_owned()
}

/// Attaches a report to `name`.
fn attach_report(sandbox: &Sandbox, name: &str) {
    std::fs::write(sandbox.path("work/report.json"), "{\"findings\":[]}").expect("a file");
    sandbox.run(
        "oras",
        &["attach", "--plain-http", "--artifact-type", REPORT, name, "report.json:application/json"],
    );
}

/// Types and digests of what is attached to `name`.
fn attached(sandbox: &Sandbox, name: &str) -> Vec<(String, String)> {
    let found = sandbox.run("oras", &["discover", "--plain-http", "--format", "json", name]);
    let found: Value = serde_json::from_str(&found).expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let referrers = found["referrers"].as_array().cloned().unwrap_or_default();
    referrers.iter().map(|referrer| (text(&referrer["artifactType"]), text(&referrer["digest"]))).collect()
}

#[test]
fn oras_pushes_an_artifact_and_pulls_it_back_unchanged() {
    let (server, sandbox) = setup();
    log_in(&sandbox);
    let image = sandbox.at("or/art:v1");
    let (bytes, digest) = push_thing(&sandbox, &image);
    let held = server.root().get("/v2/or/art/manifests/v1").send();
    assert_eq!(held.header("docker-content-digest"), Some(digest.as_str()));
    assert_eq!(held.json()["artifactType"], THING);
    sandbox.run("oras", &["pull", "--plain-http", "-o", &sandbox.text("back"), &image]);
    assert!(
        std::fs::read(sandbox.path("back/thing")).expect("a file") == bytes,
        "the thing came back changed"
    );
    assert_eq!(sandbox.run("oras", &["repo", "ls", "--plain-http", sandbox.host()]), "or/art");

    sandbox.run("oras", &["manifest", "delete", "--plain-http", "-f", &image]);
    let said = sandbox.refused("oras", &["manifest", "fetch", "--plain-http", &image]);
    assert!(said.contains("not found"), "{said}");
}

#[test]
fn oras_attaches_a_report_and_discovers_it_through_the_referrers_api() {
    let (server, sandbox) = setup();
    log_in(&sandbox);
    let image = sandbox.at("or/art:v1");
    let (_, digest) = push_thing(&sandbox, &image);
    assert_eq!(attached(&sandbox, &image), []);
    attach_report(&sandbox, &image);
    let found = attached(&sandbox, &image);
    assert_eq!(found.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(), [REPORT]);
    // A client that misses the referrers API writes a tag in its place.
    assert_eq!(sandbox.run("oras", &["repo", "tags", "--plain-http", &sandbox.at("or/art")]), "v1");
    let referrers = server.root().referrers("or/art", &digest);
    assert_eq!(referrers.len(), 1, "{referrers:?}");
    assert_eq!(referrers[0]["digest"], found[0].1.as_str());

    // With all that is attached, to another repository.
    let copy = sandbox.at("or/copy:v1");
    sandbox.run("oras", &["cp", "-r", "--from-plain-http", "--to-plain-http", &image, &copy]);
    assert_eq!(attached(&sandbox, &copy), found);

    let report = sandbox.at(&format!("or/art@{}", found[0].1));
    sandbox.run("oras", &["manifest", "delete", "--plain-http", "-f", &report]);
    assert_eq!(attached(&sandbox, &image), []);
    assert_eq!(attached(&sandbox, &copy), found);
}

#[test]
fn oras_with_a_wrong_password_is_refused() {
    let (server, _) = setup();
    let stranger = stranger(&server);
    let arguments = ["login", "--plain-http", "-u", stranger.user(), "--password-stdin", stranger.host()];
    let said = stranger.log_in("oras", &arguments).assert_failure().said().to_lowercase();
    assert!(said.contains("unauthorized") || said.contains("401"), "{said}");
    stranger.refused("oras", &["repo", "tags", "--plain-http", &stranger.at("or/art")]);
}
