//! HTTP dialects over one set of use cases.

pub(crate) mod admin;
pub(crate) mod body;
pub(crate) mod ecr;
pub(crate) mod oci;
