//! Copies that come from other nodes, leaf by leaf in any order, and end as finished copies.
//!
//! Owns the `.incoming` files; `ahead` those that become such. First comes the piece list, proven by the root that the
//! record names, and what is in the file already is checked against it; then every leaf is
//! checked against it *before* it is written, so a partial file holds right leaves and holes, nothing else, and its
//! leaves can be served while the rest is on its way. Never talks to the network, never decides whom to ask.

mod ahead;
mod resume;
mod transfer;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use proto::digest::Digest;
use proto::upload::UploadId;

use crate::copy::{BlobCopy, remove_if_there};
use crate::error::BlobError;
use crate::freshness::Key;
use crate::path::{self, IncomingPaths};
use crate::pieces::{self, LEAF};
use crate::store::Inner;

pub use ahead::HeadStart;
pub(crate) use ahead::{HeadStarts, begin as begin_ahead};
use transfer::Transfer;

/// A head start that nobody wrote or used for this long is of no use any more.
const AHEAD_IDLE: Duration = Duration::from_secs(600);

/// A copy that is being received. Clones are the same one; when the last one is dropped the files stay, to go on later.
#[derive(Clone)]
pub struct Incoming {
    inner: Arc<Inner>,
    transfer: Arc<Transfer>,
}

/// What became of a right leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It was written.
    New,
    /// It was there before; nothing was written.
    Already,
}

impl Incoming {
    /// What will come of it.
    pub fn copy(&self) -> &BlobCopy {
        &self.transfer.copy
    }

    /// The proven piece list, as [`crate::Reader::list`] gives it; `None` before it came.
    pub fn list(&self) -> Option<Vec<u8>> {
        self.transfer.list().map(|list| list.to_bytes())
    }

    /// Whether it may get further leaves: neither finished nor given up.
    pub fn is_open(&self) -> bool {
        self.transfer.is_open()
    }

    /// Leaves that are not there yet.
    pub fn missing(&self) -> u64 {
        self.transfer.missing()
    }

    /// Whether leaf `index` is there.
    pub fn has(&self, index: u64) -> bool {
        self.transfer.has(index)
    }

    /// Which leaves are there: leaf i is bit i % 64 of word i / 64.
    pub fn have(&self) -> Vec<u64> {
        self.transfer.have()
    }

    /// Takes the piece list, if the root proves it; keeps the first one.
    ///
    /// # Errors
    /// [`BlobError::WrongPiece`], and nothing is kept; [`BlobError::Full`], [`BlobError::VolumeFailed`].
    /// Dropping the future is safe: the work goes on.
    pub async fn put_list(&self, list: Bytes) -> Result<(), BlobError> {
        let (inner, transfer) = (Arc::clone(&self.inner), Arc::clone(&self.transfer));
        self.inner.blocking(move || transfer.put_list(&inner, &list)).await
    }

    /// Checks one whole leaf and writes it. Several can run at once. Not durable before [`Incoming::finish`].
    ///
    /// # Errors
    /// [`BlobError::WrongPiece`], and nothing is kept; [`BlobError::Incomplete`] before the list is there;
    /// [`BlobError::Full`], [`BlobError::VolumeFailed`]; [`BlobError::Missing`] after [`Incoming::discard`].
    /// Dropping the future is safe: the work goes on.
    pub async fn put_leaf(&self, index: u64, content: Bytes) -> Result<Stored, BlobError> {
        let (inner, transfer) = (Arc::clone(&self.inner), Arc::clone(&self.transfer));
        self.inner.blocking(move || transfer.put_leaf(&inner, index, &content)).await
    }

    /// Waits until leaf `index` is there; for ever if nobody brings it.
    ///
    /// # Errors
    /// [`BlobError::Missing`] for a leaf past the end or after [`Incoming::discard`]. Dropping the future is safe.
    pub async fn wait_for(&self, index: u64) -> Result<(), BlobError> {
        let mut changed = self.transfer.subscribe();
        while !self.transfer.has_or_never(index)? {
            changed.changed().await.map_err(|_| BlobError::Stopped)?;
        }
        Ok(())
    }

    /// Leaf `index`, read and checked again; `None` if it is not there. For peers.
    ///
    /// # Errors
    /// [`BlobError::Damaged`] if the disk changed it: it then counts as missing. Dropping the future is safe.
    pub async fn leaf(&self, index: u64) -> Result<Option<Bytes>, BlobError> {
        if !self.has(index) {
            return Ok(None);
        }
        let transfer = Arc::clone(&self.transfer);
        self.inner.blocking(move || transfer.read_leaf(index)).await.map(Some)
    }

    /// Checked bytes from `offset` on, as soon as they are there: at most `max_len`, never past the end of a leaf, so
    /// often fewer than asked; none only at the end of the blob or for `max_len` 0.
    ///
    /// # Errors
    /// As [`Incoming::wait_for`] and [`Incoming::leaf`]. Dropping the future is safe.
    pub async fn read(&self, offset: u64, max_len: usize) -> Result<Bytes, BlobError> {
        if offset >= self.copy().size || max_len == 0 {
            return Ok(Bytes::new());
        }
        let index = offset / LEAF;
        self.wait_for(index).await?;
        let leaf = self.leaf(index).await?.ok_or(BlobError::Damaged)?;
        let start = usize::try_from(offset % LEAF).unwrap_or(usize::MAX);
        Ok(leaf.slice(start..leaf.len().min(start.saturating_add(max_len))))
    }

    /// Makes the copy durable under its final name, replacing what lies there: fsync of file, list and directory come
    /// before the return. Who asks again gets the same answer. The handle serves its leaves as before.
    ///
    /// # Errors
    /// [`BlobError::Incomplete`]; [`BlobError::VolumeFailed`]; [`BlobError::Missing`] after [`Incoming::discard`].
    /// Dropping the future is safe: the work goes on.
    pub async fn finish(&self) -> Result<BlobCopy, BlobError> {
        let (inner, transfer) = (Arc::clone(&self.inner), Arc::clone(&self.transfer));
        self.inner.blocking(move || transfer.finish(&inner)).await
    }

    /// Gives the copy up for all who hold it and removes its files; a finished one stays.
    pub fn discard(&self) {
        self.transfer.give_up();
        let (inner, transfer) = (Arc::clone(&self.inner), Arc::clone(&self.transfer));
        self.inner.tasks.spawn_blocking(move || inner.incoming.remove(&transfer));
    }
}

/// The copies that somebody is receiving. The lock is held while files are unlinked, so only blocking threads take it
/// for more than a look.
#[derive(Default)]
pub(crate) struct Transfers(Mutex<HashMap<Key, Weak<Transfer>>>);

impl Transfers {
    fn get(&self, key: &Key) -> Option<Arc<Transfer>> {
        self.table().get(key).and_then(Weak::upgrade)
    }

    /// The one transfer of this copy.
    fn get_or_begin(&self, inner: &Inner, copy: BlobCopy) -> Arc<Transfer> {
        let mut table = self.table();
        let key = (copy.digest, copy.generation);
        if let Some(running) = table.get(&key).and_then(Weak::upgrade) {
            return running;
        }
        table.retain(|_, transfer| transfer.strong_count() > 0);
        let transfer = Arc::new(Transfer::new(copy, inner.layout.incoming(&copy.digest, copy.generation)));
        table.insert(key, Arc::downgrade(&transfer));
        transfer
    }

    /// Ends a finished or discarded transfer; the next one begins anew.
    fn remove(&self, ended: &Arc<Transfer>) {
        let mut table = self.table();
        let key = (ended.copy.digest, ended.copy.generation);
        if table.get(&key).is_some_and(|found| std::ptr::eq(found.as_ptr(), Arc::as_ptr(ended))) {
            table.remove(&key);
            ended.remove_files();
        }
    }

    /// Ends a transfer whose copy came on another way: who waits for leaves of it would wait in vain, other nodes
    /// included. Only for blocking threads.
    pub(crate) fn supersede(&self, key: &Key) {
        if let Some(transfer) = self.get(key) {
            transfer.give_up();
            self.remove(&transfer);
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Key, Weak<Transfer>>> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

/// See [`crate::BlobStore::receive`].
pub(crate) async fn receive(inner: &Arc<Inner>, copy: BlobCopy) -> Result<Incoming, BlobError> {
    let began = Instant::now();
    loop {
        match begin(inner, copy).await {
            Err(BlobError::Full) if inner.volume.may_get_room(began).await => {}
            done => return done,
        }
    }
}

async fn begin(inner: &Arc<Inner>, copy: BlobCopy) -> Result<Incoming, BlobError> {
    let begin = {
        let inner = Arc::clone(inner);
        move || {
            inner.volume.check()?;
            let transfer = inner.incoming.get_or_begin(&inner, copy);
            if transfer.copy != copy {
                return Err(BlobError::WrongPiece);
            }
            transfer.open(&inner)?;
            inner.volume.check_space(transfer.missing().saturating_mul(LEAF).min(copy.size))?;
            Ok(transfer)
        }
    };
    let transfer = inner.blocking(begin).await?;
    Ok(Incoming { inner: Arc::clone(inner), transfer })
}

/// See [`crate::BlobStore::incoming`].
pub(crate) fn find(inner: &Arc<Inner>, digest: &Digest, generation: UploadId) -> Option<Incoming> {
    let transfer = inner.incoming.get(&(*digest, generation)).filter(|transfer| transfer.is_open())?;
    Some(Incoming { inner: Arc::clone(inner), transfer })
}

/// See [`crate::BlobStore::expire_incoming`].
pub(crate) fn expire(inner: &Inner, idle: Duration) -> Result<usize, BlobError> {
    let uploads = inner.layout.uploads();
    let mut expired = 0;
    for entry in fs::read_dir(&uploads).map_err(BlobError::io("list", &uploads))? {
        let name = entry.map_err(BlobError::io("list", &uploads))?.file_name();
        if let Some(upload) = path::parse_ahead(&name) {
            expired += usize::from(expire_ahead(inner, upload));
        }
        let Some(key) = path::parse_incoming(&name) else { continue };
        let paths = inner.layout.incoming(&key.0, key.1);
        let table = inner.incoming.table();
        if table.get(&key).is_none_or(|transfer| transfer.strong_count() == 0)
            && is_idle(&paths.both(), idle)
            && remove_files(&paths.both())
        {
            expired += 1;
        }
    }
    Ok(expired)
}

/// Whether a head start that nobody used was removed.
fn expire_ahead(inner: &Inner, upload: UploadId) -> bool {
    let path = inner.layout.ahead(upload);
    let is_over = !inner.ahead.is_running(upload) && is_idle(&[&path], AHEAD_IDLE);
    is_over && remove_files(&[&path])
}

/// Whether none of these files changed for `idle`.
fn is_idle(paths: &[&PathBuf], idle: Duration) -> bool {
    paths.iter().all(|path| match fs::symlink_metadata(path) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(found) => found
            .modified()
            .is_ok_and(|modified| SystemTime::now().duration_since(modified).is_ok_and(|age| age >= idle)),
    })
}

/// True if there was one of them.
fn remove_files(paths: &[&PathBuf]) -> bool {
    let removed = paths.iter().map(|path| {
        let removed = remove_if_there(path).inspect_err(|error| {
            tracing::warn!(%error, "cannot remove a file of an incoming copy");
        });
        removed.unwrap_or(false)
    });
    // All of them, so no short cut.
    removed.filter(|removed| *removed).count() > 0
}

/// The list's path if this blob has a list.
fn list_of<'a>(copy: &BlobCopy, paths: &'a IncomingPaths) -> Option<&'a std::path::Path> {
    pieces::has_list(copy.size).then_some(paths.list.as_path())
}
