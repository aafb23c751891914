//! Chance that can be repeated: which faults come in which order is decided by one seed, which is printed.
//! What the clients do meanwhile, and when, is not.

use std::time::Duration;

use tests::journal::random;

use crate::report;

/// Numbers that follow from a seed.
pub(crate) struct Dice(u64);

impl Dice {
    /// From `SHOAL_TEST_SEED`, or a seed of its own.
    pub(crate) fn new(row: &str) -> Self {
        let given = std::env::var("SHOAL_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(std::process::id()) << 20 ^ random() >> 24);
        report(row, &format!("SHOAL_TEST_SEED={seed}"));
        // Never zero, which xorshift does not leave.
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Less than `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides.max(1)
    }

    /// Between the two.
    pub(crate) fn time(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_micros() as usize;
        least + Duration::from_micros(self.roll(span) as u64)
    }

    /// In any order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.roll(at + 1));
        }
    }
}
