//! Blob bytes on this node's disk.
//!
//! Owns one directory (its layout: module `path`), resumable upload sessions and incoming copies, the copies that come
//! of them, the checks before any byte is read from them, and the marks of damaged ones. Uses `proto` and tokio's blocking
//! threads; the caller holds the lock on the data directory. Never knows which blobs are linked, named by a record or
//! allowed to anybody, so it deletes only what it is told to; never talks to the network; never serves an unchecked byte.
//!
//! The words: a *copy* is one file of a digest with one *generation*, the id of the upload it came from. A copy that
//! no record names yet is *staged*. Rules R1–R7 and promises 9–15 are those of the consistency specification.

mod clock;
mod copy;
mod damage;
mod error;
mod freshness;
mod incoming;
mod metrics;
mod path;
mod pieces;
mod reader;
mod root;
mod scrub;
mod store;
mod upload;
mod volume;

pub use copy::{BlobCopy, StoredFile};
pub use error::BlobError;
pub use freshness::WINDOW;
pub use incoming::{HeadStart, Incoming, Stored};
pub use metrics::{Counter, Metrics};
pub use path::Shard;
pub use pieces::{LEAF, leaf_count};
pub use reader::Reader;
pub use scrub::Scrub;
pub use store::{BlobStore, Settings};
pub use upload::{Upload, UploadOwner};
pub use volume::Room;

#[cfg(test)]
mod damage_test;
#[cfg(test)]
mod incoming_test;
#[cfg(test)]
mod reader_test;
#[cfg(test)]
mod store_test;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod upload_race_test;
#[cfg(test)]
mod upload_restart_test;
#[cfg(test)]
mod upload_test;
