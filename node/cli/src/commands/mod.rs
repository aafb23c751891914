//! The commands, a file per noun.

pub(crate) mod layout;
pub(crate) mod backup;
pub(crate) mod node;
pub(crate) mod replace;
pub(crate) mod status;
pub(crate) mod token;
