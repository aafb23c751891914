//! Group commit: commands that wait while an entry is written go into the next one together, so that many
//! share one sync of the disk. On a node that does not lead they share one request to the leader.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cluster_core::command::{Command, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::commit;
use super::leader::Group;
use super::space::{FreeSpace, adds};
use super::status::Counters;
use super::{Cause, Unavailable};
use crate::storage::{LogStore, Outgoing};

/// Most commands in one entry.
pub(super) const MAX_COMMANDS: usize = 256;
/// Most bytes of commands in one entry, and in one command: a manifest of 4 MiB can state annotations of
/// nearly as much, which its command repeats for the listing of referrers.
const MAX_BYTES: usize = 10 << 20;
/// Most bytes of commands that wait, in KiB.
const WAITING_KIB: u32 = 64 << 10;
/// One entry is applied while the next one is synced.
const WRITES_AT_ONCE: usize = 2;
/// How long a command may wait, in all: without a quorum writers are refused within 2 s.
const PATIENCE: Duration = Duration::from_millis(1800);
/// The log is cut when it has more than this.
const LOG_BYTES: u64 = 64 << 20;
/// The log is cut even behind a snapshot that is being sent when it has more than this.
const MAX_LOG_BYTES: u64 = 4 * LOG_BYTES;

/// Why a command was not committed, or not for sure.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProposeError {
    /// Try again, here or at another node.
    #[error("the metadata cannot be changed just now: {0}")]
    Unavailable(Unavailable),
    /// This node's storage failed; it stays unusable until the process starts anew.
    #[error("the metadata storage of this node failed")]
    StorageFailed(#[source] Cause),
    /// The command is too large for one entry.
    #[error("the command is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// The volume of the metadata is nearly full; deleting is still possible.
    #[error("the volume of the metadata is nearly full")]
    Full,
    /// The clock of the node that leads was never set.
    #[error("the clock of the leader is before 2020")]
    ClockInvalid,
}

/// What became of a command.
#[derive(Clone, Debug)]
pub(super) struct Committed {
    /// Of the entry.
    pub(super) index: u64,
    /// `None` for a tick.
    pub(super) response: Option<Response>,
}

pub(super) type Answer = Result<Committed, ProposeError>;

/// Who wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// This node.
    Here,
    /// Another node, which took this one for the leader: never passed on.
    Peer,
}

#[derive(Debug)]
pub(super) struct Proposal {
    /// `None` only moves log time on.
    pub(super) command: Option<Command>,
    size: usize,
    pub(super) source: Source,
    pub(super) deadline: Instant,
    answer: oneshot::Sender<Answer>,
    /// Held until the answer.
    _room: OwnedSemaphorePermit,
}

impl Proposal {
    /// The caller may have gone, which is its right.
    pub(super) fn answer(self, answer: Answer) {
        let _ = self.answer.send(answer);
    }
}

/// Where commands wait.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    proposals: mpsc::Sender<Proposal>,
    room: Arc<Semaphore>,
}

impl Queue {
    /// Cancel safe; what was queued may take effect.
    pub(super) async fn propose(&self, command: Option<Command>, source: Source) -> Answer {
        let unavailable = |reason| ProposeError::Unavailable(reason);
        let deadline = Instant::now() + PATIENCE;
        let size = command.as_ref().map_or(0, Command::encoded_len);
        if size > MAX_BYTES {
            return Err(ProposeError::TooLarge);
        }
        let kib = u32::try_from(size >> 10).unwrap_or(u32::MAX).saturating_add(1);
        let (answer, answered) = oneshot::channel();
        let queued = async {
            let room = Arc::clone(&self.room).acquire_many_owned(kib).await;
            let _room = room.map_err(|_| unavailable(Unavailable::Stopping))?;
            let proposal = Proposal { command, size, source, deadline, answer, _room };
            self.proposals.send(proposal).await.map_err(|_| unavailable(Unavailable::Stopping))
        };
        let queued = tokio::time::timeout_at(deadline, queued).await;
        queued.map_err(|_| unavailable(Unavailable::Overloaded))??;
        match tokio::time::timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(unavailable(Unavailable::Stopping)),
            Err(_) => Err(unavailable(Unavailable::TimedOut)),
        }
    }
}

/// The one task that writes entries.
pub(super) struct Batcher {
    pub(super) group: Group,
    pub(super) log: LogStore,
    pub(super) outgoing: Outgoing,
    pub(super) space: FreeSpace,
    pub(super) counters: Arc<Counters>,
    /// Taken from the queue, but too large for the entry before.
    postponed: Option<Proposal>,
}

impl Batcher {
    pub(super) fn new(
        group: Group,
        log: LogStore,
        outgoing: Outgoing,
        dir: PathBuf,
        reserve_bytes: Option<u64>,
        counters: &Arc<Counters>,
    ) -> Self {
        let space = FreeSpace::new(dir, reserve_bytes);
        Self { group, log, outgoing, space, counters: Arc::clone(counters), postponed: None }
    }

    /// Runs until `stop`; what is being written then is written to its end.
    pub(super) fn start(mut self, tasks: &mut JoinSet<()>, stop: &CancellationToken) -> Queue {
        let (sender, mut waiting) = mpsc::channel(MAX_COMMANDS);
        let stop = stop.clone();
        tasks.spawn(async move {
            let mut writes = JoinSet::new();
            let _ = stop.run_until_cancelled(self.run(&mut waiting, &mut writes)).await;
            drop(waiting);
            while writes.join_next().await.is_some() {}
        });
        Queue { proposals: sender, room: Arc::new(Semaphore::new(WAITING_KIB as usize)) }
    }

    async fn run(&mut self, waiting: &mut mpsc::Receiver<Proposal>, writes: &mut JoinSet<()>) {
        loop {
            let first = match self.postponed.take() {
                Some(postponed) => postponed,
                None => match waiting.recv().await {
                    Some(first) => first,
                    None => return,
                },
            };
            if writes.len() == WRITES_AT_ONCE {
                // The next entry must not be lost if this stops while it waits.
                self.postponed = Some(first);
                writes.join_next().await;
                continue;
            }
            let group = self.gather(first, waiting);
            let group = self.admit(group);
            if !group.is_empty() {
                self.counters.count(group.len());
                writes.spawn(commit::commit(self.group.clone(), group));
            }
            self.cut_log().await;
        }
    }

    /// `first` and what fits of those that wait behind it.
    fn gather(&mut self, first: Proposal, waiting: &mut mpsc::Receiver<Proposal>) -> Vec<Proposal> {
        let mut size = first.size;
        let mut group = vec![first];
        while group.len() < MAX_COMMANDS {
            let Ok(next) = waiting.try_recv() else { break };
            if size + next.size > MAX_BYTES {
                self.postponed = Some(next);
                break;
            }
            size += next.size;
            group.push(next);
        }
        group
    }

    /// Leaves out what nobody waits for any more and what there is no room for.
    fn admit(&mut self, group: Vec<Proposal>) -> Vec<Proposal> {
        let is_low = self.space.is_low();
        let mut admitted = Vec::with_capacity(group.len());
        for proposal in group {
            if is_low && proposal.command.as_ref().is_some_and(adds) {
                proposal.answer(Err(ProposeError::Full));
            } else if !proposal.answer.is_closed() {
                admitted.push(proposal);
            }
        }
        admitted
    }

    /// Bounds the log by bytes; its settings bound it by entries. Whoever needs what is cut gets a snapshot.
    async fn cut_log(&self) {
        let bytes = self.log.bytes();
        if bytes <= LOG_BYTES {
            return;
        }
        if bytes > MAX_LOG_BYTES {
            self.outgoing.forget();
        }
        let (snapshot, purged) = {
            let metrics = self.group.raft.metrics();
            let metrics = metrics.borrow();
            (metrics.snapshot, metrics.purged)
        };
        let trigger = self.group.raft.trigger();
        let asked = match snapshot {
            Some(snapshot) if purged < Some(snapshot) => trigger.purge_log(snapshot.index).await,
            _ => trigger.snapshot().await,
        };
        if let Err(error) = asked {
            tracing::warn!(error = %error, "the log could not be cut");
        }
    }
}
