//! One session in memory: its state, and the claim that lets one request at a time work on it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use proto::digest::{Algorithm, Hasher};
use proto::upload::UploadId;
use rustix::fs::OFlags;

use super::{IdForm, UploadOwner};
use crate::copy::remove_if_there;
use crate::error::BlobError;
use crate::path::SessionPaths;
use crate::pieces::PieceHasher;
use crate::reader::read_whole;
use crate::store::Inner;

/// An upload that is not finished.
pub(crate) struct Session {
    pub(super) id: UploadId,
    pub(super) owner: UploadOwner,
    pub(super) algorithm: Algorithm,
    pub(super) paths: SessionPaths,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    offset: u64,
    /// `None` while claimed, and when the bytes on disk were not hashed by this process.
    progress: Option<Progress>,
    /// When bytes last came, in time since the store was opened, and how long none had come before that.
    used: Duration,
    idle_before: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Claimed,
    /// Claimed, and to be removed with the claim.
    Doomed,
    Gone,
}

/// Hashes over the first `len` bytes.
#[derive(Clone)]
pub(super) struct Progress {
    pub(super) len: u64,
    pub(super) whole: Hasher,
    pub(super) pieces: PieceHasher,
}

impl Progress {
    fn new(algorithm: Algorithm) -> Self {
        Self { len: 0, whole: Hasher::new(algorithm), pieces: PieceHasher::new() }
    }
}

impl Session {
    /// A new session with a fresh id of that form.
    pub(super) fn new(
        inner: &Inner,
        owner: UploadOwner,
        algorithm: Algorithm,
        form: IdForm,
    ) -> Result<Self, BlobError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| {
            BlobError::io("draw a random number for", inner.layout.root())(std::io::Error::other(error))
        })?;
        let node = inner.settings.node;
        let id = match form {
            IdForm::Long => UploadId::new(node, u128::from_ne_bytes(random)),
            IdForm::Uuid => {
                let [a, b, c, d, e, f, g, h, ..] = random;
                UploadId::short(node, u64::from_ne_bytes([a, b, c, d, e, f, g, h]))
            }
        };
        let state = State {
            phase: Phase::Idle,
            offset: 0,
            progress: Some(Progress::new(algorithm)),
            used: inner.clock.now(),
            idle_before: Duration::ZERO,
        };
        Ok(Self { id, owner, algorithm, paths: inner.layout.session(id), state: Mutex::new(state) })
    }

    /// A session that an earlier process left with `offset` bytes, which got its last byte `idle` ago.
    pub(super) fn restored(
        id: UploadId,
        owner: UploadOwner,
        algorithm: Algorithm,
        paths: SessionPaths,
        offset: u64,
        idle: (Duration, Duration),
    ) -> Self {
        let (used, idle_before) = idle;
        let state = State { phase: Phase::Idle, offset, progress: None, used, idle_before };
        Self { id, owner, algorithm, paths, state: Mutex::new(state) }
    }

    pub(super) fn offset(&self) -> u64 {
        self.state().offset
    }

    /// Says how far the session is now.
    pub(super) fn advance(&self, offset: u64, now: Duration) {
        let mut state = self.state();
        state.offset = offset;
        state.used = now;
        state.idle_before = Duration::ZERO;
    }

    /// Whether the session was cancelled while claimed.
    pub(super) fn is_doomed(&self) -> bool {
        self.state().phase == Phase::Doomed
    }

    /// Takes the right to work on the session.
    pub(super) fn claim(self: &Arc<Self>, inner: &Arc<Inner>) -> Result<Claim, BlobError> {
        let mut state = self.state();
        match state.phase {
            Phase::Claimed => return Err(BlobError::Busy),
            Phase::Doomed | Phase::Gone => return Err(BlobError::UploadUnknown),
            Phase::Idle => state.phase = Phase::Claimed,
        }
        let progress = state.progress.take();
        Ok(Claim { inner: Arc::clone(inner), session: Arc::clone(self), progress })
    }

    /// Ends the session if nobody works on it and no byte came for `limit`.
    pub(super) fn close_if_idle(&self, now: Duration, limit: Duration) -> bool {
        let mut state = self.state();
        let idle = now.saturating_sub(state.used) + state.idle_before;
        let close = state.phase == Phase::Idle && idle >= limit;
        if close {
            state.phase = Phase::Gone;
        }
        close
    }

    /// Ends the session; true if its files can be removed now rather than by whoever works on it.
    fn close(&self) -> bool {
        let mut state = self.state();
        let removable = state.phase == Phase::Idle;
        state.phase = match state.phase {
            Phase::Idle | Phase::Gone => Phase::Gone,
            Phase::Claimed | Phase::Doomed => Phase::Doomed,
        };
        removable
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

/// The right to work on a session; given back when dropped.
pub(super) struct Claim {
    pub(super) inner: Arc<Inner>,
    pub(super) session: Arc<Session>,
    /// What is hashed; `None` makes the next claim read the file again.
    pub(super) progress: Option<Progress>,
}

impl Claim {
    /// Opens the data file, and hashes it if its length is not what this process hashed. Blocks.
    pub(super) fn prepare(&mut self) -> Result<(File, Progress), BlobError> {
        let path = &self.session.paths.data;
        let file = open_data(path).map_err(BlobError::io("open", path))?;
        let len = file.metadata().map_err(BlobError::io("look at", path))?.len();
        match &self.progress {
            Some(progress) if progress.len == len => Ok((file, progress.clone())),
            _ => {
                let progress = self.hash_again(&file)?;
                self.session.advance(progress.len, self.inner.clock.now());
                self.progress = Some(progress.clone());
                Ok((file, progress))
            }
        }
    }

    /// Ends the session whose files were moved away or removed.
    pub(super) fn end(&self) {
        self.session.state().phase = Phase::Gone;
        self.inner.uploads.remove(&self.session);
    }

    fn hash_again(&self, file: &File) -> Result<Progress, BlobError> {
        let SessionPaths { data, leaves, .. } = &self.session.paths;
        let mut progress = Progress::new(self.session.algorithm);
        let mut list = Vec::new();
        let mut hash = |part: &[u8]| {
            progress.whole.update(part);
            progress.pieces.update(part, &mut list);
            progress.len += part.len() as u64;
        };
        read_whole(file, &mut hash).map_err(BlobError::io("read", data))?;
        if !list.is_empty() {
            std::fs::write(leaves, &list).map_err(BlobError::io("write", leaves))?;
        }
        Ok(progress)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = self.session.state();
        match state.phase {
            Phase::Claimed => {
                state.phase = Phase::Idle;
                state.progress = self.progress.take();
            }
            Phase::Doomed => {
                state.phase = Phase::Gone;
                drop(state);
                self.inner.forget_files(&self.session);
            }
            Phase::Idle | Phase::Gone => {}
        }
    }
}

impl Inner {
    /// Ends a session and removes its files, now or when the request that works on it stops.
    pub(super) fn discard(self: &Arc<Self>, session: &Arc<Session>) {
        self.uploads.remove(session);
        if session.close() {
            self.forget_files(session);
        }
    }

    /// Removes the files of an ended session on a blocking thread.
    pub(super) fn forget_files(self: &Arc<Self>, session: &Arc<Session>) {
        self.uploads.remove(session);
        let session = Arc::clone(session);
        self.tasks.spawn_blocking(move || remove_files(&session.paths));
    }
}

/// The description goes first: data without one is a leftover, the other way round it is a session again.
pub(super) fn remove_files(paths: &SessionPaths) {
    for path in [&paths.session, &paths.data, &paths.leaves] {
        if let Err(error) = remove_if_there(path) {
            tracing::warn!(%error, "cannot remove a file of an ended upload");
        }
    }
}

fn open_data(path: &std::path::Path) -> std::io::Result<File> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new().read(true).write(true).create(true).truncate(false).custom_flags(flags).open(path)
}
