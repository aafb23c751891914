//! The vocabulary that all of Shoal shares: typed ids, documents, wire formats.
//!
//! Everything from outside becomes one of these types at the edge, or an error. This crate never does
//! IO, never knows HTTP and never depends on an async runtime.

pub mod admin;
pub mod arn;
pub mod backup;
pub mod credential;
pub mod digest;
pub mod ecr;
pub mod identity;
pub mod join;
pub mod lifecycle;
pub mod manifest;
pub mod name;
pub mod policy;
pub mod range;
pub mod referrer;
pub mod settings;
pub mod sigv4;
mod strict_json;
pub mod upload;
pub mod wire;
