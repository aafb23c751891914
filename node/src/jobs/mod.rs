//! Work that recurs on its own.

pub(crate) mod cache;
pub(crate) mod janitor;
pub(crate) mod membership;
pub(crate) mod pulls;
pub(crate) mod registration;
pub(crate) mod repair;
pub(crate) mod scrub;
