//! Answers of the protocol `raft`: total and bounded, whatever the bytes are.
//!
//! A sender speaks for itself only: a vote that names another node is refused, and a node that is no voter
//! moves no term while there is a leader; an edge is not listened to at all. Who is a member at all is the transport's business.

use cluster_core::record::NodeKind;
use cluster_core::state;
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use proto::identity::NodeId;
use proto::wire::raft as wire;

use super::election::{self, HandOver};
use super::incoming::Incoming;
use super::message::{self, Reason, ReplyKind, RequestKind};
use super::{Raft, TypeConfig};
use crate::storage::StateStore;

/// What this node answers with.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) node: u64,
    pub(crate) state: StateStore,
    pub(crate) incoming: Incoming,
    pub(crate) hand_over: HandOver,
}

type Answer = Result<ReplyKind, &'static str>;

const SENSELESS: &str = "the request makes no sense";
const FOREIGN: &str = "the request speaks for another node";
const EDGE: &str = "an edge neither leads nor votes";
const UNKNOWN: &str = "an entry is not known to the release of this node";
const STOPPING: &str = "this node is stopping or its storage failed";

impl Answers {
    /// The reply to `request` of `from`. Dropping it may leave a snapshot half received, nothing else.
    pub(crate) async fn answer(&self, raft: &Raft, from: NodeId, request: &[u8]) -> Vec<u8> {
        let answer = match message::read_request(request) {
            Ok(_) if self.is_edge(from) => Err(EDGE),
            Ok(kind) => self.answer_kind(raft, from.get(), kind).await,
            Err(reason) => Err(reason),
        };
        message::reply(answer.unwrap_or_else(|reason| {
            tracing::debug!(node.id = %from, reason, "a request was refused");
            ReplyKind::Refused(wire::Refused { reason: reason.to_owned() })
        }))
    }

    /// An edge follows. Whoever holds its key must not unseat a leader, nor take the place of one that died.
    fn is_edge(&self, from: NodeId) -> bool {
        let record = self.state.reader().ok().and_then(|view| state::node::node(&view, from).ok()?);
        record.is_some_and(|record| record.kind == NodeKind::Edge)
    }

    async fn answer_kind(&self, raft: &Raft, from: u64, kind: RequestKind) -> Answer {
        match kind {
            RequestKind::Append(append) => {
                let request = message::append_from_wire(append).ok_or(SENSELESS)?;
                self.append(raft, from, request).await
            }
            RequestKind::Vote(ballot) => {
                let (request, reason) = message::ballot_from_wire(ballot).ok_or(SENSELESS)?;
                self.vote(raft, from, request, reason).await
            }
            RequestKind::PreVote(ballot) => {
                let (request, _) = message::ballot_from_wire(ballot).ok_or(SENSELESS)?;
                own(from, request.vote.leader_id.node_id)?;
                let would_grant = election::would_grant(raft, self.node, &request).await;
                Ok(ReplyKind::PreVote(wire::PreVoteReply { would_grant }))
            }
            RequestKind::SnapshotChunk(chunk) => {
                let (chunk, data) = message::chunk_from_wire(chunk).ok_or(SENSELESS)?;
                own(from, chunk.vote.leader_id.node_id)?;
                self.leader_only(raft, from).await?;
                Ok(ReplyKind::SnapshotChunk(self.incoming.take(raft, &self.state, chunk, data).await?))
            }
            RequestKind::StandForElection(stand) => {
                let vote = stand.vote.and_then(message::vote_from_wire).ok_or(SENSELESS)?;
                own(from, vote.leader_id.node_id)?;
                election::stand(raft, vote, &self.hand_over).await?;
                Ok(ReplyKind::StandForElection(wire::StandForElectionReply {}))
            }
        }
    }

    async fn append(&self, raft: &Raft, from: u64, request: AppendEntriesRequest<TypeConfig>) -> Answer {
        own(from, request.vote.leader_id.node_id)?;
        if !request.vote.committed {
            return Err(SENSELESS);
        }
        self.leader_only(raft, from).await?;
        let release = &self.state.release;
        // It would stop Raft when it is applied, and again at each start: so it is not taken in.
        if let Some((index, error)) = message::first_unknown(release.levels, &request.entries) {
            release.note(index, &error);
            return Err(UNKNOWN);
        }
        let response = raft.append_entries(request).await.map_err(|_| STOPPING)?;
        Ok(ReplyKind::Append(message::appended_to_wire(&response)))
    }

    async fn vote(&self, raft: &Raft, from: u64, request: VoteRequest<u64>, reason: Reason) -> Answer {
        own(from, request.vote.leader_id.node_id)?;
        if reason == Reason::HandedOver {
            election::yield_to(raft, &request).await;
        }
        let response = raft.vote(request).await.map_err(|_| STOPPING)?;
        Ok(ReplyKind::Vote(message::ballot_reply_to_wire(&response)))
    }

    /// A node that is no voter as far as is known here may have become one while this node was away; but
    /// then no other leader is heard of.
    async fn leader_only(&self, raft: &Raft, from: u64) -> Result<(), &'static str> {
        let (is_leader, is_voter) = {
            let metrics = raft.server_metrics();
            let metrics = metrics.borrow();
            let is_voter = metrics.membership_config.voter_ids().any(|voter| voter == from);
            (metrics.current_leader == Some(from), is_voter)
        };
        if is_leader || is_voter || !election::has_leader(raft, self.node).await {
            return Ok(());
        }
        Err("only a voter leads")
    }
}

fn own(from: u64, named: u64) -> Result<(), &'static str> {
    if from == named { Ok(()) } else { Err(FOREIGN) }
}
