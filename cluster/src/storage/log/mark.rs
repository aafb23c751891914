//! The mark: up to where the log was on disk at the last sync. Pure.
//!
//! It is written after each sync and not synced itself, so it may be older than the truth, never newer. After
//! a crash of the process it covers all that was acknowledged, and damage to the very last record cannot be
//! taken for a torn write.
//! Its form is the number of the segment, 8 bytes, and a frame without payload at the place that it tells.

use super::frame::{self, Place};

/// The mark of `synced`.
pub(super) fn bytes(synced: Place) -> Vec<u8> {
    let mut bytes = synced.segment.to_le_bytes().to_vec();
    frame::push(&mut bytes, synced, synced.offset, b"");
    bytes
}

/// `None`: none was written yet, or it is damaged.
pub(super) fn read(bytes: &[u8]) -> Option<Place> {
    let (segment, frame) = bytes.split_first_chunk::<8>()?;
    let offset = frame.get(8..16)?.first_chunk::<8>().copied()?;
    let place = Place { segment: u64::from_le_bytes(*segment), offset: u64::from_le_bytes(offset) };
    frame::read(frame, place).map(|_| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_what_was_written_or_none() {
        let place = Place { segment: 7, offset: 4321 };
        let written = bytes(place);
        assert_eq!(read(&written), Some(place));
        for at in 0..written.len() {
            let mut flipped = written.clone();
            flipped[at] ^= 4;
            assert_eq!(read(&flipped), None, "byte {at}");
            assert_eq!(read(&written[..at]), None, "cut to {at}");
        }
    }
}
