//! The official conformance suite of the OCI distribution specification, and what only its older generation asks.

mod before_1_2;
mod official;

use tests::{Server, ServerOptions};

/// A node of the test's own.
fn server() -> Server {
    Server::start(ServerOptions::default())
}
