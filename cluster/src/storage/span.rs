//! Which entries the log has, in memory: read at start, kept in step by each change.

use std::collections::VecDeque;

use openraft::LogId;

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

    /// One past the last entry.
    pub(super) fn end(&self) -> u64 {
        self.first + self.sizes.len() as u64
    }
}
