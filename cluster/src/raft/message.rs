//! openraft's requests and replies to and from the messages of `proto/wire/raft.proto`.
//!
//! Reading is total and bounded: what comes from another node becomes a value that Raft may be given, or
//! nothing. Whether the sender may say it is judged in [`super::answer`].

use cluster_core::command::Batch;
use cluster_core::command::encoding::DecodeError;
use cluster_core::level::Levels;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use openraft::{Entry, EntryPayload, LogId, Membership, SnapshotMeta, StoredMembership, Vote};
use prost::Message;
use proto::wire::raft as wire;
use wire::appended::Outcome;
pub(crate) use wire::raft_reply::Kind as ReplyKind;
pub(crate) use wire::raft_request::Kind as RequestKind;

use super::TypeConfig;
use super::transport::MAX_MESSAGE_BYTES;
use crate::storage::Stored;

/// Of requests of this release.
pub(crate) const VERSION: u32 = 1;
/// Most entries in one request; openraft sends fewer.
const MAX_ENTRIES: usize = 1024;
/// Most members of a group.
const MAX_MEMBERS: usize = 4096;
/// Terms and indices beyond are never reached by counting.
const MAX_NUMBER: u64 = 1 << 56;
/// Longest id of a snapshot.
const MAX_ID: usize = 128;

/// The bytes of a request.
pub(crate) fn request(kind: RequestKind) -> Vec<u8> {
    wire::RaftRequest { version: VERSION, kind: Some(kind) }.encode_to_vec()
}

/// The bytes of a reply.
pub(crate) fn reply(kind: ReplyKind) -> Vec<u8> {
    wire::RaftReply { kind: Some(kind) }.encode_to_vec()
}

/// Reads a request; what is wrong with it otherwise.
pub(crate) fn read_request(bytes: &[u8]) -> Result<RequestKind, &'static str> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err("the request is too large");
    }
    let request = wire::RaftRequest::decode(bytes).map_err(|_| "the request does not decode")?;
    if request.version != VERSION {
        return Err("the request has a version that this release does not know");
    }
    request.kind.ok_or("the request is of a kind that this release does not know")
}

/// Reads a reply; `None` if it is none.
pub(crate) fn read_reply(bytes: &[u8]) -> Option<ReplyKind> {
    wire::RaftReply::decode(bytes).ok()?.kind
}

pub(crate) fn append_to_wire(request: &AppendEntriesRequest<TypeConfig>) -> wire::Append {
    let mut entries = Vec::new();
    for entry in &request.entries {
        let entry = entry.to_wire();
        // An entry is far below 4 GiB, and a vector has room for all.
        entries.extend_from_slice(&u32::try_from(entry.encoded_len()).unwrap_or(u32::MAX).to_be_bytes());
        let _ = entry.encode(&mut entries);
    }
    wire::Append {
        vote: Some(request.vote.to_wire()),
        previous: request.prev_log_id.as_ref().map(Stored::to_wire),
        committed: request.leader_commit.as_ref().map(Stored::to_wire),
        entries,
    }
}

/// Reads what a leader sends: entries follow each other and `previous`, none is of a later term than the
/// vote. Whether this release can apply them is not looked at.
pub(crate) fn append_from_wire(append: wire::Append) -> Option<AppendEntriesRequest<TypeConfig>> {
    let vote = vote_from_wire(append.vote?)?;
    let prev_log_id = optional_log_id(append.previous)?;
    let leader_commit = optional_log_id(append.committed)?;
    let mut entries = Vec::new();
    let mut rest = append.entries.as_slice();
    let mut before = prev_log_id;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (entry, after) = after.split_at_checked(length)?;
        let entry = entry_from_wire(wire::Entry::decode(entry).ok()?)?;
        let follows = entry.log_id.index == before.map_or(0, |log_id| log_id.index + 1)
            && before.is_none_or(|log_id| log_id.leader_id <= entry.log_id.leader_id)
            && entry.log_id.leader_id.term <= vote.leader_id.term;
        if !follows || entries.len() == MAX_ENTRIES {
            return None;
        }
        before = Some(entry.log_id);
        entries.push(entry);
        rest = after;
    }
    let fits = rest.is_empty() && prev_log_id.is_none_or(|prev| prev.leader_id.term <= vote.leader_id.term);
    fits.then_some(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

fn entry_from_wire(entry: wire::Entry) -> Option<Entry<TypeConfig>> {
    let entry = Entry::from_wire(entry)?;
    let is_known = match &entry.payload {
        EntryPayload::Blank | EntryPayload::Normal(_) => true,
        EntryPayload::Membership(membership) => is_sane(membership),
    };
    (is_known && entry.log_id.index <= MAX_NUMBER).then_some(entry)
}

/// The first entry that a release of these levels cannot apply, and why.
pub(crate) fn first_unknown(levels: Levels, entries: &[Entry<TypeConfig>]) -> Option<(u64, DecodeError)> {
    entries.iter().find_map(|entry| match &entry.payload {
        EntryPayload::Normal(batch) => {
            Batch::decode_as(levels, &batch.0).err().map(|error| (entry.log_id.index, error))
        }
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
    })
}

fn is_sane(membership: &Membership<u64, openraft::BasicNode>) -> bool {
    let configs = membership.get_joint_config();
    let is_full = (1..=2).contains(&configs.len()) && configs.iter().all(|config| !config.is_empty());
    is_full && membership.nodes().count() <= MAX_MEMBERS && membership.nodes().all(|(node, _)| *node != 0)
}

pub(crate) fn appended_to_wire(response: &AppendEntriesResponse<u64>) -> wire::Appended {
    let outcome = match response {
        AppendEntriesResponse::Success => Outcome::Success(wire::Nothing {}),
        AppendEntriesResponse::PartialSuccess(matching) => {
            let matching = matching.as_ref().map(Stored::to_wire);
            Outcome::PartialSuccess(wire::PartialSuccess { matching })
        }
        AppendEntriesResponse::Conflict => Outcome::Conflict(wire::Nothing {}),
        AppendEntriesResponse::HigherVote(vote) => Outcome::HigherVote(vote.to_wire()),
    };
    wire::Appended { outcome: Some(outcome) }
}

/// `request` is what was asked: an answer that does not fit it is none, since Raft would take it for true.
pub(crate) fn appended_from_wire(
    appended: wire::Appended,
    request: &AppendEntriesRequest<TypeConfig>,
) -> Option<AppendEntriesResponse<u64>> {
    let last = request.entries.last().map_or(request.prev_log_id, |entry| Some(entry.log_id));
    match appended.outcome? {
        Outcome::Success(_) => Some(AppendEntriesResponse::Success),
        Outcome::PartialSuccess(partial) => {
            let matching = optional_log_id(partial.matching)?;
            let fits = matching >= request.prev_log_id && matching <= last;
            fits.then_some(AppendEntriesResponse::PartialSuccess(matching))
        }
        Outcome::Conflict(_) => request.prev_log_id.map(|_| AppendEntriesResponse::Conflict),
        Outcome::HigherVote(vote) => {
            let vote = vote_from_wire(vote)?;
            (vote > request.vote).then_some(AppendEntriesResponse::HigherVote(vote))
        }
    }
}

/// Whether the leader asked for an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There is no leader.
    NoLeader,
    /// The leader wants this node to follow it.
    HandedOver,
}

pub(crate) fn ballot_to_wire(request: &VoteRequest<u64>, reason: Reason) -> wire::Ballot {
    wire::Ballot {
        vote: Some(request.vote.to_wire()),
        last: request.last_log_id.as_ref().map(Stored::to_wire),
        handed_over: reason == Reason::HandedOver,
    }
}

pub(crate) fn ballot_from_wire(ballot: wire::Ballot) -> Option<(VoteRequest<u64>, Reason)> {
    let vote = vote_from_wire(ballot.vote?)?;
    let request = VoteRequest::new(vote, optional_log_id(ballot.last)?);
    let reason = if ballot.handed_over { Reason::HandedOver } else { Reason::NoLeader };
    (!vote.committed).then_some((request, reason))
}

pub(crate) fn ballot_reply_to_wire(response: &VoteResponse<u64>) -> wire::BallotReply {
    wire::BallotReply {
        vote: Some(response.vote.to_wire()),
        last: response.last_log_id.as_ref().map(Stored::to_wire),
        granted: response.vote_granted,
    }
}

pub(crate) fn ballot_reply_from_wire(reply: wire::BallotReply) -> Option<VoteResponse<u64>> {
    let vote = vote_from_wire(reply.vote?)?;
    Some(VoteResponse::new(vote, optional_log_id(reply.last)?, reply.granted))
}

/// What a chunk says of the whole snapshot.
pub(crate) struct ChunkOf {
    pub(crate) vote: Vote<u64>,
    pub(crate) meta: SnapshotMeta<u64, openraft::BasicNode>,
    pub(crate) size: u64,
    pub(crate) offset: u64,
}

pub(crate) fn chunk_from_wire(chunk: wire::SnapshotChunk) -> Option<(ChunkOf, Vec<u8>)> {
    let vote = vote_from_wire(chunk.vote?)?;
    let last_membership = StoredMembership::from_wire(chunk.membership?)?;
    let last_log_id = Some(log_id_from_wire(chunk.last?)?);
    let fits = vote.committed
        && (1..=MAX_ID).contains(&chunk.snapshot_id.len())
        && is_sane(last_membership.membership())
        && *last_membership.log_id() <= last_log_id
        && chunk.offset.checked_add(chunk.data.len() as u64)? <= chunk.size;
    let meta = SnapshotMeta { last_log_id, last_membership, snapshot_id: chunk.snapshot_id };
    fits.then_some((ChunkOf { vote, meta, size: chunk.size, offset: chunk.offset }, chunk.data))
}

pub(crate) fn vote_from_wire(vote: wire::Vote) -> Option<Vote<u64>> {
    let is_sane = vote.term <= MAX_NUMBER && vote.node != 0;
    is_sane.then(|| Vote::from_wire(vote)).flatten()
}

fn log_id_from_wire(log_id: wire::LogId) -> Option<LogId<u64>> {
    let is_sane = log_id.term <= MAX_NUMBER && log_id.index <= MAX_NUMBER;
    is_sane.then(|| LogId::from_wire(log_id)).flatten()
}

/// The outer `None`: it makes no sense.
#[expect(clippy::option_option, reason = "absent and senseless are two things")]
fn optional_log_id(log_id: Option<wire::LogId>) -> Option<Option<LogId<u64>>> {
    match log_id {
        None => Some(None),
        Some(log_id) => log_id_from_wire(log_id).map(Some),
    }
}

pub(crate) fn stand_to_wire(vote: Vote<u64>) -> wire::StandForElection {
    wire::StandForElection { vote: Some(vote.to_wire()) }
}
