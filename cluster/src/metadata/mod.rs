//! The handle to the metadata that the rest of the node holds: propose, read, status, members.
//!
//! Owns the start and the end of the Raft node and the tasks beside it: `propose` groups commands, `commit`
//! brings a group into the log or to the leader, `read` lets many readers share one confirmation that this
//! node's state is current, `settle` waits for that of all nodes, `answer` serves other nodes, `membership` changes the group.

mod answer;
mod call;
mod commit;
mod leader;
mod membership;
mod open;
mod propose;
mod read;
mod settle;
mod space;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cluster_core::command::{Command, Response};
use cluster_core::state;
use proto::identity::NodeId;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::membership::{Members, MembershipError};
pub use self::open::{MetadataConfig, OpenError, Start};
pub use self::propose::ProposeError;
pub use self::read::ReadError;
pub use self::status::{PeerStatus, Progress, Role, Status};
use crate::environment;
use crate::raft;
use crate::raft::transport::{Link, Member, Service, Transport};
use crate::storage::{LogStore, StateReader, StateStore};

/// The metadata of the cluster, as this node takes part in it. Clones share it.
#[derive(Clone, Debug)]
pub struct Metadata {
    inner: Arc<Inner>,
}

struct Inner {
    dir: std::path::PathBuf,
    group: leader::Group,
    log: LogStore,
    state: StateStore,
    answers: raft::Answers,
    proposals: propose::Queue,
    reads: read::Queue,
    changes: membership::Changes,
    members: watch::Receiver<Members>,
    counters: Arc<status::Counters>,
    stop: CancellationToken,
    /// End when `stop` says so.
    tasks: Mutex<JoinSet<()>>,
    /// End when Raft has stopped: without beats and elections it could not hand over.
    beats: Mutex<JoinSet<()>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Why the metadata cannot be used just now; another try may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// No leader with a quorum is known. A command was surely not taken.
    #[error("no leader")]
    NoLeader,
    /// This node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// Too much waits already.
    #[error("too many requests wait")]
    Overloaded,
    /// Nothing came of it in time; a command may still take effect.
    #[error("no answer in time")]
    TimedOut,
}

/// Why the storage failed, shared by all who waited for it.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

impl Metadata {
    /// Opens the directory, or creates it, and takes part in the group over `transport`, whose server gives
    /// what arrives to [`Metadata::answer`].
    ///
    /// In a group of one it returns once commands and current reads are possible and all that was
    /// acknowledged is applied. In a larger group it returns at once: what this node has applied can be
    /// read, the rest comes when a quorum is there.
    ///
    /// # Errors
    /// The directory cannot be used, or the group of one had no leader within `start_timeout`.
    pub async fn open(
        config: MetadataConfig,
        transport: impl Transport,
        start: Start,
    ) -> Result<Self, OpenError> {
        // Only here is anything generic, so that Raft is compiled once, and in this crate.
        open::open(config, Link::new(transport), start).await
    }

    /// The reply to a request that came from the member `from`. Always returns a reply, also to bytes that
    /// make no sense; bounded in memory, and in time by a few seconds except for the end of a snapshot.
    /// Dropping it is safe; what was asked for may be done.
    pub async fn answer(&self, service: Service, from: NodeId, request: &[u8]) -> Vec<u8> {
        match service {
            Service::Raft => self.inner.answers.answer(&self.inner.group.raft, from, request).await,
            Service::Metadata => answer::answer(&self.inner, from, request).await,
        }
    }

    /// Commits one command and applies it; the answer says what became of it.
    ///
    /// Dropping the future is safe, but the command may take effect all the same; so it may after
    /// [`Unavailable::TimedOut`].
    ///
    /// # Errors
    /// See [`ProposeError`]. A refusal by the state is a [`Response`], not an error.
    pub async fn propose(&self, command: Command) -> Result<Response, ProposeError> {
        let committed = self.inner.proposals.propose(Some(command), propose::Source::Here).await?;
        // A command always has an answer of its own; only a tick has none.
        committed.response.ok_or(ProposeError::Unavailable(Unavailable::TimedOut))
    }

    /// Moves log time on to the leader's clock without changing anything else. Cancel safe.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn tick(&self) -> Result<(), ProposeError> {
        self.inner.proposals.propose(None, propose::Source::Here).await.map(drop)
    }

    /// A view that holds every write acknowledged, by any node, before the call. Cancel safe.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(&self) -> Result<StateReader, ReadError> {
        self.inner.reads.confirm().await?;
        self.local()
    }

    /// A view of what this node has applied, which may be behind.
    ///
    /// # Errors
    /// [`ReadError::StorageFailed`].
    pub fn local(&self) -> Result<StateReader, ReadError> {
        self.inner.state.reader().map_err(|error| ReadError::StorageFailed(Arc::new(error)))
    }

    /// Returns when every node has applied what was acknowledged before the call, and which ones have not within a
    /// second: they cannot be reached, or are cut off from the leader. Cancel safe.
    pub async fn settle(&self) -> Vec<Member> {
        settle::settle(&self.inner).await
    }

    /// Log time of the state that this node has applied, milliseconds since 1970; 0 before the first entry.
    ///
    /// # Errors
    /// [`ReadError::StorageFailed`].
    pub fn applied_log_time(&self) -> Result<u64, ReadError> {
        state::log_time(&self.local()?).map_err(|error| ReadError::StorageFailed(Arc::new(error)))
    }

    /// Index of the last entry that this node has applied; 0 before the first.
    pub fn applied_index(&self) -> u64 {
        self.inner.state.applied_index().unwrap_or(0)
    }

    /// Waits until this node has applied the entry at `index`. Cancel safe.
    ///
    /// # Errors
    /// [`Unavailable::TimedOut`] after `patience`.
    pub async fn applied(&self, index: u64, patience: Duration) -> Result<(), Unavailable> {
        if self.applied_index() >= index {
            return Ok(());
        }
        let applied = self.inner.group.raft.wait(Some(patience));
        let applied = applied.applied_index_at_least(Some(index), "an index that was asked for").await;
        applied.map(drop).map_err(|_| Unavailable::TimedOut)
    }

    /// Who leads, as far as this node knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.inner.group.raft.metrics().borrow().current_leader.and_then(NodeId::new)
    }

    /// Whether a leader was heard of within its lease, or is this node. Cancel safe.
    pub async fn hears_leader(&self) -> bool {
        raft::has_leader(&self.inner.group.raft, self.inner.group.node.get()).await
    }

    /// What a newer release wrote that this one cannot apply, and which entry it is in: this node goes no further,
    /// and never past it. `None` while all that came was known.
    pub fn newer_entry(&self) -> Option<String> {
        self.inner.state.release.newer_entry()
    }

    /// From now on no state that this node showed is lost in a crash, though nobody can be asked after it:
    /// for nodes that answer from their own state (invariant I20). Costs a sync for each step.
    pub fn keep_view(&self) {
        self.inner.log.save_commits();
    }

    /// How the group and this node's part of it are doing. Makes a few system calls.
    pub fn status(&self) -> Status {
        status::status(&self.inner)
    }

    /// How far every member is that answers within `patience`, this node included. Cancel safe.
    pub async fn statuses(&self, patience: Duration) -> BTreeMap<NodeId, PeerStatus> {
        status::of_members(&self.inner, patience).await
    }

    /// The members of the group, as of now and whenever they change: whom to answer.
    pub fn members(&self) -> watch::Receiver<Members> {
        self.inner.members.clone()
    }

    /// Makes `member` follow without a vote, or gives it another address. Returns before it has caught up.
    /// Only at the leader. Dropping it is safe; the change may come into force.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn add_learner(&self, member: Member) -> Result<(), MembershipError> {
        self.inner.changes.add_learner(member).await
    }

    /// Makes exactly these members vote; the others follow without a vote. Only at the leader, which may
    /// stop leading by it. Dropping it is safe; the change may come into force, and one that is half done is
    /// completed by the next.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn apply_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), MembershipError> {
        self.inner.changes.apply_voters(voters).await
    }

    /// Removes a member, after its vote. Only at the leader; asked to remove itself it hands over and
    /// answers [`MembershipError::NotLeader`], so that the new leader can be asked. As
    /// [`Metadata::apply_voters`] when dropped.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn remove_member(&self, node: NodeId) -> Result<(), MembershipError> {
        self.inner.changes.remove(node).await
    }

    /// Stops taking part: commands and reads fail from now on, what was acknowledged stays; a leader hands
    /// over first. The files are closed when the last clone and the last reader are gone. Not cancel safe.
    ///
    /// Returns whether everything stopped within `deadline`; if not, the rest is abandoned, which loses
    /// nothing acknowledged either.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        self.inner.stop.cancel();
        let stopping = async {
            join(&self.inner.tasks).await;
            let leader::Group { node, raft, link, .. } = &self.inner.group;
            raft::hand_over(raft, node.get(), link).await;
            let raft = raft.shutdown().await;
            join(&self.inner.beats).await;
            let state = self.inner.state.clone();
            // What is not on disk yet is in the log; this only makes the next start quicker.
            let synced = environment::blocking(move || state.sync()).await;
            raft.is_ok() && matches!(synced, Ok(Ok(())))
        };
        tokio::time::timeout(deadline, stopping).await.unwrap_or(false)
    }
}

async fn join(tasks: &Mutex<JoinSet<()>>) {
    let mut tasks = tasks.lock().await;
    while tasks.join_next().await.is_some() {}
}

#[cfg(test)]
mod metadata_test;
