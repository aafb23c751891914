//! cosign: signatures beside an image, under a tag (version 2's way) and as referrers (version 3's).
//!
//! Without any service: no transparency log, no time stamps, an empty root of trust. cosign talks to the
//! registry only.

use tests::Server;
use tests::layout::{Entry, Layout};
use tests::sandbox::Sandbox;

use crate::{setup, stranger};

/// Arguments of both ways: sign, verify.
const TAG_MODE: [&[&str]; 2] = [
    &["--tlog-upload=false", "--use-signing-config=false", "--new-bundle-format=false"],
    &["--new-bundle-format=false"],
];
const REFERRERS_MODE: [&[&str]; 2] =
    [&["--signing-config", "services.json", "--trusted-root", "root.json"], &[]];

/// Logs in, makes keys, pushes an image and returns its name by digest.
fn prepare(sandbox: &Sandbox) -> (Layout, String) {
    sandbox.run("cosign", &["login", sandbox.host(), "-u", sandbox.user(), "-p", sandbox.password()]);
    sandbox.run("cosign", &["generate-key-pair"]);
    sandbox.run("cosign", &["signing-config", "create", "--out", "services.json"]);
    sandbox.run("cosign", &["trusted-root", "create", "--out", "root.json"]);
    let layout = Layout::write(&sandbox.path("layout"), Entry::Image);
    sandbox.run("crane", &["push", &layout.path(), &sandbox.at("co/app:one")]);
    let image = sandbox.at(&format!("co/app@{}", layout.image));
    (layout, image)
}

fn sign(sandbox: &Sandbox, mode: [&[&str]; 2], image: &str) {
    let fixed = ["sign", "--key", "cosign.key", "--allow-http-registry", "-y"];
    sandbox.run("cosign", &[&fixed, mode[0], &[image]].concat());
}

fn verify_arguments<'a>(mode: [&'a [&'a str]; 2], image: &'a str) -> Vec<&'a str> {
    let fixed = ["verify", "--key", "cosign.pub", "--allow-http-registry", "--insecure-ignore-tlog"];
    [&fixed, mode[1], &[image]].concat()
}

/// Signs twice, verifies, removes the signatures and finds none any more.
fn sign_verify_and_clean(server: &Server, sandbox: &Sandbox, mode: [&[&str]; 2]) -> Layout {
    let (layout, image) = prepare(sandbox);
    let said = sandbox.refused("cosign", &verify_arguments(mode, &image));
    assert!(said.contains("no signatures found"), "{said}");
    // Twice: in tag mode the second signature changes the tag.
    sign(sandbox, mode, &image);
    sign(sandbox, mode, &image);
    let verified = sandbox.run("cosign", &verify_arguments(mode, &image));
    assert!(verified.contains(&layout.image), "{verified}");
    let tree =
        sandbox.finish("cosign", &["tree", "--allow-http-registry", &image], "").assert_success().said();
    assert!(tree.contains("co/app"), "{tree}");
    server.root().head("/v2/co/app/manifests/one").send().assert_status(200);
    layout
}

fn clean(sandbox: &Sandbox, mode: [&[&str]; 2], layout: &Layout) {
    let image = sandbox.at(&format!("co/app@{}", layout.image));
    sandbox.run("cosign", &["clean", "--allow-http-registry", "-f", "--type", "all", &image]);
    let said = sandbox.refused("cosign", &verify_arguments(mode, &image));
    assert!(said.contains("no signatures found"), "{said}");
}

#[test]
fn cosign_signs_and_verifies_through_a_tag() {
    let (server, sandbox) = setup();
    let layout = sign_verify_and_clean(&server, &sandbox, TAG_MODE);
    let tag = format!("{}.sig", layout.image.replacen(':', "-", 1));
    assert_eq!(server.root().tags("co/app"), ["one".to_owned(), tag]);
    clean(&sandbox, TAG_MODE, &layout);
    assert_eq!(server.root().tags("co/app"), ["one"]);
}

#[test]
fn cosign_signs_and_verifies_through_referrers() {
    let (server, sandbox) = setup();
    let layout = sign_verify_and_clean(&server, &sandbox, REFERRERS_MODE);
    assert_eq!(server.root().tags("co/app"), ["one"], "a fallback tag: the referrers API was not found");
    let referrers = server.root().referrers("co/app", &layout.image);
    assert_eq!(referrers.len(), 2, "{referrers:?}");
    for referrer in &referrers {
        let kind = referrer["artifactType"].as_str().unwrap_or_default();
        assert!(kind.starts_with("application/vnd.dev.sigstore.bundle"), "{referrer}");
    }
    clean(&sandbox, REFERRERS_MODE, &layout);
    assert_eq!(server.root().referrers("co/app", &layout.image), Vec::<serde_json::Value>::new());
}

#[test]
fn cosign_verifies_no_image_that_others_signed() {
    let (_server, sandbox) = setup();
    let (_, image) = prepare(&sandbox);
    sign(&sandbox, REFERRERS_MODE, &image);
    // Another pair of keys takes the place of the first.
    for file in ["cosign.key", "cosign.pub"] {
        std::fs::remove_file(sandbox.path("work").join(file)).expect("a key");
    }
    sandbox.run("cosign", &["generate-key-pair"]);
    sandbox.refused("cosign", &verify_arguments(REFERRERS_MODE, &image));
}

#[test]
fn cosign_with_a_wrong_password_is_refused() {
    let (server, sandbox) = setup();
    let (_, image) = prepare(&sandbox);
    sign(&sandbox, REFERRERS_MODE, &image);
    let stranger = stranger(&server);
    std::fs::copy(sandbox.path("work/cosign.pub"), stranger.path("work/cosign.pub")).expect("a key");
    // It stores what it is given and asks no one.
    stranger.run("cosign", &["login", stranger.host(), "-u", stranger.user(), "-p", stranger.password()]);
    let said = stranger.refused("cosign", &verify_arguments(REFERRERS_MODE, &image));
    assert!(said.contains("UNAUTHORIZED") || said.contains("401"), "{said}");
}
