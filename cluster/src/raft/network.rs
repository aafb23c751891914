//! Raft's requests over a [`Link`].
//!
//! openraft gives a request the time between two heartbeats and then sends it again. An entry may be larger
//! than what a slow link carries in that time, so a request that is under way is not dropped but awaited by
//! its repetition; while it is awaited, empty requests keep the follower from standing for election.

use std::future::Future;
use std::time::Duration;

use openraft::BasicNode;
use openraft::error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{Entry, EntryPayload, LogId, Snapshot, Vote};
use proto::identity::NodeId;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::election::HandOver;
use super::message::{self, Reason, ReplyKind, RequestKind};
use super::transport::{Link, Member, Service, TransportError};
use super::{BEAT, REQUEST, TypeConfig, outgoing};
use crate::storage::{LogStore, Outgoing};

/// How long entries may be under way, however few; a request that was lost on the way is repeated then.
const APPEND_PATIENCE: Duration = Duration::from_secs(1);
/// The slowest link that carries large entries, bytes a second.
const SLOWEST_LINK: u64 = 256 << 10;
/// Between two tries to reach a node that could not be reached.
const BACKOFF: Duration = Duration::from_millis(200);

/// Makes a [`Peer`] for each member.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) link: Link,
    pub(crate) log: LogStore,
    pub(crate) outgoing: Outgoing,
    pub(crate) hand_over: HandOver,
}

/// The way to one other member.
#[derive(Debug)]
pub(crate) struct Peer {
    id: u64,
    /// `None`: an id that no node has.
    member: Option<Member>,
    link: Link,
    log: LogStore,
    outgoing: Outgoing,
    hand_over: HandOver,
    under_way: Option<UnderWay>,
}

type AppendResult = Result<AppendEntriesResponse<u64>, CallError>;

#[derive(Debug)]
struct UnderWay {
    key: Key,
    reply: AbortOnDropHandle<AppendResult>,
}

/// Which entries a request carries: two with the same key have the same answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    vote: Vote<u64>,
    previous: Option<LogId<u64>>,
    last: LogId<u64>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("{0}")]
    Transport(TransportError),
    #[error("refused: {0}")]
    Refused(String),
    #[error("the reply makes no sense")]
    BadReply,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Peer {
        let member = NodeId::new(target).map(|node_id| Member { node: node_id, address: node.addr.clone() });
        let Self { link, log, outgoing, hand_over } = self.clone();
        Peer { id: target, member, link, log, outgoing, hand_over, under_way: None }
    }
}

/// One request of the protocol `raft`.
pub(super) async fn call(
    link: &Link,
    to: &Member,
    kind: RequestKind,
    patience: Duration,
) -> Result<ReplyKind, CallError> {
    let reply = link.call(to, Service::Raft, message::request(kind), patience).await;
    match message::read_reply(&reply.map_err(CallError::Transport)?) {
        Some(ReplyKind::Refused(refused)) => Err(CallError::Refused(refused.reason)),
        Some(reply) => Ok(reply),
        None => Err(CallError::BadReply),
    }
}

async fn append(
    link: Link,
    to: Member,
    request: AppendEntriesRequest<TypeConfig>,
    patience: Duration,
) -> AppendResult {
    let kind = RequestKind::Append(message::append_to_wire(&request));
    match call(&link, &to, kind, patience).await? {
        ReplyKind::Append(appended) => {
            message::appended_from_wire(appended, &request).ok_or(CallError::BadReply)
        }
        _ => Err(CallError::BadReply),
    }
}

impl Peer {
    fn member(&self) -> Result<Member, CallError> {
        self.member.clone().ok_or(CallError::Transport(TransportError::Unreachable))
    }

    /// Starts the request, or goes on waiting for the one that carries the same.
    fn start(&mut self, key: &Key, request: AppendEntriesRequest<TypeConfig>, to: Member) -> &mut UnderWay {
        let going_on = self.under_way.take().filter(|under_way| under_way.key == *key);
        let started = going_on.unwrap_or_else(|| {
            let patience = APPEND_PATIENCE + Duration::from_secs(size_of(&request) / SLOWEST_LINK);
            let task: JoinHandle<AppendResult> =
                tokio::spawn(append(self.link.clone(), to, request, patience));
            UnderWay { key: key.clone(), reply: AbortOnDropHandle::new(task) }
        });
        self.under_way.insert(started)
    }

    async fn append_entries(
        &mut self,
        mut request: AppendEntriesRequest<TypeConfig>,
        ttl: Duration,
    ) -> AppendResult {
        let to = self.member()?;
        if !self.link.hearing.may_send(self.id, Instant::now()) {
            return Err(CallError::Transport(TransportError::Unreachable));
        }
        if let Some(committed) = request.leader_commit.filter(|_| request.entries.is_empty()) {
            // News of a commit are worth waiting for; entries and beats are not kept back long.
            let _ = tokio::time::timeout(BEAT, self.log.reaches_disk(committed.index)).await;
        }
        request.leader_commit = self.log.on_disk(request.leader_commit);
        let Some(last) = request.entries.last().map(|entry| entry.log_id) else {
            return append(self.link.clone(), to, request, ttl).await;
        };
        let key = Key { vote: request.vote, previous: request.prev_log_id, last };
        let (link, beat) = (self.link.clone(), beat(&request));
        let under_way = self.start(&key, request, to.clone());
        // Whatever comes of them: the real answer is the one that counts.
        let mut beats = JoinSet::new();
        let reply = loop {
            match tokio::time::timeout(BEAT, &mut under_way.reply).await {
                Ok(reply) => break reply,
                Err(_) if link.hearing.is_silent() => {}
                Err(_) => drop(beats.spawn(append(link.clone(), to.clone(), beat.clone(), REQUEST))),
            }
        };
        self.under_way = None;
        reply.unwrap_or(Err(CallError::Transport(TransportError::NoReply)))
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        ttl: Duration,
    ) -> Result<VoteResponse<u64>, CallError> {
        let to = self.member()?;
        let reason = if self.hand_over.is_ours() { Reason::HandedOver } else { Reason::NoLeader };
        let kind = RequestKind::Vote(message::ballot_to_wire(&request, reason));
        match call(&self.link, &to, kind, ttl).await? {
            ReplyKind::Vote(reply) => message::ballot_reply_from_wire(reply).ok_or(CallError::BadReply),
            _ => Err(CallError::BadReply),
        }
    }
}

/// Bytes of the commands that it carries.
fn size_of(request: &AppendEntriesRequest<TypeConfig>) -> u64 {
    let size = |entry: &Entry<TypeConfig>| match &entry.payload {
        EntryPayload::Normal(batch) => batch.0.len() as u64,
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    };
    request.entries.iter().map(size).sum()
}

/// A request that only says that the leader is there.
fn beat(request: &AppendEntriesRequest<TypeConfig>) -> AppendEntriesRequest<TypeConfig> {
    AppendEntriesRequest { vote: request.vote, prev_log_id: None, entries: Vec::new(), leader_commit: None }
}

impl RaftNetwork<TypeConfig> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        Ok(Peer::append_entries(self, rpc, option.hard_ttl()).await?)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        Ok(Peer::vote(self, rpc, option.hard_ttl()).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote<u64>,
        snapshot: Snapshot<TypeConfig>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<TypeConfig, Fatal<u64>>> {
        let to = self.member()?;
        tracing::info!(node.id = self.id, snapshot = %snapshot.meta.snapshot_id, "sending a snapshot");
        tokio::select! {
            biased;
            sent = outgoing::send(&self.link, &self.outgoing, &to, vote, snapshot) => sent,
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACKOFF))
    }
}

// Whatever failed, the next try waits: openraft repeats the other kinds of failure at once.

impl From<CallError> for RPCError<u64, BasicNode, RaftError<u64>> {
    fn from(error: CallError) -> Self {
        Unreachable::new(&error).into()
    }
}

impl From<CallError> for StreamingError<TypeConfig, Fatal<u64>> {
    fn from(error: CallError) -> Self {
        Unreachable::new(&error).into()
    }
}
