//! Which copies are damaged, and the quarantine that keeps them (consistency promise 14). The files in the quarantine
//! are the marks that survive a restart; a missing copy leaves no file and is found again by the next reader.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use proto::digest::Digest;
use proto::upload::UploadId;
use tokio::sync::Notify;

use crate::copy::BlobCopy;
use crate::error::BlobError;
use crate::path;
use crate::reader::open_regular;
use crate::store::Inner;

/// The marks in memory.
#[derive(Default)]
pub(crate) struct Damage {
    marks: Mutex<BTreeMap<Digest, BTreeSet<UploadId>>>,
    names: Mutex<()>,
    /// Touched at each new mark.
    found: Notify,
}

impl Damage {
    /// Marks the copies whose names were found in the quarantine.
    pub(crate) fn restore(names: Vec<OsString>) -> Self {
        let damage = Self::default();
        for name in names {
            match path::parse_quarantined(&name) {
                Some((digest, generation)) => _ = damage.mark(&digest, generation),
                None => tracing::warn!(name = %name.display(), "foreign file in the quarantine"),
            }
        }
        damage
    }

    /// Held by whoever puts another file under the name of a copy, so that a reader that found damage cannot
    /// quarantine the file that just replaced it. Only on blocking threads.
    pub(crate) fn lock_names(&self) -> MutexGuard<'_, ()> {
        self.names.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    pub(crate) fn is_damaged(&self, digest: &Digest) -> bool {
        self.marks().contains_key(digest)
    }

    pub(crate) fn list(&self) -> Vec<(Digest, UploadId)> {
        let marks = self.marks();
        marks.iter().flat_map(|(digest, all)| all.iter().map(|generation| (*digest, *generation))).collect()
    }

    /// True if the mark is new.
    fn mark(&self, digest: &Digest, generation: UploadId) -> bool {
        let is_new = self.marks().entry(*digest).or_default().insert(generation);
        self.found.notify_one();
        is_new
    }

    /// Returns once a mark was made since it returned last; for one waiter. Dropping the future is safe.
    pub(crate) async fn found(&self) {
        self.found.notified().await;
    }

    fn unmark(&self, digest: &Digest, generation: UploadId) {
        let mut marks = self.marks();
        if let Some(all) = marks.get_mut(digest) {
            all.remove(&generation);
            if all.is_empty() {
                marks.remove(digest);
            }
        }
    }

    fn marks(&self) -> MutexGuard<'_, BTreeMap<Digest, BTreeSet<UploadId>>> {
        self.marks.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

impl Inner {
    /// Marks a copy that should be there and is not.
    pub(crate) fn report_missing(&self, copy: &BlobCopy) -> BlobError {
        let BlobCopy { digest, generation, .. } = copy;
        let _replacing = self.damage.lock_names();
        if self.layout.copy(digest, *generation).exists() {
            // It was put there since the reader looked.
            return BlobError::Missing;
        }
        if self.damage.mark(digest, *generation) {
            self.volume.metrics.damaged_copies.add(1);
            tracing::error!(%digest, %generation, "copy of a blob is missing");
        }
        BlobError::Missing
    }

    /// Marks a copy as damaged and moves it out of the way. `inode`: of the file that was read, if it could be
    /// opened; another file that took the name meanwhile stays, and so does one that can be opened now though it
    /// could not before.
    pub(crate) fn quarantine(&self, copy: &BlobCopy, inode: Option<u64>, reason: &str) -> BlobError {
        let (digest, generation) = (&copy.digest, copy.generation);
        let _replacing = self.damage.lock_names();
        let from = self.layout.copy(digest, generation);
        match fs::symlink_metadata(&from) {
            Ok(found) if inode.is_some_and(|inode| inode != found.ino()) => return BlobError::Damaged,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return BlobError::Damaged,
            _ if inode.is_none() && open_regular(&from).is_ok() => return BlobError::Damaged,
            _ => {}
        }
        self.copies.forget(&(*digest, generation));
        if self.damage.mark(digest, generation) {
            self.volume.metrics.damaged_copies.add(1);
        }
        tracing::error!(%digest, %generation, reason, "copy of a blob is damaged: quarantined");
        let to = self.layout.quarantined(digest, generation);
        let moved = clear(&to).and_then(|()| fs::rename(&from, &to));
        let listed = fs::remove_file(self.layout.pieces(digest, generation));
        for error in [moved.err(), listed.err()].into_iter().flatten() {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::error!(%digest, %generation, %error, "cannot move a damaged copy");
            }
        }
        BlobError::Damaged
    }

    /// Forgets the damage of a copy that was replaced or removed.
    pub(crate) fn heal(&self, digest: &Digest, generation: UploadId) -> Result<(), BlobError> {
        let quarantined = self.layout.quarantined(digest, generation);
        if self.damage.is_damaged(digest) {
            clear(&quarantined).map_err(BlobError::io("remove", &quarantined))?;
        }
        self.damage.unmark(digest, generation);
        Ok(())
    }
}

/// Removes a file, or a directory that stood where a file should.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}
