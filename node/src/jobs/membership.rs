//! The leader's care for the group: whoever has a record follows the log, whoever has none goes, the voters
//! are those that the plan chooses, nodes that are away for long no longer count as homes.
//!
//! Works on every node and does something on the leader only. Each step is one change; a leader that stops
//! in the middle leaves it to the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cluster::{Member, MembershipError, Metadata, Role};
use cluster_core::command::image::{self, ImageCommand, IndexFrom};
use cluster_core::command::{Command, NodeCommand, Response};
use cluster_core::level;
use cluster_core::plan::voters::{self, Plan, Standing, Vote};
use cluster_core::record::{NodeRecord, NodeState};
use cluster_core::state;
use proto::identity::NodeId;
use tokio_util::sync::CancellationToken;

use crate::registry::RegistryError;

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(500);
/// A node that makes no progress for so long is replaced as a home; long enough for a restart or a new kernel.
const LOST: Duration = Duration::from_secs(600);
/// A voter that is away for so long is replaced as a voter, milliseconds.
const VOTER_GRACE_MS: u64 = 60_000;
/// Less than this is no absence, milliseconds.
const AWAY_MS: u64 = 5_000;
/// Entries that a learner may be behind to become a voter.
const CAUGHT_UP: u64 = 100;
/// Blobs that one entry counts again.
const RECOUNT: u32 = 1000;
/// Images that get their rows by one entry.
const INDEXED: u32 = 1000;

/// See the module.
pub(crate) struct Membership {
    metadata: Metadata,
    /// How far each follower was when it last made progress, and when that was. By this process's clock: it
    /// only delays decisions that apply judges.
    progress: BTreeMap<NodeId, (Option<u64>, Instant)>,
    /// Where the rows that listings of images need are still to be written; `None`: all are there.
    unindexed: Option<IndexFrom>,
}

impl Membership {
    /// Nothing runs before [`Membership::run`].
    pub(crate) fn new(metadata: Metadata) -> Self {
        Self { metadata, progress: BTreeMap::new(), unindexed: Some(IndexFrom::Last) }
    }

    /// Works until `stop`. Dropping it in the middle loses nothing.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
            if self.metadata.status().role != Role::Leader {
                self.progress.clear();
                self.unindexed = self.unindexed.or(Some(IndexFrom::Last));
                continue;
            }
            match stop.run_until_cancelled(self.look()).await {
                Some(Err(Trouble::Registry(error))) => {
                    tracing::warn!(reason = %crate::telemetry::log::chain(&error), "members not looked after");
                }
                Some(Err(Trouble::Membership(error))) => {
                    tracing::debug!(reason = %crate::telemetry::log::chain(&error), "members not changed yet");
                }
                Some(Ok(())) | None => {}
            }
        }
    }

    async fn look(&mut self) -> Result<(), Trouble> {
        let (nodes, is_recounting) = {
            let reader = self.metadata.local().map_err(RegistryError::from)?;
            let nodes = state::node::nodes(&reader).map_err(RegistryError::from)?;
            (nodes, state::copies::is_recounting(&reader).map_err(RegistryError::from)?)
        };
        if nodes.is_empty() {
            return Ok(());
        }
        if is_recounting {
            self.propose(Command::RecountCopies { limit: RECOUNT }).await?;
        }
        self.index_images(&nodes).await?;
        self.note_progress();
        self.judge_absence(&nodes).await?;
        self.align_members(&nodes).await?;
        self.choose_voters(&nodes).await
    }

    /// Images of releases that did not write them get the rows that listings need, some at each look. While nodes of
    /// such a release are there, they may push more: then it begins anew.
    async fn index_images(&mut self, nodes: &[(NodeId, NodeRecord)]) -> Result<(), Trouble> {
        if level::feature_level(nodes.iter().map(|(_, record)| record)) < image::LEVEL {
            self.unindexed = Some(IndexFrom::Start);
            return Ok(());
        }
        let Some(from) = self.unindexed else { return Ok(()) };
        let command = Command::Image(Box::new(ImageCommand::Index { from, limit: INDEXED }));
        let answer = self.metadata.propose(command).await.map_err(RegistryError::from)?;
        self.unindexed = (answer != Response::ImagesIndexed { is_done: true }).then_some(IndexFrom::Last);
        Ok(())
    }

    fn note_progress(&mut self) {
        let status = self.metadata.status();
        let now = Instant::now();
        for follower in &status.followers {
            let Some(node) = NodeId::new(follower.node) else { continue };
            let known = self.progress.entry(node).or_insert((None, now));
            if follower.lag == 0 || follower.matching_index > known.0 {
                *known = (follower.matching_index, now);
            }
        }
    }

    /// How long `node` has made no progress; the leader itself is never away.
    fn away(&self, node: NodeId) -> Duration {
        self.progress.get(&node).map_or(Duration::ZERO, |(_, since)| since.elapsed())
    }

    async fn judge_absence(&self, nodes: &[(NodeId, NodeRecord)]) -> Result<(), Trouble> {
        for (node, record) in nodes {
            let is_away = self.away(*node) >= LOST;
            let state = match record.state {
                NodeState::Active if is_away => NodeState::Lost,
                NodeState::Lost if !is_away && self.progress.contains_key(node) => NodeState::Active,
                _ => continue,
            };
            tracing::warn!(node.id = %node, ?state, "node judged by its absence");
            self.propose(Command::Node(Box::new(NodeCommand::SetState { node: *node, state }))).await?;
        }
        Ok(())
    }

    /// Makes who has a record follow the log, at its present address, and lets who has none go.
    async fn align_members(&self, nodes: &[(NodeId, NodeRecord)]) -> Result<(), Trouble> {
        let members = self.metadata.members().borrow().members.clone();
        for (node, record) in nodes {
            let Some(address) = record.address().map(|address| address.to_string()) else { continue };
            if members.get(node).is_none_or(|member| member.address != address) {
                tracing::info!(node.id = %node, address, "member added or moved");
                self.metadata.add_learner(Member { node: *node, address }).await?;
            }
        }
        for node in members.keys().filter(|node| nodes.iter().all(|(known, _)| known != *node)) {
            tracing::info!(node.id = %node, "member removed");
            self.metadata.remove_member(*node).await?;
        }
        Ok(())
    }

    /// One change of the voters, if the plan wants one.
    async fn choose_voters(&self, nodes: &[(NodeId, NodeRecord)]) -> Result<(), Trouble> {
        let status = self.metadata.status();
        let behind = |node: &NodeId| {
            // Who looks leads, and nobody is ahead of it; it may have no vote.
            if node.get() == status.node {
                return false;
            }
            let follower = status.followers.iter().find(|follower| follower.node == node.get());
            follower.is_none_or(|follower| follower.matching_index.is_none() || follower.lag > CAUGHT_UP)
        };
        let standing = |(node, record): &(NodeId, NodeRecord)| {
            let vote = match status.voters.contains(&node.get()) {
                true => Vote::Voter,
                false if behind(node) => Vote::Behind,
                false => Vote::CaughtUp,
            };
            let away_ms = u64::try_from(self.away(*node).as_millis()).unwrap_or(u64::MAX);
            // A follower is looked at now and then: a moment without progress is no absence.
            Standing::new(*node, record, vote, if away_ms < AWAY_MS { 0 } else { away_ms })
        };
        let standings: Vec<Standing> = nodes.iter().map(standing).collect();
        let mut voters: BTreeSet<NodeId> =
            standings.iter().filter(|one| one.vote == Vote::Voter).map(|one| one.node).collect();
        let reason = match voters::choose(&standings, VOTER_GRACE_MS) {
            Plan::Keep => return Ok(()),
            Plan::Promote { node, reason } => {
                voters.insert(node);
                reason
            }
            Plan::Demote { node, reason } => {
                voters.remove(&node);
                reason
            }
            Plan::Replace { demote, promote, reason } => {
                voters.remove(&demote);
                voters.insert(promote);
                reason
            }
        };
        tracing::info!(?voters, %reason, "voters changed");
        Ok(self.metadata.apply_voters(voters).await?)
    }

    async fn propose(&self, command: Command) -> Result<(), Trouble> {
        self.metadata.propose(command).await.map_err(RegistryError::from)?;
        Ok(())
    }
}

/// Why a look ended early.
enum Trouble {
    /// The state could not be read or changed.
    Registry(RegistryError),
    /// The group could not be changed, which is often a matter of waiting.
    Membership(MembershipError),
}

impl From<RegistryError> for Trouble {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl From<MembershipError> for Trouble {
    fn from(error: MembershipError) -> Self {
        Self::Membership(error)
    }
}
