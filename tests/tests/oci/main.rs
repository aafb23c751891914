//! The OCI dialect of one node, endpoint by endpoint: `specs/oci-registry-api.md`, rows named in comments.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod auth;
mod base;
mod blobs;
mod catalog;
mod conditions;
mod deletes;
mod documents;
mod manifests;
mod mounts;
mod ranges;
mod referrers;
mod tags;
mod uploads;
mod uploads_end;
mod validation;
mod warnings;

use std::sync::OnceLock;

use tests::http::Client;
use tests::{Server, ServerOptions, shared};

/// The node that these tests share.
fn server() -> &'static Server {
    static SERVER: OnceLock<&Server> = OnceLock::new();
    SERVER.get_or_init(|| shared::start(ServerOptions::default()))
}

/// A client with root's password.
fn root() -> Client {
    server().root()
}

/// A client without credentials.
fn anonymous() -> Client {
    server().anonymous()
}
