//! Several nodes whose network, processes and clocks fail: what was acknowledged stays, nobody reads what is
//! no longer true, and work goes on where it can.
//!
//! Each test has a network and a cluster of its own; one runs at a time, or they would measure each other.
//! The rows are those of the fault table; SHOAL_TEST_FULL=1 runs them at their full size.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod chaos;
mod churn;
mod clocks;
mod dice;
mod far_behind;
mod flapping;
mod partitions;
mod pauses;
mod rig;
mod rolling;
mod slow_edge;
mod zones;

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by every test here.
fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first number in the ordinary run, the second with SHOAL_TEST_FULL=1.
fn size<T>(ordinary: T, full: T) -> T {
    if tests::registry::is_full_run() { full } else { ordinary }
}

/// Prints a row's figures, also when the test passes.
fn report(row: &str, figures: &str) {
    // Not the macro: the test runner would keep it to itself.
    let _ = writeln!(std::io::stderr(), "    {row}: {figures}");
}
