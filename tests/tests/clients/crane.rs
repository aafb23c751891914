//! crane: the library that ko, kaniko and cosign use too.

use std::path::Path;

use tests::content::{media_type, unique_bytes};
use tests::layout::{Entry, Layout, tar};
use tests::sandbox::Sandbox;

use crate::{setup, stranger};

fn log_in(sandbox: &Sandbox) {
    let arguments = ["auth", "login", sandbox.host(), "-u", sandbox.user(), "--password-stdin"];
    sandbox.log_in("crane", &arguments).assert_success();
}

/// Adds a layer of its own to the image `base` and pushes that as `name`.
fn append(sandbox: &Sandbox, base: &str, name: &str) {
    let layer = sandbox.text("layer.tar");
    std::fs::write(&layer, tar(&[("more", 0o644, &unique_bytes(4096))])).expect("a file");
    sandbox.run("crane", &["append", "-b", base, "-f", &layer, "-t", name]);
}

#[test]
fn crane_pushes_an_image_and_pulls_it_back_unchanged() {
    let (_server, sandbox) = setup();
    log_in(&sandbox);
    let layout = Layout::write(&sandbox.path("layout"), Entry::Image);
    let image = sandbox.at("cr/app:one");
    let pushed = sandbox.run("crane", &["push", &layout.path(), &image]);
    assert_eq!(pushed, sandbox.at(&format!("cr/app@{}", layout.image)));
    assert_eq!(sandbox.run("crane", &["digest", &image]), layout.image);
    sandbox.run("crane", &["pull", "--format", "oci", &image, &sandbox.text("back")]);
    layout.assert_same_in(&sandbox.path("back"), &layout.image);
    sandbox.run("crane", &["validate", "--remote", &image]);
}

#[test]
fn crane_makes_an_index_copies_it_by_mounts_and_deletes_it() {
    let (server, sandbox) = setup();
    log_in(&sandbox);
    let layout = Layout::write(&sandbox.path("layout"), Entry::Image);
    let (one, two, multi) = (sandbox.at("cr/app:one"), sandbox.at("cr/app:two"), sandbox.at("cr/app:multi"));
    sandbox.run("crane", &["push", &layout.path(), &one]);
    append(&sandbox, &one, &two);
    sandbox.run("crane", &["index", "append", "-m", &one, "-m", &two, "-t", &multi]);
    sandbox.run("crane", &["validate", "--remote", &multi]);
    let manifest = server.root().get("/v2/cr/app/manifests/multi").send();
    assert_eq!(manifest.header("content-type"), Some(media_type::INDEX));

    let copy = sandbox.at("cr/copy:multi");
    let said = sandbox.finish("crane", &["copy", &multi, &copy], "").assert_success().said();
    assert!(said.contains("mounted blob") && !said.contains("pushed blob"), "{said}");
    sandbox.run("crane", &["validate", "--remote", &copy]);
    sandbox.run("crane", &["tag", &one, "three"]);
    assert_eq!(sandbox.run("crane", &["ls", &sandbox.at("cr/app")]), "multi\none\nthree\ntwo");
    assert_eq!(sandbox.run("crane", &["catalog", sandbox.host()]), "cr/app\ncr/copy");

    let digest = sandbox.run("crane", &["digest", &multi]);
    sandbox.run("crane", &["delete", &sandbox.at(&format!("cr/app@{digest}"))]);
    let said = sandbox.refused("crane", &["manifest", &multi]);
    assert!(said.contains("MANIFEST_UNKNOWN"), "{said}");
    sandbox.run("crane", &["delete", &two]);
    assert_eq!(sandbox.run("crane", &["ls", &sandbox.at("cr/app")]), "one\nthree");
    sandbox.run("crane", &["validate", "--remote", &copy]);
}

#[test]
fn crane_pushes_a_layout_with_an_index_and_an_empty_layer() {
    let (_server, sandbox) = setup();
    log_in(&sandbox);
    let layout = Layout::write(&sandbox.path("layout"), Entry::Index);
    let image = sandbox.at("cr/list:v1");
    sandbox.run("crane", &["push", "--index", &layout.path(), &image]);
    let outer = sandbox.run("crane", &["manifest", &image]);
    assert!(outer.contains(&layout.index), "{outer}");
    let by_digest = sandbox.at(&format!("cr/list@{}", layout.index));
    let inner = sandbox.finish("crane", &["manifest", &by_digest], "").assert_success();
    assert_eq!(inner.text().as_bytes(), layout.blob(&layout.index));
    sandbox.run("crane", &["pull", "--format", "oci", &by_digest, &sandbox.text("back")]);
    layout.assert_same_in(Path::new(&sandbox.path("back")), &layout.index);
}

#[test]
fn crane_with_a_wrong_password_is_refused() {
    let (server, sandbox) = setup();
    let layout = Layout::write(&sandbox.path("layout"), Entry::Image);
    let stranger = stranger(&server);
    // crane stores what it is given and asks no one.
    log_in(&stranger);
    for arguments in
        [&["push", &layout.path(), &stranger.at("cr/app:one")][..], &["ls", &stranger.at("cr/app")]]
    {
        let said = stranger.refused("crane", arguments);
        assert!(said.contains("UNAUTHORIZED") || said.contains("401"), "{said}");
    }
    // Without any credentials.
    sandbox.refused("crane", &["ls", &sandbox.at("cr/app")]);
}
