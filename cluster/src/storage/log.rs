//! The Raft log and vote of this node.
//!
//! Every change is a [`Record`] behind the others in the [`Segments`]; what they add up to is in memory as
//! [`Contents`]. All of it is read at start, so that a damaged or incomplete log is refused before anything
//! is answered.

mod contents;
mod frame;
mod mark;
mod reader;
mod recent;
mod segments;
mod step_down;
mod synced;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    Entry, EntryPayload, LogId, LogState, OptionalSend, RaftLogId, StorageError as RaftStorageError,
    StorageIOError, Vote,
};
use proto::identity::NodeId;

use self::contents::{Contents, Head, Record, Slot};
use self::segments::{Appended, Segments};
use self::synced::Syncer;
use super::encoding::Stored;
use super::engine::{Durability, Engine};
use super::state::applied_index;
use super::transfer::Installing;
use super::{StorageError, blocking};
use crate::raft::TypeConfig;

/// Records up to this size in all are encoded and hashed where they come from, which takes well below a
/// millisecond; more is work for a thread that may block.
const INLINE_BYTES: usize = 128 << 10;

/// The log; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct LogStore {
    segments: Arc<Segments>,
    contents: Arc<Mutex<Contents>>,
    syncer: Arc<Syncer>,
    /// Made durable before entries are purged that it has applied.
    state: Arc<Engine>,
    installing: Installing,
    /// Whether what is committed is on disk before it is applied.
    saves_commits: Arc<AtomicBool>,
}

/// When a record must be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sync {
    /// Before the call returns.
    Now,
    /// Soon: [`LogStore::reaches_disk`] waits for it.
    Soon,
}

fn lock(contents: &Mutex<Contents>) -> MutexGuard<'_, Contents> {
    // Every change under the lock is a whole one.
    contents.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a log that was just founded says; nothing yet by default.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beginning {
    pub(super) owner: Option<NodeId>,
    pub(super) vote: Option<Vote<u64>>,
    pub(super) purged: Option<LogId<u64>>,
}

impl LogStore {
    /// Makes `dir` with an empty log, whole or not at all. The caller makes its name durable. Blocks.
    pub(super) fn create(dir: &Path, beginning: Beginning) -> Result<(), StorageError> {
        let Beginning { owner, vote, purged } = beginning;
        let owner = owner.map(NodeId::get);
        let head = Head { owner, vote, purged, last: purged, committed: None };
        Segments::create(dir, &Record::Head(head).encode())
    }

    /// Reads the whole log in `dir`. `state` is the engine that holds what was applied.
    pub(super) fn open(dir: &Path, state: Arc<Engine>, installing: Installing) -> Result<Self, StorageError> {
        let mut contents = Contents::default();
        let segments = Segments::open(dir, &mut |path, place, payload| {
            let record = Record::read(path, place.offset, payload)?;
            let slot = |log_id| Slot { log_id, place, len: payload.len(), end: 0 };
            let damaged = || StorageError::DamagedAt { path: path.to_owned(), offset: place.offset };
            contents.take(&record, slot).then_some(()).ok_or_else(damaged)
        })?;
        if !contents.is_whole() {
            return Err(StorageError::Incomplete { path: dir.to_owned(), index: contents.first });
        }
        Ok(Self {
            segments: Arc::new(segments),
            contents: Arc::new(Mutex::new(contents)),
            syncer: Arc::new(Syncer::new()),
            state,
            installing,
            saves_commits: Arc::default(),
        })
    }

    /// The node that the log belongs to, if one has taken it.
    pub(crate) fn owner(&self) -> Option<u64> {
        self.head().owner
    }

    /// Makes the log `node`'s. Blocks until that is on disk.
    pub(crate) fn set_owner(&self, node: NodeId) -> Result<(), StorageError> {
        self.write_blocking(&[Record::Owner(node.get())], Sync::Now)
    }

    /// From now on what is committed is on disk before it is applied, so that a state that was shown is there
    /// again after a crash without anybody's help; one sync more for each step.
    pub(crate) fn save_commits(&self) {
        self.saves_commits.store(true, Ordering::Relaxed);
    }

    /// Bytes of all entries that are there.
    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.contents).bytes
    }

    /// Bytes of its files.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.segments.bytes()
    }

    /// Index of the last purged entry.
    pub(super) fn purged_index(&self) -> Option<u64> {
        self.head().purged.map(|log_id| log_id.index)
    }

    fn head(&self) -> Head {
        lock(&self.contents).head
    }

    fn path(&self) -> PathBuf {
        self.segments.dir().to_owned()
    }

    /// Appends records and takes them in; does not block while `Soon` finds room in the segment. Never called
    /// twice at once: Raft changes the log from one task.
    fn write_blocking(&self, records: &[Record], sync: Sync) -> Result<(), StorageError> {
        if self.segments.is_full() {
            let rotated = self.segments.rotate(&Record::Head(self.head()).encode());
            rotated.inspect_err(|_| self.syncer.publish(&self.segments.sync()))?;
        }
        let payloads: Vec<_> = records.iter().map(Stored::encode).collect();
        let Appended { places, end } = self.segments.append(&payloads)?;
        {
            let mut contents = lock(&self.contents);
            for ((record, payload), place) in records.iter().zip(&payloads).zip(places) {
                let slot = |log_id| Slot { log_id, place, len: payload.len(), end };
                if !contents.take(record, slot) {
                    self.segments.break_off();
                    return Err(StorageError::DamagedAt { path: self.path(), offset: place.offset });
                }
            }
        }
        if sync == Sync::Now {
            let synced = self.segments.sync();
            self.syncer.publish(&synced);
            synced?;
        }
        Ok(())
    }

    async fn write(&self, records: Vec<Record>, sync: Sync) -> Result<(), StorageError> {
        let size: usize = records.iter().map(Record::size_hint).sum();
        if sync == Sync::Soon && size <= INLINE_BYTES && !self.segments.is_full() {
            // Does not touch the disk.
            return self.write_blocking(&records, sync);
        }
        let log = self.clone();
        blocking(self.path(), move || log.write_blocking(&records, sync)).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, RaftStorageError<u64>> {
        let head = self.head();
        Ok(LogState { last_purged_log_id: head.purged, last_log_id: head.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), RaftStorageError<u64>> {
        let written = self.write(vec![Record::Vote(*vote)], Sync::Now).await;
        written.map_err(|error| StorageIOError::write_vote(&error).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, RaftStorageError<u64>> {
        Ok(self.head().vote)
    }

    /// Costs no sync of its own unless [`LogStore::save_commits`] was called: it is written behind the next
    /// entries, so what is read may be a little older, and never names one that is not there.
    async fn save_committed(&mut self, committed: Option<LogId<u64>>) -> Result<(), RaftStorageError<u64>> {
        let Some(committed) = committed else { return Ok(()) };
        if !self.saves_commits.load(Ordering::Relaxed) {
            lock(&self.contents).head.committed = Some(committed);
            return Ok(());
        }
        let written = self.write(vec![Record::Committed(committed)], Sync::Now).await;
        written.map_err(|error| StorageIOError::write(&error).into())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<u64>>, RaftStorageError<u64>> {
        Ok(self.head().committed)
    }

    /// A leader's own entries count as written before they are on disk: see [`synced`].
    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<TypeConfig>,
    ) -> Result<(), RaftStorageError<u64>>
    where
        I: IntoIterator<Item = Entry<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records: Vec<_> = entries.into_iter().map(Record::Entry).collect();
        let sync = {
            let contents = lock(&self.contents);
            let is_own = |record: &Record| match record {
                // openraft lets a change of the members follow one that is committed, without waiting for apply:
                // so that must be on this disk, too.
                Record::Entry(entry) if matches!(entry.payload, EntryPayload::Membership(_)) => false,
                Record::Entry(entry) => contents.is_leading(*entry.get_log_id()),
                _ => false,
            };
            if records.iter().all(is_own) { Sync::Soon } else { Sync::Now }
        };
        records.extend(self.head().committed.map(Record::Committed));
        let written = self.write(records, sync).await;
        written.map_err(|error| StorageIOError::write_logs(&error))?;
        if sync == Sync::Soon {
            self.syncer.want(&self.segments);
        }
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId<u64>) -> Result<(), RaftStorageError<u64>> {
        let last = {
            let contents = lock(&self.contents);
            let before = log_id.index.checked_sub(1).and_then(|index| contents.slot(index));
            before.map_or(contents.head.purged, |slot| Some(slot.log_id))
        };
        let written = self.write(vec![Record::Cut(last)], Sync::Now).await;
        written.map_err(|error| StorageIOError::write_logs(&error).into())
    }

    async fn purge(&mut self, log_id: LogId<u64>) -> Result<(), RaftStorageError<u64>> {
        let settled = self.installing.settled(log_id.index, || applied_index(&self.state)).await;
        settled.map_err(|error| StorageIOError::write_logs(&error))?;
        let log = self.clone();
        let purge = move || {
            log.state.write([], Durability::Now)?;
            log.write_blocking(&[Record::Purged(log_id)], Sync::Now)?;
            let oldest = lock(&log.contents).slots.front().map_or(u64::MAX, |slot| slot.place.segment);
            log.segments.remove_before(oldest)
        };
        blocking(self.path(), purge).await.map_err(|error| StorageIOError::write_logs(&error).into())
    }
}

#[cfg(test)]
#[path = "log/log_test.rs"]
mod tests;
