//! The commands, a file per noun.

pub(crate) mod backup;
pub(crate) mod blob;
pub(crate) mod key;
pub(crate) mod layout;
pub(crate) mod node;
pub(crate) mod replace;
pub(crate) mod scrub;
pub(crate) mod status;
pub(crate) mod token;
