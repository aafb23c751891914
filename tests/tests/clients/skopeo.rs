//! skopeo: copies between layouts and the registry, compression on the way, deletes.

use tests::layout::{Compression, Entry, Layout};
use tests::sandbox::Sandbox;

use crate::{setup, stranger};

fn log_in(sandbox: &Sandbox) {
    let arguments = ["login", "--tls-verify=false", "-u", sandbox.user(), "--password-stdin", sandbox.host()];
    sandbox.log_in("skopeo", &arguments).assert_success();
}

/// Copies without changing anything on the way.
fn copy(sandbox: &Sandbox, more: &[&str], from: &str, to: &str) {
    let fixed = ["--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false"];
    sandbox.run("skopeo", &[&fixed, more, &[from, to]].concat());
}

#[test]
fn skopeo_copies_an_index_there_and_back_unchanged() {
    let (server, sandbox) = setup();
    log_in(&sandbox);
    let layout = Layout::write(&sandbox.path("layout"), Entry::Index);
    let image = format!("docker://{}", sandbox.at("sk/app:multi"));
    let local = format!("oci:{}:multi", layout.path());
    copy(&sandbox, &["--all", "--preserve-digests"], &local, &image);
    let held = server.root().head("/v2/sk/app/manifests/multi").send();
    assert_eq!(held.header("docker-content-digest"), Some(layout.index.as_str()));

    let back = format!("oci:{}:multi", sandbox.text("back"));
    copy(&sandbox, &["--all", "--preserve-digests"], &image, &back);
    layout.assert_same_in(&sandbox.path("back"), &layout.index);
    // To another repository: skopeo asks for mounts.
    let other = format!("docker://{}", sandbox.at("sk/other:multi"));
    copy(&sandbox, &["--all", "--preserve-digests"], &image, &other);
    let raw =
        sandbox.finish("skopeo", &["inspect", "--raw", "--tls-verify=false", &other], "").assert_success();
    assert_eq!(raw.stdout, layout.blob(&layout.index));
}

#[test]
fn skopeo_pushes_zstd_layers_and_gets_them_back() {
    let (server, sandbox) = setup();
    log_in(&sandbox);
    let layout = Layout::write_with(&sandbox.path("layout"), Entry::Image, Compression::Plain);
    let image = format!("docker://{}", sandbox.at("sk/zstd:v1"));
    let local = format!("oci:{}:one", layout.path());
    copy(&sandbox, &["--dest-compress-format", "zstd", "--format", "oci"], &local, &image);
    let manifest = server.root().get("/v2/sk/zstd/manifests/v1").send().json();
    let layers = manifest["layers"].as_array().expect("layers").clone();
    assert_eq!(layers.len(), 2);
    for layer in &layers {
        assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd", "{manifest}");
    }
    copy(&sandbox, &["--preserve-digests"], &image, &format!("oci:{}:one", sandbox.text("back")));
    for layer in &layers {
        let digest = layer["digest"].as_str().expect("a digest");
        let held = server.root().get(format!("/v2/sk/zstd/blobs/{digest}")).send();
        let pulled = std::fs::read(sandbox.path("back").join("blobs").join(digest.replacen(':', "/", 1)));
        assert!(held.body == pulled.expect("a layer"), "{digest} came back changed");
    }
}

#[test]
fn skopeo_deletes_what_a_tag_names() {
    let (_server, sandbox) = setup();
    log_in(&sandbox);
    let layout = Layout::write(&sandbox.path("layout"), Entry::Index);
    let local = format!("oci:{}:multi", layout.path());
    let repository = format!("docker://{}", sandbox.at("sk/app"));
    copy(&sandbox, &["--all", "--preserve-digests"], &local, &format!("{repository}:multi"));
    copy(&sandbox, &["--preserve-digests"], &local, &format!("{repository}:one"));
    sandbox.run("skopeo", &["delete", "--tls-verify=false", &format!("{repository}:multi")]);
    sandbox.refused("skopeo", &["inspect", "--raw", "--tls-verify=false", &format!("{repository}:multi")]);
    sandbox.run("skopeo", &["inspect", "--raw", "--tls-verify=false", &format!("{repository}:one")]);
    let tags = sandbox.run("skopeo", &["list-tags", "--tls-verify=false", &repository]);
    let tags: serde_json::Value = serde_json::from_str(&tags).expect("JSON");
    assert_eq!(tags["Tags"], serde_json::json!(["one"]));
}

#[test]
fn skopeo_with_a_wrong_password_is_refused() {
    let (server, _) = setup();
    let stranger = stranger(&server);
    let arguments =
        ["login", "--tls-verify=false", "-u", stranger.user(), "--password-stdin", stranger.host()];
    let said = stranger.log_in("skopeo", &arguments).assert_failure().said();
    assert!(said.contains("invalid username/password"), "{said}");
    let image = format!("docker://{}", stranger.at("sk/app:one"));
    stranger.refused("skopeo", &["inspect", "--tls-verify=false", &image]);
}
