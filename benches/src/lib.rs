//! Measuring Shoal beside other registries: the parts of the `load` tool.
//!
//! Owns an HTTP client that costs little, the workloads, and the figures they give. Speaks to a
//! server only over HTTP, so that every registry is measured by the same code. Only `cluster` starts
//! servers; for the rest `benches/compare` does.

pub mod auth;
pub mod client;
pub mod cluster;
pub mod content;
pub mod drive;
pub mod error;
pub mod process;
pub mod report;
pub mod size;
pub mod workload;

pub use error::LoadError;

#[cfg(test)]
mod drive_test;
