//! Leaves and pieces: how a blob is cut, and sets of leaves. Pure.
//!
//! A *leaf* is 256 KiB, the unit that is checked, stored and passed on. A *piece* is a run of leaves, the unit of choice.

use std::ops::Range;

/// Bytes in a leaf, as the blob store cuts them; the last one of a blob may be shorter.
pub const LEAF: u64 = 256 * 1024;

/// Largest piece, in bytes; also the most that one request asks for.
pub const PIECE_MAX: u64 = 8 * 1024 * 1024;

/// Pieces that a blob should have at least, if it is large enough.
const PIECES: u64 = 256;

/// How a blob is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    size: u64,
    piece_leaves: u64,
}

impl Cut {
    /// The cut of a blob of `size` bytes: pieces of size/256 rounded up to a power of two, 256 KiB to 8 MiB.
    pub fn of(size: u64) -> Self {
        let piece = (size / PIECES).clamp(LEAF, PIECE_MAX).next_power_of_two();
        Self { size, piece_leaves: piece / LEAF }
    }

    /// Length of the blob in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many leaves there are; at least one.
    pub fn leaves(&self) -> u64 {
        self.size.div_ceil(LEAF).max(1)
    }

    /// How many leaves a piece has; the last one may have fewer.
    pub fn piece_leaves(&self) -> u64 {
        self.piece_leaves
    }

    /// How many pieces there are; at least one.
    pub fn pieces(&self) -> u64 {
        self.leaves().div_ceil(self.piece_leaves)
    }

    /// The leaves of a piece.
    pub fn piece(&self, piece: u64) -> Range<u64> {
        let start = piece * self.piece_leaves;
        start..(start + self.piece_leaves).min(self.leaves())
    }

    /// The piece that a leaf is in.
    pub fn piece_of(&self, leaf: u64) -> u64 {
        leaf / self.piece_leaves
    }

    /// Bytes of a run of leaves.
    pub fn bytes(&self, leaves: &Range<u64>) -> u64 {
        (leaves.end * LEAF).min(self.size).saturating_sub(leaves.start * LEAF)
    }

    /// Bytes of the piece list.
    pub fn list_bytes(&self) -> u64 {
        if self.has_list() { self.leaves() * 32 } else { 0 }
    }

    /// Whether the blob has a piece list; one of a single leaf is checked by its root.
    pub fn has_list(&self) -> bool {
        self.size > LEAF
    }
}

/// A set of leaves (or pieces) of one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaves {
    words: Vec<u64>,
    len: u64,
}

impl Leaves {
    /// None of `len`.
    pub fn none(len: u64) -> Self {
        let words = usize::try_from(len.div_ceil(64)).unwrap_or(usize::MAX);
        Self { words: vec![0; words], len }
    }

    /// All of `len`.
    pub fn all(len: u64) -> Self {
        let mut all = Self::none(len);
        all.words.fill(u64::MAX);
        all.cut();
        all
    }

    /// From words: leaf i is bit i % 64 of word i / 64. Missing words are zero, what is past `len` is left out.
    pub fn from_words(len: u64, words: &[u64]) -> Self {
        let mut leaves = Self::none(len);
        leaves.words.iter_mut().zip(words).for_each(|(to, from)| *to = *from);
        leaves.cut();
        leaves
    }

    /// From the wire: leaf i is bit i % 8 of byte i / 8. `None` if there are more bytes than `len` takes.
    pub fn from_bytes(len: u64, bytes: &[u8]) -> Option<Self> {
        if bytes.len() as u64 > len.div_ceil(8) {
            return None;
        }
        let mut leaves = Self::none(len);
        for (at, byte) in bytes.iter().enumerate() {
            leaves.words[at / 8] |= u64::from(*byte) << (at % 8 * 8);
        }
        leaves.cut();
        Some(leaves)
    }

    /// As [`Leaves::from_bytes`] reads it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = usize::try_from(self.len.div_ceil(8)).unwrap_or(usize::MAX);
        self.words.iter().flat_map(|word| word.to_le_bytes()).take(bytes).collect()
    }

    /// Whether leaf `index` is in the set.
    pub fn has(&self, index: u64) -> bool {
        let word = usize::try_from(index / 64).ok().and_then(|word| self.words.get(word));
        word.is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    /// Adds a leaf; true if it is new. One past the end is not added.
    pub fn insert(&mut self, index: u64) -> bool {
        if index >= self.len || self.has(index) {
            return false;
        }
        if let Some(word) = usize::try_from(index / 64).ok().and_then(|word| self.words.get_mut(word)) {
            *word |= 1 << (index % 64);
        }
        true
    }

    /// Takes a leaf out of the set.
    pub(super) fn remove(&mut self, index: u64) {
        if let Some(word) = usize::try_from(index / 64).ok().and_then(|word| self.words.get_mut(word)) {
            *word &= !(1 << (index % 64));
        }
    }

    /// The first leaf of each run of `run` (a power of two up to 64) that is in this set and, if given, in `other`.
    pub(super) fn firsts(&self, other: Option<&Self>, run: u64) -> impl Iterator<Item = u64> {
        let mask = if run < 64 { (1_u64 << run) - 1 } else { u64::MAX };
        (0_u64..).zip(&self.words).enumerate().flat_map(move |(at, (base, word))| {
            let other = other.map_or(u64::MAX, |other| other.words.get(at).copied().unwrap_or_default());
            let mut rest = word & other;
            std::iter::from_fn(move || {
                let bit = Some(rest.trailing_zeros()).filter(|bit| *bit < 64)?;
                rest &= !(mask << (u64::from(bit) / run * run));
                Some(base * 64 + u64::from(bit))
            })
        })
    }

    /// Whether some leaf is in both sets.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(own, other)| own & other != 0)
    }

    /// How many are in the set.
    pub fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// How many there could be.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether none is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Whether all are.
    pub fn is_full(&self) -> bool {
        self.count() == self.len
    }

    /// The leaves of the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        (0_u64..).zip(&self.words).flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.checked_sub(1)?;
                Some(at * 64 + u64::from(bit))
            })
        })
    }

    /// The leaves that this set has and `other` has not.
    pub fn without(&self, other: &Self) -> Self {
        let words = self.words.iter().zip(&other.words).map(|(own, other)| own & !other);
        Self { words: words.collect(), len: self.len }
    }

    fn cut(&mut self) {
        let past = self.len % 64;
        if let Some(last) = self.words.last_mut().filter(|_| past > 0) {
            *last &= (1 << past) - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pieces_are_powers_of_two_between_their_bounds() {
        const MIB: u64 = 1024 * 1024;
        for (size, piece, pieces) in [
            (0, LEAF, 1),
            (1, LEAF, 1),
            (64 * MIB, LEAF, 256),
            (64 * MIB + 1, LEAF, 257),
            (65 * MIB, 2 * LEAF, 130),
            (1024 * MIB, 4 * MIB, 256),
            (100 * 1024 * MIB, 8 * MIB, 12_800),
        ] {
            let cut = Cut::of(size);
            assert_eq!((cut.piece_leaves() * LEAF, cut.pieces()), (piece, pieces), "{size}");
            assert_eq!(cut.piece(cut.pieces() - 1).end, cut.leaves());
            assert_eq!(cut.bytes(&(0..cut.leaves())), size);
        }
    }

    proptest! {
        #[test]
        fn sets_round_trip_and_hold_what_was_put(len in 1_u64..300, leaves in prop::collection::btree_set(0_u64..400, 0..50)) {
            let mut set = Leaves::none(len);
            let within: Vec<u64> = leaves.iter().copied().filter(|leaf| *leaf < len).collect();
            for leaf in &leaves {
                prop_assert_eq!(set.insert(*leaf), *leaf < len);
                prop_assert!(!set.insert(*leaf));
            }
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), within.clone());
            prop_assert_eq!(set.count(), within.len() as u64);
            prop_assert_eq!(Leaves::from_bytes(len, &set.to_bytes()), Some(set.clone()));
            let rest = Leaves::all(len).without(&set);
            prop_assert_eq!(rest.count() + set.count(), len);
            prop_assert!(within.iter().all(|leaf| !rest.has(*leaf)));
        }

        #[test]
        fn the_first_of_each_run_is_found(leaves in prop::collection::btree_set(0_u64..200, 0..80), power in 0_u32..7) {
            let run = 1_u64 << power;
            let mut set = Leaves::none(200);
            leaves.iter().for_each(|leaf| _ = set.insert(*leaf));
            let mut expected: Vec<u64> = leaves.iter().copied().filter(|leaf| leaf % 3 != 0).collect();
            expected.dedup_by_key(|leaf| *leaf / run);
            let mut other = Leaves::all(200);
            (0..200).filter(|leaf| leaf % 3 == 0).for_each(|leaf| other.remove(leaf));
            prop_assert_eq!(set.firsts(Some(&other), run).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn bits_past_the_end_never_count(len in 1_u64..300, bytes: Vec<u8>) {
            match Leaves::from_bytes(len, &bytes) {
                Some(set) => prop_assert!(set.iter().all(|leaf| leaf < len)),
                None => prop_assert!(bytes.len() as u64 > len.div_ceil(8)),
            }
        }
    }
}
