//! The cache: copies that this node fetched for its clients and does not owe, kept within a limit, and given up first
//! when the disk gets full. What goes is the plan's choice (`cluster_core::plan::cache`).
//!
//! A copy goes only while the blob has all its copies without it, in a state that is read behind a linearizable
//! barrier after the files were listed. So an edge that is cut off removes nothing, and what the repair confirms
//! at the same moment costs the blob no copy that it counts on: it finds the file missing and says so.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use blobs::{BlobStore, Room, Shard, StoredFile};
use cluster::Metadata;
use cluster_core::plan::cache::{self, Facts, Stored};
use cluster_core::plan::placement;
use cluster_core::state;
use proto::identity::NodeId;
use tokio_util::sync::CancellationToken;

use crate::registry::RegistryError;

/// Between two looks at the disk's free space and at whether copies came: what is written meanwhile must fit into
/// the headroom.
const PERIOD: Duration = Duration::from_millis(250);
/// Between two looks at all files although no copy came: layouts and records change too.
const AT_LEAST: Duration = Duration::from_secs(600);
/// After a failed look, such as one without contact to the cluster.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// So many times as long as a look at all files took, none follows.
const REST: u32 = 10;
/// Part of the volume that the cache may have if nobody says otherwise.
const SHARE: u64 = 10;
/// Part of the volume that is kept free for pushes as long as something of the cache can go.
const HEADROOM: u64 = 20;
/// Largest such headroom, bytes.
const MAX_HEADROOM: u64 = 1 << 30;

/// See the module.
pub(crate) struct Cache {
    node: NodeId,
    metadata: Metadata,
    blobs: BlobStore,
    limit: Option<u64>,
}

/// The last look at all files.
struct Looked {
    began: Instant,
    took: Duration,
    /// Copies that had come until then.
    received: u64,
}

impl Cache {
    /// `limit`: bytes that it may have, a tenth of the volume if not said. Nothing runs before [`Cache::run`].
    pub(crate) fn new(node: NodeId, metadata: Metadata, blobs: BlobStore, limit: Option<u64>) -> Self {
        Self { node, metadata, blobs, limit }
    }

    /// Works until `stop`. Dropping it in the middle loses nothing.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut last = None;
        while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
            if let Some(Err(error)) = stop.run_until_cancelled(self.look(&mut last)).await {
                tracing::warn!(reason = %crate::telemetry::log::chain(&error), "cache not looked through");
                stop.run_until_cancelled(tokio::time::sleep(AFTER_FAILURE)).await;
            }
        }
    }

    /// Looks through all files and removes what the plan says, if there can be something to remove.
    async fn look(&self, last: &mut Option<Looked>) -> Result<(), RegistryError> {
        let received = self.blobs.metrics().copies_received.get();
        let Room { size, free, short } = self.blobs.room().await?;
        let cached = self.blobs.metrics().cache_bytes.load(Ordering::Relaxed);
        // What would not fit even then must not cost the cache.
        let short = if short <= cached { short } else { 0 };
        let wanted = (size / HEADROOM).min(MAX_HEADROOM).saturating_sub(free).max(short);
        let is_pressed = wanted > 0 && cached > 0;
        let is_due = last.as_ref().is_none_or(|last| {
            let since = last.began.elapsed();
            let may_change = received != last.received || since >= AT_LEAST;
            is_pressed || (may_change && since >= last.took * REST)
        });
        if is_due {
            let began = Instant::now();
            self.evict(self.limit.unwrap_or(size / SHARE), wanted).await?;
            *last = Some(Looked { began, took: began.elapsed(), received });
        }
        Ok(())
    }

    async fn evict(&self, limit_bytes: u64, wanted_bytes: u64) -> Result<(), RegistryError> {
        let mut shards = Vec::new();
        for shard in Shard::all() {
            shards.push(self.blobs.files_in(shard).await?);
        }
        let candidates = {
            let reader = self.metadata.read().await?;
            placement::candidates(&state::node::homes(&reader)?)
        };
        let (mut files, mut stored): (Vec<StoredFile>, Vec<Stored>) = (Vec::new(), Vec::new());
        for file in shards.into_iter().flatten() {
            let one = Stored {
                digest: file.digest,
                generation: file.generation,
                bytes: file.size,
                last_use_ms: file.last_use_ms,
                record: state::blob::blob(&self.metadata.local()?, &file.digest)?,
            };
            // The plan judges again: this only spares the memory for all the records.
            if cache::keeps(self.node, &candidates, &one).is_none() {
                files.push(file);
                stored.push(one);
            }
            tokio::task::consume_budget().await;
        }
        let facts =
            Facts { node: self.node, candidates: &candidates, stored: &stored, limit_bytes, wanted_bytes };
        let plan = cache::evict(&facts);
        let mut left = plan.cache_bytes;
        for (place, reason) in plan.evict {
            let Some(file) = files.get(place) else { continue };
            if self.blobs.evict(file).await? {
                left -= file.size;
                tracing::debug!(digest = %file.digest, size_bytes = file.size, %reason, "cached copy removed");
            }
        }
        self.blobs.metrics().cache_bytes.store(left, Ordering::Relaxed);
        Ok(())
    }
}
