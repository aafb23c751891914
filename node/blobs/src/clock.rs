//! Monotonic time since the store was opened, which tests can push forward. Nothing that is promised to be kept
//! depends on it: it only says when to check again and when to give up idle sessions.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    #[cfg(test)]
    skipped_ms: std::sync::atomic::AtomicU64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
            #[cfg(test)]
            skipped_ms: Default::default(),
        }
    }

    #[cfg(not(test))]
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    #[cfg(test)]
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
            + Duration::from_millis(self.skipped_ms.load(std::sync::atomic::Ordering::Relaxed))
    }

    #[cfg(test)]
    pub(crate) fn skip(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).expect("tests skip little");
        self.skipped_ms.fetch_add(ms, std::sync::atomic::Ordering::Relaxed);
    }
}
