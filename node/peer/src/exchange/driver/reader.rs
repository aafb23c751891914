//! A client's way through a blob that is still coming: in order, leaf by leaf, and a word to the session what it
//! waits for.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::{Fetch, FetchError, Sink};
use crate::exchange::leaves::LEAF;

/// Where the readers of a fetch stand: the leaves that each still wants.
#[derive(Default)]
pub(super) struct Positions {
    next_id: u64,
    pub(super) wanted: BTreeMap<u64, Range<u64>>,
}

/// Reads a range in order. Keeps the fetch running.
pub struct Reader<S: Sink> {
    fetch: Fetch<S>,
    id: u64,
    rest: Range<u64>,
}

impl<S: Sink> Reader<S> {
    pub(super) fn new(fetch: Fetch<S>, range: Range<u64>) -> Self {
        let end = range.end.min(fetch.held.0.cut.size());
        let rest = range.start.min(end)..end;
        let id = {
            let mut positions = fetch.held.0.readers();
            positions.next_id += 1;
            positions.next_id
        };
        let reader = Self { fetch, id, rest };
        reader.say_position();
        reader
    }

    /// The next bytes, at most a leaf; `None` at the end of the range. They were checked just now.
    ///
    /// # Errors
    /// See [`FetchError`]; bytes before the failure were right. Dropping the future is safe: the next call goes on at
    /// the same place.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let leaf = self.rest.start / LEAF;
        self.wait_for(leaf).await?;
        let bytes = self.fetch.sink().leaf(leaf).await?;
        let from = leaf * LEAF;
        let index = |offset: u64| usize::try_from(offset - from).unwrap_or(usize::MAX).min(bytes.len());
        let part = bytes.slice(index(self.rest.start)..index(self.rest.end));
        self.rest.start = (from + LEAF).min(self.rest.end);
        self.say_position();
        Ok(Some(part))
    }

    async fn wait_for(&self, leaf: u64) -> Result<(), FetchError> {
        let shared = &self.fetch.held.0;
        let mut arrived = shared.arrived.subscribe();
        let mut outcome = shared.outcome.subscribe();
        loop {
            if shared.has(leaf) {
                return Ok(());
            }
            if let Some(ended) = outcome.borrow_and_update().clone() {
                return ended;
            }
            let changed = tokio::select! {
                changed = arrived.changed() => changed,
                changed = outcome.changed() => changed,
            };
            changed.map_err(|_| FetchError::Stopped)?;
        }
    }

    fn say_position(&self) {
        let shared = &self.fetch.held.0;
        {
            let mut positions = shared.readers();
            if self.rest.is_empty() {
                positions.wanted.remove(&self.id);
            } else {
                positions.wanted.insert(self.id, self.rest.start / LEAF..self.rest.end.div_ceil(LEAF));
            }
        }
        shared.readers_moved.notify_one();
    }
}

impl<S: Sink> Drop for Reader<S> {
    fn drop(&mut self) {
        self.fetch.held.0.readers().wanted.remove(&self.id);
        self.fetch.held.0.readers_moved.notify_one();
    }
}

impl<S> super::Shared<S> {
    pub(super) fn readers(&self) -> std::sync::MutexGuard<'_, Positions> {
        self.readers.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}
