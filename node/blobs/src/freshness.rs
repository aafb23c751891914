//! Which windows of which copies were checked lately (consistency promise 13), and the proven piece lists, for the
//! copies read last. Memory only; bounded in entries and bytes. Never touches a file except by `fstat`.

use std::fs::{File, Metadata};
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use lru::LruCache;
use proto::digest::Digest;
use proto::upload::UploadId;

use crate::pieces::PieceList;

/// Bytes that are checked together; a whole number of leaves.
pub const WINDOW: u64 = 1024 * 1024;

/// How long a check is trusted while the file's time stamps stay as they are.
pub(crate) const FRESH: Duration = Duration::from_secs(60);

/// A file changed this recently could change again without another time stamp, since kernels stamp in ticks of up
/// to 10 ms; its checks are not remembered.
const TICK: Duration = Duration::from_millis(20);

const MAX_COPIES: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// What identifies the state of a file without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|found| Self::from(&found))
    }

    /// Whether the last change is long enough ago for the next one to show.
    fn is_settled(&self) -> bool {
        let (Ok(secs), Ok(nanos)) = (u64::try_from(self.changed.0), u32::try_from(self.changed.1)) else {
            return false;
        };
        let changed = SystemTime::UNIX_EPOCH + Duration::new(secs, nanos);
        SystemTime::now().duration_since(changed).is_ok_and(|age| age > TICK)
    }
}

impl From<&Metadata> for Stamp {
    fn from(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// What is known about one copy: its proven list and when its windows were checked.
pub(crate) struct Knowledge {
    pub(crate) list: PieceList,
    checked: Mutex<Checked>,
}

struct Checked {
    stamp: Stamp,
    /// When each window may no longer be trusted, in time since the store was opened; zero = never checked.
    until: Vec<Duration>,
}

impl Knowledge {
    pub(crate) fn new(list: PieceList, stamp: Stamp) -> Self {
        let windows = usize::try_from(stamp.size.div_ceil(WINDOW)).unwrap_or(usize::MAX);
        Self { list, checked: Mutex::new(Checked { stamp, until: vec![Duration::ZERO; windows] }) }
    }

    /// Whether all of `windows` were checked in this state of the file and not too long ago.
    pub(crate) fn is_fresh(&self, stamp: Stamp, windows: Range<usize>, now: Duration) -> bool {
        let checked = self.checked();
        let all = checked.until.get(windows);
        checked.stamp == stamp && all.is_some_and(|all| all.iter().all(|until| now < *until))
    }

    /// Remembers that a window was right at `now`. `before` and `after`: the file's state around the read.
    pub(crate) fn remember(&self, before: Stamp, after: Stamp, window: usize, now: Duration) {
        if before != after || !before.is_settled() {
            return;
        }
        let mut checked = self.checked();
        if checked.stamp != before {
            checked.stamp = before;
            checked.until.fill(Duration::ZERO);
        }
        if let Some(until) = checked.until.get_mut(window) {
            *until = now + FRESH;
        }
    }

    fn checked(&self) -> MutexGuard<'_, Checked> {
        self.checked.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    fn bytes(&self) -> usize {
        self.list.bytes() + self.checked().until.len() * size_of::<Duration>()
    }
}

type Key = (Digest, UploadId);

/// Knowledge about the copies read last.
pub(crate) struct Copies(Mutex<Known>);

struct Known {
    copies: LruCache<Key, Arc<Knowledge>>,
    bytes: usize,
}

impl Copies {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Known { copies: LruCache::new(MAX_COPIES), bytes: 0 }))
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Knowledge>> {
        self.known().copies.get(key).cloned()
    }

    /// Remembers, and forgets what was not read for longest when that is too much.
    pub(crate) fn insert(&self, key: Key, knowledge: &Arc<Knowledge>) {
        let mut known = self.known();
        known.bytes += knowledge.bytes();
        if let Some((_, old)) = known.copies.push(key, Arc::clone(knowledge)) {
            known.bytes -= old.bytes();
        }
        while known.bytes > MAX_BYTES && known.copies.len() > 1 {
            let Some((_, old)) = known.copies.pop_lru() else { break };
            known.bytes -= old.bytes();
        }
    }

    pub(crate) fn forget(&self, key: &Key) {
        let mut known = self.known();
        if let Some(old) = known.copies.pop(key) {
            known.bytes -= old.bytes();
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}
