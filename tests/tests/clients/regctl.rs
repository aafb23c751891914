//! regctl: copies, artifacts, single blobs, and every kind of delete.

use tests::content::{sha256, unique_bytes};
use tests::layout::{Entry, Layout};
use tests::sandbox::Sandbox;

use crate::{setup, stranger};

fn disable_tls(sandbox: &Sandbox) {
    // Without the check, which has no credentials yet.
    sandbox.run("regctl", &["registry", "set", "--skip-check", "--tls", "disabled", sandbox.host()]);
}

fn log_in(sandbox: &Sandbox) {
    disable_tls(sandbox);
    let arguments = ["registry", "login", sandbox.host(), "-u", sandbox.user(), "--pass-stdin"];
    sandbox.log_in("regctl", &arguments).assert_success();
}

#[test]
fn regctl_copies_an_index_there_and_back_unchanged() {
    let (_server, sandbox) = setup();
    log_in(&sandbox);
    let layout = Layout::write(&sandbox.path("layout"), Entry::Index);
    let image = sandbox.at("rg/app:multi");
    sandbox.run("regctl", &["image", "copy", &format!("ocidir://{}:multi", layout.path()), &image]);
    assert_eq!(sandbox.run("regctl", &["manifest", "head", &image]), layout.index);
    let raw =
        sandbox.finish("regctl", &["manifest", "get", "--format", "raw-body", &image], "").assert_success();
    assert_eq!(raw.stdout, layout.blob(&layout.index));
    sandbox.run("regctl", &["image", "copy", &image, &format!("ocidir://{}:multi", sandbox.text("back"))]);
    layout.assert_same_in(&sandbox.path("back"), &layout.index);
    // To another repository: by mounts.
    let copy = sandbox.at("rg/copy:multi");
    sandbox.run("regctl", &["image", "copy", &image, &copy]);
    assert_eq!(sandbox.run("regctl", &["manifest", "head", &copy]), layout.index);
    assert_eq!(sandbox.run("regctl", &["repo", "ls", sandbox.host()]), "rg/app\nrg/copy");
}

#[test]
fn regctl_makes_an_index_and_deletes_tags_and_manifests() {
    let (_server, sandbox) = setup();
    log_in(&sandbox);
    let layout = Layout::write(&sandbox.path("layout"), Entry::Image);
    let (one, index) = (sandbox.at("rg/app:one"), sandbox.at("rg/app:index"));
    sandbox.run("regctl", &["image", "copy", &format!("ocidir://{}:one", layout.path()), &one]);
    sandbox.run("regctl", &["index", "create", &index, "--ref", &one]);
    assert_eq!(sandbox.run("regctl", &["tag", "ls", &sandbox.at("rg/app")]), "index\none");
    sandbox.run("regctl", &["tag", "delete", &index]);
    assert_eq!(sandbox.run("regctl", &["tag", "ls", &sandbox.at("rg/app")]), "one");
    assert_eq!(sandbox.run("regctl", &["manifest", "head", &one]), layout.image);
    sandbox.run("regctl", &["manifest", "delete", "--force-tag-dereference", &one]);
    let said = sandbox.refused("regctl", &["manifest", "head", &one]);
    assert!(said.contains("not found"), "{said}");
    assert_eq!(sandbox.run("regctl", &["tag", "ls", &sandbox.at("rg/app")]), "");
}

#[test]
fn regctl_puts_gets_and_deletes_single_blobs() {
    let (_server, sandbox) = setup();
    log_in(&sandbox);
    let repository = sandbox.at("rg/blobs");
    for size in [0, 1, 5 << 20] {
        let bytes = unique_bytes(size);
        let digest = sha256(&bytes);
        std::fs::write(sandbox.path("work/blob"), &bytes).expect("a file");
        // Standard input is text in this harness, so a shell reads the file.
        let put = format!("regctl blob put {repository} < blob");
        assert_eq!(sandbox.run("sh", &["-c", &put]), digest);
        sandbox.run("regctl", &["blob", "head", &repository, &digest]);
        let got = sandbox.finish("regctl", &["blob", "get", &repository, &digest], "").assert_success();
        assert!(got.stdout == bytes, "{size} bytes came back changed");
        sandbox.run("regctl", &["blob", "delete", &repository, &digest]);
        sandbox.refused("regctl", &["blob", "head", &repository, &digest]);
    }
}

#[test]
fn regctl_lists_an_artifact_of_its_subject() {
    let (server, sandbox) = setup();
    log_in(&sandbox);
    let layout = Layout::write(&sandbox.path("layout"), Entry::Index);
    let image = sandbox.at("rg/app:multi");
    sandbox.run("regctl", &["image", "copy", &format!("ocidir://{}:multi", layout.path()), &image]);
    let put = ["artifact", "put", "--artifact-type", "application/vnd.example.note", "--subject", &image];
    sandbox.finish("regctl", &put, "a note").assert_success();
    let listed = sandbox.run("regctl", &["artifact", "list", &image, "--format", "{{json .Descriptors}}"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed[0]["artifactType"], "application/vnd.example.note", "{listed}");
    assert_eq!(server.root().tags("rg/app"), ["multi"], "a fallback tag: the referrers API was not found");
    let got = sandbox.run("regctl", &["artifact", "get", "--subject", &image]);
    assert_eq!(got, "a note");
}

#[test]
fn regctl_with_a_wrong_password_is_refused() {
    let (server, _) = setup();
    let stranger = stranger(&server);
    disable_tls(&stranger);
    let arguments = ["registry", "login", stranger.host(), "-u", stranger.user(), "--pass-stdin"];
    let said = stranger.log_in("regctl", &arguments).assert_failure().said();
    assert!(said.contains("unauthorized"), "{said}");
    stranger.refused("regctl", &["tag", "ls", &stranger.at("rg/app")]);
}
