//! The writing side of an append: bytes and leaves into files, with the disk kept busy in the background.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::session::{Claim, Progress, Session};
use crate::error::BlobError;
use crate::pieces::{ENTRY, PieceHasher};
use crate::store::Inner;

/// Bytes written between two calls of fdatasync in the background, so that the last one is short.
const SYNC_EVERY: u64 = 32 * 1024 * 1024;

/// State of the side that writes; used on blocking threads only.
pub(super) struct WriteLane {
    inner: Arc<Inner>,
    session: Arc<Session>,
    file: Arc<File>,
    len: u64,
    pieces: PieceHasher,
    unsynced: u64,
    syncing: Option<JoinHandle<()>>,
}

impl WriteLane {
    pub(super) fn new(claim: &Claim, file: &Arc<File>, start: &Progress) -> Self {
        Self {
            inner: Arc::clone(&claim.inner),
            session: Arc::clone(&claim.session),
            file: Arc::clone(file),
            len: start.len,
            pieces: start.pieces.clone(),
            unsynced: 0,
            syncing: None,
        }
    }

    /// Length and leaves after all that was written.
    pub(super) fn end(self) -> (u64, PieceHasher) {
        (self.len, self.pieces)
    }

    /// Writes `bytes` behind what is there, and the leaves they complete. On failure the file is as before.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        if self.session.is_doomed() {
            return Err(BlobError::UploadUnknown);
        }
        self.inner.volume.check()?;
        let more = bytes.len() as u64;
        self.inner.volume.claim_space(more)?;
        let entries = self.pieces.entries();
        let mut list = Vec::new();
        self.pieces.update(bytes, &mut list);
        let path = &self.session.paths.data;
        let written = self.file.write_all_at(bytes, self.len).map_err(BlobError::io("write", path));
        if let Err(error) = written.and_then(|()| write_leaves(&self.session, &list, entries)) {
            // If even this fails the session is longer by bytes that were sent.
            _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len += more;
        self.session.advance(self.len, self.inner.clock.now());
        self.inner.volume.metrics.written_bytes.add(more);
        self.sync_some(more)
    }

    /// Starts writing out in the background now and then; if the disk cannot keep up, waits for it here, so that the
    /// client slows down and dirty memory stays bounded.
    fn sync_some(&mut self, more: u64) -> Result<(), BlobError> {
        self.unsynced += more;
        if self.unsynced < SYNC_EVERY {
            return Ok(());
        }
        let path = &self.session.paths.data;
        if self.syncing.as_ref().is_none_or(JoinHandle::is_finished) {
            let (inner, file, path) = (Arc::clone(&self.inner), Arc::clone(&self.file), path.clone());
            // A failure fences the volume, which every later write and finish sees.
            let sync = move || drop(inner.volume.sync_file(&file, &path));
            self.syncing = Some(self.inner.tasks.spawn_blocking(sync));
        } else if self.unsynced < 2 * SYNC_EVERY {
            return Ok(());
        } else {
            self.inner.volume.sync_file(&self.file, path)?;
        }
        self.unsynced = 0;
        Ok(())
    }
}

/// Writes entries of the piece list behind the first `entries`.
pub(super) fn write_leaves(session: &Session, list: &[u8], entries: u64) -> Result<(), BlobError> {
    if list.is_empty() {
        return Ok(());
    }
    let path = &session.paths.leaves;
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    file.and_then(|file| file.write_all_at(list, entries * ENTRY)).map_err(BlobError::io("write", path))
}
