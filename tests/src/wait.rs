//! Waiting for a condition under a deadline: the only way that tests wait.
//!
//! Every wait names its condition, and says what it saw last when the time is over.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// Time between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until `probe` says yes.
///
/// # Panics
/// When it has not by `limit`.
pub fn wait_until(what: &str, limit: Duration, mut probe: impl FnMut() -> bool) {
    wait_for(what, limit, || if probe() { Ok(()) } else { Err("not so") });
}

/// Waits until `probe` gives a value, and returns it.
///
/// # Panics
/// When it has not by `limit`; the message holds the probe's last error.
pub fn wait_for<T, E: Display>(what: &str, limit: Duration, probe: impl FnMut() -> Result<T, E>) -> T {
    match try_wait_for(what, limit, probe) {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// As [`wait_for`], for callers that have more to say about the failure.
///
/// # Errors
/// The condition's name and the probe's last error, when the time is over.
pub fn try_wait_for<T, E: Display>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<T, E>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        // Read before the probe: a probe that takes long still gets a last look after the deadline.
        let is_over = Instant::now() >= deadline;
        match probe() {
            Ok(value) => return Ok(value),
            Err(error) if is_over => anyhow::bail!("waited {limit:?} for {what}: {error}"),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}
