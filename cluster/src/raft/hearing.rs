//! Whom this node hears, and the silence of a leader that hears no quorum or whose disk hangs.
//!
//! A leader that is heard but hears nobody would keep the others from an election and get nothing committed. So
//! one that heard no quorum for [`HEARING`], or whose disk has not written the log for seconds, goes silent: it
//! sends no entry and no beat but one each [`PROBE`], which is longer than the others wait. It stays leader until
//! it hears of another one. Silence only leaves out messages, which any network may lose; no lease and no vote
//! depends on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::LEASE;

/// Eight beats; and longer than any round trip, since the next beat waits for the answer to the last.
pub(super) const HEARING: Duration = Duration::from_millis(800);
/// Between two tries of a silent leader to be answered. The others have elected another one before the second.
const PROBE: Duration = LEASE.saturating_mul(2);

/// Of one node; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hearing(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    /// When each other node last answered.
    answers: BTreeMap<u64, Instant>,
    /// While silent: since when, and each other node's last turn.
    silence: Option<(Instant, BTreeMap<u64, Instant>)>,
}

impl Hearing {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        // Every change under the lock is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `node` answers, now.
    pub(super) fn heard(&self, node: u64, now: Instant) {
        self.lock().answers.insert(node, now);
    }

    /// Whether `node` has answered within [`HEARING`].
    pub(super) fn hears(&self, node: u64, now: Instant) -> bool {
        let answers = &self.lock().answers;
        answers.get(&node).is_some_and(|at| now.saturating_duration_since(*at) < HEARING)
    }

    /// Begins the silence, goes on with it, or ends it. Returns whether that is a change.
    pub(super) fn set_silent(&self, is_silent: bool, now: Instant) -> bool {
        let mut heard = self.lock();
        let was_silent = heard.silence.is_some();
        if is_silent != was_silent {
            heard.silence = is_silent.then(|| (now, BTreeMap::new()));
        }
        is_silent != was_silent
    }

    pub(super) fn is_silent(&self) -> bool {
        self.lock().silence.is_some()
    }

    /// Whether this leader may send `node` something now; a silent one takes its turn by asking.
    pub(super) fn may_send(&self, node: u64, now: Instant) -> bool {
        let mut heard = self.lock();
        let Some((since, turns)) = &mut heard.silence else { return true };
        let last = *turns.get(&node).unwrap_or(since);
        let is_turn = now.saturating_duration_since(last) >= PROBE;
        if is_turn {
            turns.insert(node, now);
        }
        is_turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_leader_sends_each_one_request_and_only_after_the_others_could_elect() {
        let (hearing, mut now) = (Hearing::default(), Instant::now());
        assert!(hearing.may_send(2, now) && hearing.may_send(2, now));
        assert!(hearing.set_silent(true, now));
        for _ in 0..2 {
            // The others wait for the lease and a part of what spreads them.
            now += LEASE * 3 / 2;
            assert!(!hearing.may_send(2, now) && !hearing.may_send(3, now));
            now += LEASE / 2;
            assert!(hearing.may_send(2, now) && hearing.may_send(3, now));
            assert!(!hearing.may_send(2, now) && !hearing.may_send(3, now));
            assert!(!hearing.set_silent(true, now), "it goes on");
        }
        assert!(hearing.set_silent(false, now));
        assert!(hearing.may_send(2, now) && hearing.may_send(2, now));
    }

    #[test]
    fn who_answered_lately_is_heard() {
        let (hearing, now) = (Hearing::default(), Instant::now());
        assert!(!hearing.hears(2, now));
        hearing.heard(2, now);
        assert!(hearing.hears(2, now + HEARING / 2) && !hearing.hears(3, now));
        assert!(!hearing.hears(2, now + HEARING));
    }
}
