//! What the release of this node reads of the log, and what it met that it does not know.

use std::sync::{Arc, OnceLock};

use cluster_core::command::Batch;
use cluster_core::command::encoding::DecodeError;
use cluster_core::level::Levels;

/// Clones share what was met.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) levels: Levels,
    newer: Arc<OnceLock<String>>,
}

impl Release {
    pub(crate) fn new(levels: Levels) -> Self {
        Self { levels, newer: Arc::default() }
    }

    /// The batch of the entry at `index`, which is to be applied. An error is noted: the node stops there.
    pub(super) fn read(&self, index: u64, bytes: &[u8]) -> Result<Batch, DecodeError> {
        Batch::decode_as(self.levels, bytes).inspect_err(|error| self.note(index, error))
    }

    /// The entry at `index` is in the log of the others, and is not known here.
    pub(crate) fn note(&self, index: u64, error: &DecodeError) {
        if self.newer.set(format!("entry {index} of the log: {error}")).is_ok() {
            tracing::error!(index, %error, "this node cannot go on");
        }
    }

    /// Which entry that was, the first of them, and why it is not known.
    pub(crate) fn newer_entry(&self) -> Option<String> {
        self.newer.get().cloned()
    }
}
