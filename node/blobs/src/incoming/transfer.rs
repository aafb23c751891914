//! One incoming copy: its files, which leaves are there, and how it ends. All functions that touch files block.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use bytes::Bytes;
use tokio::sync::watch;

use super::{Stored, list_of, remove_files};
use crate::copy::BlobCopy;
use crate::error::BlobError;
use crate::path::IncomingPaths;
use crate::pieces::{self, LEAF, PieceList};
use crate::store::Inner;

/// Bytes written between two calls of fdatasync, so that dirty memory stays bounded and the last call is short.
pub(super) const SYNC_EVERY: u64 = 32 * 1024 * 1024;

pub(crate) struct Transfer {
    pub(super) copy: BlobCopy,
    pub(super) paths: IncomingPaths,
    pub(super) file: OnceLock<File>,
    /// Held while files are opened, renamed or removed; on blocking threads only.
    steps: Mutex<()>,
    state: Mutex<State>,
    /// Touched when a leaf came or the transfer ended.
    changed: watch::Sender<()>,
}

pub(super) struct State {
    phase: Phase,
    pub(super) list: Option<Arc<PieceList>>,
    have: Vec<u64>,
    missing: u64,
    unsynced: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Finished,
    Gone,
}

impl Transfer {
    pub(super) fn new(copy: BlobCopy, paths: IncomingPaths) -> Self {
        let missing = pieces::leaf_count(copy.size);
        let list = if pieces::has_list(copy.size) { None } else { prove(&copy, &[]) };
        let words = usize::try_from(missing.div_ceil(64)).unwrap_or(usize::MAX);
        let state = State { phase: Phase::Open, list, have: vec![0; words], missing, unsynced: 0 };
        Self {
            copy,
            paths,
            file: OnceLock::new(),
            steps: Mutex::new(()),
            state: Mutex::new(state),
            changed: watch::channel(()).0,
        }
    }

    pub(super) fn put_list(&self, inner: &Inner, bytes: &[u8]) -> Result<(), BlobError> {
        inner.volume.check()?;
        let _writing = self.steps();
        self.check_open()?;
        if self.list().is_some() {
            return Ok(());
        }
        let list = prove(&self.copy, bytes).ok_or_else(|| refused(inner))?;
        inner.volume.claim_space(bytes.len() as u64)?;
        let path = &self.paths.list;
        fs::write(path, bytes).map_err(BlobError::io("write", path))?;
        if let Some(file) = self.file.get() {
            let before = self.missing();
            self.check_leaves(file, &list).map_err(BlobError::io("read", &self.paths.data))?;
            inner.volume.metrics.ahead_bytes.add((before - self.missing()) * LEAF);
        }
        self.state().list = Some(list);
        self.changed.send_replace(());
        Ok(())
    }

    pub(super) fn put_leaf(&self, inner: &Inner, index: u64, content: &[u8]) -> Result<Stored, BlobError> {
        inner.volume.check()?;
        self.check_open()?;
        let missing = self.missing();
        let (Some(list), Some(file)) = (self.list(), self.file.get()) else {
            return Err(BlobError::Incomplete { missing });
        };
        if self.has(index) {
            return Ok(Stored::Already);
        }
        if pieces::leaf_len(self.copy.size, index) != Some(content.len()) || !list.matches(index, content) {
            return Err(refused(inner));
        }
        let more = content.len() as u64;
        inner.volume.claim_space(more)?;
        let path = &self.paths.data;
        file.write_all_at(content, index * LEAF).map_err(BlobError::io("write", path))?;
        let stored = self.mark(index).ok_or(BlobError::Missing)?;
        self.changed.send_replace(());
        inner.volume.metrics.received_bytes.add(more);
        if self.is_sync_due(more) {
            inner.volume.sync_file(file, path)?;
        }
        Ok(stored)
    }

    /// Counts bytes written; true for the writer that should sync them.
    fn is_sync_due(&self, more: u64) -> bool {
        let mut state = self.state();
        state.unsynced += more;
        let due = state.unsynced >= SYNC_EVERY;
        if due {
            state.unsynced = 0;
        }
        due
    }

    pub(super) fn read_leaf(&self, index: u64) -> Result<Bytes, BlobError> {
        let len = pieces::leaf_len(self.copy.size, index).ok_or(BlobError::Missing)?;
        let (Some(list), Some(file)) = (self.list(), self.file.get()) else { return Err(BlobError::Missing) };
        let mut content = vec![0; len];
        let read = file.read_exact_at(&mut content, index * LEAF);
        if read.is_ok() && list.matches(index, &content) {
            return Ok(Bytes::from(content));
        }
        tracing::error!(digest = %self.copy.digest, leaf = index, "a leaf of an incoming copy changed on the disk");
        let mut state = self.state();
        if let Some((word, bit)) = place(&state, index).filter(|_| state.phase == Phase::Open) {
            state.missing += u64::from(state.have[word] & bit != 0);
            state.have[word] &= !bit;
        }
        Err(BlobError::Damaged)
    }

    pub(super) fn finish(self: &Arc<Self>, inner: &Inner) -> Result<BlobCopy, BlobError> {
        {
            let _finishing = self.steps();
            if self.state().phase == Phase::Finished {
                return Ok(self.copy);
            }
            inner.volume.check()?;
            self.check_open()?;
            let missing = self.missing();
            let file = self.file.get().filter(|_| missing == 0);
            let file = file.ok_or(BlobError::Incomplete { missing })?;
            let list = list_of(&self.copy, &self.paths);
            if let Some(path) = list {
                let list = File::open(path).map_err(BlobError::io("open", path))?;
                inner.volume.sync_file(&list, path)?;
            }
            inner.volume.sync_file(file, &self.paths.data)?;
            inner.replace(&self.paths.data, list, &self.copy)?;
            self.state().phase = Phase::Finished;
            inner.volume.metrics.copies_received.add(1);
        }
        self.changed.send_replace(());
        inner.incoming.remove(self);
        Ok(self.copy)
    }

    /// From now on nothing is written and nobody waits; a finished copy stays one.
    pub(super) fn give_up(&self) {
        {
            let mut state = self.state();
            if state.phase == Phase::Open {
                state.phase = Phase::Gone;
            }
        }
        self.changed.send_replace(());
    }

    /// Removes what is left under the names of this transfer.
    pub(super) fn remove_files(&self) {
        let _removing = self.steps();
        remove_files(&self.paths.both());
    }

    pub(super) fn is_open(&self) -> bool {
        self.state().phase == Phase::Open && self.file.get().is_some()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn list(&self) -> Option<Arc<PieceList>> {
        self.state().list.clone()
    }

    pub(super) fn missing(&self) -> u64 {
        self.state().missing
    }

    /// See [`super::Incoming::have`].
    pub(super) fn have(&self) -> Vec<u64> {
        self.state().have.clone()
    }

    pub(super) fn has(&self, index: u64) -> bool {
        let state = self.state();
        place(&state, index).is_some_and(|(word, bit)| state.have[word] & bit != 0)
    }

    /// An error if the leaf is not there and never will be.
    pub(super) fn has_or_never(&self, index: u64) -> Result<bool, BlobError> {
        let state = self.state();
        let there = index < pieces::leaf_count(self.copy.size);
        let (word, bit) = place(&state, index).filter(|_| there).ok_or(BlobError::Missing)?;
        let has = state.have[word] & bit != 0;
        if !has && state.phase != Phase::Open { Err(BlobError::Missing) } else { Ok(has) }
    }

    /// Says that a leaf is there; `None` if the transfer was given up.
    pub(super) fn mark(&self, index: u64) -> Option<Stored> {
        let mut state = self.state();
        let (word, bit) = place(&state, index).filter(|_| state.phase != Phase::Gone)?;
        if state.have[word] & bit != 0 {
            return Some(Stored::Already);
        }
        state.have[word] |= bit;
        state.missing -= 1;
        Some(Stored::New)
    }

    fn check_open(&self) -> Result<(), BlobError> {
        if self.state().phase == Phase::Gone { Err(BlobError::Missing) } else { Ok(()) }
    }

    pub(super) fn steps(&self) -> MutexGuard<'_, ()> {
        self.steps.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

/// Where the bit of a leaf is.
fn place(state: &State, index: u64) -> Option<(usize, u64)> {
    let word = usize::try_from(index / 64).ok()?;
    (word < state.have.len()).then_some((word, 1 << (index % 64)))
}

pub(super) fn prove(copy: &BlobCopy, list: &[u8]) -> Option<Arc<PieceList>> {
    PieceList::prove(copy.size, copy.pieces_root, list).map(Arc::new)
}

fn refused(inner: &Inner) -> BlobError {
    inner.volume.metrics.pieces_refused.add(1);
    BlobError::WrongPiece
}
