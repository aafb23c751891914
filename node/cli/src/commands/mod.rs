//! The commands, a file per noun.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod blob;
pub(crate) mod group;
pub(crate) mod iam;
pub(crate) mod key;
pub(crate) mod layout;
pub(crate) mod node;
pub(crate) mod policy;
pub(crate) mod principal;
pub(crate) mod replace;
pub(crate) mod robot;
pub(crate) mod role;
pub(crate) mod scrub;
pub(crate) mod secrets;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod user;
