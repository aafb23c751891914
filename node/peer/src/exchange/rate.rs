//! How fast bytes may leave over one class of link. Owns a moment; never holds bytes and never a lock while it waits.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::metrics::Counter;

/// What may go at once after a rest.
const BURST: Duration = Duration::from_millis(100);

/// A token bucket, kept as the moment at which it will be full (the generic cell rate algorithm, ITU-T I.371).
pub(super) struct Bucket {
    rate: Option<NonZeroU64>,
    spent_until: Mutex<Option<Instant>>,
    waits: Counter,
}

impl Bucket {
    /// Of so many bytes a second; `None` lets everything through at once.
    pub(super) fn new(rate: Option<NonZeroU64>) -> Self {
        Self { rate, spent_until: Mutex::new(None), waits: Counter::default() }
    }

    pub(super) fn is_limited(&self) -> bool {
        self.rate.is_some()
    }

    /// Waits until `bytes` may go. Those who wait go in the order in which they asked. Dropped while it waits, what it
    /// asked for counts as sent.
    pub(super) async fn take(&self, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let now = Instant::now();
        let due = self.book(bytes, rate, now);
        if due > now {
            self.waits.add(1);
            tokio::time::sleep_until(due).await;
        }
    }

    /// How often somebody had to wait.
    pub(super) fn waits(&self) -> u64 {
        self.waits.get()
    }

    /// When `bytes` may go.
    fn book(&self, bytes: u64, rate: NonZeroU64, now: Instant) -> Instant {
        let mut spent_until = self.spent_until.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = spent_until.map_or(now, |until| until.max(now));
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.get());
        let end = begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        *spent_until = Some(end);
        end.checked_sub(BURST).map_or(now, |due| due.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_leave_at_the_rate_however_many_wait() {
        let bucket = std::sync::Arc::new(Bucket::new(NonZeroU64::new(1_000_000)));
        let began = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let bucket = bucket.clone();
            tasks.spawn(async move {
                for _ in 0..50 {
                    bucket.take(10_000).await;
                }
            });
        }
        tasks.join_all().await;
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(5) - BURST && took < Duration::from_secs(6), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_saves_up_one_burst_only_and_no_rate_means_no_wait() {
        let bucket = Bucket::new(NonZeroU64::new(1_000_000));
        tokio::time::advance(Duration::from_secs(60)).await;
        let began = Instant::now();
        bucket.take(100_000).await;
        assert_eq!((began.elapsed(), bucket.waits()), (Duration::ZERO, 0));
        bucket.take(900_000).await;
        assert_eq!((began.elapsed(), bucket.waits()), (Duration::from_millis(900), 1));
        Bucket::new(None).take(u64::MAX).await;
        assert_eq!(began.elapsed(), Duration::from_millis(900));
    }
}
