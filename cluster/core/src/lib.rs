//! Decisions without effects: what may change in the replicated state and how, what it says, who may
//! do what.
//!
//! Everything here is a pure function of its arguments: no clock, no randomness, no IO, no hash order
//! (`clippy.toml` of this crate bans them). `cluster` runs it under Raft; tests and the model run it on
//! a map in memory.

pub mod access;
pub mod command;
pub mod key;
pub mod level;
pub mod plan;
pub mod record;
pub mod state;
pub mod view;
