//! One line of log for many events: strangers decide how often they are refused, not how long the log gets.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two lines about the same.
const PERIOD: Duration = Duration::from_secs(10);

/// Counts what happens and says when to tell.
#[derive(Debug, Default)]
pub(crate) struct Notice(Mutex<(Option<Instant>, u64)>);

impl Notice {
    /// It happened once more. `Some`: tell it now, and that it happened so often since it was last told.
    pub(crate) fn count(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (told, times) = &mut *state;
        *times = times.saturating_add(1);
        let is_due = told.is_none_or(|told| now - told >= PERIOD);
        is_due.then(|| {
            *told = Some(now);
            std::mem::take(times)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_later_ones_together() {
        let (notice, now) = (Notice::default(), Instant::now());
        assert_eq!(notice.count(now), Some(1));
        for _ in 0..41 {
            assert_eq!(notice.count(now + PERIOD / 2), None);
        }
        assert_eq!(notice.count(now + PERIOD), Some(42));
        assert_eq!(notice.count(now + PERIOD), None);
    }
}
