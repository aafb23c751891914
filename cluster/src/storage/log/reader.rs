//! Entries read back: for followers that lack them, and to be applied.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::{Entry, OptionalSend, RaftLogReader, StorageError as RaftStorageError, StorageIOError};

use super::super::{StorageError, blocking};
use super::contents::{Record, Slot};
use super::{LogStore, lock};
use crate::raft::TypeConfig;

/// Most bytes of entries in one message to a follower, unless the first alone is larger.
const READ_BYTES: u64 = 4 << 20;

impl LogStore {
    /// The entries of the slots.
    async fn read(&self, slots: Vec<Slot>) -> Result<Vec<Entry<TypeConfig>>, StorageError> {
        let (segments, contents) = (Arc::clone(&self.segments), Arc::clone(&self.contents));
        let read = move || {
            let is_there = |slot: &Slot| {
                lock(&contents).slot(slot.log_id.index).is_some_and(|present| present.place == slot.place)
            };
            let mut entries = Vec::with_capacity(slots.len());
            for slot in slots {
                let payload = match segments.read(slot.place, slot.len) {
                    // It was purged or cut off in the meantime.
                    Err(_) if !is_there(&slot) => break,
                    payload => payload?,
                };
                match Record::read(segments.dir(), slot.place.offset, &payload)? {
                    Record::Entry(entry) => entries.push(entry),
                    _ => {
                        let path = segments.dir().to_owned();
                        return Err(StorageError::DamagedAt { path, offset: slot.place.offset });
                    }
                }
            }
            Ok(entries)
        };
        blocking(self.path(), read).await
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<TypeConfig>>, RaftStorageError<u64>> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        let slots: Vec<_> = {
            let contents = lock(&self.contents);
            if let Some(entries) = contents.recent.get(from, end) {
                return Ok(entries);
            }
            contents.slots(from, end).copied().collect()
        };
        self.read(slots).await.map_err(|error| StorageIOError::read_logs(&error).into())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry<TypeConfig>>, RaftStorageError<u64>> {
        let limited = {
            let contents = lock(&self.contents);
            let mut bytes = 0;
            let fitting = contents.slots(start, end).take_while(|slot| {
                bytes += slot.len as u64;
                bytes <= READ_BYTES
            });
            end.min(start + (fitting.count() as u64).max(1))
        };
        self.try_get_log_entries(start..limited).await
    }
}
