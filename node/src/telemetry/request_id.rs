//! What a request is called in answers, logs and the audit log.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Unlike any other, of this process or another; says nothing and is no secret. A UUID (RFC 9562, version 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId {
    process: u64,
    number: u64,
}

/// 2⁶⁴ over the golden ratio.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

impl RequestId {
    /// Of no request.
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { process: 0, number: 0 };

    /// The next one.
    pub(crate) fn next() -> Self {
        static PROCESS: LazyLock<u64> = LazyLock::new(|| {
            let mut bytes = [0; 8];
            // A request is answered without randomness as well; the id only helps to find it.
            let _ = getrandom::fill(&mut bytes);
            u64::from_be_bytes(bytes)
        });
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // Any odd factor keeps them apart; nobody need see how many there were.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed).wrapping_mul(SPREAD) ^ *PROCESS;
        Self { process: *PROCESS, number }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (high, low) = (self.process, self.number);
        let version = (high & 0x0FFF) | 0x8000;
        let variant = (low >> 48 & 0x3FFF) | 0x8000;
        let (a, b) = (high >> 32, high >> 16 & 0xFFFF);
        write!(f, "{a:08x}-{b:04x}-{version:04x}-{variant:04x}-{:012x}", low & 0xFFFF_FFFF_FFFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_a_uuid_of_its_own() {
        let [first, second] = [RequestId::next(), RequestId::next()].map(|id| id.to_string());
        assert_ne!(first, second);
        assert_eq!(first.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(first.as_bytes()[14] == b'8' && matches!(first.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}
