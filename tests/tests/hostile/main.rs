//! Hostile inputs, row by row: `specs/hostile-inputs.md`, whose ids stand in comments.
//!
//! After each row the same node serves a normal push and pull ([`assert_alive`]). Rows that need many
//! connections run in moderate numbers; `SHOAL_TEST_FULL=1` asks for the numbers of the specification.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod boot;
mod damage;
mod digests;
mod documents;
mod http2;
mod listing;
mod logs;
mod manifests;
mod messages;
mod names;
mod passwords;
mod slow;
mod tls;
mod tokens;
mod uploads;

use std::sync::OnceLock;

use shoal_tests::content::sha256;
use shoal_tests::http::Client;
use shoal_tests::registry::fresh_repository;
use shoal_tests::{Server, ServerOptions, shared};

/// The node that tests share which leave nothing behind.
fn server() -> &'static Server {
    static SERVER: OnceLock<&Server> = OnceLock::new();
    SERVER.get_or_init(|| shared::start(ServerOptions::default()))
}

/// A node for one test: for limits, figures and damage. Its first login, which costs memory, is done.
fn own_server() -> Server {
    let server = Server::start(ServerOptions::default());
    server.root().get("/v2/").send().assert_status(200);
    server
}

/// A client of the shared node with root's password.
fn root() -> Client {
    server().root()
}

/// A client of the shared node without credentials.
fn anonymous() -> Client {
    server().anonymous()
}

/// Whether rows run in the numbers of the specification.
fn full() -> bool {
    std::env::var_os("SHOAL_TEST_FULL").is_some_and(|value| value == "1")
}

/// Pushes and pulls an image: the shared node still works.
fn assert_alive() {
    assert_serves(&root());
}

/// Pushes and pulls an image.
fn assert_serves(client: &Client) {
    let repository = fresh_repository("alive");
    let image = client.push_image(&repository, "v1");
    let manifest = client.get(format!("/v2/{repository}/manifests/v1")).send();
    manifest.assert_status(200);
    assert_eq!(manifest.body, image.manifest);
    let layer = client.get(format!("/v2/{repository}/blobs/{}", sha256(&image.layer))).send();
    layer.assert_status(200);
    assert_eq!(layer.body, image.layer);
}
