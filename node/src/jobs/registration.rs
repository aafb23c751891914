//! Tells the cluster, once at each start, where this node is and what it runs; and ends the process when another
//! start of the same node goes before it, since two must not speak for one (consistency promise 19).
//!
//! Of two starts the one with the higher count goes on; with equal counts, the one that the cluster was told of
//! first. Voters are asked, not only the own state: the log goes to one of the two processes only.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cluster::Metadata;
use cluster_core::command::node::{Disk, NodePlace, UpdateNode};
use cluster_core::command::{Command, NodeCommand, Response};
use cluster_core::level::Levels;
use cluster_core::state;
use proto::identity::NodeId;
use tokio_util::sync::CancellationToken;

use crate::adapters::hello::{Heard, Hello};

/// Between two rounds: tries to tell, and looks for another start.
const PAUSE: Duration = Duration::from_secs(2);
/// The same while no leader is heard of.
const LOST_PAUSE: Duration = Duration::from_millis(500);

/// Random bits below the count of starts in an incarnation.
const RANDOM_BITS: u32 = 24;

/// Why this process must not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ending {
    /// See the module.
    #[error(
        "a start of this node is known that its data directory knows nothing of: the directory was copied and \
         runs elsewhere too, or is an older image; this process ends"
    )]
    Superseded,
    /// An operator has to change the release.
    #[error(
        "this release, {} ({}), does not go with a cluster of level {level}: install the release of the other nodes",
        env!("CARGO_PKG_VERSION"),
        Levels::OWN
    )]
    OtherRelease {
        /// Of the cluster.
        level: u32,
    },
    /// An operator has to install a newer release; going on without the entry would part this node from the others.
    #[error("{0}; this node stops before it, and goes on there with that release")]
    NewerEntry(String),
    /// A person decided so.
    #[error("this node was removed from the cluster: start it anew with an empty data directory")]
    Removed,
}

/// Empty while it may go on.
pub(crate) type Verdict = Arc<OnceLock<Ending>>;

/// See the module.
pub(crate) struct Registration {
    pub(crate) metadata: Metadata,
    pub(crate) node: NodeId,
    pub(crate) place: NodePlace,
    pub(crate) incarnation: u64,
    pub(crate) hello: Hello,
    /// A file that says that no blob of an earlier start is here; removed once the cluster knows.
    pub(crate) new_disk: Option<PathBuf>,
    pub(crate) verdict: Verdict,
}

impl Registration {
    /// Works until `stop`, or cancels it when this node must not go on. Dropping it loses nothing.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut is_told = false;
        loop {
            if let Some(entry) = self.metadata.newer_entry() {
                return self.give_way(Ending::NewerEntry(entry), &stop);
            }
            let heard = self.hello.say().await;
            if self.gives_way(heard) {
                return self.give_way(Ending::Superseded, &stop);
            }
            // Without a leader nobody could be told.
            if !is_told && !heard.is_lost {
                is_told = self.tell(&stop).await;
            }
            let pause = if heard.is_lost { LOST_PAUSE } else { PAUSE };
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    fn gives_way(&self, heard: Heard) -> bool {
        let registered = heard.registered.max(self.recorded().unwrap_or(0));
        is_superseded(self.incarnation, registered, heard.said)
    }

    /// True once the cluster knows.
    async fn tell(&self, stop: &CancellationToken) -> bool {
        // So that the own state has the starts before, if the log goes here.
        if self.metadata.read().await.is_ok() && self.gives_way(Heard::default()) {
            self.give_way(Ending::Superseded, stop);
            return true;
        }
        let disk = if self.new_disk.is_some() { Disk::Empty } else { Disk::Kept };
        let update =
            UpdateNode { node: self.node, place: self.place.clone(), incarnation: self.incarnation, disk };
        match self.metadata.propose(Command::Node(Box::new(NodeCommand::Update(update)))).await {
            Ok(Response::NodeUpdated) => self.forget_new_disk().await,
            Ok(Response::StaleIncarnation { .. }) => self.give_way(Ending::Superseded, stop),
            Ok(Response::LevelRefused { level }) => self.give_way(Ending::OtherRelease { level }, stop),
            Ok(Response::NotFound) => self.give_way(Ending::Removed, stop),
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

    fn give_way(&self, ending: Ending, stop: &CancellationToken) {
        tracing::error!("{ending}");
        let _ = self.verdict.set(ending);
        stop.cancel();
    }
}

/// Whether the start `own` gives way: to one that the cluster was told of and that its data directory has not
/// counted, or to one that said hello and counts more. A node's next start counts more than every one before.
fn is_superseded(own: u64, registered: u64, said: u64) -> bool {
    let count = |incarnation: u64| incarnation >> RANDOM_BITS;
    (registered != own && count(registered) >= count(own)) || count(said) > count(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_missed_a_start_gives_way() {
        let start = |count: u64, random: u64| count << RANDOM_BITS | random;
        assert!(!is_superseded(start(4, 1), start(3, 900), start(4, 1)), "the next start");
        assert!(!is_superseded(start(4, 1), start(4, 1), start(4, 1)), "told already");
        assert!(is_superseded(start(4, 1), start(4, 900), 0), "a copy, started as often");
        assert!(is_superseded(start(4, 900), start(4, 1), 0), "a copy, started as often");
        assert!(is_superseded(start(4, 1), start(9, 0), 0), "an older image");
        assert!(is_superseded(start(4, 1), start(4, 1), start(5, 0)), "a copy was started later");
    }

    #[test]
    fn of_two_starts_one_goes_on() {
        let starts = [4 << RANDOM_BITS | 1, 4 << RANDOM_BITS | 2, 5 << RANDOM_BITS, 9 << RANDOM_BITS];
        for one in starts {
            for other in starts.into_iter().filter(|other| *other != one) {
                // Both have said hello; then one is told.
                let said = one.max(other);
                let both = is_superseded(one, 0, said) && is_superseded(other, 0, said);
                assert!(!both, "{one:x} and {other:x}");
                let told = if is_superseded(one, 0, said) { other } else { one };
                let ended = [one, other].into_iter().filter(|start| is_superseded(*start, told, said));
                assert_eq!(ended.count(), 1, "{one:x} and {other:x}");
            }
        }
    }
}
