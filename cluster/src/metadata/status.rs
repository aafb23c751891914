//! How the group and this node's part of it are doing, as plain numbers.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Inner;

/// A moment of the metadata on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether Raft runs, its storage never failed, and a leader is known.
    pub ready: bool,
    /// The leader's node id, if known.
    pub leader: Option<u64>,
    /// Raft term.
    pub term: u64,
    /// Index of the last entry in this node's log.
    pub last_log_index: u64,
    /// Index of the last entry that this node has applied.
    pub applied_index: u64,
    /// Index up to which the state is surely on disk.
    pub snapshot_index: u64,
    /// Index up to which entries have gone from the log.
    pub purged_index: u64,
    /// Bytes of the entries in the log.
    pub log_bytes: u64,
    /// Bytes that the metadata files take on disk.
    pub disk_bytes: u64,
    /// Entries that this node has proposed since it started.
    pub entries_proposed: u64,
    /// Commands in these entries.
    pub commands_proposed: u64,
}

/// What is counted since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    entries: AtomicU64,
    commands: AtomicU64,
}

impl Counters {
    /// One entry with `commands` commands.
    pub(super) fn count(&self, commands: usize) {
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.commands.fetch_add(commands as u64, Ordering::Relaxed);
    }
}

pub(super) fn status(inner: &Inner) -> Status {
    let metrics = inner.raft.metrics().borrow().clone();
    let index = |log_id: Option<openraft::LogId<u64>>| log_id.map_or(0, |log_id| log_id.index);
    Status {
        ready: metrics.running_state.is_ok()
            && metrics.current_leader.is_some()
            && !inner.stop.is_cancelled(),
        leader: metrics.current_leader,
        term: metrics.current_term,
        last_log_index: metrics.last_log_index.unwrap_or(0),
        applied_index: index(metrics.last_applied),
        snapshot_index: index(metrics.snapshot),
        purged_index: index(metrics.purged),
        log_bytes: inner.log.bytes(),
        disk_bytes: disk_bytes(inner),
        entries_proposed: inner.counters.entries.load(Ordering::Relaxed),
        commands_proposed: inner.counters.commands.load(Ordering::Relaxed),
    }
}

fn disk_bytes(inner: &Inner) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // Blocks of 512 bytes, as stat(2) counts them. A file that cannot be asked for counts as nothing.
    let allocated = |name: &str| fs::metadata(inner.dir.join(name)).map_or(0, |file| file.blocks() * 512);
    allocated("log.db") + allocated("state.db")
}
