//! The newest entries, in memory: what followers and the state want next is mostly among them. Pure.

use std::collections::VecDeque;

use openraft::Entry;

use crate::raft::TypeConfig;

/// Most bytes of records that are kept, unless the newest alone is larger.
const BYTES: usize = 4 << 20;

/// All entries from some one on, in order.
#[derive(Debug, Default)]
pub(super) struct Recent {
    entries: VecDeque<(Entry<TypeConfig>, usize)>,
    bytes: usize,
}

impl Recent {
    /// Takes in an entry whose record has `len` bytes.
    pub(super) fn push(&mut self, entry: Entry<TypeConfig>, len: usize) {
        self.entries.push_back((entry, len));
        self.bytes += len;
        while self.bytes > BYTES && self.entries.len() > 1 {
            self.bytes -= self.entries.pop_front().map_or(0, |(_, len)| len);
        }
    }

    /// Forgets the entries from `index` on.
    pub(super) fn cut(&mut self, index: u64) {
        while self.entries.back().is_some_and(|(entry, _)| entry.log_id.index >= index) {
            self.bytes -= self.entries.pop_back().map_or(0, |(_, len)| len);
        }
    }

    /// Forgets the entries before `index`.
    pub(super) fn purge(&mut self, index: u64) {
        while self.entries.front().is_some_and(|(entry, _)| entry.log_id.index < index) {
            self.bytes -= self.entries.pop_front().map_or(0, |(_, len)| len);
        }
    }

    /// The entries from `from` until before `end`; `None`: not all of them are here.
    pub(super) fn get(&self, from: u64, end: u64) -> Option<Vec<Entry<TypeConfig>>> {
        let first = self.entries.front()?.0.log_id.index;
        if from < first {
            return None;
        }
        let start = self.entries.partition_point(|(entry, _)| entry.log_id.index < from);
        let wanted = self.entries.range(start..).map(|(entry, _)| entry);
        Some(wanted.take_while(|entry| entry.log_id.index < end).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use openraft::{CommittedLeaderId, EntryPayload, LogId};

    use super::*;

    fn entry(index: u64) -> Entry<TypeConfig> {
        Entry { log_id: LogId::new(CommittedLeaderId::new(1, 1), index), payload: EntryPayload::Blank }
    }

    fn indices(recent: &Recent, from: u64, end: u64) -> Option<Vec<u64>> {
        recent.get(from, end).map(|found| found.iter().map(|entry| entry.log_id.index).collect())
    }

    #[test]
    fn the_newest_are_here_and_what_is_not_is_said() {
        let mut recent = Recent::default();
        assert_eq!(indices(&recent, 0, 1), None);
        (5..10).for_each(|index| recent.push(entry(index), 10));
        assert_eq!(indices(&recent, 4, 7), None);
        assert_eq!(indices(&recent, 5, 7), Some(vec![5, 6]));
        assert_eq!(indices(&recent, 8, u64::MAX), Some(vec![8, 9]));
        recent.cut(9);
        recent.purge(6);
        assert_eq!(indices(&recent, 6, 20), Some(vec![6, 7, 8]));
        assert_eq!(recent.bytes, 30);
        recent.push(entry(9), BYTES);
        assert_eq!(indices(&recent, 9, 20), Some(vec![9]));
        assert_eq!(indices(&recent, 8, 20), None);
        recent.cut(0);
        assert_eq!((recent.bytes, indices(&recent, 0, 1)), (0, None));
    }
}
