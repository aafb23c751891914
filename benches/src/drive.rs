//! The closed loop: workers that repeat one operation until a count or a deadline is reached.
//!
//! Owns workers, pacing and counting. Each worker has one connection and one operation under way.
//! Every loop is bounded by the deadline, and every operation by [`OPERATION_LIMIT`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::LoadError;
use crate::client::{Connection, Target};
use crate::report::Outcome;
use crate::workload::{Operation, Progress};

/// No single operation may take longer.
pub const OPERATION_LIMIT: Duration = Duration::from_secs(900);
/// A worker that sees nothing but errors stops after this many in a row.
const ERRORS_IN_A_ROW: u32 = 20;

/// When a run ends; whichever comes first.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Operations under way at once, each on its own connection.
    pub concurrency: usize,
    /// Operations to begin in all.
    pub count: u64,
    /// No operation begins after this time.
    pub duration: Duration,
}

struct Run {
    operation: Arc<Operation>,
    next: AtomicU64,
    count: u64,
    deadline: Instant,
}

/// Runs operations numbered from `first` on and returns what they did together. Dropping the future
/// aborts the workers.
///
/// # Errors
/// What [`Connection::open`] gives: all connections are open before the clock starts. Later errors are
/// counted in the [`Outcome`].
pub async fn drive(
    target: &Arc<Target>,
    operation: Arc<Operation>,
    first: u64,
    limits: Limits,
) -> Result<Outcome, LoadError> {
    let mut connections = Vec::with_capacity(limits.concurrency);
    for _ in 0..limits.concurrency {
        connections.push(Connection::open(Arc::clone(target)).await?);
    }
    let begin = Instant::now();
    let run = Arc::new(Run {
        operation,
        next: AtomicU64::new(first),
        count: first.saturating_add(limits.count),
        deadline: begin + limits.duration,
    });
    let workers: JoinSet<Outcome> =
        connections.into_iter().map(|connection| work(Arc::clone(&run), connection)).collect();
    let mut sum = Outcome::default();
    for outcome in workers.join_all().await {
        sum.merge(outcome);
    }
    sum.elapsed = begin.elapsed();
    Ok(sum)
}

async fn work(run: Arc<Run>, mut connection: Connection) -> Outcome {
    let mut outcome = Outcome::default();
    let mut in_a_row = 0;
    while Instant::now() < run.deadline && in_a_row < ERRORS_IN_A_ROW {
        let number = run.next.fetch_add(1, Ordering::Relaxed);
        if number >= run.count {
            break;
        }
        let begin = Instant::now();
        let step = run.operation.step(&mut connection, number, run.deadline);
        match timeout(OPERATION_LIMIT, step).await.unwrap_or(Err(LoadError::TimedOut)) {
            Ok(Progress { items, bytes, cut_short }) => {
                in_a_row = 0;
                outcome.items += items;
                outcome.bytes += bytes;
                if !cut_short {
                    outcome.latencies.push(begin.elapsed());
                }
            }
            Err(error) => {
                in_a_row += 1;
                *outcome.errors.entry(error.label()).or_default() += 1;
            }
        }
    }
    outcome
}
