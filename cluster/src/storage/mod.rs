//! What this node keeps of the metadata: the Raft log and vote, and the replicated state.
//!
//! Owns the metadata directory:
//!
//! ```text
//! FORMAT       "shoal-metadata 2": refuses a directory of another kind or release
//! log/         the Raft log and vote; a write is on disk before anything follows from it
//! state.db     the replicated state; behind the log by some entries after a crash, which are applied again
//! snapshot/    a state on its way from or to another node; emptied at start
//! ```
//!
//! The log and the state are kept apart since they want opposite things: the log small synchronous writes
//! one behind the other, the state large lazy ones anywhere. Log entries go only after the state that holds
//! their effect is on disk. [`engine`] is the only module that names the storage engine. Any error in here is fatal for the node:
//! nothing is retried after a failed write or sync, and nothing unreadable is taken for absent.

mod directory;
pub(crate) mod encoding;
mod engine;
mod file;
mod log;
mod offline;
mod release;
mod snapshot;
mod state;
#[cfg(test)]
mod suite_test;
mod transfer;

use std::path::PathBuf;

use crate::environment;

pub(crate) use self::directory::Directory;
pub use self::directory::DirectoryError;
pub(crate) use self::encoding::Stored;
pub use self::engine::Reader as StateReader;
pub(crate) use self::log::LogStore;
pub use self::offline::{Founded, Offline, Position, found, position};
pub(crate) use self::release::Release;
pub(crate) use self::snapshot::{SnapshotFile, StateSnapshot};
pub(crate) use self::state::StateStore;
pub(crate) use self::transfer::Outgoing;

/// The metadata on this node's disk cannot be used. Always fatal for the node.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The engine failed: the disk is full or broken, or the file is damaged.
    #[error("the metadata file {} failed: check the disk; if the file is damaged, restore the directory from a backup or start this node with an empty one", .path.display())]
    Engine {
        /// The file.
        path: PathBuf,
        /// What the engine says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file has no content at all.
    #[error("the metadata file {} is empty: restore the directory from a backup or start this node with an empty one", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The engine stopped with a panic, which it does on some damaged files.
    #[error("the metadata file {} is damaged: restore the directory from a backup or start this node with an empty one", .path.display())]
    EnginePanicked {
        /// The file.
        path: PathBuf,
    },
    /// A value is not what was written.
    #[error("the metadata file {} is damaged at key {}: restore the directory from a backup or start this node with an empty one", .path.display(), .key.escape_ascii())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Of the value.
        key: Vec<u8>,
    },
    /// A value was written by another release.
    #[error("the metadata file {} has a value of version {version} at key {}: run the release that wrote it", .path.display(), .key.escape_ascii())]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// Of the value.
        key: Vec<u8>,
        /// Found.
        version: u8,
    },
    /// A file is gone.
    #[error("the metadata file {} is missing: restore the directory from a backup or start this node with an empty one", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file is not what was written.
    #[error("the metadata file {} is damaged at byte {offset}: restore the directory from a backup or start this node with an empty one", .path.display())]
    DamagedAt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
    },
    /// Entries of the log are missing.
    #[error("the log in {} lacks entries before {index}: restore the directory from a backup or start this node with an empty one", .path.display())]
    Incomplete {
        /// Its directory.
        path: PathBuf,
        /// The first entry that is there.
        index: u64,
    },
    /// An earlier write or sync failed.
    #[error("the log in {} cannot be written since a write or sync failed: check the disk and restart this node", .path.display())]
    Broken {
        /// Its directory.
        path: PathBuf,
    },
    /// A file that belongs to a snapshot could not be written or read.
    #[error("the snapshot file {} failed", .path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// What a new directory should hold cannot be used.
    #[error("the state cannot be taken over, nothing was replaced: {source}")]
    Unusable {
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A snapshot that came from another node is not whole.
    #[error("the snapshot is damaged or of an unknown version, nothing was replaced")]
    SnapshotDamaged,
}

/// Runs `work` where it may block. A panic in it is the engine's: `path` is its file.
async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let done = environment::blocking(work).await;
    done.unwrap_or_else(|_| Err(StorageError::EnginePanicked { path }))
}
