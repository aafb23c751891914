//! The bytes of one record in a segment. Pure.
//!
//! ```text
//! "sLog"      4 bytes
//! length      of the payload, 4 bytes, little endian
//! synced      up to where this segment was on disk when the frame was written, 8 bytes, little endian
//! checksum    the first 8 bytes of BLAKE3 over segment number, offset, synced and payload
//! payload
//! ```
//!
//! The checksum holds a frame to its place, so that no byte left from before can be taken for one.

const MARKER: &[u8; 4] = b"sLog";
const HEADER: usize = 24;
/// Longest payload: far more than the largest entry, which the frames between nodes bound.
pub(super) const MAX_PAYLOAD: usize = 64 << 20;

/// Where a frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the segment.
    pub(super) segment: u64,
    /// Bytes from its beginning.
    pub(super) offset: u64,
}

/// A frame that is whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Up to where the segment was on disk when it was written.
    pub(super) synced: u64,
    pub(super) payload: &'a [u8],
}

/// Bytes of a frame with a payload of `len` bytes.
pub(super) fn size(len: usize) -> u64 {
    (HEADER + len) as u64
}

/// Appends the frame of `payload`, which begins at `place`, to `out`.
pub(super) fn push(out: &mut Vec<u8>, place: Place, synced: u64, payload: &[u8]) {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(MARKER);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&synced.to_le_bytes());
    out.extend_from_slice(&checksum(place, synced, payload));
    out.extend_from_slice(payload);
}

/// The frame that `bytes` begins with, if it is whole and belongs to `place`.
pub(super) fn read(bytes: &[u8], place: Place) -> Option<Frame<'_>> {
    let rest = bytes.strip_prefix(MARKER)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (synced, rest) = rest.split_first_chunk::<8>()?;
    let (found, rest) = rest.split_first_chunk::<8>()?;
    let (len, synced) = (u32::from_le_bytes(*len) as usize, u64::from_le_bytes(*synced));
    let payload = rest.get(..len).filter(|_| len <= MAX_PAYLOAD)?;
    (*found == checksum(place, synced, payload)).then_some(Frame { synced, payload })
}

/// Whether a whole frame behind `bad` says that the bytes at `bad` were on disk: then they are damaged. Else
/// whatever stands there was never synced, and a crash tore it. `content` is the whole segment.
pub(super) fn was_synced(content: &[u8], segment: u64, bad: u64) -> bool {
    let start = usize::try_from(bad).unwrap_or(usize::MAX).saturating_add(1);
    let behind = content.get(start..).unwrap_or_default();
    let markers = behind.windows(MARKER.len()).enumerate().filter(|(_, window)| window == MARKER);
    markers.map(|(at, _)| start + at).any(|at| {
        let place = Place { segment, offset: at as u64 };
        read(&content[at..], place).is_some_and(|frame| frame.synced > bad)
    })
}

fn checksum(place: Place, synced: u64, payload: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    for number in [place.segment, place.offset, synced] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(payload);
    let mut checksum = [0; 8];
    checksum.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Place = Place { segment: 3, offset: 0 };

    fn two() -> (Vec<u8>, u64) {
        let mut bytes = Vec::new();
        push(&mut bytes, FIRST, 0, b"first");
        let second = bytes.len() as u64;
        push(&mut bytes, Place { segment: 3, offset: second }, second, b"second");
        (bytes, second)
    }

    #[test]
    fn a_frame_is_read_at_its_place_only() {
        let (bytes, second) = two();
        assert_eq!(read(&bytes, FIRST), Some(Frame { synced: 0, payload: b"first" }));
        assert_eq!(second, size(5));
        let behind = &bytes[second as usize..];
        let place = Place { segment: 3, offset: second };
        assert_eq!(read(behind, place), Some(Frame { synced: second, payload: b"second" }));
        assert_eq!(read(behind, FIRST), None);
        assert_eq!(read(behind, Place { segment: 4, ..place }), None);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let (bytes, second) = two();
        let first = &bytes[..second as usize];
        for at in 0..first.len() {
            assert_eq!(read(&first[..at], FIRST), None);
            for bit in 0..8 {
                let mut flipped = first.to_vec();
                flipped[at] ^= 1 << bit;
                assert_eq!(read(&flipped, FIRST), None, "byte {at}");
            }
        }
    }

    #[test]
    fn what_a_later_frame_calls_synced_was_not_torn() {
        let (mut bytes, second) = two();
        assert!(was_synced(&bytes, 3, 0));
        assert!(!was_synced(&bytes, 3, second));
        bytes.truncate(bytes.len() - 1);
        assert!(!was_synced(&bytes, 3, 0));
        assert!(!was_synced(&[], 3, 0));
    }
}
