//! What this node gave to whom lately, for a bounded number of blobs. Only hints: forgetting costs nothing but speed.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use proto::digest::Digest;
use proto::identity::NodeId;
use proto::upload::UploadId;
use tokio::time::Instant;

use super::super::codec::{ASKERS, Blob, Holding};
use super::super::leaves::{Cut, Leaves};

/// Blobs that are remembered.
const BLOBS: usize = 128;

/// How long an asker counts as interested, and a leaf as given.
const LATELY: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Given(Mutex<BTreeMap<(Digest, UploadId), Entry>>);

struct Entry {
    used: Instant,
    given: Leaves,
    askers: VecDeque<(NodeId, Instant)>,
}

impl Given {
    /// The answer to who has what; `leaves` is what the source says.
    pub(super) fn holding(&self, blob: &Blob, leaves: Option<Leaves>) -> Holding {
        let now = Instant::now();
        let entries = self.entries();
        let entry = entries.get(&(blob.digest, blob.generation));
        let fresh = entry.filter(|entry| now - entry.used < LATELY);
        let given =
            fresh.map_or_else(|| Leaves::none(Cut::of(blob.size).leaves()), |entry| entry.given.clone());
        let askers = entry.into_iter().flat_map(|entry| &entry.askers);
        let askers = askers.filter(|(_, at)| now - *at < LATELY).map(|(node, _)| *node).collect();
        Holding { leaves, given, askers }
    }

    /// Remembers that `node` asked.
    pub(super) fn ask(&self, blob: &Blob, node: NodeId) {
        let now = Instant::now();
        self.with(blob, |entry| {
            entry.askers.retain(|(known, at)| *known != node && now - *at < LATELY);
            entry.askers.push_back((node, now));
            if entry.askers.len() > ASKERS {
                entry.askers.pop_front();
            }
        });
    }

    /// Remembers that these leaves are on their way to somebody.
    pub(super) fn give(&self, blob: &Blob, leaves: Range<u64>) {
        self.with(blob, |entry| leaves.for_each(|leaf| _ = entry.given.insert(leaf)));
    }

    /// They are not.
    pub(super) fn take_back(&self, blob: &Blob, leaves: Range<u64>) {
        self.with(blob, |entry| leaves.for_each(|leaf| entry.given.remove(leaf)));
    }

    fn with(&self, blob: &Blob, change: impl FnOnce(&mut Entry)) {
        let now = Instant::now();
        let key = (blob.digest, blob.generation);
        let leaves = Cut::of(blob.size).leaves();
        let mut entries = self.entries();
        if !entries.contains_key(&key) && entries.len() >= BLOBS {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key);
            oldest.map(|oldest| entries.remove(&oldest));
        }
        let fresh = || Entry { used: now, given: Leaves::none(leaves), askers: VecDeque::new() };
        let entry = entries.entry(key).or_insert_with(fresh);
        if entry.given.len() != leaves || now - entry.used >= LATELY {
            entry.given = Leaves::none(leaves);
        }
        entry.used = now;
        change(entry);
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<(Digest, UploadId), Entry>> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}
