//! HTTP connections: accepting them, TLS, deadlines, draining, and sending files without copying.
//!
//! Owns sockets. Knows nothing of registries: it hands each request to one service and writes the answer.

pub(crate) mod file_frames;
pub(crate) mod public_url;
pub(crate) mod registry_host;
pub(crate) mod server;
pub(crate) mod stream;
pub(crate) mod tls;
mod tracked;
