//! Answers of the protocol `metadata`: total and bounded, whatever the bytes are.

use cluster_core::access::edge_may_propose;
use cluster_core::command::{Batch, Command};
use cluster_core::record::NodeKind;
use cluster_core::state;
use proto::identity::NodeId;
use proto::wire::raft as wire;
use tokio::task::JoinSet;

use super::call::{self, ReplyKind, RequestKind};
use super::leader::Leader;
use super::propose::{MAX_COMMANDS, Source};
use super::{Inner, Unavailable};
use super::{ReadError, status};

const UNREADABLE: &str = "the commands are not known to this release";

/// The reply to `request`. Dropping it is safe; commands may take effect.
pub(super) async fn answer(inner: &Inner, from: NodeId, request: &[u8]) -> Vec<u8> {
    let answered = match call::read_request(request) {
        Ok(RequestKind::Propose(request)) => propose(inner, from, &request).await,
        Ok(RequestKind::ReadIndex(_)) => read_index(inner).await,
        Ok(RequestKind::Status(_)) => Ok(tell_status(inner)),
        Ok(RequestKind::CatchUp(_)) => catch_up(inner).await,
        Err(reason) => Err(reason),
    };
    call::reply(answered.unwrap_or_else(|reason| {
        tracing::debug!(node.id = %from, reason, "a request was refused");
        ReplyKind::Refused(wire::Refused { reason: reason.to_owned() })
    }))
}

fn not_leader(inner: &Inner) -> ReplyKind {
    let leader = inner.group.raft.metrics().borrow().current_leader;
    ReplyKind::NotLeader(wire::NotLeader { leader: leader.unwrap_or(0) })
}

async fn propose(inner: &Inner, from: NodeId, request: &wire::Propose) -> Result<ReplyKind, &'static str> {
    if inner.group.leader() != Leader::Here || inner.stop.is_cancelled() {
        return Ok(not_leader(inner));
    }
    let levels = inner.state.release.levels;
    let commands = Batch::decode_as(levels, &request.batch).map_err(|_| UNREADABLE)?.commands;
    if commands.len() > MAX_COMMANDS || commands.is_empty() != request.tick {
        return Err("there are too many commands, or none");
    }
    if is_edge(inner, from) && !commands.iter().all(|command| edge_may_propose(from, command)) {
        tracing::warn!(node.id = %from, "an edge proposed what it may not");
        return Err("an edge may not propose this");
    }
    let commands: Vec<Option<Command>> =
        if request.tick { vec![None] } else { commands.into_iter().map(Some).collect() };
    let mut tasks = JoinSet::new();
    let mut answers: Vec<_> = commands.iter().map(|_| None).collect();
    for (place, command) in commands.into_iter().enumerate() {
        let proposals = inner.proposals.clone();
        // Spawned in order and queued in order: commands of one sender that follow each other do so here.
        tasks.spawn(async move { (place, proposals.propose(command, Source::Peer).await) });
    }
    while let Some(done) = tasks.join_next().await {
        let Ok((place, answer)) = done else { continue };
        answers[place] = Some(call::answer_to_wire(answer));
    }
    // One that is missing is unknown to who asked.
    let answers = answers.into_iter().map(Option::unwrap_or_default).collect();
    Ok(ReplyKind::Proposed(wire::Proposed { answers }))
}

/// What cannot be read is no edge: then nothing is committed either.
fn is_edge(inner: &Inner, node: NodeId) -> bool {
    let record = inner.state.reader().ok().and_then(|view| state::node::node(&view, node).ok()?);
    record.is_some_and(|record| record.kind == NodeKind::Edge)
}

async fn read_index(inner: &Inner) -> Result<ReplyKind, &'static str> {
    if inner.group.leader() != Leader::Here {
        return Ok(not_leader(inner));
    }
    match inner.reads.confirm().await {
        Ok(index) => Ok(ReplyKind::ReadIndex(wire::ReadIndexReply { index })),
        Err(ReadError::Unavailable(Unavailable::Stopping)) => Ok(not_leader(inner)),
        Err(ReadError::Unavailable(_)) => Err("there is no quorum"),
        Err(ReadError::StorageFailed(_)) => Err("the storage of this node failed"),
    }
}

async fn catch_up(inner: &Inner) -> Result<ReplyKind, &'static str> {
    let confirmed = inner.reads.confirm().await;
    confirmed.map(|_| ReplyKind::CaughtUp(wire::CaughtUp {})).map_err(|_| "this node is behind")
}

fn tell_status(inner: &Inner) -> ReplyKind {
    let status = status::status(inner);
    let log_time = inner.state.reader().ok().and_then(|view| state::log_time(&view).ok());
    ReplyKind::Status(wire::StatusReply {
        node: status.node,
        leader: status.leader.unwrap_or(0),
        term: status.term,
        last_log_index: status.last_log_index,
        applied_index: status.applied_index,
        log_time_ms: log_time.unwrap_or(0),
    })
}
