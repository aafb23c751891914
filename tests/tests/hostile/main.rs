//! Hostile inputs, row by row: `specs/hostile-inputs.md`, whose ids stand in comments.
//!
//! After each row the same node serves a normal push and pull ([`assert_alive`]). Rows that need many
//! connections run in moderate numbers; `SHOAL_TEST_FULL=1` asks for the numbers of the specification. Rows
//! that wait for the server's clock are in the binary `patience`.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod blobs;
mod boot;
mod claims;
mod damage;
mod digests;
mod documents;
mod framing;
mod http2;
mod listing;
mod logs;
mod manifests;
mod messages;
mod names;
mod passwords;
mod peer_port;
mod references;
mod routes;
mod scopes;
mod silence;
mod tls;
mod tokens;
mod uploads;

use std::sync::OnceLock;

use tests::http::Client;
use tests::{Server, ServerOptions, shared};

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

/// Pushes and pulls an image: the shared node still works.
fn assert_alive() {
    root().assert_serves();
}
