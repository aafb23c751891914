//! Holders that sent wrong pieces, remembered from fetch to fetch. Within a fetch a single one is enough: see `session`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::identity::NodeId;
use tokio::time::Instant;

use crate::metrics::Counter;

/// Wrong pieces after which a node is asked no more (hostile-inputs XC10).
const WRONG_MAX: u32 = 3;

/// How long it is not asked then; a wrong piece is remembered for as long.
const TIME: Duration = Duration::from_secs(600);

/// Who sent how many wrong pieces, and when the last one.
#[derive(Default)]
pub(super) struct Quarantine {
    wrong: Mutex<BTreeMap<NodeId, (u32, Instant)>>,
    begun: Counter,
}

impl Quarantine {
    /// A wrong piece came from `node`; true if with this one its quarantine begins.
    pub(super) fn count(&self, node: NodeId, now: Instant) -> bool {
        let mut entries = self.entries();
        entries.retain(|_, (_, last)| now - *last < TIME);
        let (wrong, last) = entries.entry(node).or_insert((0, now));
        *wrong = wrong.saturating_add(1);
        *last = now;
        let begins = *wrong == WRONG_MAX;
        self.begun.add(u64::from(begins));
        begins
    }

    /// Whether `node` is not to be asked.
    pub(super) fn holds(&self, node: NodeId, now: Instant) -> bool {
        self.entries().get(&node).is_some_and(|(wrong, last)| *wrong >= WRONG_MAX && now - *last < TIME)
    }

    /// How many nodes are not to be asked.
    pub(super) fn present(&self, now: Instant) -> usize {
        let is_held = |(wrong, last): &&(u32, Instant)| *wrong >= WRONG_MAX && now - *last < TIME;
        self.entries().values().filter(is_held).count()
    }

    /// How often a quarantine began.
    pub(super) fn begun(&self) -> u64 {
        self.begun.get()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<NodeId, (u32, Instant)>> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_wrong_piece_begins_a_quarantine_that_ends() {
        let (quarantine, now) = (Quarantine::default(), Instant::now());
        let [liar, other] = [1, 2].map(|node| NodeId::new(node).expect("not zero"));
        assert!(!quarantine.count(liar, now) && !quarantine.count(liar, now) && !quarantine.holds(liar, now));
        assert!(quarantine.count(liar, now) && quarantine.holds(liar, now));
        assert!(!quarantine.holds(other, now));
        assert_eq!((quarantine.begun(), quarantine.present(now)), (1, 1));
        assert!(!quarantine.count(liar, now), "it is told once");
        let later = now + TIME;
        assert!(!quarantine.holds(liar, later));
        assert_eq!((quarantine.begun(), quarantine.present(later)), (1, 0));
        assert!(!quarantine.count(liar, later), "the old ones are forgotten");
    }
}
