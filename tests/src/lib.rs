//! Shoal under test as a process: start it, talk to it byte by byte or politely, and look at it from outside.
//!
//! Used by the tests in `tests/` only, so a step that cannot be done fails the test at once.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

pub mod amazon;
pub mod balancer;
pub mod cgroup;
pub mod cluster;
pub mod content;
pub mod files;
pub mod fsync;
pub mod history;
pub mod http;
pub mod journal;
pub mod layout;
pub mod load;
pub mod namespace;
pub mod pause;
pub mod principal;
pub mod process;
pub mod raw;
pub mod raw_stream;
pub mod register;
pub mod register_load;
pub mod registry;
pub mod rogue;
pub mod sandbox;
pub mod server;
pub mod shared;
pub mod signed;
pub mod tls;
pub mod usage;
pub mod volume;
pub mod wait;

pub use server::{Server, ServerOptions};
pub use wait::wait_until;
