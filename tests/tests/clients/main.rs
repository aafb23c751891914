//! Real clients, unmodified, against one node each: log in, push, pull, compare, delete; and three of them
//! against all nodes of a cluster.
//!
//! Needs what `tests/install` installs; a missing client fails its tests. What each client does on the wire is
//! in `specs/oci-registry-api.md`, section 12. Every test has a node, a home and content of its own, so all
//! may run at once.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod cosign;
mod crane;
mod ctr;
mod docker;
mod helm;
mod mixed;
mod nodes;
mod oras;
mod podman;
mod regctl;
mod registries;
mod skopeo;

use tests::layout::hello_program;
use tests::sandbox::Sandbox;
use tests::{Server, ServerOptions};

/// A node of the test's own, and a home for clients that know its password.
fn setup() -> (Server, Sandbox) {
    let server = Server::start(ServerOptions::default());
    let sandbox = Sandbox::new(&server);
    (server, sandbox)
}

/// A home for clients that have the password wrong.
fn stranger(server: &Server) -> Sandbox {
    Sandbox::with_password(server, "not the password")
}

/// Writes a folder from which `docker build` and `podman build` make an image that greets. No two are equal.
fn write_build_context(sandbox: &Sandbox) -> String {
    let folder = sandbox.path("context");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes);
    std::fs::create_dir_all(&folder).expect("a folder");
    write("hello", hello_program().expect("a program")).expect("a file");
    write("unique", sandbox.text("").as_bytes()).expect("a file");
    // Both builders refuse a program that nobody may execute, and keep the mode they find.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.join("hello"), mode).expect("permissions");
    // The second layer is empty: a folder that is there already.
    let recipe = "FROM scratch\nCOPY hello unique /\nWORKDIR /\nLABEL area=clients\nCMD [\"/hello\"]\n";
    write("Dockerfile", recipe.as_bytes()).expect("a file");
    sandbox.text("context")
}
