//! Bytes of an upload that another node still takes in, sent here before anybody knows its digest: a head start for
//! the copy that this node will be asked for.
//!
//! Owns the `.ahead` files. Nothing can be said of their bytes, so nobody is served any of them; when the copy is
//! begun, the file becomes its incoming file, and each leaf counts once the piece list proves it. Whatever is wrong or
//! missing is fetched like any other leaf, so a head start may be cut, late or false and does no harm.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use bytes::Bytes;
use proto::upload::UploadId;

use super::resume::open_data;
use super::transfer::SYNC_EVERY;
use crate::error::BlobError;
use crate::store::Inner;

/// Most head starts that are written at once.
const AT_ONCE: usize = 64;
/// No blob is larger, bytes.
const MAX_END: u64 = 1 << 44;

/// One head start. Clones, and all that are begun for the same upload, write the same file; it stays when the last one
/// is dropped.
#[derive(Clone)]
pub struct HeadStart {
    inner: Arc<Inner>,
    ahead: Arc<Ahead>,
}

struct Ahead {
    path: PathBuf,
    /// `None`: the file is another's now, or gone. Held while writing, on blocking threads only.
    file: Mutex<Option<Writing>>,
}

struct Writing {
    file: File,
    unsynced: u64,
}

impl HeadStart {
    /// Writes bytes that begin at `offset` of the upload. Not durable.
    ///
    /// # Errors
    /// [`BlobError::Missing`] once the copy was begun; [`BlobError::Full`], [`BlobError::VolumeFailed`]. Dropping the
    /// future is safe: the work goes on.
    pub async fn write(&self, offset: u64, content: Bytes) -> Result<(), BlobError> {
        let (inner, ahead) = (Arc::clone(&self.inner), Arc::clone(&self.ahead));
        self.inner.blocking(move || ahead.write(&inner, offset, &content)).await
    }
}

impl Ahead {
    fn write(&self, inner: &Inner, offset: u64, content: &[u8]) -> Result<(), BlobError> {
        let more = content.len() as u64;
        if offset.checked_add(more).is_none_or(|end| end > MAX_END) {
            return Err(BlobError::Missing);
        }
        inner.volume.claim_space(more)?;
        let mut file = self.file();
        let Some(Writing { file, unsynced }) = file.as_mut() else { return Err(BlobError::Missing) };
        file.write_all_at(content, offset).map_err(BlobError::io("write", &self.path))?;
        *unsynced += more;
        if *unsynced >= SYNC_EVERY {
            *unsynced = 0;
            inner.volume.sync_file(file, &self.path)?;
        }
        Ok(())
    }

    fn file(&self) -> MutexGuard<'_, Option<Writing>> {
        self.file.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

/// The head starts that somebody is writing.
#[derive(Default)]
pub(crate) struct HeadStarts(Mutex<HashMap<UploadId, Weak<Ahead>>>);

impl HeadStarts {
    /// The one of this upload, begun or gone on with. Blocks.
    fn get_or_begin(&self, inner: &Inner, upload: UploadId) -> Result<Arc<Ahead>, BlobError> {
        let mut table = self.table();
        if let Some(running) = table.get(&upload).and_then(Weak::upgrade) {
            return Ok(running);
        }
        table.retain(|_, ahead| ahead.strong_count() > 0);
        if table.len() >= AT_ONCE {
            return Err(BlobError::TooManyUploads { limit: AT_ONCE });
        }
        let path = inner.layout.ahead(upload);
        let file = open_data(&path).map_err(BlobError::io("open", &path))?;
        let ahead = Arc::new(Ahead { path, file: Mutex::new(Some(Writing { file, unsynced: 0 })) });
        table.insert(upload, Arc::downgrade(&ahead));
        Ok(ahead)
    }

    /// Ends the head start of this upload and gives its file the name `data`, unless there is such a file or no head
    /// start. Nobody writes it any more afterwards. Blocks.
    pub(super) fn hand_over(&self, path: &Path, upload: UploadId, data: &Path) -> io::Result<()> {
        let mut table = self.table();
        if let Some(ahead) = table.remove(&upload).and_then(|ahead| ahead.upgrade()) {
            *ahead.file() = None;
        }
        if fs::symlink_metadata(data).is_ok() {
            return Ok(());
        }
        match fs::rename(path, data) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed,
        }
    }

    /// Whether somebody writes it.
    pub(super) fn is_running(&self, upload: UploadId) -> bool {
        self.table().get(&upload).is_some_and(|ahead| ahead.strong_count() > 0)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<UploadId, Weak<Ahead>>> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

/// See [`crate::BlobStore::head_start`].
pub(crate) async fn begin(inner: &Arc<Inner>, upload: UploadId) -> Result<HeadStart, BlobError> {
    inner.volume.check()?;
    let begun = {
        let inner = Arc::clone(inner);
        move || inner.ahead.get_or_begin(&inner, upload)
    };
    let ahead = inner.blocking(begun).await?;
    Ok(HeadStart { inner: Arc::clone(inner), ahead })
}
