//! Several nodes as one registry: real processes that agree, copy and fetch, and that are killed.
//!
//! Each test has a cluster of its own; one runs at a time, or they would measure each other.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod access_keys;
mod addresses;
mod anywhere;
mod backup;
mod cache;
mod damage;
mod edge;
mod failure;
mod identity;
mod links;
mod membership;
mod operators;
mod principals;
mod strangers;
mod under_load;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by every test here.
fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}
