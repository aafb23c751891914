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

use crate::copy::millis;
use crate::pieces::PieceList;

/// Bytes that are checked together; a whole number of leaves.
pub const WINDOW: u64 = 1024 * 1024;

/// How long a check is trusted while the file's time stamps stay as they are.
pub(crate) const FRESH: Duration = Duration::from_secs(60);

/// A file changed this recently could change again without another time stamp, since kernels stamp in ticks of up
/// to 10 ms; its checks are not remembered.
const TICK: Duration = Duration::from_millis(20);

const MAX_COPIES: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// Copies whose last use is remembered; of others the file's time stamp counts.
const MAX_USED: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");
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
    fn is_settled(&self, now: SystemTime) -> bool {
        let (Ok(secs), Ok(nanos)) = (u64::try_from(self.changed.0), u32::try_from(self.changed.1)) else {
            return false;
        };
        let changed = SystemTime::UNIX_EPOCH + Duration::new(secs, nanos);
        now.duration_since(changed).is_ok_and(|age| age > TICK)
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
        if before != after || !before.is_settled(SystemTime::now()) {
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

pub(crate) type Key = (Digest, UploadId);

/// Knowledge about the copies read last.
pub(crate) struct Copies(Mutex<Known>);

struct Known {
    copies: LruCache<Key, Arc<Knowledge>>,
    bytes: usize,
    /// When copies were opened, milliseconds since 1970.
    used: LruCache<Key, u64>,
}

impl Copies {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Known { copies: LruCache::new(MAX_COPIES), bytes: 0, used: LruCache::new(MAX_USED) }))
    }

    /// Counts as a use.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Knowledge>> {
        let mut known = self.known();
        known.used.put(*key, millis(SystemTime::now()));
        known.copies.get(key).cloned()
    }

    /// When the copy was opened last; 0 if that is not known any more.
    pub(crate) fn last_use_ms(&self, key: &Key) -> u64 {
        self.known().used.peek(key).copied().unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proto::digest::Algorithm;
    use proto::identity::NodeId;

    const NOW: Duration = Duration::from_secs(5);

    /// A file of two windows whose last change was `ago` seconds ago.
    fn stamp(ago: i64) -> Stamp {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let changed = (now.as_secs().cast_signed() - ago, now.subsec_nanos().into());
        Stamp { device: 1, inode: 1, size: WINDOW + 1, modified: (0, 0), changed }
    }

    fn knowledge(stamp: Stamp) -> Knowledge {
        Knowledge::new(PieceList::prove(0, [0; 32], &[]).expect("an empty list"), stamp)
    }

    #[test]
    fn a_check_is_trusted_for_a_minute_and_for_one_state_of_the_file() {
        let (then, changed) = (stamp(10), stamp(5));
        let known = knowledge(then);
        assert!(!known.is_fresh(then, 0..1, NOW), "nothing is trusted before a check");
        known.remember(then, then, 0, NOW);
        assert!(known.is_fresh(then, 0..1, NOW));
        assert!(!known.is_fresh(then, 0..2, NOW), "the other window was not checked");
        assert!(!known.is_fresh(then, 0..1, NOW + FRESH));
        assert!(!known.is_fresh(changed, 0..1, NOW));
        known.remember(changed, changed, 1, NOW);
        assert!(known.is_fresh(changed, 1..2, NOW));
        assert!(!known.is_fresh(changed, 0..1, NOW), "the first was checked in another state");
    }

    #[test]
    fn a_check_during_a_change_is_not_remembered() {
        let (then, changed, future) = (stamp(10), stamp(5), stamp(-1000));
        for (before, after) in [(then, changed), (future, future)] {
            let known = knowledge(before);
            known.remember(before, after, 0, NOW);
            assert!(!known.is_fresh(before, 0..1, NOW) && !known.is_fresh(after, 0..1, NOW));
        }
    }

    #[test]
    fn a_change_settles_after_a_tick() {
        let stamp = Stamp { changed: (1000, 0), ..stamp(0) };
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        assert!(!stamp.is_settled(at(999_000)));
        assert!(!stamp.is_settled(at(1_000_020)));
        assert!(stamp.is_settled(at(1_000_021)));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_counted_right() {
        let copies = Copies::new();
        let digest = Digest::of(Algorithm::Sha256, b"");
        let key = |n: u128| (digest, UploadId::new(NodeId::new(1).expect("not zero"), n));
        let large = Arc::new(knowledge(Stamp { size: WINDOW * 100_000, ..stamp(10) }));
        for n in 0..100 {
            copies.insert(key(n), &large);
            copies.insert(key(n), &large);
            assert!(copies.known().bytes <= MAX_BYTES);
        }
        assert!(copies.get(&key(99)).is_some(), "the last one stays");
        assert!(copies.get(&key(0)).is_none(), "the oldest one goes");
        (0..100).for_each(|n| copies.forget(&key(n)));
        assert_eq!(copies.known().bytes, 0);
    }
}
