//! Snapshots on their way between nodes, as far as the storage must know of them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::{BasicNode, Snapshot, SnapshotMeta};
use tokio::sync::watch;
use tokio::time::Instant;

use super::snapshot::{SnapshotFile, StateSnapshot};
use super::{StorageError, blocking};
use crate::raft::TypeConfig;

/// A snapshot that nobody asked for during this time is given up.
const IDLE: Duration = Duration::from_secs(60);

/// The snapshot that is being sent. While there is one it is *the* snapshot of this node: whoever asks gets
/// the same bytes, so that a transfer goes on where it was cut, and no entry behind it leaves the log.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    sent: Arc<Mutex<Option<Sent>>>,
    dir: PathBuf,
}

#[derive(Debug)]
struct Sent {
    meta: SnapshotMeta<u64, BasicNode>,
    file: Arc<SnapshotFile>,
    used: Instant,
}

impl Outgoing {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { sent: Arc::default(), dir }
    }

    fn sent(&self) -> MutexGuard<'_, Option<Sent>> {
        // Every change under the lock is a whole one.
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that is being sent, unless it was given up.
    pub(super) fn current(&self) -> Option<Snapshot<TypeConfig>> {
        let mut sent = self.sent();
        if sent.as_ref().is_some_and(|sent| sent.used.elapsed() > IDLE) {
            *sent = None;
        }
        let sent = sent.as_ref()?;
        let snapshot = Box::new(StateSnapshot::Sending(Arc::clone(&sent.file)));
        Some(Snapshot { meta: sent.meta.clone(), snapshot })
    }

    /// The bytes of `snapshot`, made now if it is only a view yet, and kept for the next try.
    pub(crate) async fn file(
        &self,
        snapshot: Snapshot<TypeConfig>,
    ) -> Result<Arc<SnapshotFile>, StorageError> {
        let reader = match *snapshot.snapshot {
            StateSnapshot::Sending(file) => return Ok(file),
            StateSnapshot::Received(file) => return Ok(Arc::new(file)),
            StateSnapshot::Nothing => return Err(StorageError::SnapshotDamaged),
            StateSnapshot::View(reader) => reader,
        };
        let dir = self.dir.clone();
        let make = move || StateSnapshot::View(reader).into_file(&dir);
        let file = Arc::new(blocking(self.dir.clone(), make).await?);
        *self.sent() = Some(Sent { meta: snapshot.meta, file: Arc::clone(&file), used: Instant::now() });
        Ok(file)
    }

    /// Says that the snapshot is still being sent.
    pub(crate) fn touch(&self) {
        if let Some(sent) = self.sent().as_mut() {
            sent.used = Instant::now();
        }
    }

    /// Gives it up; a transfer under way goes on, but cannot be resumed.
    pub(crate) fn forget(&self) {
        *self.sent() = None;
    }

    /// Gives it up if nobody asked for it for long.
    pub(crate) fn expire(&self) {
        drop(self.current());
    }
}

/// Whether a received snapshot is about to replace the state. Raft empties the log at once while the state
/// is replaced beside it: the log must wait, or a crash in between would leave neither.
#[derive(Clone, Debug)]
pub(crate) struct Installing(Arc<watch::Sender<Install>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Install {
    Idle,
    /// Of a snapshot that ends with this index.
    Running(u64),
    Failed,
}

impl Installing {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Install::Idle)))
    }

    /// Called before Raft is given the snapshot.
    pub(crate) fn begin(&self, index: u64) {
        self.0.send_replace(Install::Running(index));
    }

    /// Called when Raft has answered, whatever it did.
    pub(crate) fn end(&self) {
        self.0.send_if_modified(|install| {
            let is_running = matches!(install, Install::Running(_));
            if is_running {
                *install = Install::Idle;
            }
            is_running
        });
    }

    pub(super) fn fail(&self) {
        self.0.send_replace(Install::Failed);
    }

    /// Waits until the log may lose the entries up to `upto`: `applied` tells what the state holds.
    pub(super) async fn settled(
        &self,
        upto: u64,
        mut applied: impl FnMut() -> Option<u64>,
    ) -> Result<(), StorageError> {
        /// The state says nothing by itself.
        const POLL: Duration = Duration::from_millis(2);
        loop {
            let install = *self.0.borrow();
            match install {
                Install::Failed => return Err(StorageError::SnapshotDamaged),
                Install::Running(index) if upto <= index && applied() < Some(upto) => {
                    tokio::time::sleep(POLL).await;
                }
                Install::Running(_) | Install::Idle => return Ok(()),
            }
        }
    }
}
