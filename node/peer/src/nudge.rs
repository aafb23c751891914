//! Keeps a control connection talking while a call waits for its answer.
//!
//! QUIC finds out at once that a packet was lost when a later one is acknowledged; without a later one it waits
//! for a timer that doubles each time. Calls are small and few, so on a link that loses packets there is no
//! later one. Therefore empty calls follow one that is not answered soon, a bounded number of them, and
//! never more often to one peer than [`EVERY`].

use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// A call on a link that loses nothing is mostly answered by then. Between two nudges of one peer.
pub(crate) const EVERY: Duration = Duration::from_millis(25);
/// How long one is waited for.
pub(crate) const PATIENCE: Duration = EVERY.saturating_mul(8);
/// For one call. Who is silent for longer than this takes is not reached, or thinks.
const MOST: usize = 40;

/// When a peer was last nudged.
#[derive(Default)]
pub(crate) struct Pace(Mutex<Option<Instant>>);

impl Pace {
    /// Whether it is time; if so, it is this caller's.
    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= EVERY);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

/// `call`, with `nudge` done at the pace of its peer while it waits. Cancel safe if `call` is.
pub(crate) async fn while_waiting<T>(call: impl Future<Output = T>, pace: &Pace, nudge: impl Fn()) -> T {
    let mut call = pin!(call);
    for _ in 0..MOST {
        if let Ok(answer) = timeout(EVERY, call.as_mut()).await {
            return answer;
        }
        if pace.is_due(Instant::now()) {
            nudge();
        }
    }
    call.await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_to_one_peer_share_its_nudges_and_each_has_a_bound() {
        let (pace, nudges) = (Pace::default(), Cell::new(0));
        let nudge = || nudges.set(nudges.get() + 1);
        while_waiting(async {}, &pace, nudge).await;
        assert_eq!(nudges.get(), 0, "what is answered needs none");
        let longer = tokio::time::sleep(EVERY * (MOST as u32 + 10));
        let calls = [0, 1, 2].map(|_| while_waiting(std::future::pending::<()>(), &pace, nudge));
        tokio::select! {
            () = longer => {}
            _ = futures::future::join_all(calls) => {}
        }
        assert_eq!(nudges.get(), MOST);
    }
}
