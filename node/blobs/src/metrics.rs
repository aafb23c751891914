//! Counters of this crate, for whoever exposes them. Only numbers; knows no metrics library.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the store did since the process started.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Bytes of uploads written to files.
    pub written_bytes: Counter,
    /// Bytes of leaves from other nodes written to files.
    pub received_bytes: Counter,
    /// Bytes of incoming copies that had come before their piece list, and that it proved.
    pub ahead_bytes: Counter,
    /// Incoming copies that were finished.
    pub copies_received: Counter,
    /// Leaves and piece lists from other nodes that were refused.
    pub pieces_refused: Counter,
    /// Bytes of copies returned by [`crate::Reader::read`].
    pub read_bytes: Counter,
    /// Bytes of copies checked against piece lists.
    pub verified_bytes: Counter,
    /// Bytes of copies checked by [`crate::Scrub`].
    pub scrubbed_bytes: Counter,
    /// Copies removed by [`crate::BlobStore::evict`].
    pub evicted_copies: Counter,
    /// Bytes of them.
    pub evicted_bytes: Counter,
    /// Bytes of copies that may be removed by [`crate::BlobStore::evict`], as its caller last counted them.
    pub cache_bytes: AtomicU64,
    /// Calls of fsync and fdatasync.
    pub fsyncs: Counter,
    /// Copies found missing or damaged.
    pub damaged_copies: Counter,
    /// Sessions begun.
    pub uploads_started: Counter,
    /// Sessions and one-shot uploads that ended in a staged copy.
    pub uploads_finished: Counter,
    /// Sessions removed because nobody went on with them.
    pub uploads_expired: Counter,
    /// Whether a failed fsync put the volume out of use.
    pub volume_failed: AtomicBool,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }
}
