//! Which entries the log has, in memory: read at start, kept in step by each change.

use std::collections::VecDeque;

use openraft::LogId;

/// Entries and bytes at the end of the log that may be read without a thread of their own: mostly those that
/// were written a moment ago, so are in memory.
const RECENT_ENTRIES: u64 = 64;
const RECENT_BYTES: u64 = 64 << 10;

/// Which entries there are.
#[derive(Debug, Default)]
pub(super) struct Span {
    pub(super) purged: Option<LogId<u64>>,
    pub(super) last: Option<LogId<u64>>,
    /// What is known to be committed: up to it the state is brought at start, with or without a quorum.
    pub(super) committed: Option<LogId<u64>>,
    /// Whether `committed` is written before it is applied.
    pub(super) saves_commits: bool,
    /// Index of the first entry, if there is one.
    pub(super) first: u64,
    /// Stored size of each entry from `first` on, bytes.
    pub(super) sizes: VecDeque<u64>,
    /// Their sum.
    pub(super) bytes: u64,
}

impl Span {
    pub(super) fn push(&mut self, log_id: LogId<u64>, size: u64) {
        if self.sizes.is_empty() {
            self.first = log_id.index;
        }
        self.sizes.push_back(size);
        self.bytes += size;
        self.last = Some(log_id);
    }

    /// Whether the entries from `from` to the end are few and small, so that reading them takes microseconds.
    pub(super) fn is_recent(&self, from: u64) -> bool {
        let count = self.end().saturating_sub(from);
        count <= RECENT_ENTRIES && self.sizes.iter().rev().take(count as usize).sum::<u64>() <= RECENT_BYTES
    }

    /// One past the last entry.
    pub(super) fn end(&self) -> u64 {
        self.first + self.sizes.len() as u64
    }
}
