//! How much of the log is on disk. A leader sends an entry to the others while its own disk still writes it,
//! as Raft allows (thesis, 10.2.1); openraft counts the leader's copy at once, so everything that follows
//! from an entry's commit waits here: applying it, answering for it, telling others that it is committed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::LogId;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::super::{StorageError, blocking};
use super::segments::Segments;
use super::{LogStore, lock};

/// Bytes that are on disk, as `Appended::end` counts them; `None`: a sync failed.
type Bytes = Option<u64>;

/// Since when the sync that is under way has been.
type UnderWay = Arc<Mutex<Option<Instant>>>;

/// Syncs on request, one after the other.
#[derive(Debug)]
pub(super) struct Syncer {
    synced: watch::Sender<Bytes>,
    wanted: Arc<Notify>,
    under_way: UnderWay,
    task: std::sync::OnceLock<AbortOnDropHandle<()>>,
}

impl Syncer {
    pub(super) fn new() -> Self {
        let (wanted, under_way, task) = Default::default();
        Self { synced: watch::Sender::new(Some(0)), wanted, under_way, task }
    }

    /// Says what a sync came to.
    pub(super) fn publish(&self, synced: &Result<u64, StorageError>) {
        publish(&self.synced, synced);
    }

    /// Starts to make all that was appended durable. Must be called inside a runtime.
    pub(super) fn want(&self, segments: &Arc<Segments>) {
        self.task.get_or_init(|| {
            let (wanted, under_way) = (Arc::clone(&self.wanted), Arc::clone(&self.under_way));
            AbortOnDropHandle::new(tokio::spawn(run(
                Arc::clone(segments),
                wanted,
                under_way,
                self.synced.clone(),
            )))
        });
        self.wanted.notify_one();
    }
}

async fn run(
    segments: Arc<Segments>,
    wanted: Arc<Notify>,
    under_way: UnderWay,
    synced: watch::Sender<Bytes>,
) {
    let note = |since| *under_way.lock().unwrap_or_else(PoisonError::into_inner) = since;
    loop {
        wanted.notified().await;
        let (syncing, path) = (Arc::clone(&segments), segments.dir().to_owned());
        note(Some(Instant::now()));
        let result = blocking(path, move || syncing.sync()).await;
        note(None);
        publish(&synced, &result);
    }
}

fn publish(to: &watch::Sender<Bytes>, synced: &Result<u64, StorageError>) {
    to.send_modify(|known| match (synced, &known) {
        (Ok(synced), Some(before)) => *known = Some(*synced.max(before)),
        (Err(error), Some(_)) => {
            tracing::error!(error = %error, "the log could not be made durable");
            *known = None;
        }
        (_, None) => {}
    });
}

impl LogStore {
    /// Waits until the entries up to `index` are on disk. Cancel safe.
    ///
    /// # Errors
    /// A sync failed: nothing that is not on disk by now will ever count as that.
    pub(crate) async fn reaches_disk(&self, index: u64) -> Result<(), StorageError> {
        // What is not there was purged, and so applied: on disk.
        let Some(end) = lock(&self.contents).slot(index).map(|slot| slot.end) else { return Ok(()) };
        let mut synced = self.syncer.synced.subscribe();
        let broken = || StorageError::Broken { path: self.segments.dir().to_owned() };
        let known = synced.wait_for(|synced| synced.is_none_or(|synced| synced >= end)).await;
        known.ok().and_then(|known| *known).map(drop).ok_or_else(broken)
    }

    /// How long a leader's disk has not answered: its sync that is under way takes so long already.
    pub(crate) fn disk_is_silent_for(&self) -> Duration {
        let since = *self.syncer.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// `committed`, or the last entry before it that is on disk.
    pub(crate) fn on_disk(&self, committed: Option<LogId<u64>>) -> Option<LogId<u64>> {
        let synced = (*self.syncer.synced.borrow()).unwrap_or_default();
        committed.min(lock(&self.contents).last_synced(synced))
    }
}
