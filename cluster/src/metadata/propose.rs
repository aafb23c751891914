//! Group commit: commands that wait while an entry is written go into the next one together, so that many
//! share one sync of the disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cluster_core::command::{Batch, Command, Response};
use openraft::error::{ClientWriteError, Fatal, RaftError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::status::Counters;
use super::{Cause, Unavailable};
use crate::raft::{EncodedBatch, Raft};
use crate::storage::LogStore;

/// Most commands in one entry.
const MAX_COMMANDS: usize = 256;
/// Most bytes of commands in one entry, and in one command: a manifest of 4 MiB can state annotations of
/// nearly as much, which its command repeats for the listing of referrers.
const MAX_BYTES: usize = 10 << 20;
/// Most bytes of commands that wait, in KiB.
const WAITING_KIB: u32 = 64 << 10;
/// One entry is applied while the next one is synced.
const WRITES_AT_ONCE: usize = 2;
/// How long a command may wait for room and for its answer, each.
const PATIENCE: Duration = Duration::from_secs(5);
/// The log is cut when it has more than this.
const LOG_BYTES: u64 = 64 << 20;
/// Most bytes that are kept free by default.
const MAX_RESERVE: u64 = 32 << 20;
/// How often free space is asked for.
const SPACE_CHECK: Duration = Duration::from_secs(1);
/// 2020-01-01: a clock before it was never set.
const EARLIEST_MS: u64 = 1_577_836_800_000;

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
    /// This node's clock was never set.
    #[error("the clock of this node is before 2020")]
    ClockInvalid,
}

type Answer = Result<Option<Response>, ProposeError>;

struct Proposal {
    /// `None` only moves log time on.
    command: Option<Command>,
    size: usize,
    answer: oneshot::Sender<Answer>,
    /// Held until the answer.
    room: OwnedSemaphorePermit,
}

/// Where commands wait.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    proposals: mpsc::Sender<Proposal>,
    room: Arc<Semaphore>,
}

impl Queue {
    /// Cancel safe; what was queued may take effect.
    pub(super) async fn propose(&self, command: Option<Command>) -> Answer {
        let unavailable = |reason| ProposeError::Unavailable(reason);
        let size = command.as_ref().map_or(0, Command::encoded_len);
        if size > MAX_BYTES {
            return Err(ProposeError::TooLarge);
        }
        let kib = u32::try_from(size >> 10).unwrap_or(u32::MAX).saturating_add(1);
        let room = tokio::time::timeout(PATIENCE, Arc::clone(&self.room).acquire_many_owned(kib)).await;
        let room = room.map_err(|_| unavailable(Unavailable::Overloaded))?;
        let room = room.map_err(|_| unavailable(Unavailable::Stopping))?;
        let (answer, answered) = oneshot::channel();
        let proposal = Proposal { command, size, answer, room };
        self.proposals.send(proposal).await.map_err(|_| unavailable(Unavailable::Stopping))?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(unavailable(Unavailable::Stopping)),
            Err(_) => Err(unavailable(Unavailable::TimedOut)),
        }
    }
}

/// The one task that writes entries.
pub(super) struct Batcher {
    raft: Raft,
    log: LogStore,
    space: FreeSpace,
    counters: Arc<Counters>,
    /// Taken from the queue, but too large for the entry before.
    postponed: Option<Proposal>,
}

impl Batcher {
    pub(super) fn new(
        raft: Raft,
        log: LogStore,
        dir: PathBuf,
        reserve_bytes: Option<u64>,
        counters: &Arc<Counters>,
    ) -> Self {
        let space = FreeSpace { dir, reserve_bytes, checked: None, is_low: false };
        Self { raft, log, space, counters: Arc::clone(counters), postponed: None }
    }

    /// Runs until `stop`.
    pub(super) fn start(mut self, tasks: &mut JoinSet<()>, stop: &CancellationToken) -> Queue {
        let (sender, mut waiting) = mpsc::channel(MAX_COMMANDS);
        let stop = stop.clone();
        tasks.spawn(async move {
            let _ = stop.run_until_cancelled(self.run(&mut waiting)).await;
        });
        Queue { proposals: sender, room: Arc::new(Semaphore::new(WAITING_KIB as usize)) }
    }

    async fn run(&mut self, waiting: &mut mpsc::Receiver<Proposal>) {
        let mut writes = JoinSet::new();
        loop {
            let first = match self.postponed.take() {
                Some(postponed) => postponed,
                None => match waiting.recv().await {
                    Some(first) => first,
                    None => return,
                },
            };
            // Dropping the set at the end stops the writes; they may still take effect.
            if writes.len() == WRITES_AT_ONCE {
                writes.join_next().await;
            }
            let group = self.gather(first, waiting);
            if let Some(write) = self.write(group) {
                writes.spawn(write);
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

    /// The write of one entry, which then answers all of its group; `None` if all were refused.
    fn write(&mut self, group: Vec<Proposal>) -> Option<impl Future<Output = ()> + Send + use<>> {
        let Some(time_ms) = clock_ms() else {
            group.into_iter().for_each(|proposal| reply(proposal.answer, Err(ProposeError::ClockInvalid)));
            return None;
        };
        let is_low = self.space.is_low();
        let mut commands = Vec::with_capacity(group.len());
        let mut answers = Vec::with_capacity(group.len());
        for Proposal { command, answer, room, .. } in group {
            if is_low && command.as_ref().is_some_and(adds) {
                reply(answer, Err(ProposeError::Full));
                continue;
            }
            answers.push((command.is_some(), answer, room));
            commands.extend(command);
        }
        if answers.is_empty() {
            return None;
        }
        self.counters.count(commands.len());
        let raft = self.raft.clone();
        Some(async move {
            let batch = EncodedBatch(Batch { time_ms, commands }.encode());
            match raft.client_write(batch).await {
                Ok(written) => {
                    let mut responses = written.data.into_iter();
                    for (has_response, answer, _room) in answers {
                        reply(answer, Ok(if has_response { responses.next() } else { None }));
                    }
                }
                Err(error) => {
                    let error = failure(error);
                    answers.into_iter().for_each(|(_, answer, _room)| reply(answer, Err(error.clone())));
                }
            }
        })
    }

    /// Bounds the log by bytes; its settings bound it by entries. Whoever needs what is cut gets a snapshot.
    async fn cut_log(&self) {
        if self.log.bytes() <= LOG_BYTES {
            return;
        }
        let (snapshot, purged) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            (metrics.snapshot, metrics.purged)
        };
        let trigger = self.raft.trigger();
        let asked = match snapshot {
            Some(snapshot) if purged < Some(snapshot) => trigger.purge_log(snapshot.index).await,
            _ => trigger.snapshot().await,
        };
        if let Err(error) = asked {
            tracing::warn!(error = %error, "the log could not be cut");
        }
    }
}

/// The caller may have gone, which is its right.
fn reply(answer: oneshot::Sender<Answer>, with: Answer) {
    let _ = answer.send(with);
}

/// Whether a command can make the state larger.
fn adds(command: &Command) -> bool {
    !matches!(
        command,
        Command::DeleteManifest { .. }
            | Command::DeleteTag { .. }
            | Command::UnlinkBlob { .. }
            | Command::DropBlob { .. }
            | Command::RenewLease { .. }
    )
}

/// Milliseconds since 1970; `None` if that cannot be right.
fn clock_ms() -> Option<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().filter(|now| *now >= EARLIEST_MS)
}

fn failure<M>(error: RaftError<u64, ClientWriteError<u64, M>>) -> ProposeError
where
    M: openraft::Node,
{
    match error {
        RaftError::APIError(_) => ProposeError::Unavailable(Unavailable::NoLeader),
        RaftError::Fatal(Fatal::Stopped) => ProposeError::Unavailable(Unavailable::Stopping),
        RaftError::Fatal(fatal) => ProposeError::StorageFailed(Arc::new(fatal)),
    }
}

/// Whether the volume is nearly full.
struct FreeSpace {
    dir: PathBuf,
    reserve_bytes: Option<u64>,
    checked: Option<Instant>,
    is_low: bool,
}

impl FreeSpace {
    fn is_low(&mut self) -> bool {
        if self.checked.is_none_or(|checked| checked.elapsed() >= SPACE_CHECK) {
            self.checked = Some(Instant::now());
            // If it cannot be asked for, the write itself will tell.
            self.is_low = rustix::fs::statvfs(&self.dir).is_ok_and(|volume| {
                let usual = (volume.f_blocks.saturating_mul(volume.f_frsize) / 40).min(MAX_RESERVE);
                let free = volume.f_bavail.saturating_mul(volume.f_frsize);
                free < self.reserve_bytes.unwrap_or(usual)
            });
        }
        self.is_low
    }
}
