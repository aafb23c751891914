//! The janitor: expires idle uploads, and removes files that no record names.
//!
//! A file without a record is an upload that crashed or is about to commit, or a dropped generation. It
//! goes once an entry was applied whose log time is more than the staging time after the log time at
//! which the janitor first saw it (consistency rules R3, R5): the deadline of any commit that still
//! names it was taken earlier. Whatever cannot be read counts as named.

use std::collections::HashMap;
use std::time::Duration;

use blobs::{BlobStore, Shard, StoredFile};
use cluster::Metadata;
use cluster_core::record::BlobRecord;
use cluster_core::state;
use proto::digest::Digest;
use proto::identity::NodeId;
use proto::upload::UploadId;
use tokio_util::sync::CancellationToken;

use crate::registry::{RegistryError, STAGING_MS};

/// An upload that nobody continued for this long is removed (checklist §17).
const UPLOAD_IDLE: Duration = Duration::from_secs(24 * 3600);
/// Between two looks at the uploads.
const UPLOADS_PERIOD: Duration = Duration::from_secs(60);
/// Looks at the uploads between two looks at all files.
const FILES_EVERY: u32 = 60;
/// Most files without a record that are remembered; more wait for the next look.
const MAX_REMEMBERED: usize = 100_000;

/// See the module.
pub(crate) struct Janitor {
    node: NodeId,
    metadata: Metadata,
    blobs: BlobStore,
    /// Log time at which a file without a record was first seen.
    unnamed: HashMap<(Digest, UploadId), u64>,
}

impl Janitor {
    /// Nothing runs before [`Janitor::run`].
    pub(crate) fn new(node: NodeId, metadata: Metadata, blobs: BlobStore) -> Self {
        Self { node, metadata, blobs, unnamed: HashMap::new() }
    }

    /// Works until `stop`. Dropping it in the middle loses nothing.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut round = 0_u32;
        while stop.run_until_cancelled(tokio::time::sleep(UPLOADS_PERIOD)).await.is_some() {
            // Log time moves with entries only; commits and leases count on it being about right.
            if let Err(error) = self.metadata.tick().await {
                tracing::warn!(reason = %crate::telemetry::log::chain(&error), "log time not moved on");
            }
            let expired = self.blobs.expire_uploads(UPLOAD_IDLE);
            match self.blobs.expire_incoming(UPLOAD_IDLE).await {
                Ok(0) => {}
                Ok(expired) => tracing::info!(expired, "idle incoming copies removed"),
                Err(error) => {
                    let reason = crate::telemetry::log::chain(&error);
                    tracing::warn!(reason, "incoming copies not looked at");
                }
            }
            if expired > 0 {
                tracing::info!(expired, "idle uploads removed");
            }
            if round.is_multiple_of(FILES_EVERY)
                && let Err(error) = self.look_at_files(&stop).await
            {
                tracing::warn!(reason = %crate::telemetry::log::chain(&error), "files not looked at");
            }
            round = round.wrapping_add(1);
        }
    }

    async fn look_at_files(&mut self, stop: &CancellationToken) -> Result<(), RegistryError> {
        let mut seen = HashMap::new();
        for shard in Shard::all() {
            if stop.is_cancelled() {
                return Ok(());
            }
            let files = self.blobs.files_in(shard).await?;
            // After the listing: a file in it was staged before, under an earlier deadline.
            let now = self.metadata.applied_log_time()?;
            for file in files {
                if let Some(first) = self.judge(&file, now).await?
                    && seen.len() < MAX_REMEMBERED
                {
                    seen.insert((file.digest, file.generation), first);
                }
            }
        }
        self.unnamed = seen;
        self.forget_damage().await
    }

    /// Frees quarantined copies that no record names any more, and those that others have and this node does not
    /// owe. The last of a blob stay, for whoever wants to save what can be saved.
    async fn forget_damage(&self) -> Result<(), RegistryError> {
        for (digest, generation) in self.blobs.damaged() {
            let record = state::blob::blob(&self.metadata.local()?, &digest)?;
            let is_wanted = |record: &BlobRecord| {
                record.generation == generation
                    && (record.copies.is_empty() || record.copies.contains(&self.node))
            };
            if !record.as_ref().is_some_and(is_wanted) {
                self.blobs.remove(&digest, generation).await?;
            }
        }
        Ok(())
    }

    /// When a file that stays without a record was first seen; removes one whose time is over.
    async fn judge(&self, file: &StoredFile, now: u64) -> Result<Option<u64>, RegistryError> {
        let record = state::blob::blob(&self.metadata.local()?, &file.digest)?;
        if record.is_some_and(|record| record.generation == file.generation) {
            return Ok(None);
        }
        let first = self.unnamed.get(&(file.digest, file.generation)).copied().unwrap_or(now);
        if now <= first.saturating_add(STAGING_MS) {
            return Ok(Some(first));
        }
        self.blobs.remove(&file.digest, file.generation).await?;
        tracing::info!(digest = %file.digest, generation = %file.generation, size_bytes = file.size, "file without a record removed");
        Ok(None)
    }
}
