//! Between the crates that do not know each other: peers' calls to what answers them, and the node's needs
//! to calls of peers. Owns no state but the handles it joins; decides nothing.

pub(crate) mod ahead;
pub(crate) mod copies;
pub(crate) mod exchange;
pub(crate) mod hello;
pub(crate) mod join;
pub(crate) mod members;
pub(crate) mod relay;
pub(crate) mod secrets;
pub(crate) mod transport;
