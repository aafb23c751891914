//! The official conformance suites of the OCI distribution specification: today's, and that of version 1.1.1.

mod nodes;
mod official;
mod version_1_1;

use tests::{Server, ServerOptions};

/// A node of the test's own.
fn server() -> Server {
    Server::start(ServerOptions::default())
}
