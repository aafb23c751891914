//! What clients of tags recorded (see [`crate::register_load`]), and what can be asked of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::register::{Call, Operation, Outcome};

/// What was recorded.
#[derive(Debug)]
pub struct History {
    /// Zero of all its times.
    pub began: Instant,
    /// Every call.
    pub operations: Vec<Operation>,
    /// Answers that no node should give, with what was asked.
    pub odd: Vec<String>,
    /// The longest time after which a call was refused with 503.
    pub slowest_refusal: Duration,
}

impl History {
    /// Calls of the time between, whose outcome is known, that `node` answered.
    pub fn answered_by(&self, node: usize, since: Duration, until: Duration) -> Vec<Operation> {
        let within = |operation: &&Operation| operation.began >= since && operation.ended <= until;
        let known = self.operations.iter().filter(|operation| operation.outcome != Outcome::Unknown);
        known.filter(within).filter(|operation| operation.node == node).copied().collect()
    }

    /// Calls whose outcome is unknown, reads apart.
    pub fn unknown(&self) -> usize {
        let is_unknown =
            |operation: &&Operation| operation.outcome == Outcome::Unknown && operation.call != Call::Read;
        self.operations.iter().filter(is_unknown).count()
    }

    /// Of the whole seconds between, those in which a put or a deletion was acknowledged: how many, of how
    /// many.
    pub fn seconds_with_writes(&self, since: Duration, until: Duration) -> (usize, usize) {
        let is_write =
            |operation: &&Operation| operation.call != Call::Read && operation.outcome == Outcome::Done;
        let second = |operation: &Operation| operation.ended.checked_sub(since).map(|after| after.as_secs());
        let of = until.saturating_sub(since).as_secs();
        let written: BTreeSet<u64> =
            self.operations.iter().filter(is_write).filter_map(second).filter(|at| *at < of).collect();
        (written.len(), usize::try_from(of).unwrap_or(usize::MAX))
    }

    /// Checks that the registers could have behaved so, and that no answer was odd.
    ///
    /// # Panics
    /// When not.
    pub fn assert_linearizable(&self) {
        assert!(self.odd.is_empty(), "answers that should not be: {:#?}", &self.odd[..self.odd.len().min(5)]);
        if let Err(violation) = crate::register::check(&self.operations) {
            panic!("{violation}");
        }
    }
}
