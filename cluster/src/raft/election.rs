//! When this node stands for election, and how a leader that stops hands over.
//!
//! openraft 0.9 has neither a pre-vote nor a transfer of leadership, it draws its election timeout once, and
//! the time between heartbeats is also all the time it gives a request. So its own elections and heartbeats
//! are off, and this task does both: a leader says that it is there every [`BEAT`]; whoever has not heard of
//! one for longer than [`LEASE`] asks the others first whether they would vote for it, and stands only if a
//! quorum would. A node that was cut off thus comes back without a later term that would unseat the leader.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::raft::VoteRequest;
use openraft::{EffectiveMembership, LogId, Snapshot, SnapshotMeta, Vote};
use proto::identity::NodeId;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::message::{self, Reason, ReplyKind, RequestKind};
use super::network::call;
use super::transport::{Link, Member};
use super::{BEAT, LEASE, Raft};
use crate::environment;
use crate::storage::{LogStore, StateSnapshot};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(25);
/// Added to the lease, so that not all stand at once.
const SPREAD: Duration = Duration::from_millis(250);
/// An election without a winner is repeated after this and a part of [`SPREAD`].
const RETRY: Duration = Duration::from_millis(150);
/// How long the others may take to say whether they would vote.
const ASKING: Duration = Duration::from_millis(300);
/// A leader whose disk takes longer to write the log gets nothing committed: writes time out before that.
const DISK_PATIENCE: Duration = Duration::from_secs(2);
/// How long it is silent at least: the others elect another one meanwhile, also if the disk answers now and then.
const STUCK: Duration = LEASE.saturating_mul(3);
/// How long a handed-over election may take.
const HANDED_OVER: Duration = Duration::from_secs(1);

/// Whether the leader asked this node to follow it; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct HandOver(Arc<Mutex<Option<Instant>>>);

impl HandOver {
    /// Whether the election that is under way is such a one.
    pub(super) fn is_ours(&self) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() < HANDED_OVER)
    }

    fn begin(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// What an election depends on, of one moment.
#[derive(Clone, Debug)]
struct Seen {
    vote: Vote<u64>,
    /// When a leader was last heard of, or a vote given.
    touched: Option<Instant>,
    last: Option<LogId<u64>>,
    membership: Arc<EffectiveMembership<u64, openraft::BasicNode>>,
}

impl Seen {
    /// `None`: Raft has stopped.
    async fn now(raft: &Raft) -> Option<Self> {
        // Raft reports it after every step; if it is a step behind, the ballot itself is judged by the truth.
        let last = raft.data_metrics().borrow().last_log;
        let look = raft.with_raft_state(move |state| Self {
            vote: *state.vote_ref(),
            touched: state.vote_last_modified(),
            last,
            membership: Arc::clone(state.membership_state.effective()),
        });
        look.await.ok()
    }

    fn is_leader(&self, node: u64) -> bool {
        self.vote.committed && self.vote.leader_id.node_id == node
    }

    /// Whether a leader was heard of lately.
    fn has_leader(&self) -> bool {
        self.vote.committed && self.touched.is_some_and(|touched| touched.elapsed() <= LEASE)
    }

    fn is_voter(&self, node: u64) -> bool {
        self.membership.voter_ids().any(|voter| voter == node)
    }

    /// Whether `yes` is a majority of every configuration.
    fn is_quorum(&self, yes: &BTreeSet<u64>) -> bool {
        let configs = self.membership.get_joint_config();
        configs
            .iter()
            .all(|config| 2 * config.iter().filter(|node| yes.contains(node)).count() > config.len())
    }
}

/// Beats and elections of this node.
pub(crate) struct Elections {
    pub(crate) node: u64,
    pub(crate) raft: Raft,
    pub(crate) link: Link,
    pub(crate) log: LogStore,
}

impl Elections {
    /// Runs until Raft stops. Cancel safe.
    pub(crate) async fn run(self) {
        let mut clock = tokio::time::interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut beaten, mut stuck_until) = (Instant::now(), Instant::now());
        // Nobody was heard of before the start.
        let mut patience_since = Instant::now();
        let mut spread = spread();
        loop {
            clock.tick().await;
            let Some(seen) = Seen::now(&self.raft).await else { return };
            if self.log.disk_is_silent_for() >= DISK_PATIENCE {
                stuck_until = Instant::now() + STUCK;
            }
            self.mind_silence(&seen, stuck_until);
            if seen.is_leader(self.node) {
                if beaten.elapsed() >= BEAT {
                    beaten = Instant::now();
                    if self.raft.trigger().heartbeat().await.is_err() {
                        return;
                    }
                }
                continue;
            }
            let since = seen.touched.map_or(patience_since, |touched| touched.max(patience_since));
            let is_alone = seen.membership.voter_ids().count() == 1;
            let patience = match (is_alone, seen.vote.committed) {
                // Nobody else could be leader.
                (true, _) if seen.touched.is_none() => Duration::ZERO,
                (false, true) => LEASE + spread,
                _ => RETRY + spread,
            };
            if !seen.is_voter(self.node) || since.elapsed() < patience {
                continue;
            }
            if self.would_win(&seen).await {
                tracing::info!(term = seen.vote.leader_id.term + 1, "standing for election");
                if self.raft.trigger().elect().await.is_err() {
                    return;
                }
            }
            spread = self::spread();
            // After a refusal soon again: the leases of the others may be about to end.
            patience_since = if seen.vote.committed { Instant::now() - LEASE } else { Instant::now() };
        }
    }

    /// A leader that hears no quorum makes room for another one, and so does one whose disk did not answer lately,
    /// if others can go on without it; see [`super::hearing`].
    fn mind_silence(&self, seen: &Seen, stuck_until: Instant) {
        let (hearing, now) = (&self.link.hearing, Instant::now());
        let heard =
            seen.membership.voter_ids().filter(|voter| *voter == self.node || hearing.hears(*voter, now));
        let is_deaf = !seen.is_quorum(&heard.collect());
        let is_stuck = now < stuck_until && !seen.is_quorum(&BTreeSet::from([self.node]));
        let is_leader = seen.is_leader(self.node);
        if hearing.set_silent(is_leader && (is_deaf || is_stuck), now) && is_leader {
            let term = seen.vote.leader_id.term;
            match is_deaf || is_stuck {
                true => tracing::warn!(
                    term,
                    is_deaf,
                    is_stuck,
                    "this leader goes silent so that another is elected"
                ),
                false => tracing::info!(term, "this leader speaks again"),
            }
        }
    }

    /// Asks the others whether they would vote for this node.
    async fn would_win(&self, seen: &Seen) -> bool {
        let mut yes = BTreeSet::from([self.node]);
        if seen.is_quorum(&yes) {
            return true;
        }
        let next = Vote::new(seen.vote.leader_id.term + 1, self.node);
        let ballot = message::ballot_to_wire(&VoteRequest::new(next, seen.last), Reason::NoLeader);
        let mut asked = JoinSet::new();
        for voter in seen.membership.voter_ids().filter(|voter| *voter != self.node).collect::<BTreeSet<_>>()
        {
            let (Some(node), Some(basic)) = (NodeId::new(voter), seen.membership.get_node(&voter)) else {
                continue;
            };
            let member = Member { node, address: basic.addr.clone() };
            let (link, kind) = (self.link.clone(), RequestKind::PreVote(ballot));
            asked.spawn(async move {
                let reply = call(&link, &member, kind, ASKING).await;
                matches!(reply, Ok(ReplyKind::PreVote(reply)) if reply.would_grant).then_some(voter)
            });
        }
        while let Some(answer) = asked.join_next().await {
            yes.extend(answer.ok().flatten());
            if seen.is_quorum(&yes) {
                return true;
            }
        }
        false
    }
}

/// A part of [`SPREAD`] that other nodes do not share.
fn spread() -> Duration {
    environment::random_part(SPREAD)
}

/// Whether this node would vote for the sender of the ballot.
pub(super) async fn would_grant(raft: &Raft, node: u64, ballot: &VoteRequest<u64>) -> bool {
    let Some(seen) = Seen::now(raft).await else { return false };
    !seen.is_leader(node) && !seen.has_leader() && ballot.last_log_id >= seen.last
}

/// Whether a leader was heard of lately, or is this node.
pub(crate) async fn has_leader(raft: &Raft, node: u64) -> bool {
    Seen::now(raft).await.is_none_or(|seen| seen.is_leader(node) || seen.has_leader())
}

/// Makes the lease of the present leader, which has asked for the election, no reason to refuse the ballot.
pub(super) async fn yield_to(raft: &Raft, ballot: &VoteRequest<u64>) {
    let Some(seen) = Seen::now(raft).await else { return };
    let may_win = ballot.last_log_id >= seen.last && seen.is_voter(ballot.vote.leader_id.node_id);
    if may_win && ballot.vote > seen.vote {
        // A snapshot that is not newer than anything carries just the vote. It is not a grant: Raft judges
        // the ballot by itself afterwards.
        let nothing = Snapshot { meta: SnapshotMeta::default(), snapshot: Box::new(StateSnapshot::Nothing) };
        let _ = raft.install_full_snapshot(ballot.vote, nothing).await;
    }
}

/// Stands for election since the leader of `vote` asks for it. `Err`: it is not the leader that is known here.
pub(super) async fn stand(raft: &Raft, vote: Vote<u64>, hand_over: &HandOver) -> Result<(), &'static str> {
    let known = raft.metrics().borrow().vote;
    if !vote.committed || known != vote {
        return Err("only the leader hands over");
    }
    hand_over.begin();
    raft.trigger().elect().await.map_err(|_| "this node is stopping")
}

/// If this node leads others: makes the most advanced one leader. Returns whether there is another leader.
///
/// Proposals must have stopped. Cancel safe.
pub(crate) async fn hand_over(raft: &Raft, node: u64, link: &Link) -> bool {
    /// How long the follower may take to hold all entries.
    const CATCHING_UP: Duration = Duration::from_millis(100);
    let wait = raft.wait(Some(CATCHING_UP));
    let caught_up =
        wait.metrics(|metrics| successor(metrics, node).is_none_or(|(_, lag)| lag == 0), "equal logs");
    let metrics = match caught_up.await {
        Ok(metrics) => metrics,
        Err(_) => raft.metrics().borrow().clone(),
    };
    let Some((member, _)) = successor(&metrics, node) else { return false };
    let kind = RequestKind::StandForElection(message::stand_to_wire(metrics.vote));
    if let Err(error) = call(link, &member, kind, ASKING).await {
        tracing::warn!(node.id = %member.node, %error, "leadership could not be handed over");
        return false;
    }
    let is_other = |leader: Option<u64>| leader.is_some_and(|leader| leader != node);
    raft.wait(Some(HANDED_OVER))
        .metrics(|metrics| is_other(metrics.current_leader), "a new leader")
        .await
        .is_ok()
}

/// Who would be the best next leader, and how many entries it lacks. `None`: this node does not lead, or
/// there is nobody.
fn successor(metrics: &openraft::RaftMetrics<u64, openraft::BasicNode>, node: u64) -> Option<(Member, u64)> {
    let replication = metrics.replication.as_ref().filter(|_| metrics.current_leader == Some(node))?;
    let membership = metrics.membership_config.membership();
    let voters = membership.voter_ids().filter(|voter| *voter != node);
    let best = voters.max_by_key(|voter| replication.get(voter).copied().flatten())?;
    let matching = replication.get(&best).copied().flatten().map_or(0, |log_id| log_id.index);
    let address = membership.get_node(&best)?.addr.clone();
    let lag = metrics.last_log_index.unwrap_or(0).saturating_sub(matching);
    Some((Member { node: NodeId::new(best)?, address }, lag))
}
