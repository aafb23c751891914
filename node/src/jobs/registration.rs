//! Tells the cluster, once at each start, where this node is and what it runs; and ends the process when a
//! later start of the same node is known, since two must not speak for one (consistency promise 19).

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cluster::Metadata;
use cluster_core::command::node::{Disk, NodePlace, UpdateNode};
use cluster_core::command::{Command, NodeCommand, Response};
use cluster_core::state;
use proto::identity::NodeId;
use tokio_util::sync::CancellationToken;

/// Between two tries, and between two looks for a later start.
const PAUSE: Duration = Duration::from_secs(2);

/// Random bits below the count of starts in an incarnation.
const RANDOM_BITS: u32 = 24;
const COPIED: &str = "a start of this node is known that its data directory knows nothing of: the directory was copied and \
                      runs elsewhere too, or is an older image; this process ends";
const REMOVED: &str = "this node was removed from the cluster: start it anew with an empty data directory";

/// Why this process must not go on; empty while it may.
pub(crate) type Verdict = Arc<OnceLock<&'static str>>;

/// See the module.
pub(crate) struct Registration {
    pub(crate) metadata: Metadata,
    pub(crate) node: NodeId,
    pub(crate) place: NodePlace,
    pub(crate) incarnation: u64,
    /// A file that says that no blob of an earlier start is here; removed once the cluster knows.
    pub(crate) new_disk: Option<PathBuf>,
    pub(crate) verdict: Verdict,
}

impl Registration {
    /// Works until `stop`, or cancels it when this node must not go on. Dropping it loses nothing.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut is_told = false;
        loop {
            if is_told {
                if self.recorded().is_some_and(|recorded| recorded > self.incarnation) {
                    self.give_way(COPIED, &stop);
                }
            } else {
                is_told = self.tell(&stop).await;
            }
            if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                return;
            }
        }
    }

    /// True once the cluster knows.
    async fn tell(&self, stop: &CancellationToken) -> bool {
        // A copy beside the node that it was made of is sent nothing and stays behind; then apply decides.
        let is_current = self.metadata.read().await.is_ok();
        if is_current && self.recorded().is_some_and(|recorded| is_unknown(recorded, self.incarnation)) {
            self.give_way(COPIED, stop);
            return true;
        }
        let disk = if self.new_disk.is_some() { Disk::Empty } else { Disk::Kept };
        let update =
            UpdateNode { node: self.node, place: self.place.clone(), incarnation: self.incarnation, disk };
        match self.metadata.propose(Command::Node(Box::new(NodeCommand::Update(update)))).await {
            Ok(Response::NodeUpdated) => self.forget_new_disk().await,
            Ok(Response::StaleIncarnation { .. }) => self.give_way(COPIED, stop),
            Ok(Response::NotFound) => self.give_way(REMOVED, stop),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "the cluster was not told of this start yet");
                return false;
            }
        }
        true
    }

    /// If it stays, the copies are void once more after the next start, which costs only confirming them.
    async fn forget_new_disk(&self) {
        let Some(note) = &self.new_disk else { return };
        if let Err(error) = tokio::fs::remove_file(note).await {
            tracing::warn!(%error, path = %note.display(), "a note could not be removed");
        }
    }

    /// The latest start that the cluster was told of.
    fn recorded(&self) -> Option<u64> {
        let reader = self.metadata.local().ok()?;
        Some(state::node::node(&reader, self.node).ok()??.incarnation)
    }

    fn give_way(&self, reason: &'static str, stop: &CancellationToken) {
        tracing::error!("{reason}");
        let _ = self.verdict.set(reason);
        stop.cancel();
    }
}

/// Whether a start was told that the directory of this one has not counted: its next start has a count above
/// every one before.
fn is_unknown(recorded: u64, own: u64) -> bool {
    recorded != own && recorded >> RANDOM_BITS >= own >> RANDOM_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_missed_a_start_shows() {
        let start = |count: u64, random: u64| count << RANDOM_BITS | random;
        assert!(!is_unknown(start(3, 900), start(4, 1)), "the next start");
        assert!(!is_unknown(start(4, 1), start(4, 1)), "told twice");
        assert!(is_unknown(start(4, 900), start(4, 1)), "a copy, started as often");
        assert!(is_unknown(start(4, 1), start(4, 900)), "a copy, started as often");
        assert!(is_unknown(start(9, 0), start(4, 1)), "an older image");
    }
}
