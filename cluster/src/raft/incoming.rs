//! Receiving a snapshot: one at a time, into a file, checked whole before Raft hears of it.
//!
//! What has arrived stays for a while, so that a transfer that was cut goes on, also from another leader:
//! equal states have equal bytes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::{BasicNode, Snapshot, SnapshotMeta, Vote};
use proto::wire::raft as wire;
use tokio::time::Instant;

use super::Raft;
use super::message::ChunkOf;
use crate::environment;
use crate::storage::{SnapshotFile, StateSnapshot, StateStore, StorageError, Stored};

/// A transfer that stood still for this long makes room for another one.
const IDLE: Duration = Duration::from_secs(10);
/// A transfer that stood still for this long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// What is arriving.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    slot: Arc<Mutex<Slot>>,
    dir: PathBuf,
}

#[derive(Debug)]
enum Slot {
    Empty,
    /// A chunk is being written, or all of it installed.
    Busy,
    Held(Box<Receiving>),
}

#[derive(Debug)]
struct Receiving {
    vote: Vote<u64>,
    meta: SnapshotMeta<u64, BasicNode>,
    size: u64,
    received: u64,
    file: SnapshotFile,
    used: Instant,
}

/// What the slot holds is decided when this goes, also if the request is dropped.
struct Turn<'a> {
    incoming: &'a Incoming,
    held: Option<Box<Receiving>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.incoming.slot() = self.held.take().map_or(Slot::Empty, Slot::Held);
    }
}

type Answer = Result<wire::SnapshotReply, &'static str>;

impl Incoming {
    /// `dir`: where the files of snapshots are.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { slot: Arc::new(Mutex::new(Slot::Empty)), dir }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        // Every change under the lock is a whole one.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up what stood still for long.
    pub(crate) fn expire(&self) {
        let mut slot = self.slot();
        if matches!(&*slot, Slot::Held(held) if held.used.elapsed() > FORGOTTEN) {
            *slot = Slot::Empty;
        }
    }

    /// Takes the slot if the transfer of `chunk` may have it.
    fn turn(&self, chunk: &ChunkOf) -> Result<Turn<'_>, &'static str> {
        let mut slot = self.slot();
        match std::mem::replace(&mut *slot, Slot::Busy) {
            Slot::Busy => Err("a part of a snapshot is being written"),
            Slot::Empty => Ok(Turn { incoming: self, held: None }),
            Slot::Held(held) if held.meta == chunk.meta && held.size == chunk.size => {
                Ok(Turn { incoming: self, held: Some(held) })
            }
            // A newer leader goes first, and so does a sender that has something newer.
            Slot::Held(held) if chunk.vote >= held.vote || held.used.elapsed() > IDLE => {
                Ok(Turn { incoming: self, held: None })
            }
            Slot::Held(held) => {
                *slot = Slot::Held(held);
                Err("another snapshot is arriving")
            }
        }
    }

    /// Takes a chunk. `Err`: why not; nothing was replaced.
    pub(crate) async fn take(
        &self,
        raft: &Raft,
        state: &StateStore,
        chunk: ChunkOf,
        data: Vec<u8>,
    ) -> Answer {
        let (mine, applied) = {
            let metrics = raft.metrics();
            let metrics = metrics.borrow();
            (metrics.vote, metrics.last_applied)
        };
        if chunk.vote < mine {
            return Ok(wire::SnapshotReply { vote: Some(mine.to_wire()), received: 0, installed: false });
        }
        if applied >= chunk.meta.last_log_id {
            return install(raft, chunk.vote, chunk.meta, StateSnapshot::Nothing, chunk.size).await;
        }
        let mut turn = self.turn(&chunk)?;
        let mut receiving = match turn.held.take() {
            Some(receiving) => receiving,
            None => self.begin(state, &chunk).await?,
        };
        receiving.vote = chunk.vote;
        receiving.used = Instant::now();
        if chunk.offset != receiving.received || data.is_empty() {
            let received = receiving.received;
            turn.held = Some(receiving);
            return Ok(wire::SnapshotReply { vote: Some(mine.to_wire()), received, installed: false });
        }
        let is_last = chunk.offset + data.len() as u64 == chunk.size;
        let written = environment::blocking(move || write(receiving, &data, is_last)).await;
        let receiving = match written {
            Ok(Ok(receiving)) => receiving,
            Ok(Err(StorageError::SnapshotDamaged)) => return Err("the snapshot is damaged"),
            Ok(Err(_)) | Err(_) => return Err("the snapshot cannot be written"),
        };
        if !is_last {
            let received = receiving.received;
            turn.held = Some(receiving);
            return Ok(wire::SnapshotReply { vote: Some(mine.to_wire()), received, installed: false });
        }
        let installing = state.installing();
        installing.begin(chunk.meta.last_log_id.map_or(0, |log_id| log_id.index));
        tracing::info!(snapshot = %chunk.meta.snapshot_id, size_bytes = chunk.size, "installing a snapshot");
        let content = StateSnapshot::Received(receiving.file);
        let installed = install(raft, chunk.vote, chunk.meta, content, chunk.size).await;
        installing.end();
        installed
    }

    async fn begin(&self, state: &StateStore, chunk: &ChunkOf) -> Result<Box<Receiving>, &'static str> {
        let (store, dir, size) = (state.clone(), self.dir.clone(), chunk.size);
        let open = move || {
            // The file, and the state that is made from it.
            let has_room = rustix::fs::statvfs(&dir)
                .is_ok_and(|volume| size <= volume.f_bavail.saturating_mul(volume.f_frsize) / 2);
            has_room.then(|| store.receive())
        };
        let file = match environment::blocking(open).await {
            Ok(Some(Ok(file))) => file,
            Ok(None) => return Err("there is no room for the snapshot"),
            Ok(Some(Err(_))) | Err(_) => return Err("the snapshot cannot be written"),
        };
        let (vote, meta) = (chunk.vote, chunk.meta.clone());
        Ok(Box::new(Receiving { vote, meta, size, received: 0, file, used: Instant::now() }))
    }
}

fn write(mut receiving: Box<Receiving>, data: &[u8], is_last: bool) -> Result<Box<Receiving>, StorageError> {
    receiving.file.write_at(receiving.received, data)?;
    receiving.received += data.len() as u64;
    if is_last {
        receiving.file.verify(&receiving.meta)?;
    }
    Ok(receiving)
}

async fn install(
    raft: &Raft,
    vote: Vote<u64>,
    meta: SnapshotMeta<u64, BasicNode>,
    content: StateSnapshot,
    size: u64,
) -> Answer {
    let snapshot = Snapshot { meta, snapshot: Box::new(content) };
    let response = raft.install_full_snapshot(vote, snapshot).await.map_err(|_| "this node is stopping")?;
    let installed = response.vote <= vote;
    Ok(wire::SnapshotReply { vote: Some(response.vote.to_wire()), received: size, installed })
}
