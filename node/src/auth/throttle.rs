//! Guessing is slowed per pair of user and address, so that the owner still gets in from elsewhere.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

/// Pairs that are remembered.
const PAIRS: usize = 10_000;
/// Wrong passwords that are free; people mistype.
const FREE: u32 = 10;
/// After that, one try in this time.
const PACE: Duration = Duration::from_secs(2);
/// A pair that was quiet for so long starts anew.
const FORGET: Duration = Duration::from_secs(15 * 60);

/// Wrong passwords per user and address.
pub(crate) struct Throttle(Mutex<LruCache<(String, IpAddr), (u32, Instant)>>);

impl Default for Throttle {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(NonZeroUsize::new(PAIRS).unwrap_or(NonZeroUsize::MIN))))
    }
}

impl Throttle {
    /// Whether a password may be checked now. The attempt counts as wrong until [`Throttle::forgive`], so
    /// that many at once are no more than many in turn.
    pub(crate) fn may_try(&self, user: &str, address: IpAddr) -> bool {
        let mut pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (failures, last) = pairs.get_or_insert_mut((shorten(user), address), || (0, now));
        let before = if last.elapsed() >= FORGET { 0 } else { *failures };
        if before >= FREE && last.elapsed() < PACE {
            return false;
        }
        (*failures, *last) = (before.saturating_add(1), now);
        true
    }

    /// The password was right.
    pub(crate) fn forgive(&self, user: &str, address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop(&(shorten(user), address));
    }
}

/// An account and a name of 64 characters stay whole.
fn shorten(user: &str) -> String {
    user.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_from_one_address_does_not_lock_out_another() {
        let throttle = Throttle::default();
        let (bad, good) = (IpAddr::from([127, 0, 0, 2]), IpAddr::from([127, 0, 0, 3]));
        for _ in 0..FREE {
            assert!(throttle.may_try("root", bad));
        }
        assert!(!throttle.may_try("root", bad));
        assert!(throttle.may_try("root", good));
        assert!(throttle.may_try("other", bad));
        throttle.forgive("root", bad);
        assert!(throttle.may_try("root", bad));
    }
}
