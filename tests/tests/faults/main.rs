//! One node under faults: killed, cut from power, on a broken, full or decaying disk, under hostile clients.
//!
//! Each test is a row of the fault table and prints its figure. The ordinary run is small; SHOAL_TEST_FULL=1
//! runs the table's sizes. Needs root, for loop mounts and strace: everything is mounted below temporary
//! directories and unmounted again, every process is ended by its id.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod boot;
mod damage;
mod drain;
mod fsync;
mod full_disk;
mod idle_clients;
mod kill;
mod memory;
mod node;
mod power;
mod slow_clients;
mod torn;
mod torn_uploads;
mod wound;

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by tests that load the machine: they run one after the other, or they would measure each other.
fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The size of a test: the first in the ordinary run, the second with SHOAL_TEST_FULL=1.
fn size(ordinary: usize, full: usize) -> usize {
    if std::env::var_os("SHOAL_TEST_FULL").is_some_and(|value| value == "1") { full } else { ordinary }
}

/// Prints a row's figure, also when the test passes.
fn report(row: &str, figure: &str) {
    // Not the macro: the test runner would keep it to itself.
    let _ = writeln!(std::io::stderr(), "    {row}: {figure}");
}
