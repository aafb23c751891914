//! The Raft log and vote of this node.
//!
//! Keys: `e` and the index, 8 bytes big endian: an entry; `v` the vote; `p` the last purged log id; `c` a
//! log id that is surely committed, written along with later entries; `n` the node that the log belongs to. Which entries there are and how large is also kept in memory, read at start
//! together with every entry, so that a damaged or incomplete log is refused before anything is answered.

mod step_down;

use std::fmt::Debug;
use std::ops::{Bound, ControlFlow, RangeBounds};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cluster_core::view::View;
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    Entry, LogId, LogState, OptionalSend, RaftLogId, RaftLogReader, StorageError as RaftStorageError,
    StorageIOError, Vote,
};
use proto::identity::NodeId;

use super::encoding::Stored;
use super::engine::{Durability, Engine, Reader};
use super::span::Span;
use super::state::applied_index;
use super::transfer::Installing;
use super::{StorageError, blocking};
use crate::raft::TypeConfig;

pub(super) const VOTE: &[u8] = b"v";
pub(super) const PURGED: &[u8] = b"p";
const COMMITTED: &[u8] = b"c";
pub(super) const NODE: &[u8] = b"n";
const ENTRIES_END: &[u8] = b"f";
/// Most bytes of entries in one message to a follower, unless the first alone is larger.
const READ_BYTES: u64 = 4 << 20;

/// The log; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct LogStore {
    log: Arc<Engine>,
    /// Made durable before entries are purged that it has applied.
    state: Arc<Engine>,
    installing: Installing,
    span: Arc<Mutex<Span>>,
}

impl LogStore {
    /// Reads the whole log. `state` is the engine that holds what was applied.
    pub(super) fn open(
        log: Engine,
        state: Arc<Engine>,
        installing: Installing,
    ) -> Result<Self, StorageError> {
        let reader = log.reader()?;
        let purged = read::<LogId<u64>>(&reader, PURGED)?;
        let committed = read::<LogId<u64>>(&reader, COMMITTED)?;
        let mut span = Span { purged, last: purged, committed, ..Span::default() };
        let mut failure = None;
        reader.scan(&entry_key(0), ENTRIES_END, &mut |key, value| {
            let checked = Entry::<TypeConfig>::decode(reader.path(), key, value).and_then(|entry| {
                let expected = span.last.map_or(0, |last| last.index + 1);
                let fits = entry.log_id.index == expected && key == entry_key(expected);
                let hole = || StorageError::Damaged { path: reader.path().to_owned(), key: key.to_vec() };
                fits.then_some(entry.log_id).ok_or_else(hole)
            });
            match checked {
                Ok(log_id) => {
                    span.push(log_id, value.len() as u64);
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        match failure {
            Some(error) => Err(error),
            None => Ok(Self { log: Arc::new(log), state, installing, span: Arc::new(Mutex::new(span)) }),
        }
    }

    /// The node that the log belongs to, if one has taken it.
    pub(crate) fn owner(&self) -> Result<Option<u64>, StorageError> {
        let value = self.log.reader()?.get(NODE)?;
        let number = |value: Vec<u8>| {
            let damaged = || StorageError::Damaged { path: self.log.path().to_owned(), key: NODE.to_vec() };
            value.try_into().map(u64::from_be_bytes).map_err(|_| damaged())
        };
        value.map(number).transpose()
    }

    /// Makes the log `node`'s. Blocks until that is on disk.
    pub(crate) fn set_owner(&self, node: NodeId) -> Result<(), StorageError> {
        self.log.write([(NODE.to_vec(), Some(node.get().to_be_bytes().to_vec()))], Durability::Now)
    }

    /// From now on what is committed is on disk before it is applied, so that a state that was shown is there
    /// again after a crash without anybody's help; one sync more for each step.
    pub(crate) fn save_commits(&self) {
        self.span().saves_commits = true;
    }

    /// Bytes of all entries that are there.
    pub(crate) fn bytes(&self) -> u64 {
        self.span().bytes
    }

    /// Index of the last purged entry.
    pub(super) fn purged_index(&self) -> Option<u64> {
        self.span().purged.map(|log_id| log_id.index)
    }

    fn span(&self) -> MutexGuard<'_, Span> {
        // Every change under the lock is a whole one.
        self.span.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self) -> PathBuf {
        self.log.path().to_owned()
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<TypeConfig>>, RaftStorageError<u64>> {
        let from = match range.start_bound() {
            Bound::Included(from) => entry_key(*from),
            Bound::Excluded(before) => entry_key(before.saturating_add(1)),
            Bound::Unbounded => entry_key(0),
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last.checked_add(1).map_or(ENTRIES_END.to_vec(), entry_key),
            Bound::Excluded(end) => entry_key(*end),
            Bound::Unbounded => ENTRIES_END.to_vec(),
        };
        let log = Arc::clone(&self.log);
        let entries = blocking(self.path(), move || read_entries(&log.reader()?, &from, &to)).await;
        entries.map_err(|error| StorageIOError::read_logs(&error).into())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry<TypeConfig>>, RaftStorageError<u64>> {
        let limited = {
            let span = self.span();
            let skipped = usize::try_from(start.saturating_sub(span.first)).unwrap_or(usize::MAX);
            let mut bytes = 0;
            let fitting = span.sizes.iter().skip(skipped).take_while(|size| {
                bytes += **size;
                bytes <= READ_BYTES
            });
            end.min(start + (fitting.count() as u64).max(1))
        };
        self.try_get_log_entries(start..limited).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, RaftStorageError<u64>> {
        let span = self.span();
        Ok(LogState { last_purged_log_id: span.purged, last_log_id: span.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), RaftStorageError<u64>> {
        let (log, vote) = (Arc::clone(&self.log), vote.encode());
        let write = move || log.write([(VOTE.to_vec(), Some(vote))], Durability::Now);
        blocking(self.path(), write).await.map_err(|error| StorageIOError::write_vote(&error).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, RaftStorageError<u64>> {
        let log = Arc::clone(&self.log);
        let vote = blocking(self.path(), move || read(&log.reader()?, VOTE)).await;
        vote.map_err(|error| StorageIOError::read_vote(&error).into())
    }

    /// Costs no sync of its own unless [`LogStore::save_commits`] was called: it is written with the next
    /// entries, so what is read may be a little older.
    async fn save_committed(&mut self, committed: Option<LogId<u64>>) -> Result<(), RaftStorageError<u64>> {
        let is_saved = {
            let mut span = self.span();
            span.committed = committed;
            span.saves_commits
        };
        let Some(committed) = committed.filter(|_| is_saved) else { return Ok(()) };
        let log = Arc::clone(&self.log);
        let write = move || log.write([(COMMITTED.to_vec(), Some(committed.encode()))], Durability::Now);
        blocking(self.path(), write).await.map_err(|error| StorageIOError::write(&error).into())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<u64>>, RaftStorageError<u64>> {
        Ok(self.span().committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<TypeConfig>,
    ) -> Result<(), RaftStorageError<u64>>
    where
        I: IntoIterator<Item = Entry<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let encoded = |entry: Entry<TypeConfig>| (*entry.get_log_id(), entry.encode());
        let entries: Vec<_> = entries.into_iter().map(encoded).collect();
        let added: Vec<_> = entries.iter().map(|(log_id, value)| (*log_id, value.len() as u64)).collect();
        let log = Arc::clone(&self.log);
        let committed = self.span().committed.map(|log_id| (COMMITTED.to_vec(), Some(log_id.encode())));
        let write = move || {
            let changes = entries.into_iter().map(|(log_id, value)| (entry_key(log_id.index), Some(value)));
            log.write(changes.chain(committed), Durability::Now)
        };
        blocking(self.path(), write).await.map_err(|error| StorageIOError::write_logs(&error))?;
        {
            let mut span = self.span();
            added.into_iter().for_each(|(log_id, size)| span.push(log_id, size));
        }
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId<u64>) -> Result<(), RaftStorageError<u64>> {
        let log = Arc::clone(&self.log);
        let cut = move || {
            log.remove_range(&entry_key(log_id.index), ENTRIES_END, None)?;
            let before = log_id.index.checked_sub(1).map(entry_key);
            let reader = log.reader()?;
            Ok(match before {
                Some(key) => read::<Entry<TypeConfig>>(&reader, &key)?.map(|entry| entry.log_id),
                None => None,
            })
        };
        let before = blocking(self.path(), cut).await.map_err(|error| StorageIOError::write_logs(&error))?;
        let mut span = self.span();
        while span.end() > log_id.index {
            let Some(size) = span.sizes.pop_back() else { break };
            span.bytes -= size;
        }
        span.last = before.or(span.purged);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId<u64>) -> Result<(), RaftStorageError<u64>> {
        let (log, state) = (Arc::clone(&self.log), Arc::clone(&self.state));
        let settled = self.installing.settled(log_id.index, || applied_index(&self.state)).await;
        settled.map_err(|error| StorageIOError::write_logs(&error))?;
        let purge = move || {
            state.write([], Durability::Now)?;
            let purged = (PURGED.to_vec(), log_id.encode());
            log.remove_range(&entry_key(0), &entry_key(log_id.index + 1), Some(purged))
        };
        blocking(self.path(), purge).await.map_err(|error| StorageIOError::write_logs(&error))?;
        let mut span = self.span();
        while span.first <= log_id.index {
            let Some(size) = span.sizes.pop_front() else { break };
            span.first += 1;
            span.bytes -= size;
        }
        span.purged = Some(log_id);
        span.last = span.last.max(Some(log_id));
        Ok(())
    }
}

fn entry_key(index: u64) -> Vec<u8> {
    [b"e".as_slice(), &index.to_be_bytes()].concat()
}

fn read<T: Stored>(reader: &Reader, key: &[u8]) -> Result<Option<T>, StorageError> {
    reader.get(key)?.map(|value| T::decode(reader.path(), key, &value)).transpose()
}

fn read_entries(reader: &Reader, from: &[u8], to: &[u8]) -> Result<Vec<Entry<TypeConfig>>, StorageError> {
    let mut entries = Ok(Vec::new());
    reader.scan(from, to, &mut |key, value| {
        let decoded = Entry::decode(reader.path(), key, value);
        match (decoded, &mut entries) {
            (Ok(entry), Ok(found)) => {
                found.push(entry);
                ControlFlow::Continue(())
            }
            (decoded, _) => {
                entries = decoded.map(|_| Vec::new());
                ControlFlow::Break(())
            }
        }
    })?;
    entries
}
