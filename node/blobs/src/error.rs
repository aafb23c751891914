//! What can go wrong with blob bytes, one variant for each thing a caller can do about it.
//!
//! Knows nothing of HTTP; the callers' tables turn variants into statuses.

use std::io;
use std::path::{Path, PathBuf};

use proto::digest::Digest;
use rustix::io::Errno;

/// Why the blob store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No open session with this id belongs to this owner: begin a new one.
    #[error("no such upload")]
    UploadUnknown,
    /// Another append or finish of the same session is running: ask for the offset, then try again.
    #[error("the upload is being written by another request")]
    Busy,
    /// The bytes offered do not begin where the session ends: go on from `offset`.
    #[error("the upload stands at offset {offset}")]
    OffsetMismatch {
        /// Bytes the session holds.
        offset: u64,
    },
    /// The body was longer or shorter than announced; none of it was kept.
    #[error("the body has another length than announced; the upload stands at offset {offset}")]
    LengthMismatch {
        /// Bytes the session holds, as before the refused body.
        offset: u64,
    },
    /// The principal, or the nodes that send ahead, have too many open sessions: finish or cancel some.
    #[error("there are already {limit} open uploads of this principal")]
    TooManyUploads {
        /// Sessions that one principal may have open.
        limit: usize,
    },
    /// The content has another digest than promised; the session is gone.
    #[error("the content has digest {computed}")]
    DigestMismatch {
        /// The digest of what was received.
        computed: Digest,
    },
    /// The body broke off; what came before is kept and the session's offset tells how much.
    #[error("the body could not be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A piece list or leaf from elsewhere is not of this blob; nothing of it was kept: leave who sent it.
    #[error("the piece does not belong to this blob")]
    WrongPiece,
    /// Leaves of an incoming copy, or its piece list, are not there yet: get them, then try again.
    #[error("{missing} leaves of this copy are still missing")]
    Incomplete {
        /// Leaves that are not there.
        missing: u64,
    },
    /// The volume has no space beyond its reserve: free some, then go on with the same session.
    #[error("the volume of the blobs is full")]
    Full,
    /// An fsync failed, so nothing is acknowledged on this volume until the process restarts
    /// (consistency promise 15).
    #[error("the volume of the blobs failed and is out of use until a restart")]
    VolumeFailed,
    /// There is no file for this copy: read another copy.
    #[error("this copy of the blob is missing")]
    Missing,
    /// The copy failed its check and was quarantined: read another copy.
    #[error("this copy of the blob is damaged")]
    Damaged,
    /// The blob directory cannot be used: fix what the source says and start again.
    #[error("cannot use {} as blob directory", path.display())]
    UnusableRoot {
        /// The path that was tried.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The directory holds something else, or blobs in a format this version does not know.
    #[error("{} is neither empty nor a blob directory of this version: choose another one", path.display())]
    ForeignRoot {
        /// The directory that was refused.
        path: PathBuf,
    },
    /// Any other failure of the operating system; the operation had no effect that a retry cannot repeat.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The process is stopping.
    #[error("the blob store is stopping")]
    Stopped,
}

impl BlobError {
    /// Sorts an IO error into [`BlobError::Full`] or [`BlobError::Io`]; made for `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            let full = [Errno::NOSPC, Errno::DQUOT].map(|errno| Some(errno.raw_os_error()));
            if full.contains(&source.raw_os_error()) {
                Self::Full
            } else {
                Self::Io { action, path: path.to_owned(), source }
            }
        }
    }
}
