//! The volume under the blob directory: durable writes, the fence after a failed one, and the space left.
//!
//! Every fsync of the crate goes through here (consistency promise 15). All functions that are not async block.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::BlobError;
use crate::metrics::Metrics;

/// How long a measured amount of free space is believed, less what was written since.
const SPACE_FRESH: Duration = Duration::from_secs(1);

/// How long a copy that does not fit waits for others to be evicted.
const ROOM_PATIENCE: Duration = Duration::from_secs(5);
const ROOM_GLANCE: Duration = Duration::from_millis(100);

/// Largest default reserve, in bytes.
const RESERVE_MAX: u64 = 64 * 1024 * 1024;

pub(crate) struct Volume {
    root: PathBuf,
    reserve: u64,
    space: Mutex<Space>,
    short: AtomicU64,
    pub(crate) metrics: Metrics,
    #[cfg(test)]
    full: std::sync::atomic::AtomicBool,
}

/// What a volume has, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// All of it.
    pub size: u64,
    /// What uploads and copies may still take.
    pub free: u64,
    /// What was missing when a copy did not fit lately.
    pub short: u64,
}

/// A directory that is open for its fsync.
pub(crate) struct OpenDir {
    file: File,
    path: PathBuf,
}

/// Bytes that may still be written before the reserve begins, as last measured.
struct Space {
    left: u64,
    measured: Instant,
}

impl Volume {
    /// Measures the volume of `root`. `reserve`: bytes that uploads leave free; by default 5 % of the volume, at most
    /// 64 MiB, so that metadata on the same volume can go on and deletes can free space.
    pub(crate) fn open(root: &Path, reserve: Option<u64>) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(root)?;
        let reserve = reserve.unwrap_or((stat.f_blocks * stat.f_frsize / 20).min(RESERVE_MAX));
        let left = (stat.f_bavail * stat.f_frsize).saturating_sub(reserve);
        let space = Mutex::new(Space { left, measured: Instant::now() });
        Ok(Self {
            root: root.to_owned(),
            reserve,
            space,
            short: AtomicU64::new(0),
            metrics: Metrics::default(),
            #[cfg(test)]
            full: Default::default(),
        })
    }

    /// Takes `bytes` of the space that is left, or says that the volume is full. Recovers when space comes back.
    pub(crate) fn claim_space(&self, bytes: u64) -> Result<(), BlobError> {
        #[cfg(test)]
        if self.full.load(Ordering::Relaxed) {
            return Err(BlobError::Full);
        }
        let mut space = self.space.lock().unwrap_or_else(|broken| broken.into_inner());
        if space.left <= bytes || space.measured.elapsed() > SPACE_FRESH {
            *space = Space { left: self.measure()?.free, measured: Instant::now() };
        }
        if space.left <= bytes {
            return Err(BlobError::Full);
        }
        space.left -= bytes;
        Ok(())
    }

    /// Says that the volume is full if `bytes` more would not fit now, and notes what is short; takes nothing.
    pub(crate) fn check_space(&self, bytes: u64) -> Result<(), BlobError> {
        let claimed = self.claim_space(0);
        let free = self.measure()?.free;
        let fits = if free > bytes { claimed } else { Err(BlobError::Full) };
        if let Err(BlobError::Full) = fits {
            self.short.fetch_max(bytes.saturating_sub(free) + 1, Ordering::Relaxed);
        }
        fits
    }

    /// What the volume has now. What was short is told once.
    pub(crate) fn room(&self) -> Result<Room, BlobError> {
        Ok(Room { short: self.short.swap(0, Ordering::Relaxed), ..self.measure()? })
    }

    /// Waits a moment for copies to be evicted; false if there is no hope, or none since `began`.
    pub(crate) async fn may_get_room(&self, began: Instant) -> bool {
        let may = self.metrics.cache_bytes.load(Ordering::Relaxed) > 0 && began.elapsed() < ROOM_PATIENCE;
        if may {
            tokio::time::sleep(ROOM_GLANCE).await;
        }
        may
    }

    fn measure(&self) -> Result<Room, BlobError> {
        let stat = rustix::fs::statvfs(&self.root)
            .map_err(|error| BlobError::io("measure", &self.root)(error.into()))?;
        let free = (stat.f_bavail * stat.f_frsize).saturating_sub(self.reserve);
        Ok(Room { size: stat.f_blocks * stat.f_frsize, free, short: 0 })
    }

    /// Refuses when an earlier fsync failed.
    pub(crate) fn check(&self) -> Result<(), BlobError> {
        if self.metrics.volume_failed.load(Ordering::Acquire) { Err(BlobError::VolumeFailed) } else { Ok(()) }
    }

    /// Makes the content of a file durable, or fences the volume.
    pub(crate) fn sync_file(&self, file: &File, path: &Path) -> Result<(), BlobError> {
        self.sync(path, || file.sync_data())
    }

    /// Makes the entries of a directory durable, or fences the volume.
    pub(crate) fn sync_dir(&self, path: &Path) -> Result<(), BlobError> {
        self.sync_opened(&self.open_dir(path)?)
    }

    /// Opens a directory for [`Volume::sync_opened`].
    pub(crate) fn open_dir(&self, path: &Path) -> Result<OpenDir, BlobError> {
        let file = File::open(path).map_err(BlobError::io("open", path))?;
        Ok(OpenDir { file, path: path.to_owned() })
    }

    /// As [`Volume::sync_dir`]; fails only by fencing the volume.
    pub(crate) fn sync_opened(&self, dir: &OpenDir) -> Result<(), BlobError> {
        self.sync(&dir.path, || dir.file.sync_all())
    }

    fn sync(&self, path: &Path, sync: impl FnOnce() -> io::Result<()>) -> Result<(), BlobError> {
        self.check()?;
        self.metrics.fsyncs.add(1);
        sync().map_err(|error| {
            self.metrics.volume_failed.store(true, Ordering::Release);
            tracing::error!(path = %path.display(), %error, "fsync failed: no more acknowledgements until a restart");
            BlobError::VolumeFailed
        })?;
        // Another thread's fsync may have consumed the error that concerned this file.
        self.check()
    }
}

#[cfg(test)]
impl Volume {
    pub(crate) fn pretend_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    pub(crate) fn pretend_failed(&self) {
        let failed = self.sync(&self.root, || Err(io::Error::from_raw_os_error(5)));
        assert!(failed.is_err());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_one_failed_fsync_nothing_is_acknowledged_any_more() {
        let dir = tempfile::tempdir().expect("a directory");
        let volume = Volume::open(dir.path(), None).expect("a volume");
        volume.sync_dir(dir.path()).expect("a healthy volume syncs");
        let failed = volume.sync(dir.path(), || Err(io::Error::from_raw_os_error(5)));
        assert!(matches!(failed, Err(BlobError::VolumeFailed)));
        let mut retried = false;
        let later = volume.sync(dir.path(), || {
            retried = true;
            Ok(())
        });
        assert!(matches!(later, Err(BlobError::VolumeFailed)));
        assert!(!retried, "a failed fsync must not be tried again");
        assert!(matches!(volume.sync_dir(dir.path()), Err(BlobError::VolumeFailed)));
    }

    #[test]
    fn the_reserve_is_never_given_to_uploads() {
        let dir = tempfile::tempdir().expect("a directory");
        let volume = Volume::open(dir.path(), Some(u64::MAX)).expect("a volume");
        assert!(matches!(volume.claim_space(1), Err(BlobError::Full)));
        let volume = Volume::open(dir.path(), Some(0)).expect("a volume");
        volume.claim_space(1).expect("space is left");
        assert!(matches!(volume.claim_space(u64::MAX), Err(BlobError::Full)));
        volume.claim_space(1).expect("a refused claim takes nothing");
    }
}
