//! (being written)

pub mod content;
pub mod http;
pub mod raw;
pub mod registry;
