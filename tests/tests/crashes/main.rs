//! Three nodes under faults of processes and disks: killed one by one and together, cut from power, with fsyncs
//! that fail, full disks and changed bytes. What was acknowledged is read afterwards through every node.
//!
//! Each test is a row of the fault table and prints its figures. The ordinary run is small; SHOAL_TEST_FULL=1
//! runs the table's sizes. Needs root, for loop mounts, strace and memory limits.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod damage;
mod fsync;
mod full_disk;
mod kill;
mod leader;
mod memory;
mod power;
mod rig;
mod slow_disk;
mod soak;
mod wiped;

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Held by every test here: they would measure each other.
fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The size of a test: the first in the ordinary run, the second with SHOAL_TEST_FULL=1.
fn size(ordinary: usize, full: usize) -> usize {
    if tests::registry::is_full_run() { full } else { ordinary }
}

/// Prints a row's figure, also when the test passes.
fn report(row: &str, figure: &str) {
    // Not the macro: the test runner would keep it to itself.
    let _ = writeln!(std::io::stderr(), "    {row}: {figure}");
}

/// Median, 99th percentile and greatest of some times.
fn spread(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort();
    let at = |part: usize| times.get((times.len() * part / 100).min(times.len() - 1));
    match (at(50), at(99), times.last()) {
        (Some(median), Some(late), Some(most)) => {
            format!("p50 {median:.2?}, p99 {late:.2?}, max {most:.2?} of {}", times.len())
        }
        _ => "none".to_owned(),
    }
}
