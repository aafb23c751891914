//! Which sessions are open, how many each principal has, and what the finished ones ended in. Memory only.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};

use lru::LruCache;
use proto::upload::UploadId;

use super::UploadOwner;
use super::session::Session;
use crate::copy::BlobCopy;
use crate::error::BlobError;

/// Finished sessions that are remembered.
const TOMBSTONES: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// All sessions of this node.
pub(crate) struct Uploads(Mutex<Table>);

struct Table {
    open: HashMap<UploadId, Arc<Session>>,
    principals: HashMap<String, usize>,
    finished: LruCache<UploadId, (UploadOwner, BlobCopy)>,
}

impl Uploads {
    pub(super) fn new(sessions: Vec<Session>) -> Self {
        let table =
            Table { open: HashMap::new(), principals: HashMap::new(), finished: LruCache::new(TOMBSTONES) };
        let uploads = Self(Mutex::new(table));
        for session in sessions {
            uploads.table().add(Arc::new(session));
        }
        uploads
    }

    /// Adds a session unless its principal has `limit` already.
    pub(super) fn insert(&self, session: &Arc<Session>, limit: usize) -> Result<(), BlobError> {
        let mut table = self.table();
        if table.principals.get(&session.owner.principal).is_some_and(|count| *count >= limit) {
            return Err(BlobError::TooManyUploads { limit });
        }
        table.add(Arc::clone(session));
        Ok(())
    }

    pub(super) fn get(&self, id: UploadId) -> Option<Arc<Session>> {
        self.table().open.get(&id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        self.table().open.values().cloned().collect()
    }

    pub(super) fn remove(&self, session: &Session) {
        self.table().remove(session);
    }

    /// Replaces an open session by what it ended in, in one step: a client finds one or the other.
    pub(super) fn finish(&self, session: &Session, copy: BlobCopy) {
        let mut table = self.table();
        table.remove(session);
        table.finished.put(session.id, (session.owner.clone(), copy));
    }

    pub(crate) fn finished(&self, id: UploadId, owner: &UploadOwner) -> Option<BlobCopy> {
        let table = self.table();
        table.finished.peek(&id).filter(|(of, _)| of == owner).map(|(_, copy)| *copy)
    }

    pub(crate) fn count_of(&self, principal: &str) -> usize {
        self.table().principals.get(principal).copied().unwrap_or(0)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

impl Table {
    fn add(&mut self, session: Arc<Session>) {
        *self.principals.entry(session.owner.principal.clone()).or_default() += 1;
        self.open.insert(session.id, session);
    }

    fn remove(&mut self, session: &Session) {
        if self.open.remove(&session.id).is_none() {
            return;
        }
        if let Some(count) = self.principals.get_mut(&session.owner.principal) {
            *count -= 1;
            if *count == 0 {
                self.principals.remove(&session.owner.principal);
            }
        }
    }
}
