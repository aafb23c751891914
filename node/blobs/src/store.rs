//! The store: opens the directory, owns everything below it, and runs blocking work on blocking threads.
//! What the work is lies in the other modules. Never pins a thread while a client is slow.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto::digest::{Algorithm, Digest};
use proto::identity::NodeId;
use proto::upload::UploadId;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::copy::{BlobCopy, StoredFile};
use crate::damage::Damage;
use crate::error::BlobError;
use crate::freshness::Copies;
use crate::incoming::{self, HeadStart, HeadStarts, Incoming, Transfers};
use crate::metrics::Metrics;
use crate::path::{Layout, Shard};
use crate::reader::Reader;
use crate::root;
use crate::scrub::{self, Scrub};
use crate::upload::{self, IdForm, Upload, UploadOwner, Uploads};
use crate::volume::{Room, Volume};

/// What an operator or the composition root decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node; part of every upload id made here.
    pub node: NodeId,
    /// Bytes that uploads leave free on the volume; `None`: 5 % of it, at most 64 MiB.
    pub reserve_bytes: Option<u64>,
    /// Sessions that one principal may have open.
    pub uploads_per_principal: usize,
}

impl Settings {
    /// The defaults on `node`: 1000 uploads for each principal.
    pub fn new(node: NodeId) -> Self {
        Self { node, reserve_bytes: None, uploads_per_principal: 1000 }
    }
}

/// All blobs of this node. Clones share one store. Its async functions need a tokio runtime.
#[derive(Clone)]
pub struct BlobStore {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) layout: Layout,
    pub(crate) volume: Volume,
    pub(crate) clock: Clock,
    pub(crate) uploads: Uploads,
    pub(crate) incoming: Transfers,
    pub(crate) ahead: HeadStarts,
    pub(crate) damage: Damage,
    pub(crate) copies: Copies,
    pub(crate) tasks: TaskTracker,
    durable_shards: [AtomicBool; Shard::COUNT],
}

impl BlobStore {
    /// Opens the directory `root`, or makes it; finds open sessions and damage marks again. Takes time by the
    /// number of those, not by the number of blobs. The caller makes sure that no other process uses it.
    ///
    /// # Errors
    /// [`BlobError::UnusableRoot`], [`BlobError::ForeignRoot`]; both name the path.
    pub async fn open(root: &Path, settings: Settings) -> Result<Self, BlobError> {
        let layout = Layout::new(root);
        let open = move || {
            let clock = Clock::start();
            let unusable = |source| BlobError::UnusableRoot { path: layout.root().to_owned(), source };
            let quarantined = root::prepare(&layout)?;
            let volume = Volume::open(layout.root(), settings.reserve_bytes).map_err(unusable)?;
            let uploads = Uploads::restore(&layout, &clock).map_err(unusable)?;
            Ok(Inner {
                settings,
                volume,
                uploads,
                incoming: Transfers::default(),
                ahead: HeadStarts::default(),
                damage: Damage::restore(quarantined),
                copies: Copies::new(),
                tasks: TaskTracker::new(),
                durable_shards: [const { AtomicBool::new(false) }; Shard::COUNT],
                clock,
                layout,
            })
        };
        let inner = tokio::task::spawn_blocking(open).await.map_err(|_| BlobError::Stopped)??;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Waits until work that was begun is done; false if it is not after `deadline`. Call it when no more requests
    /// come in.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        self.inner.tasks.close();
        tokio::time::timeout(deadline, self.inner.tasks.wait()).await.is_ok()
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.volume.metrics
    }

    /// Begins an upload whose digest will probably be of `algorithm` (another one costs reading the bytes again).
    ///
    /// # Errors
    /// [`BlobError::TooManyUploads`], [`BlobError::Full`], [`BlobError::VolumeFailed`].
    pub async fn start_upload(&self, owner: UploadOwner, algorithm: Algorithm) -> Result<Upload, BlobError> {
        upload::start(&self.inner, owner, algorithm, IdForm::Long).await
    }

    /// The open session `id` of this owner.
    ///
    /// # Errors
    /// [`BlobError::UploadUnknown`], the same whether the id is free, finished or another owner's.
    pub fn upload(&self, id: UploadId, owner: &UploadOwner) -> Result<Upload, BlobError> {
        upload::find(&self.inner, id, owner)
    }

    /// What a finished session of this owner ended in, for clients that lost the answer; remembered for the last
    /// 4096 sessions of this process. Its record may not have been committed: commit it again.
    pub fn finished(&self, id: UploadId, owner: &UploadOwner) -> Option<BlobCopy> {
        self.inner.uploads.finished(id, owner)
    }

    /// How many sessions a principal has open.
    pub fn uploads_of(&self, principal: &str) -> usize {
        self.inner.uploads.count_of(principal)
    }

    /// Removes the sessions that got no byte for `idle`, except those being written now. Returns how many.
    pub fn expire_uploads(&self, idle: Duration) -> usize {
        upload::expire(&self.inner, idle)
    }

    /// Begins to receive `copy` from other nodes, or goes on with what an earlier process or caller left, whose leaves
    /// are checked again (some 0.7 ms a MiB). All who ask for the same digest and generation share one.
    ///
    /// Does not look whether the finished copy is there already: try [`BlobStore::open_copy`] first.
    ///
    /// # Errors
    /// [`BlobError::Full`] if the missing part cannot fit, after 5 s if something can be evicted; [`BlobError::VolumeFailed`]; [`BlobError::WrongPiece`] if the
    /// same generation is being received with another size or root. Dropping the future is safe.
    pub async fn receive(&self, copy: BlobCopy) -> Result<Incoming, BlobError> {
        incoming::receive(&self.inner, copy).await
    }

    /// Takes bytes of an upload of another node, whose digest nobody knows yet; [`BlobStore::receive`] of the copy
    /// that it ends in goes on from there. Removed when nobody uses it for 10 minutes, or at the next start.
    ///
    /// # Errors
    /// [`BlobError::TooManyUploads`] while 64 others are written; [`BlobError::VolumeFailed`], [`BlobError::Io`].
    pub async fn head_start(&self, upload: UploadId) -> Result<HeadStart, BlobError> {
        incoming::begin_ahead(&self.inner, upload).await
    }

    /// The copy that is being received now, if somebody does: its leaves can be served already.
    pub fn incoming(&self, digest: &Digest, generation: UploadId) -> Option<Incoming> {
        incoming::find(&self.inner, digest, generation)
    }

    /// Removes the incoming copies that nobody holds and that got no leaf for `idle` by the wall clock (a wrong clock
    /// costs only fetching again). Returns how many.
    pub async fn expire_incoming(&self, idle: Duration) -> Result<usize, BlobError> {
        let inner = Arc::clone(&self.inner);
        self.inner.blocking(move || incoming::expire(&inner, idle)).await
    }

    /// Makes a staged copy the one that the record names (R4), replacing what lies there, and durable. Does nothing
    /// if it is that already. Returns the copy under its new generation.
    ///
    /// # Errors
    /// [`BlobError::Missing`] if the staged copy is gone; [`BlobError::VolumeFailed`]. Dropping the future is safe.
    pub async fn adopt(&self, staged: &BlobCopy, record_generation: UploadId) -> Result<BlobCopy, BlobError> {
        let (inner, staged) = (Arc::clone(&self.inner), *staged);
        self.inner.blocking(move || inner.adopt(&staged, record_generation)).await
    }

    /// Opens a copy that a record names.
    ///
    /// # Errors
    /// [`BlobError::Missing`] or [`BlobError::Damaged`] (now quarantined): use another copy. Both mark the digest.
    pub async fn open_copy(&self, copy: &BlobCopy) -> Result<Reader, BlobError> {
        let (inner, copy) = (Arc::clone(&self.inner), *copy);
        self.inner.blocking(move || inner.open_copy(copy)).await
    }

    /// Begins to check a copy as a whole; `None` if it is not here.
    ///
    /// # Errors
    /// [`BlobError::Damaged`], and the copy is quarantined. Dropping the future is safe.
    pub async fn scrub(&self, copy: &BlobCopy) -> Result<Option<Scrub>, BlobError> {
        let (inner, copy) = (Arc::clone(&self.inner), *copy);
        self.inner.blocking(move || scrub::begin(&inner, copy)).await
    }

    /// Whether a copy lies here under its final name, which says nothing of its content.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn has_copy(&self, digest: &Digest, generation: UploadId) -> Result<bool, BlobError> {
        let path = self.inner.layout.copy(digest, generation);
        let look = move || path.try_exists().map_err(BlobError::io("look for", &path));
        self.inner.blocking(look).await
    }

    /// Opens a copy that may or may not be here; that it is not is no damage.
    ///
    /// # Errors
    /// [`BlobError::Damaged`] (now quarantined), which marks the digest.
    pub async fn open_cached(&self, copy: &BlobCopy) -> Result<Option<Reader>, BlobError> {
        let (inner, copy) = (Arc::clone(&self.inner), *copy);
        let open = move || inner.open_if_there(copy);
        self.inner.blocking(open).await
    }

    /// Removes one copy, quarantined or not; true if there was a file. Open readers go on. Not fsynced: a file that
    /// a crash brings back is a staged one.
    pub async fn remove(&self, digest: &Digest, generation: UploadId) -> Result<bool, BlobError> {
        let (inner, digest) = (Arc::clone(&self.inner), *digest);
        self.inner.blocking(move || inner.remove(&digest, generation)).await
    }

    /// Removes a copy of the cache, unless another file took its name since it was listed. Open readers go on. True if
    /// it was removed.
    pub async fn evict(&self, file: &StoredFile) -> Result<bool, BlobError> {
        let (inner, file) = (Arc::clone(&self.inner), *file);
        self.inner.blocking(move || inner.evict(&file)).await
    }

    /// The room on the volume; what was short is told once.
    pub async fn room(&self) -> Result<Room, BlobError> {
        let inner = Arc::clone(&self.inner);
        self.inner.blocking(move || inner.volume.room()).await
    }

    /// Whether some copy of the digest is known to be missing or damaged.
    pub fn is_damaged(&self, digest: &Digest) -> bool {
        self.inner.damage.is_damaged(digest)
    }

    /// Waits until another copy is found missing or damaged, or was since the last call ended. For one waiter.
    /// Dropping the future is safe.
    pub async fn damage_found(&self) {
        self.inner.damage.found().await;
    }

    /// The copies known to be missing or damaged. [`BlobStore::adopt`] clears a mark, and so does
    /// [`BlobStore::remove`], which also frees the space of a quarantined copy whose record is gone.
    pub fn damaged(&self) -> Vec<(Digest, UploadId)> {
        self.inner.damage.list()
    }

    /// The files in one shard, in order, whether a record names them or not. For every file: go through
    /// [`Shard::all`].
    pub async fn files_in(&self, shard: Shard) -> Result<Vec<StoredFile>, BlobError> {
        let inner = Arc::clone(&self.inner);
        self.inner.blocking(move || inner.list(shard)).await
    }
}

#[cfg(test)]
impl BlobStore {
    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }
}

impl Inner {
    /// Starts `work` on a blocking thread; it runs to its end even if the future is dropped.
    pub(crate) fn blocking<T, W>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, BlobError>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce() -> Result<T, BlobError> + Send + 'static,
    {
        let running = self.tasks.spawn_blocking(work);
        async { running.await.map_err(|_| BlobError::Stopped)? }
    }

    pub(crate) fn shard_is_durable(&self, shard: Shard) -> bool {
        self.durable_shards[shard.index()].load(Ordering::Acquire)
    }

    pub(crate) fn mark_shard_durable(&self, shard: Shard) {
        self.durable_shards[shard.index()].store(true, Ordering::Release);
    }
}
