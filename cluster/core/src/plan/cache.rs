//! Which copies of the cache go: those that nobody counts on, the longest unread first, until the rest fits.
//!
//! A node keeps more than it owes: what it fetched for its clients. A copy is of the cache if a record names its
//! generation but not this node, this node is no home of the blob, and the blob has its copies without it. All
//! else stays whatever the limit says: staged files are the janitor's, owed copies the repair's.

use std::fmt;

use proto::digest::Digest;
use proto::identity::NodeId;
use proto::upload::UploadId;

use super::placement::{self, Candidate};
use crate::record::{BlobRecord, REPLICAS};

/// A whole copy on this node's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The blob.
    pub digest: Digest,
    /// Of the file.
    pub generation: UploadId,
    /// Length of the file.
    pub bytes: u64,
    /// When it was read or written last, milliseconds; only compared with others.
    pub last_use_ms: u64,
    /// What is recorded of the blob.
    pub record: Option<BlobRecord>,
}

/// What the plan is made from.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The node that will act.
    pub node: NodeId,
    /// Nodes that blobs are placed on now.
    pub candidates: &'a [Candidate],
    /// All copies on its disk.
    pub stored: &'a [Stored],
    /// Bytes that the cache may have.
    pub limit_bytes: u64,
    /// Bytes that the disk lacks for pushes, whatever the limit.
    pub wanted_bytes: u64,
}

/// Why a copy goes or stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Stays: no record names its generation, so it may be about to be committed.
    Staged,
    /// Stays: the record counts on it.
    Named,
    /// Stays: this node is a home of the blob.
    Home,
    /// Stays: the blob has fewer copies than it should have.
    TooFewCopies,
    /// Of the cache; goes when the cache is over its limit.
    OverLimit,
    /// Of the cache; goes when the disk is nearly full.
    DiskFull,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Staged => "it may be about to be committed",
            Self::Named => "the record counts on this copy",
            Self::Home => "this node is a home of the blob",
            Self::TooFewCopies => "the blob has too few copies",
            Self::OverLimit => "the cache is over its limit",
            Self::DiskFull => "the disk is nearly full",
        })
    }
}

/// What goes, and how large the cache is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Places in [`Facts::stored`] with the reasons, in the order in which they go.
    pub evict: Vec<(usize, Reason)>,
    /// Bytes of the cache before.
    pub cache_bytes: u64,
    /// Bytes that go.
    pub evicted_bytes: u64,
}

/// Why a copy must stay; `None` if it is of the cache.
pub fn keeps(node: NodeId, candidates: &[Candidate], stored: &Stored) -> Option<Reason> {
    let Some(record) = stored.record.as_ref().filter(|record| record.generation == stored.generation) else {
        return Some(Reason::Staged);
    };
    if record.copies.contains(&node) {
        return Some(Reason::Named);
    }
    let homes = placement::homes(&stored.digest, candidates, REPLICAS as usize);
    if homes.contains(&node) {
        return Some(Reason::Home);
    }
    let counts = |copy: &&NodeId| candidates.iter().any(|candidate| candidate.node == **copy);
    let counted = record.copies.iter().filter(counts).count();
    (counted < homes.len().max(1)).then_some(Reason::TooFewCopies)
}

/// What should go.
pub fn evict(facts: &Facts<'_>) -> Plan {
    let is_cached = |stored: &&(usize, &Stored)| keeps(facts.node, facts.candidates, stored.1).is_none();
    let all: Vec<(usize, &Stored)> = facts.stored.iter().enumerate().collect();
    let mut cached: Vec<(usize, &Stored)> = all.iter().filter(is_cached).copied().collect();
    cached.sort_by_key(|(place, stored)| (stored.last_use_ms, *place));
    let cache_bytes = cached.iter().fold(0u64, |sum, (_, stored)| sum.saturating_add(stored.bytes));
    let mut plan = Plan { cache_bytes, ..Plan::default() };
    for (place, stored) in cached {
        let reason = if cache_bytes - plan.evicted_bytes > facts.limit_bytes {
            Reason::OverLimit
        } else if plan.evicted_bytes < facts.wanted_bytes {
            Reason::DiskFull
        } else {
            break;
        };
        plan.evict.push((place, reason));
        plan.evicted_bytes += stored.bytes;
    }
    plan
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::digest::Algorithm;

    use super::*;

    fn node(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn stored(number: u32, copies: &[u64], other: bool, bytes: u64, last_use_ms: u64) -> Stored {
        let generation = UploadId::new(node(1), 7);
        Stored {
            digest: Digest::of(Algorithm::Sha256, &number.to_be_bytes()),
            generation: if other { UploadId::new(node(1), 8) } else { generation },
            bytes,
            last_use_ms,
            record: Some(BlobRecord {
                size: bytes,
                generation,
                pieces_root: [3; 32],
                links: 1,
                lease_until_ms: 0,
                created_ms: 0,
                copies: copies.iter().map(|id| node(*id)).collect(),
            }),
        }
    }

    fn candidates() -> Vec<Candidate> {
        (1..=5).map(|id| Candidate { node: node(id), zone: "a".parse().unwrap(), weight: 1 }).collect()
    }

    proptest! {
        #[test]
        fn only_the_longest_unread_copies_that_nobody_needs_go_and_no_more_than_must(
            files in prop::collection::vec(
                (prop::collection::btree_set(1_u64..=5, 0..5), prop::bool::weighted(0.1), 0_u64..100, 0_u64..50), 0..60),
            limit_bytes in 0_u64..2000, wanted_bytes in prop_oneof![Just(0_u64), 0_u64..1000],
        ) {
            let candidates = candidates();
            let file = |(number, (copies, other, bytes, used)): (usize, &(std::collections::BTreeSet<u64>, bool, u64, u64))| {
                stored(number as u32, &copies.iter().copied().collect::<Vec<_>>(), *other, *bytes, *used)
            };
            let all: Vec<Stored> = files.iter().enumerate().map(file).collect();
            let facts = Facts { node: node(5), candidates: &candidates, stored: &all, limit_bytes, wanted_bytes };
            let plan = evict(&facts);
            let gone: Vec<usize> = plan.evict.iter().map(|(place, _)| *place).collect();
            let mut left = 0;
            for (place, one) in all.iter().enumerate() {
                let record = one.record.as_ref().unwrap();
                let homes = placement::homes(&one.digest, &candidates, 3);
                let is_needed = record.generation != one.generation || record.copies.contains(&node(5))
                    || homes.contains(&node(5)) || record.copies.len() < 3;
                prop_assert!(!(is_needed && gone.contains(&place)), "a needed copy goes");
                if !is_needed && !gone.contains(&place) {
                    left += one.bytes;
                    prop_assert!(gone.iter().all(|gone| all[*gone].last_use_ms <= one.last_use_ms));
                }
            }
            prop_assert_eq!(plan.cache_bytes, left + plan.evicted_bytes);
            prop_assert!(left <= limit_bytes);
            prop_assert!(plan.evicted_bytes >= wanted_bytes.min(plan.cache_bytes));
            // Without the last one it would not be enough.
            if let Some(last) = gone.last() {
                let before = plan.evicted_bytes - all[*last].bytes;
                prop_assert!(plan.cache_bytes - before > limit_bytes || before < wanted_bytes);
            }
            prop_assert_eq!(evict(&facts), plan);
        }
    }

    #[test]
    fn a_copy_without_a_record_is_staged_and_stays() {
        let lone = Stored { record: None, ..stored(1, &[1, 2, 3], false, 10, 0) };
        let candidates = candidates();
        assert_eq!(keeps(node(9), &candidates, &lone), Some(Reason::Staged));
        let cached = stored(1, &[1, 2, 3], false, 10, 0);
        assert_eq!(keeps(node(9), &candidates, &cached), None);
        let few = stored(1, &[1, 2], false, 10, 0);
        assert_eq!(keeps(node(9), &candidates, &few), Some(Reason::TooFewCopies));
    }
}
