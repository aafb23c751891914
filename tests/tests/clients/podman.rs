//! podman, which brings buildah: builds, manifest lists, zstd.

use tests::content::media_type;
use tests::layout::GREETING;
use tests::sandbox::Sandbox;

use crate::{setup, stranger, write_build_context};

fn log_in(sandbox: &Sandbox) {
    let arguments = ["login", "--tls-verify=false", "-u", sandbox.user(), "--password-stdin", sandbox.host()];
    sandbox.log_in("podman", &arguments).assert_success();
}

/// Builds an image named `name`.
fn build(sandbox: &Sandbox, name: &str) {
    let context = write_build_context(sandbox);
    sandbox.run("podman", &["build", "-q", "--isolation=chroot", "-t", name, &context]);
}

/// Pushes and returns the digest that podman says the registry has now.
fn push(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let file = sandbox.text("digest");
    let (verb, rest) = if arguments[0] == "manifest" { (2, &arguments[2..]) } else { (1, &arguments[1..]) };
    sandbox.run("podman", &[&arguments[..verb], &["-q", "--digestfile", &file], rest].concat());
    std::fs::read_to_string(&file).expect("a digest").trim().to_owned()
}

#[test]
fn podman_builds_pushes_removes_pulls_and_runs_an_image() {
    let (server, sandbox) = setup();
    log_in(&sandbox);
    let image = sandbox.at("team/pod:v1");
    build(&sandbox, &image);
    let digest = push(&sandbox, &["push", &image]);
    let root = server.root();
    let held = root.head("/v2/team/pod/manifests/v1").send();
    assert_eq!(held.assert_status(200).header("docker-content-digest"), Some(digest.as_str()));

    sandbox.run("podman", &["rmi", "-af"]);
    sandbox.refused("podman", &["inspect", "--type", "image", &image]);
    sandbox.run("podman", &["pull", "-q", &image]);
    assert_eq!(sandbox.run("podman", &["inspect", "--type", "image", "-f", "{{.Digest}}", &image]), digest);
    assert_eq!(sandbox.run("podman", &["run", "--rm", "--network", "none", &image]), GREETING);

    root.delete(format!("/v2/team/pod/manifests/{digest}")).send().assert_status(202);
    sandbox.run("podman", &["rmi", "-af"]);
    let said = sandbox.refused("podman", &["pull", "-q", &image]);
    assert!(said.contains("manifest unknown"), "{said}");
}

#[test]
fn podman_pushes_zstd_layers_and_runs_them_again() {
    let (server, sandbox) = setup();
    log_in(&sandbox);
    let image = sandbox.at("team/zstd:v1");
    build(&sandbox, &image);
    push(&sandbox, &["push", "--compression-format", "zstd", "-f", "oci", &image]);
    let manifest = server.root().get("/v2/team/zstd/manifests/v1").send();
    assert_eq!(manifest.header("content-type"), Some(media_type::IMAGE));
    for layer in manifest.json()["layers"].as_array().expect("layers") {
        assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd", "{}", manifest.text());
    }
    sandbox.run("podman", &["rmi", "-af"]);
    assert_eq!(sandbox.run("podman", &["run", "-q", "--rm", "--network", "none", &image]), GREETING);
}

#[test]
fn podman_pushes_a_manifest_list_and_pulls_this_platform_from_it() {
    let (server, sandbox) = setup();
    log_in(&sandbox);
    let (image, list) = (sandbox.at("team/pod:v1"), sandbox.at("team/pod:list"));
    build(&sandbox, &image);
    push(&sandbox, &["push", &image]);
    sandbox.run("podman", &["manifest", "create", &list]);
    sandbox.run("podman", &["manifest", "add", &list, &image]);
    let digest = push(&sandbox, &["manifest", "push", "--all", &list, &format!("docker://{list}")]);
    let held = server.root().get(format!("/v2/team/pod/manifests/{digest}")).send();
    assert_eq!(held.assert_status(200).header("content-type"), Some(media_type::INDEX));
    assert_eq!(server.root().tags("team/pod"), ["list", "v1"]);
    let listed =
        sandbox.run("podman", &["search", "--list-tags", "--tls-verify=false", &sandbox.at("team/pod")]);
    assert!(listed.contains("list") && listed.contains("v1"), "{listed}");

    sandbox.run("podman", &["rmi", "-af"]);
    assert_eq!(sandbox.run("podman", &["run", "-q", "--rm", "--network", "none", &list]), GREETING);
}

#[test]
fn podman_with_a_wrong_password_is_refused() {
    let (server, _) = setup();
    let stranger = stranger(&server);
    let arguments =
        ["login", "--tls-verify=false", "-u", stranger.user(), "--password-stdin", stranger.host()];
    let said = stranger.log_in("podman", &arguments).assert_failure().said();
    assert!(said.contains("invalid username/password"), "{said}");
    stranger.refused("podman", &["pull", "-q", &stranger.at("team/pod:v1")]);
}
