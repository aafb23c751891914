//! Work that recurs on its own.

pub(crate) mod janitor;
