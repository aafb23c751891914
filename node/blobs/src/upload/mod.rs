//! Resumable upload sessions: bytes come in parts, end in a staged copy.
//!
//! Owns the files in `uploads`. One request at a time writes a session; whoever holds its claim does, and the
//! claim moves into the task or thread that does the work, so that a dropped request leaves no two writers. Bytes of
//! a session are promised to survive nothing until it is finished (consistency promise 11), so nothing waits for an
//! fsync before.

mod append;
mod finish;
mod restore;
mod session;
mod table;
mod write;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use proto::digest::{Algorithm, Digest};
use proto::upload::UploadId;

use crate::copy::BlobCopy;
use crate::error::BlobError;
use crate::store::{BlobStore, Inner};

use session::Session;
pub(crate) use table::Uploads;

/// Whose session it is. Both texts are opaque here; only the same owner finds a session again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadOwner {
    /// Who uploads; the number of open sessions is limited for each.
    pub principal: String,
    /// Where to: a session of another repository is unknown.
    pub repository: String,
}

/// An open session. Clones are the same session.
#[derive(Clone)]
pub struct Upload {
    inner: Arc<Inner>,
    session: Arc<Session>,
}

impl Upload {
    /// Its name, and the generation of the copy it will end in.
    pub fn id(&self) -> UploadId {
        self.session.id
    }

    /// Bytes hashed and written so far. Never more than what was sent; it may grow while an append runs.
    pub fn offset(&self) -> u64 {
        self.session.offset()
    }

    /// Adds a body; returns the offset behind it.
    ///
    /// `at`: where the client says that the body begins; `None`: wherever the session ends. `length`: how many bytes
    /// it announced. Memory is below 1 MiB whatever the body; no thread waits for a slow one.
    ///
    /// # Errors
    /// [`BlobError::Busy`] at once while another request writes; [`BlobError::OffsetMismatch`] before any byte is
    /// written; [`BlobError::LengthMismatch`] with nothing kept of this body; [`BlobError::Body`],
    /// [`BlobError::Full`], [`BlobError::Io`] with the bytes before the failure kept; [`BlobError::UploadUnknown`] if
    /// the session ended meanwhile; [`BlobError::VolumeFailed`].
    ///
    /// Dropping the future is safe: the bytes handed over to be written are kept, [`Upload::offset`] tells how many
    /// once the session is no longer busy.
    pub async fn append<S, E>(&self, at: Option<u64>, length: Option<u64>, body: S) -> Result<u64, BlobError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    {
        append::append(&self.inner, &self.session, at, length, body).await
    }

    /// Ends the session with a durable staged copy, if its content has this digest.
    ///
    /// # Errors
    /// [`BlobError::DigestMismatch`], and the session is gone; [`BlobError::Busy`]; [`BlobError::UploadUnknown`];
    /// [`BlobError::Full`], [`BlobError::Io`] with the session kept; [`BlobError::VolumeFailed`].
    ///
    /// Dropping the future is safe: the work goes on, and what came of it is found by
    /// [`crate::BlobStore::finished`].
    pub async fn finish(&self, digest: Digest) -> Result<BlobCopy, BlobError> {
        finish::finish(&self.inner, &self.session, digest).await
    }

    /// Ends the session and removes its bytes; a request that is writing it fails or has its bytes removed after.
    pub fn cancel(&self) {
        self.inner.discard(&self.session);
    }
}

/// How a session is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdForm {
    /// By 128 random bits behind the node's name.
    Long,
    /// By a UUID of the node's name and 64 random bits ([`UploadId::to_uuid`]).
    Uuid,
}

/// Begins a session; see [`crate::BlobStore::start_upload`].
pub(crate) async fn start(
    inner: &Arc<Inner>,
    owner: UploadOwner,
    algorithm: Algorithm,
    form: IdForm,
) -> Result<Upload, BlobError> {
    let session = Arc::new(Session::new(inner, owner, algorithm, form)?);
    inner.uploads.insert(&session, inner.settings.uploads_per_principal)?;
    let upload = Upload { inner: Arc::clone(inner), session };
    let described = {
        let (inner, session) = (Arc::clone(inner), Arc::clone(&upload.session));
        move || restore::describe(&inner, &session)
    };
    if let Err(error) = inner.blocking(described).await {
        upload.cancel();
        return Err(error);
    }
    inner.volume.metrics.uploads_started.add(1);
    Ok(upload)
}

impl BlobStore {
    /// As [`BlobStore::start_upload`], of a session whose id is a UUID; for sha256.
    ///
    /// # Errors
    /// As there.
    pub async fn start_uuid_upload(&self, owner: UploadOwner) -> Result<Upload, BlobError> {
        start(&self.inner, owner, Algorithm::Sha256, IdForm::Uuid).await
    }
}

/// Finds a session; see [`crate::BlobStore::upload`].
pub(crate) fn find(inner: &Arc<Inner>, id: UploadId, owner: &UploadOwner) -> Result<Upload, BlobError> {
    let session = inner.uploads.get(id).filter(|session| session.owner == *owner);
    let session = session.ok_or(BlobError::UploadUnknown)?;
    Ok(Upload { inner: Arc::clone(inner), session })
}

/// Removes idle sessions; see [`crate::BlobStore::expire_uploads`].
pub(crate) fn expire(inner: &Arc<Inner>, idle: Duration) -> usize {
    let now = inner.clock.now();
    let expired = inner.uploads.all().into_iter().filter(|session| session.close_if_idle(now, idle));
    let expired = expired.map(|session| inner.forget_files(&session)).count();
    inner.volume.metrics.uploads_expired.add(expired as u64);
    expired
}
