//! One group of commands: into the log if this node leads, else to whoever does.
//!
//! A group is given to somebody at most once for sure: it is tried again only while it was surely not taken.

use cluster_core::command::{Batch, Command};
use cluster_core::{level, state};
use openraft::error::{Fatal, RaftError};
use proto::wire::raft as wire;
use tokio::time::Instant;

use super::call::{self, ReplyKind, RequestKind};
use super::leader::{AskError, Group, Leader};
use super::propose::{Answer, Committed, Proposal, ProposeError, Source};
use super::{Cause, Unavailable};
use crate::environment;
use crate::raft::EncodedBatch;
use crate::raft::transport::Member;

/// 2020-01-01: a clock before it was never set.
const EARLIEST_MS: u64 = 1_577_836_800_000;

const NO_LEADER: ProposeError = ProposeError::Unavailable(Unavailable::NoLeader);
const UNKNOWN: ProposeError = ProposeError::Unavailable(Unavailable::TimedOut);

/// Commits the group and answers each of it, at its first deadline at the latest.
pub(super) async fn commit(group: Group, mut proposals: Vec<Proposal>) {
    let Some(deadline) = proposals.iter().map(|proposal| proposal.deadline).min() else { return };
    loop {
        proposals = hold_back(&group, proposals);
        if proposals.is_empty() {
            return;
        }
        match group.leader() {
            Leader::Here => {
                let commands = commands(&proposals);
                let answers = write(&group, commands, proposals.len(), deadline).await;
                return answer(proposals, answers);
            }
            Leader::There(leader) => {
                proposals = refuse_peers(proposals);
                if proposals.is_empty() {
                    return;
                }
                if let Some(answers) = forward(&group, &leader, &proposals, deadline).await {
                    return answer(proposals, answers);
                }
            }
            Leader::Unknown => proposals = refuse_peers(proposals),
        }
        if proposals.is_empty() || !group.pause(deadline).await {
            let stopped = group.raft.metrics().borrow().running_state.clone().err();
            let error = stopped.map_or(NO_LEADER, failure);
            let answers = vec![Err(error); proposals.len()];
            return answer(proposals, answers);
        }
    }
}

/// Answers commands that not all nodes know: in the log they would stop those. Apply judges the rest again.
fn hold_back(group: &Group, proposals: Vec<Proposal>) -> Vec<Proposal> {
    let held_back = |command: &Command| {
        let view = group.state.reader().ok().filter(|_| command.level() > level::FIRST)?;
        state::not_yet(&view, command).ok().flatten()
    };
    let held_back = |proposal: Proposal| match proposal.command.as_ref().and_then(held_back) {
        Some(response) => {
            let index = group.state.applied_index().unwrap_or(0);
            proposal.answer(Ok(Committed { index, response: Some(response) }));
            None
        }
        None => Some(proposal),
    };
    proposals.into_iter().filter_map(held_back).collect()
}

/// What another node sent goes back: it knows better, or waits for a leader itself.
fn refuse_peers(proposals: Vec<Proposal>) -> Vec<Proposal> {
    let (peers, here): (Vec<_>, Vec<_>) =
        proposals.into_iter().partition(|proposal| proposal.source == Source::Peer);
    peers.into_iter().for_each(|proposal| proposal.answer(Err(NO_LEADER)));
    here
}

fn answer(proposals: Vec<Proposal>, answers: Vec<Answer>) {
    for (proposal, answer) in proposals.into_iter().zip(answers) {
        proposal.answer(answer);
    }
}

/// `None` for a tick.
fn commands(proposals: &[Proposal]) -> Vec<Option<Command>> {
    proposals.iter().map(|proposal| proposal.command.clone()).collect()
}

/// One entry of the log.
async fn write(
    group: &Group,
    commands: Vec<Option<Command>>,
    count: usize,
    deadline: Instant,
) -> Vec<Answer> {
    let all = |error: ProposeError| vec![Err(error); count];
    let Some(time_ms) = clock_ms(group) else { return all(ProposeError::ClockInvalid) };
    let has_response: Vec<_> = commands.iter().map(Option::is_some).collect();
    let level =
        group.state.reader().ok().and_then(|view| state::node::level(&view).ok()).unwrap_or(level::FIRST);
    let commands = commands.into_iter().flatten().map(|command| command.at_level(level));
    let batch = Batch { time_ms, commands: commands.collect() };
    let written = group.raft.client_write(EncodedBatch(batch.encode()));
    match tokio::time::timeout_at(deadline, written).await {
        Ok(Ok(written)) => {
            let index = written.log_id.index;
            let mut responses = written.data.into_iter();
            let mut response = |has_response: bool| if has_response { responses.next() } else { None };
            has_response.into_iter().map(|has| Ok(Committed { index, response: response(has) })).collect()
        }
        // Leadership was lost just before, or after the entry was in the log of some nodes: unknown.
        Ok(Err(RaftError::APIError(_))) | Err(_) => all(UNKNOWN),
        Ok(Err(RaftError::Fatal(fatal))) => all(failure(fatal)),
    }
}

/// One request to the leader; `None`: it surely did nothing.
async fn forward(
    group: &Group,
    leader: &Member,
    proposals: &[Proposal],
    deadline: Instant,
) -> Option<Vec<Answer>> {
    // Ticks of a group are one: it only matters that the clock of the leader was read after they came.
    let commands: Vec<_> = commands(proposals).into_iter().flatten().collect();
    let tick = commands.is_empty();
    let batch = Batch { time_ms: clock_ms(group).unwrap_or(0), commands }.encode();
    let request = RequestKind::Propose(wire::Propose { batch, tick });
    let patience = deadline.saturating_duration_since(Instant::now());
    let unknown = || Some(vec![Err(UNKNOWN); proposals.len()]);
    let proposed = match group.ask(leader, request, patience).await {
        Ok(ReplyKind::Proposed(proposed)) => proposed,
        Ok(_) | Err(AskError::NoReply) => return unknown(),
        Err(AskError::NotAsked) => return None,
    };
    let mut theirs: Vec<_> = proposed.answers.into_iter().map(call::answer_from_wire).collect();
    let expected = proposals.iter().filter(|proposal| proposal.command.is_some()).count().max(1);
    if theirs.len() != expected {
        return unknown();
    }
    let not_taken = |answer: &Answer| matches!(answer, Err(ProposeError::Unavailable(Unavailable::NoLeader)));
    if theirs.iter().all(not_taken) {
        return None;
    }
    let last = theirs.iter().filter_map(|answer| answer.as_ref().ok()).map(|committed| committed.index).max();
    if last.is_some() {
        // So that whoever wrote through this node finds it in this node's state.
        let patience = deadline.saturating_duration_since(Instant::now());
        let _ = group.raft.wait(Some(patience)).applied_index_at_least(last, "a forwarded command").await;
    }
    // A tick among commands came with them.
    let of_tick = theirs.first().cloned().map(|answer| match answer {
        Ok(Committed { index, .. }) => Ok(Committed { index, response: None }),
        Err(error) => Err(error),
    });
    if tick {
        return Some(vec![of_tick.unwrap_or(Err(UNKNOWN)); proposals.len()]);
    }
    let mut theirs = theirs.drain(..);
    let mut next = |proposal: &Proposal| match proposal.command {
        Some(_) => theirs.next().unwrap_or(Err(UNKNOWN)),
        None => of_tick.clone().unwrap_or(Err(UNKNOWN)),
    };
    Some(proposals.iter().map(&mut next).collect())
}

/// Wall clock of this node, milliseconds since 1970; `None` if that cannot be right.
fn clock_ms(group: &Group) -> Option<u64> {
    environment::clock_ms(group.node).filter(|now| *now >= EARLIEST_MS)
}

fn failure(fatal: Fatal<u64>) -> ProposeError {
    match fatal {
        Fatal::Stopped => ProposeError::Unavailable(Unavailable::Stopping),
        fatal => ProposeError::StorageFailed(std::sync::Arc::new(fatal) as Cause),
    }
}
