//! Repair: every node looks through the blobs with too few copies, now and then through its own, and through all
//! when the layout has changed, and does what the plan says that it owes: fetch, confirm, tell that a copy is
//! gone, let one go that others have. A copy that is found missing or damaged is looked at at once.
//!
//! Safe on many nodes at once and to stop anywhere: what was not confirmed is found again.

use std::collections::BTreeSet;
use std::time::Duration;

use blobs::BlobCopy;
use cluster::Metadata;
use cluster_core::command::{Command, ConfirmCopies, Response};
use cluster_core::plan::placement;
use cluster_core::plan::repair::{self, Action, Facts, Limits, Step};
use cluster_core::record::BlobRecord;
use cluster_core::state::{self, Page};
use futures::StreamExt as _;
use proto::digest::Digest;
use proto::identity::NodeId;
use proto::upload::UploadId;
use tokio_util::sync::CancellationToken;

use crate::adapters::copies::Copies;
use crate::registry::RegistryError;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Looks at blobs with too few copies between two looks at all that this node has.
const OWN_EVERY: u32 = 30;
/// As [`OWN_EVERY`], for a look at all blobs: one with enough copies may lack one at a home, and whoever else has
/// a copy keeps it until all homes do; without this a drained node might never be free of it.
const ALL_EVERY: u32 = 600;
/// Blobs that are looked at in one page.
const PAGE: usize = 256;
/// Blobs that are fetched at once.
const AT_ONCE: usize = 4;
/// Bounds of what is done for one page.
const LIMITS: Limits = Limits { fetches: PAGE, bytes: u64::MAX, commands: 2 * PAGE };

/// Blobs, and the last one's digest if more follow.
type Blobs = (Vec<(Digest, BlobRecord)>, Option<Digest>);

/// Which blobs are looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    /// Those with too few copies: some may be owed here.
    UnderCopied,
    /// Those with a copy here: it may be gone, or not owed any more.
    Own,
    /// All: some may be owed here although they have enough copies.
    All,
    /// Those whose copy here was found missing or damaged.
    Damaged,
}

/// See the module.
pub(crate) struct Repair {
    pub(crate) metadata: Metadata,
    pub(crate) copies: Copies,
}

impl Repair {
    /// Works until `stop`. Dropping it in the middle loses nothing.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let (mut round, mut layout) = (0_u32, None);
        loop {
            let sets = tokio::select! {
                () = stop.cancelled() => return,
                // Told to the cluster first, then made again with whatever else is missing.
                () = self.copies.blobs.damage_found() => [Set::Damaged, Set::UnderCopied].as_slice(),
                () = tokio::time::sleep(PERIOD) => {
                    let present = self.layout_version();
                    let set: &[Set] = if round.is_multiple_of(OWN_EVERY) {
                        &[Set::Own]
                    } else if present != layout || round % ALL_EVERY == ALL_EVERY - 1 {
                        layout = present;
                        &[Set::All]
                    } else {
                        &[Set::UnderCopied]
                    };
                    round = round.wrapping_add(1);
                    set
                }
            };
            for set in sets {
                match stop.run_until_cancelled(self.look(*set)).await {
                    Some(Err(error)) => {
                        tracing::warn!(reason = %crate::telemetry::log::chain(&error), "copies not repaired");
                    }
                    Some(Ok(0)) | None => {}
                    Some(Ok(steps)) => tracing::info!(steps, "copies repaired"),
                }
            }
        }
    }

    /// Rises when homes may have changed.
    fn layout_version(&self) -> Option<u64> {
        let layout = state::node::layout(&self.metadata.local().ok()?).ok()?;
        layout.map(|layout| layout.version)
    }

    /// Goes through a set of blobs once; returns how many steps it took.
    async fn look(&self, set: Set) -> Result<usize, RegistryError> {
        let (mut after, mut taken) = (None, 0);
        loop {
            let (blobs, next) = self.page(set, after.as_ref())?;
            let steps = self.plan(&blobs).await?;
            let steps = futures::stream::iter(steps.into_iter().map(|step| self.take(step)));
            let mut steps = steps.buffer_unordered(AT_ONCE);
            while let Some(done) = steps.next().await {
                taken += usize::from(done);
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(taken),
            }
        }
    }

    /// Some of the blobs of a set, and where the next page begins.
    fn page(&self, set: Set, after: Option<&Digest>) -> Result<Blobs, RegistryError> {
        let reader = self.metadata.local()?;
        let page = match set {
            Set::All => {
                let page = state::blob::blobs(&reader, after, PAGE)?;
                let next = page.more.then(|| page.items.last().map(|(digest, _)| *digest)).flatten();
                return Ok((page.items, next));
            }
            Set::UnderCopied => state::copies::under_copied(&reader, after, PAGE)?,
            Set::Own => state::copies::of_node(&reader, self.copies.own_receipt().node, after, PAGE)?,
            Set::Damaged => {
                let marked: BTreeSet<Digest> =
                    self.copies.blobs.damaged().into_iter().map(|(digest, _)| digest).collect();
                let rest = marked.into_iter().filter(|digest| after.is_none_or(|after| digest > after));
                let mut items: Vec<Digest> = rest.take(PAGE + 1).collect();
                let more = items.len() > PAGE;
                items.truncate(PAGE);
                Page { items, more }
            }
        };
        let next = page.more.then(|| page.items.last().copied()).flatten();
        let mut blobs = Vec::new();
        for digest in page.items {
            blobs.extend(state::blob::blob(&reader, &digest)?.map(|record| (digest, record)));
        }
        Ok((blobs, next))
    }

    async fn plan(&self, blobs: &[(Digest, BlobRecord)]) -> Result<Vec<Step>, RegistryError> {
        let mut files: BTreeSet<(Digest, UploadId)> = BTreeSet::new();
        for (digest, record) in blobs {
            if self.copies.blobs.has_copy(digest, record.generation).await? {
                files.insert((*digest, record.generation));
            }
        }
        let (candidates, now_ms) = {
            let reader = self.metadata.local()?;
            (placement::candidates(&state::node::homes(&reader)?), state::log_time(&reader)?)
        };
        let reachable: BTreeSet<NodeId> = self.copies.directory.nodes();
        let node = self.copies.own_receipt().node;
        let facts =
            Facts { node, candidates: &candidates, reachable: &reachable, now_ms, blobs, files: &files };
        let plan = repair::next(&facts, LIMITS);
        if let Some(example) = plan.without_source.first() {
            let count = plan.without_source.len();
            tracing::warn!(count, %example, "blobs have no copy that can be reached");
        }
        Ok(plan.steps)
    }

    /// True if something changed.
    async fn take(&self, step: Step) -> bool {
        let Step { digest, generation, action, reason } = step;
        let own = self.copies.own_receipt();
        let (added, lost) = match action {
            Action::Fetch { size, pieces_root, .. } => {
                let copy = BlobCopy { digest, size, generation, pieces_root };
                if let Err(error) = self.copies.fetch(&copy, bytes::Bytes::new()).await {
                    let why = crate::telemetry::log::chain(&error);
                    tracing::warn!(%digest, %reason, why, "copy not made");
                    return false;
                }
                (vec![own], Vec::new())
            }
            Action::Confirm => (vec![own], Vec::new()),
            Action::ReportLost => {
                tracing::warn!(%digest, %reason, "copy reported as lost");
                (Vec::new(), vec![own.node])
            }
            Action::Release { to } => return self.release(digest, generation, &to).await,
        };
        let confirm = ConfirmCopies { digest, generation, added, lost, released: Vec::new() };
        match self.metadata.propose(Command::ConfirmCopies(confirm)).await {
            Ok(Response::CopiesConfirmed { copies }) if copies.is_empty() => {
                tracing::error!(%digest, "no good copy of the blob is left: it answers 503 until it is pushed again");
                true
            }
            done => done.is_ok(),
        }
    }

    /// Lets this node's copy go when every home has its own: asked once more, since a record cannot know of a
    /// disk that lost it. The file is removed after the entry that let it go was applied here (R5).
    async fn release(&self, digest: Digest, generation: UploadId, homes: &[NodeId]) -> bool {
        let Ok(Some(record)) = self.record(&digest) else { return false };
        let copy = BlobCopy { digest, size: record.size, generation, pieces_root: record.pieces_root };
        for home in homes {
            if !self.copies.is_at(*home, &copy).await {
                return false;
            }
        }
        let own = self.copies.own_receipt().node;
        let released = vec![own];
        let confirm = ConfirmCopies { digest, generation, added: Vec::new(), lost: Vec::new(), released };
        if self.metadata.propose(Command::ConfirmCopies(confirm)).await.is_err() {
            return false;
        }
        let is_applied = self.metadata.read().await.is_ok();
        let still_named =
            |record: &BlobRecord| record.generation == generation && record.copies.contains(&own);
        match self.record(&digest) {
            Ok(record) if is_applied && !record.as_ref().is_some_and(still_named) => {
                self.copies.blobs.remove(&digest, generation).await.is_ok()
            }
            _ => false,
        }
    }

    fn record(&self, digest: &Digest) -> Result<Option<BlobRecord>, RegistryError> {
        Ok(state::blob::blob(&self.metadata.local()?, digest)?)
    }
}
