//! How much memory the leaves of a fetch take between stream and sink.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes held now and at most.
#[derive(Default)]
pub(super) struct Gauge {
    now: AtomicU64,
    peak: AtomicU64,
}

impl Gauge {
    /// Counts `bytes` as held until the value that is returned is dropped.
    pub(super) fn hold(&self, bytes: u64) -> HeldBytes<'_> {
        let now = self.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(now, Ordering::Relaxed);
        HeldBytes(self, bytes)
    }

    /// Most bytes that were held at once.
    pub(super) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

/// Bytes that are held.
pub(super) struct HeldBytes<'a>(&'a Gauge, u64);

impl Drop for HeldBytes<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(self.1, Ordering::Relaxed);
    }
}
