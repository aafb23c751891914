//! The replicated state as Raft's state machine.
//!
//! Beside the keys of `cluster_core::key` (which begin with letters) stand Raft's own two, so that state and
//! position change in one write. Writes become durable every [`WRITES_PER_SYNC`], at each snapshot and
//! before the log is purged; what a crash undoes is applied again from the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cluster_core::command::Response;
use cluster_core::level::Levels;
use cluster_core::state;
use cluster_core::view::{StagedView, View, ViewMut};
use openraft::storage::RaftStateMachine;
use openraft::{
    BasicNode, Entry, EntryPayload, LogId, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta,
    StorageError as RaftStorageError, StorageIOError, StoredMembership,
};

use super::encoding::Stored;
use super::engine::{Durability, Engine, Reader};
use super::release::Release;
use super::snapshot::{SnapshotFile, StateSnapshot};
use super::transfer::{Installing, Outgoing};
use super::{LogStore, StorageError, blocking};
use crate::environment;
use crate::raft::TypeConfig;

pub(super) const APPLIED: &[u8] = b"\0applied";
pub(super) const MEMBERSHIP: &[u8] = b"\0membership";
/// Bounds what is applied again after a crash, and the space that the engine cannot use again before the
/// next durable write.
const WRITES_PER_SYNC: u32 = 256;
/// Changes of several entries are gathered up to about this many bytes of commands, then written.
const GATHERED_BYTES: usize = 16 << 20;

/// The state; clones share the engine.
#[derive(Clone, Debug)]
pub(crate) struct StateStore {
    engine: Arc<Engine>,
    snapshots: PathBuf,
    outgoing: Outgoing,
    installing: Installing,
    log: LogStore,
    pub(crate) release: Release,
    /// Not counted by clones: only the one inside Raft writes.
    writes_since_sync: u32,
}

impl StateStore {
    /// `snapshots`: an empty directory for snapshots on their way.
    pub(super) fn open(
        engine: Arc<Engine>,
        log: LogStore,
        snapshots: PathBuf,
        installing: Installing,
    ) -> Result<Self, StorageError> {
        let outgoing = Outgoing::new(snapshots.clone());
        let release = Release::new(Levels::OWN);
        let store = Self { engine, log, snapshots, outgoing, installing, release, writes_since_sync: 0 };
        // Read now, so that a damaged position is refused at start.
        position(&store.reader()?)?;
        Ok(store)
    }

    /// The state as of now.
    pub(crate) fn reader(&self) -> Result<Reader, StorageError> {
        self.engine.reader()
    }

    /// Index of the last applied entry. Unreadable counts as none, which `Directory` refuses.
    pub(crate) fn applied_index(&self) -> Option<u64> {
        applied_index(&self.engine)
    }

    /// The snapshot that is being sent.
    pub(crate) fn outgoing(&self) -> Outgoing {
        self.outgoing.clone()
    }

    /// Whether a received snapshot is about to replace the state.
    pub(crate) fn installing(&self) -> Installing {
        self.installing.clone()
    }

    /// An empty file for a snapshot that is about to arrive. Blocks.
    pub(crate) fn receive(&self) -> Result<SnapshotFile, StorageError> {
        SnapshotFile::create(&self.snapshots)
    }

    /// Makes all that was applied durable. Blocks.
    pub(crate) fn sync(&self) -> Result<(), StorageError> {
        self.engine.write([], Durability::Now)
    }

    /// The snapshot that is being sent, if the log goes on where it ends. It need not: one that was built while the
    /// transfer began may let the log be purged further, and whoever got the older one would ask for it for ever.
    fn being_sent(&self) -> Option<Snapshot<TypeConfig>> {
        let sent = self.outgoing.current()?;
        if sent.meta.last_log_id.map(|log_id| log_id.index) >= self.log.purged_index() {
            return Some(sent);
        }
        self.outgoing.forget();
        None
    }

    fn path(&self) -> PathBuf {
        self.engine.path().to_owned()
    }
}

/// Index of the last entry that the state in `engine` holds.
pub(super) fn applied_index(engine: &Engine) -> Option<u64> {
    let (applied, _) = position(&engine.reader().ok()?).ok()?;
    applied.map(|log_id| log_id.index)
}

type Position = (Option<LogId<u64>>, StoredMembership<u64, BasicNode>);

fn position(reader: &Reader) -> Result<Position, StorageError> {
    position_in(reader, reader.path())
}

/// Last applied log id and membership; `path` is for the error.
pub(super) fn position_in(
    view: &impl View<Error = StorageError>,
    path: &Path,
) -> Result<Position, StorageError> {
    let applied = view.get(APPLIED)?.map(|value| LogId::decode(path, APPLIED, &value));
    let membership = view.get(MEMBERSHIP)?.map(|value| StoredMembership::decode(path, MEMBERSHIP, &value));
    Ok((applied.transpose()?, membership.transpose()?.unwrap_or_default()))
}

fn meta(reader: &Reader) -> Result<SnapshotMeta<u64, BasicNode>, StorageError> {
    let (last_log_id, last_membership) = position(reader)?;
    let snapshot_id = last_log_id.map_or_else(|| "empty".to_owned(), |log_id| log_id.to_string());
    Ok(SnapshotMeta { last_log_id, last_membership, snapshot_id })
}

/// Applies the entries in order; the responses of each.
fn apply(
    engine: &Engine,
    entries: Vec<Entry<TypeConfig>>,
    release: &Release,
    durability: Durability,
) -> Result<Vec<Vec<Response>>, StorageIOError<u64>> {
    let failed = |error: StorageError| StorageIOError::write_state_machine(&error);
    let mut responses = Vec::with_capacity(entries.len());
    let mut staged = StagedView::new(engine.reader().map_err(failed)?);
    let mut gathered = 0;
    for entry in entries {
        if gathered > GATHERED_BYTES {
            engine.write(staged.into_changes(), Durability::Later).map_err(failed)?;
            staged = StagedView::new(engine.reader().map_err(failed)?);
            gathered = 0;
        }
        if let EntryPayload::Normal(encoded) = &entry.payload {
            gathered += encoded.0.len();
        }
        responses.push(apply_one(&mut staged, release, entry)?);
    }
    engine.write(staged.into_changes(), durability).map_err(failed)?;
    Ok(responses)
}

/// Applies one entry to `staged`; the responses to its commands.
pub(super) fn apply_one(
    staged: &mut StagedView<Reader>,
    release: &Release,
    entry: Entry<TypeConfig>,
) -> Result<Vec<Response>, StorageIOError<u64>> {
    let log_id = entry.log_id;
    let responses = match entry.payload {
        EntryPayload::Blank => Vec::new(),
        EntryPayload::Membership(membership) => {
            staged.put(MEMBERSHIP.to_vec(), StoredMembership::new(Some(log_id), membership).encode());
            Vec::new()
        }
        EntryPayload::Normal(encoded) => {
            let batch = release.read(log_id.index, &encoded.0);
            let batch = batch.map_err(|error| StorageIOError::apply(log_id, &error))?;
            state::apply(staged, log_id.index, batch)
                .map_err(|error| StorageIOError::apply(log_id, &error))?
        }
    };
    staged.put(APPLIED.to_vec(), log_id.encode());
    Ok(responses)
}

impl RaftStateMachine<TypeConfig> for StateStore {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<Position, RaftStorageError<u64>> {
        let engine = Arc::clone(&self.engine);
        let read = blocking(self.path(), move || position(&engine.reader()?)).await;
        read.map_err(|error| StorageIOError::read_state_machine(&error).into())
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Vec<Response>>, RaftStorageError<u64>>
    where
        I: IntoIterator<Item = Entry<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.writes_since_sync += 1;
        let durability = if self.writes_since_sync == WRITES_PER_SYNC {
            self.writes_since_sync = 0;
            Durability::Now
        } else {
            Durability::Later
        };
        let engine = Arc::clone(&self.engine);
        let entries: Vec<_> = entries.into_iter().collect();
        if let Some(last) = entries.last() {
            // The leader's own copy was counted before it was on disk.
            let on_disk = self.log.reaches_disk(last.log_id.index).await;
            on_disk.map_err(|error| StorageIOError::write_logs(&error))?;
        }
        let release = self.release.clone();
        let applied = environment::blocking(move || apply(&engine, entries, &release, durability)).await;
        let panicked =
            |_| StorageIOError::write_state_machine(&StorageError::EnginePanicked { path: self.path() });
        Ok(applied.map_err(panicked)??)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<StateSnapshot>, RaftStorageError<u64>> {
        let dir = self.snapshots.clone();
        let snapshot = blocking(self.path(), move || StateSnapshot::receive_in(&dir)).await;
        Ok(Box::new(snapshot.map_err(|error| StorageIOError::write_snapshot(None, &error))?))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, BasicNode>,
        snapshot: Box<StateSnapshot>,
    ) -> Result<(), RaftStorageError<u64>> {
        let (engine, dir) = (Arc::clone(&self.engine), self.snapshots.clone());
        let stated = meta.clone();
        let install = move || {
            let mut file = snapshot.into_file(&dir)?;
            file.verify(&stated)?;
            engine.replace(file.pairs()?)
        };
        let installed = blocking(self.path(), install).await;
        if installed.is_err() {
            self.installing.fail();
        }
        // What was being sent is older now.
        self.outgoing.forget();
        installed.map_err(|error| StorageIOError::write_snapshot(Some(meta.signature()), &error).into())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, RaftStorageError<u64>> {
        if let Some(sent) = self.being_sent() {
            return Ok(Some(sent));
        }
        let engine = Arc::clone(&self.engine);
        let view = move || {
            let reader = engine.reader()?;
            let meta = meta(&reader)?;
            Ok(meta.last_log_id.is_some().then(|| snapshot(meta, reader)))
        };
        let found = blocking(self.path(), view).await;
        found.map_err(|error| StorageIOError::read_snapshot(None, &error).into())
    }
}

impl RaftSnapshotBuilder<TypeConfig> for StateStore {
    /// The state is its own snapshot: it only has to be on disk. Its bytes are made when they are sent.
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, RaftStorageError<u64>> {
        if let Some(sent) = self.being_sent() {
            return Ok(sent);
        }
        let engine = Arc::clone(&self.engine);
        let build = move || {
            let reader = engine.reader()?;
            engine.write([], Durability::Now)?;
            Ok(snapshot(meta(&reader)?, reader))
        };
        let built = blocking(self.path(), build).await;
        built.map_err(|error| StorageIOError::write_snapshot(None, &error).into())
    }
}

fn snapshot(meta: SnapshotMeta<u64, BasicNode>, reader: Reader) -> Snapshot<TypeConfig> {
    Snapshot { meta, snapshot: Box::new(StateSnapshot::View(reader)) }
}
