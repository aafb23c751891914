//! What the records of a log add up to, in memory: read at start, kept in step by each change. Pure.

use std::collections::VecDeque;
use std::path::Path;

use openraft::{Entry, EntryPayload, LogId, Vote};
use proto::wire::raft as wire;
use wire::log_record::Record as WireRecord;

use super::super::StorageError;
use super::super::encoding::Stored;
use super::frame::Place;
use super::recent::Recent;
use crate::raft::TypeConfig;

/// One change of the log.
#[derive(Clone, Debug)]
pub(super) enum Record {
    /// All that was said before the segment that begins with it, but for the entries.
    Head(Head),
    /// The node that the log belongs to.
    Owner(u64),
    Vote(Vote<u64>),
    Entry(Entry<TypeConfig>),
    /// The entries behind this one are gone.
    Cut(Option<LogId<u64>>),
    /// The entries up to this one are gone.
    Purged(LogId<u64>),
    /// The entries up to this one are surely committed.
    Committed(LogId<u64>),
}

impl Record {
    /// Bytes of the commands in it: nearly all of a large one.
    pub(super) fn size_hint(&self) -> usize {
        match self {
            Self::Entry(Entry { payload: EntryPayload::Normal(batch), .. }) => batch.0.len(),
            _ => 0,
        }
    }
}

/// What there is beside the entries.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Head {
    pub(super) owner: Option<u64>,
    pub(super) vote: Option<Vote<u64>>,
    pub(super) purged: Option<LogId<u64>>,
    /// What is known to be committed: up to it the state is brought at start, with or without a quorum.
    pub(super) committed: Option<LogId<u64>>,
    /// The last entry, or what was purged last.
    pub(super) last: Option<LogId<u64>>,
}

/// One entry on disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) log_id: LogId<u64>,
    pub(super) place: Place,
    /// Bytes of its record.
    pub(super) len: usize,
    /// It is on disk once this many bytes of the log are, counted since the start of the process.
    pub(super) end: u64,
}

/// Which entries there are and what was said beside them.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) head: Head,
    /// One per entry, in order.
    pub(super) slots: VecDeque<Slot>,
    /// Index of the first slot, or of the next entry if there is none.
    pub(super) first: u64,
    /// Bytes of all records of entries.
    pub(super) bytes: u64,
    pub(super) recent: Recent,
}

impl Contents {
    /// Takes a record in. `slot` is where it stands. `false`: it does not fit what came before.
    #[must_use]
    pub(super) fn take(&mut self, record: &Record, slot: impl FnOnce(LogId<u64>) -> Slot) -> bool {
        match record {
            Record::Head(head) => {
                let is_first = self.head == Head::default();
                if is_first {
                    // Entries of segments that are gone were purged later on, which the end of the log shows.
                    self.first = next(head.last);
                }
                let fits = is_first || Head { committed: head.committed, ..self.head } == *head;
                self.head = *head;
                return fits;
            }
            Record::Owner(owner) => self.head.owner = Some(*owner),
            Record::Vote(vote) => self.head.vote = Some(*vote),
            Record::Committed(log_id) => self.head.committed = Some(*log_id),
            Record::Entry(entry) => {
                if entry.log_id.index < next(self.head.purged) {
                    // The suite of openraft does that; nobody reads it.
                    return true;
                }
                if entry.log_id.index < next(self.head.last) {
                    return false;
                }
                if self.slots.is_empty() {
                    self.first = entry.log_id.index;
                }
                let slot = slot(entry.log_id);
                self.bytes += slot.len as u64;
                self.slots.push_back(slot);
                self.recent.push(entry.clone(), slot.len);
                self.head.last = Some(entry.log_id);
            }
            Record::Cut(last) => {
                while self.slots.back().is_some_and(|slot| slot.log_id.index >= next(*last)) {
                    self.bytes -= self.slots.pop_back().map_or(0, |slot| slot.len as u64);
                }
                self.recent.cut(next(*last));
                self.first = self.first.min(next(*last));
                self.head.last = *last;
            }
            Record::Purged(log_id) => {
                while self.slots.front().is_some_and(|slot| slot.log_id.index <= log_id.index) {
                    self.bytes -= self.slots.pop_front().map_or(0, |slot| slot.len as u64);
                }
                self.recent.purge(log_id.index + 1);
                self.head.purged = Some(*log_id);
                self.head.last = self.head.last.max(Some(*log_id));
                self.first = self.slots.front().map_or(next(self.head.last), |slot| slot.log_id.index);
            }
        }
        true
    }

    /// Whether every entry behind the purged ones is there.
    pub(super) fn is_whole(&self) -> bool {
        self.first == next(self.head.purged) && self.first + self.slots.len() as u64 == next(self.head.last)
    }

    /// Where the entries from `from` until before `end` stand.
    pub(super) fn slots(&self, from: u64, end: u64) -> impl Iterator<Item = &Slot> {
        let start = self.slots.partition_point(|slot| slot.log_id.index < from);
        self.slots.range(start..).take_while(move |slot| slot.log_id.index < end)
    }

    /// Where the entry `index` stands.
    pub(super) fn slot(&self, index: u64) -> Option<&Slot> {
        self.slots(index, index.saturating_add(1)).next()
    }

    /// Whether entries of `log_id`'s leader are this node's own, written as the leader that it still is.
    pub(super) fn is_leading(&self, log_id: LogId<u64>) -> bool {
        self.head.vote.is_some_and(|vote| {
            vote.committed
                && self.head.owner == Some(vote.leader_id.node_id)
                && log_id.leader_id.term == vote.leader_id.term
                && log_id.leader_id.node_id == vote.leader_id.node_id
        })
    }

    /// The last entry that is on disk once `synced` bytes are.
    pub(super) fn last_synced(&self, synced: u64) -> Option<LogId<u64>> {
        let count = self.slots.partition_point(|slot| slot.end <= synced);
        match count.checked_sub(1) {
            Some(last) => self.slots.get(last).map(|slot| slot.log_id),
            None => self.head.purged,
        }
    }
}

fn next(last: Option<LogId<u64>>) -> u64 {
    last.map_or(0, |log_id| log_id.index + 1)
}

impl Record {
    /// `path` and `offset` are for the error.
    pub(super) fn read(path: &Path, offset: u64, payload: &[u8]) -> Result<Self, StorageError> {
        let at = || format!("byte {offset}").into_bytes();
        Self::decode(path, &at(), payload)
    }
}

impl Stored for Record {
    type Wire = wire::LogRecord;

    fn to_wire(&self) -> wire::LogRecord {
        let record = match self {
            Self::Head(head) => WireRecord::Head(wire::LogHead {
                owner: head.owner.unwrap_or_default(),
                vote: head.vote.as_ref().map(Stored::to_wire),
                purged: head.purged.as_ref().map(Stored::to_wire),
                committed: head.committed.as_ref().map(Stored::to_wire),
                last: head.last.as_ref().map(Stored::to_wire),
            }),
            Self::Owner(owner) => WireRecord::Owner(*owner),
            Self::Vote(vote) => WireRecord::Vote(vote.to_wire()),
            Self::Entry(entry) => WireRecord::Entry(entry.to_wire()),
            Self::Cut(last) => WireRecord::Cut(wire::LogCut { last: last.as_ref().map(Stored::to_wire) }),
            Self::Purged(log_id) => WireRecord::Purged(log_id.to_wire()),
            Self::Committed(log_id) => WireRecord::Committed(log_id.to_wire()),
        };
        wire::LogRecord { record: Some(record) }
    }

    fn from_wire(wire: wire::LogRecord) -> Option<Self> {
        fn some<T: Stored>(wire: Option<T::Wire>) -> Option<Option<T>> {
            wire.map_or(Some(None), |wire| T::from_wire(wire).map(Some))
        }
        Some(match wire.record? {
            WireRecord::Head(head) => Self::Head(Head {
                owner: Some(head.owner).filter(|owner| *owner != 0),
                vote: some(head.vote)?,
                purged: some(head.purged)?,
                committed: some(head.committed)?,
                last: some(head.last)?,
            }),
            WireRecord::Owner(owner) => Self::Owner(owner),
            WireRecord::Vote(vote) => Self::Vote(Vote::from_wire(vote)?),
            WireRecord::Entry(entry) => Self::Entry(Entry::from_wire(entry)?),
            WireRecord::Cut(cut) => Self::Cut(some(cut.last)?),
            WireRecord::Purged(log_id) => Self::Purged(LogId::from_wire(log_id)?),
            WireRecord::Committed(log_id) => Self::Committed(LogId::from_wire(log_id)?),
        })
    }
}
