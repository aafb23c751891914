//! What this node has, what is on its way, and how many holders are known for each leaf. Pure bookkeeping.

use std::ops::Range;

use super::holder::{Class, Knows};
use crate::exchange::leaves::{Cut, Leaves};

/// The leaves of one blob as a session sees them.
pub(super) struct Map {
    pub(super) cut: Cut,
    have: Leaves,
    missing: u64,
    /// How many asks each leaf is part of.
    flying: Vec<u8>,
    /// How many holders in this region, and how many elsewhere, are known to have each leaf, but for those that have all.
    near: Vec<u16>,
    far: Vec<u16>,
    complete: [u16; 2],
    /// Leaves that are missing and not flying.
    open: Leaves,
    open_total: u64,
}

impl Map {
    pub(super) fn new(cut: Cut, have: Leaves) -> Self {
        let leaves = usize::try_from(cut.leaves()).unwrap_or(usize::MAX);
        let missing = cut.leaves() - have.count();
        let open = Leaves::all(cut.leaves()).without(&have);
        Self {
            cut,
            missing,
            flying: vec![0; leaves],
            near: vec![0; leaves],
            far: vec![0; leaves],
            complete: [0; 2],
            open,
            open_total: missing,
            have,
        }
    }

    pub(super) fn has(&self, leaf: u64) -> bool {
        self.have.has(leaf)
    }

    pub(super) fn have(&self) -> &Leaves {
        &self.have
    }

    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    /// Whether every missing leaf is on its way.
    pub(super) fn is_endgame(&self) -> bool {
        self.open_total == 0
    }

    pub(super) fn is_open(&self, leaf: u64) -> bool {
        self.open.has(leaf)
    }

    /// The first open leaf of each piece that is among `leaves`; of all if `None`.
    pub(super) fn open_in_pieces(&self, leaves: Option<&Leaves>) -> impl Iterator<Item = u64> {
        self.open.firsts(leaves, self.cut.piece_leaves())
    }

    /// Whether a leaf of these is missing and not flying.
    pub(super) fn lacks_any_of(&self, leaves: &Leaves) -> bool {
        self.open.meets(leaves)
    }

    pub(super) fn flying(&self, leaf: u64) -> u8 {
        self.flying.get(at(leaf)).copied().unwrap_or_default()
    }

    /// An ask for `leaf` went out.
    pub(super) fn take_off(&mut self, leaf: u64) {
        self.close(leaf);
        if let Some(flying) = self.flying.get_mut(at(leaf)) {
            *flying = flying.saturating_add(1);
        }
    }

    /// An ask for `leaf` is over, stored or not.
    pub(super) fn land(&mut self, leaf: u64) {
        if let Some(flying) = self.flying.get_mut(at(leaf)) {
            *flying = flying.saturating_sub(1);
        }
        if self.flying(leaf) == 0 && !self.has(leaf) && self.open.insert(leaf) {
            self.open_total += 1;
        }
    }

    /// `leaf` was checked and stored; true if it was missing.
    pub(super) fn store(&mut self, leaf: u64) -> bool {
        if !self.have.insert(leaf) {
            return false;
        }
        self.missing -= 1;
        self.close(leaf);
        true
    }

    fn close(&mut self, leaf: u64) {
        if self.open.has(leaf) {
            self.open.remove(leaf);
            self.open_total -= 1;
        }
    }

    /// Counts what a holder is known to have, in place of what was known before.
    pub(super) fn learn(&mut self, class: Class, before: &Knows, after: &Knows) {
        let far = class == Class::Wide;
        for (knows, other, more) in [(before, after, false), (after, before, true)] {
            let step = |count: &mut u16| {
                *count = if more { count.saturating_add(1) } else { count.saturating_sub(1) };
            };
            let counts = if far { &mut self.far } else { &mut self.near };
            let mut count = |leaves: &Leaves| {
                for leaf in leaves.iter() {
                    counts.get_mut(at(leaf)).into_iter().for_each(step);
                }
            };
            match (knows, other) {
                (Knows::Nothing, _) => {}
                (Knows::All, _) => step(&mut self.complete[usize::from(far)]),
                // Most of it was known before.
                (Knows::Some(leaves), Knows::Some(others)) => count(&leaves.without(others)),
                (Knows::Some(leaves), _) => count(leaves),
            }
        }
    }

    /// Holders in this region that are known to have `leaf`.
    pub(super) fn near(&self, leaf: u64) -> u64 {
        u64::from(self.near.get(at(leaf)).copied().unwrap_or_default()) + u64::from(self.complete[0])
    }

    /// All holders that are known to have `leaf`.
    pub(super) fn holders(&self, leaf: u64) -> u64 {
        let far = self.far.get(at(leaf)).copied().unwrap_or_default();
        self.near(leaf) + u64::from(far) + u64::from(self.complete[1])
    }

    /// The leaves from `first` on, inside its piece and at most `max`, that `fits` says yes to without a gap.
    pub(super) fn run(&self, first: u64, max: u64, fits: impl Fn(u64) -> bool) -> Range<u64> {
        let end = self.cut.piece(self.cut.piece_of(first)).end.min(first + max);
        first..(first..end).find(|leaf| !fits(*leaf)).unwrap_or(end)
    }
}

fn at(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
