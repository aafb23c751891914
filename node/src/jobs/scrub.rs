//! Scrub: reads every stored copy again as the disk has it, so that what decays is found while others still have the
//! blob. Damage is quarantined, which wakes the repair.
//!
//! One pass goes through all copies in the order of their names, at a bounded rate; the next one begins a week after
//! it began. Where it stands is kept in a file, so that a restart goes on there; a file that is lost or makes no
//! sense only costs a pass from the beginning. An operator may ask for a pass at once, which knows no rate.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use blobs::{BlobCopy, BlobError, BlobStore, Shard, StoredFile};
use cluster::Metadata;
use cluster_core::record::BlobRecord;
use cluster_core::state;
use proto::digest::Digest;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::registry::RegistryError;

/// From the beginning of a pass to that of the next, milliseconds.
const PASS_EVERY_MS: u64 = 7 * 24 * 3600 * 1000;
/// Between two looks whether one is due.
const PERIOD: Duration = Duration::from_secs(60);
/// Between two times that the place is written down.
const SAVE_EVERY: Duration = Duration::from_secs(10);
/// What a copy costs at least, in bytes of the rate: the disk has to find it.
const LEAST: u64 = 64 << 10;

/// Where a pass stands, and how the last one ended. Times are the wall clock's, which only tells when to begin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// Passes that ended.
    pub(crate) passes: u64,
    /// When the running or last pass began.
    pub(crate) began_ms: u64,
    /// When the last pass ended.
    pub(crate) ended_ms: Option<u64>,
    /// Whether a pass runs.
    pub(crate) is_running: bool,
    /// Whether it goes without a rate.
    pub(crate) is_urgent: bool,
    /// Bytes that the running or last pass has checked.
    pub(crate) checked_bytes: u64,
    /// Damaged copies that it found.
    pub(crate) found: u64,
    /// Shards that it is through with.
    shards: usize,
    /// The last copy that was checked in the next one.
    after: Option<String>,
}

/// What the job shares with who asks about it.
#[derive(Default)]
pub(crate) struct Progress {
    place: Mutex<Place>,
    asked: Notify,
}

impl Progress {
    /// Where it stands.
    pub(crate) fn now(&self) -> Place {
        self.place().clone()
    }

    /// Begins a pass without a rate, unless one runs; one at a rate is begun anew.
    pub(crate) fn ask(&self) -> Place {
        let mut place = self.place();
        if !(place.is_running && place.is_urgent) {
            *place = place.begin(true);
            self.asked.notify_one();
        }
        place.clone()
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

impl Place {
    fn begin(&self, is_urgent: bool) -> Self {
        let (passes, ended_ms) = (self.passes, self.ended_ms);
        Self { passes, ended_ms, began_ms: now_ms(), is_running: true, is_urgent, ..Self::default() }
    }

    fn is_due(&self, now_ms: u64) -> bool {
        // A clock that went back must not put it off for ever.
        now_ms < self.began_ms || now_ms - self.began_ms >= PASS_EVERY_MS
    }
}

/// Why a pass went no further.
enum Break {
    /// Another one was asked for, or the node stops.
    Told,
    Failed(RegistryError),
}

impl From<RegistryError> for Break {
    fn from(error: RegistryError) -> Self {
        Self::Failed(error)
    }
}

/// See the module.
pub(crate) struct Scrub {
    pub(crate) metadata: Metadata,
    pub(crate) blobs: BlobStore,
    pub(crate) progress: Arc<Progress>,
    /// Bytes a second; 0: only when asked.
    pub(crate) rate: u64,
    /// Where the place is kept.
    pub(crate) file: PathBuf,
}

impl Scrub {
    /// Works until `stop`. Dropping it in the middle loses nothing.
    pub(crate) async fn run(self, stop: CancellationToken) {
        self.restore().await;
        loop {
            let place = self.progress.now();
            if place.is_running || (self.rate > 0 && place.is_due(now_ms())) {
                if !place.is_running {
                    *self.progress.place() = place.begin(false);
                }
                let passed = stop.run_until_cancelled(self.pass()).await;
                self.save().await;
                match passed {
                    None => return,
                    Some(Ok(())) => continue,
                    Some(Err(Break::Told)) => continue,
                    Some(Err(Break::Failed(error))) => {
                        tracing::warn!(reason = %crate::telemetry::log::chain(&error), "scrub interrupted");
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.progress.asked.notified() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// Goes on where the place says, to the end.
    async fn pass(&self) -> Result<(), Break> {
        let begun = self.progress.now();
        let (mut saved, mut due) = (Instant::now(), Instant::now());
        for (index, shard) in Shard::all().enumerate().skip(begun.shards) {
            for file in self.blobs.files_in(shard).await.map_err(RegistryError::from)? {
                let name = format!("{}.{}", file.digest, file.generation);
                if self.progress.now().after.is_some_and(|after| name <= after) {
                    continue;
                }
                self.check(&file, &begun, &mut due).await?;
                self.progress.place().after = Some(name);
                if saved.elapsed() >= SAVE_EVERY {
                    self.save().await;
                    saved = Instant::now();
                }
            }
            let mut place = self.progress.place();
            if place.began_ms != begun.began_ms || place.is_urgent != begun.is_urgent {
                return Err(Break::Told);
            }
            (place.shards, place.after) = (index + 1, None);
        }
        let mut place = self.progress.place();
        (place.is_running, place.ended_ms, place.passes) = (false, Some(now_ms()), place.passes + 1);
        tracing::info!(size_bytes = place.checked_bytes, found = place.found, "scrub pass ended");
        Ok(())
    }

    /// Checks one file, if a record says what it should be.
    async fn check(&self, file: &StoredFile, begun: &Place, due: &mut Instant) -> Result<(), Break> {
        let Some(record) = self.record(&file.digest)?.filter(|record| record.generation == file.generation)
        else {
            return Ok(());
        };
        let copy = BlobCopy {
            digest: file.digest,
            size: record.size,
            generation: record.generation,
            pieces_root: record.pieces_root,
        };
        let mut rest = self.blobs.scrub(&copy).await;
        let mut least = LEAST;
        loop {
            let (checked, next) = match rest {
                Ok(Some(scrub)) => match scrub.next().await {
                    Ok(step) => step,
                    Err(error) => {
                        rest = Err(error);
                        continue;
                    }
                },
                Ok(None) => return Ok(()),
                Err(BlobError::Damaged) => {
                    self.progress.place().found += 1;
                    return Ok(());
                }
                Err(error) => return Err(RegistryError::from(error).into()),
            };
            {
                let mut place = self.progress.place();
                if place.began_ms != begun.began_ms || place.is_urgent != begun.is_urgent {
                    return Err(Break::Told);
                }
                place.checked_bytes += checked;
            }
            if !begun.is_urgent {
                let cost = Duration::from_secs_f64(checked.max(least) as f64 / self.rate.max(1) as f64);
                *due = (*due).max(Instant::now()) + cost;
                // Who asks for a pass at once does not wait for this one's rate.
                _ = tokio::time::timeout_at(*due, self.progress.asked.notified()).await;
            }
            (rest, least) = (Ok(next), 0);
        }
    }

    fn record(&self, digest: &Digest) -> Result<Option<BlobRecord>, RegistryError> {
        Ok(state::blob::blob(&self.metadata.local()?, digest)?)
    }

    async fn restore(&self) {
        let kept = tokio::fs::read(&self.file).await.ok();
        if let Some(mut place) = kept.and_then(|text| serde_json::from_slice::<Place>(&text).ok()) {
            // Whoever wanted it at once asked another process.
            place.is_urgent = false;
            place.is_running &= self.rate > 0;
            let mut now = self.progress.place();
            if !now.is_running {
                *now = place;
            }
        }
    }

    /// Not synced: an older place is as good.
    async fn save(&self) {
        let new = self.file.with_extension("new");
        let written = match serde_json::to_vec(&self.progress.now()) {
            Ok(text) => tokio::fs::write(&new, text).await,
            Err(error) => Err(error.into()),
        };
        let kept = match written {
            Ok(()) => tokio::fs::rename(&new, &self.file).await,
            failed => failed,
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "the scrub's place cannot be kept");
        }
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
