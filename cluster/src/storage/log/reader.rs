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
        let segments = Arc::clone(&self.segments);
        let read = move || {
            let entry = |slot: Slot| {
                let payload = segments.read(slot.place, slot.len)?;
                match Record::read(segments.dir(), slot.place.offset, &payload)? {
                    Record::Entry(entry) => Ok(entry),
                    _ => Err(StorageError::DamagedAt {
                        path: segments.dir().to_owned(),
                        offset: slot.place.offset,
                    }),
                }
            };
            slots.into_iter().map(entry).collect()
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
