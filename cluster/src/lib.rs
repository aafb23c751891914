//! Agreement at run time: the Raft group, its storage on this disk, and the handle to the metadata.
//!
//! Owns how commands become log entries, how entries become state, and when a read is current. What a
//! command does is decided in `cluster-core`; the storage engine is named in `storage` only, openraft in
//! `raft`, `storage` and the parts of `metadata` that drive it.

mod environment;
pub mod metadata;
mod raft;
mod storage;

#[cfg(feature = "simulation")]
pub use environment::simulation;
pub use metadata::{
    Members, MembershipError, Metadata, MetadataConfig, OpenError, PeerStatus, Progress, ProposeError,
    ReadError, Role, Start, Status, Unavailable,
};
pub use raft::transport::{MAX_MESSAGE_BYTES, Member, NoPeers, Service, Transport, TransportError};
pub use storage::{DirectoryError, Founded, Offline, Position, StateReader, StorageError, found, position};
