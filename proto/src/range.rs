//! Byte ranges: of a blob that is read (RFC 9110 §14) and of a chunk that is uploaded (OCI
//! distribution-spec, "Pushing a blob in chunks").

use std::str::FromStr;

/// Most ranges that one request may ask for; more are answered with the whole blob.
pub const MAX_RANGES: usize = 256;

/// Bytes `start..end` of some content; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl ByteRange {
    /// Number of bytes, at least one for a parsed range.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether there are no bytes in it, which a parsed range never is.
    pub fn is_empty(&self) -> bool {
        self.end == self.start
    }
}

/// What a `Range` header asks of content with a known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of it, as if there had been no header.
    Whole,
    /// These parts in the order asked, disjoint; at least one.
    Parts(Vec<ByteRange>),
    /// Nothing that exists: 416.
    Unsatisfiable,
}

impl Selection {
    /// Reads a `Range` header for content of `size` bytes.
    ///
    /// Malformed headers and unknown units select everything (RFC 9110 §14.2), as do more than
    /// [`MAX_RANGES`] ranges, and ranges that overlap: nobody is sent a byte twice. A last byte before
    /// the first one is [`Selection::Unsatisfiable`] (row P24 of the OCI checklist).
    pub fn parse(header: &str, size: u64) -> Self {
        let Some((unit, list)) = header.split_once('=') else {
            return Self::Whole;
        };
        if !unit.trim().eq_ignore_ascii_case("bytes") || size == 0 {
            return Self::Whole;
        }
        let mut parts: Vec<ByteRange> = Vec::new();
        for (count, text) in list.split(',').enumerate() {
            if count == MAX_RANGES {
                return Self::Whole;
            }
            match parse_one(text.trim(), size) {
                None => return Self::Whole,
                Some(None) => {}
                Some(Some(part)) => parts.push(part),
            }
        }
        if parts.is_empty() {
            return Self::Unsatisfiable;
        }
        let mut sorted = parts.clone();
        sorted.sort_by_key(|part| part.start);
        let overlap = sorted.windows(2).any(|pair| pair[1].start < pair[0].end);
        if overlap { Self::Whole } else { Self::Parts(parts) }
    }
}

/// `None`: malformed. `Some(None)`: well formed, selects nothing.
fn parse_one(text: &str, size: u64) -> Option<Option<ByteRange>> {
    let (first, last) = text.split_once('-')?;
    if first.is_empty() {
        let length = number(last)?;
        let start = size.saturating_sub(length);
        return Some((length > 0).then_some(ByteRange { start, end: size }));
    }
    let start = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < start || start >= size {
        return Some(None);
    }
    Some(Some(ByteRange { start, end: last.saturating_add(1).min(size) }))
}

/// Digits only; a number past 64 bits is as good as the largest one.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// The `Content-Range` of an uploaded chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRange {
    /// Offset of the chunk's first byte.
    pub start: u64,
    /// Offset of its last byte, inclusive; never before `start`.
    pub last: u64,
}

impl ChunkRange {
    /// Number of bytes in the chunk; `None` when that does not fit 64 bits.
    pub fn byte_count(&self) -> Option<u64> {
        (self.last - self.start).checked_add(1)
    }
}

/// The header is not a chunk's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunk's Content-Range is <first>-<last>, both inclusive")]
pub struct ChunkRangeError;

impl FromStr for ChunkRange {
    type Err = ChunkRangeError;

    /// `<first>-<last>`; a `bytes ` prefix and a `/total` or `/*` suffix of old clients are tolerated (G8).
    fn from_str(text: &str) -> Result<Self, ChunkRangeError> {
        let text = text.strip_prefix("bytes ").unwrap_or(text);
        let text = match text.split_once('/') {
            Some((range, "*")) => range,
            Some((range, total)) if strict_number(total).is_some() => range,
            Some(_) => return Err(ChunkRangeError),
            None => text,
        };
        let (start, last) = text.split_once('-').ok_or(ChunkRangeError)?;
        let start = strict_number(start).ok_or(ChunkRangeError)?;
        let last = strict_number(last).ok_or(ChunkRangeError)?;
        if last < start { Err(ChunkRangeError) } else { Ok(Self { start, last }) }
    }
}

fn strict_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(header: &str) -> Vec<(u64, u64)> {
        match Selection::parse(header, 2048) {
            Selection::Parts(parts) => parts.iter().map(|part| (part.start, part.end)).collect(),
            other => panic!("{header}: {other:?}"),
        }
    }

    #[test]
    fn the_table_of_the_checklist_holds() {
        assert_eq!(parts("bytes=500-1499"), [(500, 1500)]);
        assert_eq!(parts("bytes=500-"), [(500, 2048)]);
        assert_eq!(parts("bytes=-500"), [(1548, 2048)]);
        assert_eq!(parts("bytes=2000-5000"), [(2000, 2048)]);
        assert_eq!(parts("bytes=-5000"), [(0, 2048)]);
        assert_eq!(parts("bytes=0-9, 100-109"), [(0, 10), (100, 110)]);
        assert_eq!(parts("bytes=100-109,0-9"), [(100, 110), (0, 10)]);
        assert_eq!(parts("bytes=0-9,9000-"), [(0, 10)]);
        for none in ["bytes=500-0", "bytes=5000-10000", "bytes=-0", "bytes=99999999999999999999999999-"] {
            assert_eq!(Selection::parse(none, 2048), Selection::Unsatisfiable, "{none}");
        }
        for whole in [
            "items=0-1",
            "bytes",
            "bytes=",
            "bytes=a-b",
            "bytes=1-2-3",
            "bytes=-",
            "bytes=0-9,5-20",
            "bytes=+1-2",
        ] {
            assert_eq!(Selection::parse(whole, 2048), Selection::Whole, "{whole}");
        }
        assert_eq!(Selection::parse("bytes=0-0", 0), Selection::Whole);
    }

    #[test]
    fn the_number_of_ranges_is_bounded() {
        let list = |count: u64| {
            let ranges: Vec<_> = (0..count).map(|n| format!("{}-{}", n * 2, n * 2)).collect();
            format!("bytes={}", ranges.join(","))
        };
        assert!(matches!(Selection::parse(&list(256), 2048), Selection::Parts(parts) if parts.len() == 256));
        assert_eq!(Selection::parse(&list(257), 2048), Selection::Whole);
    }

    #[test]
    fn chunk_ranges_follow_the_specification() {
        for good in ["0-9", "bytes 0-9", "0-9/10", "bytes 0-9/*"] {
            assert_eq!(good.parse(), Ok(ChunkRange { start: 0, last: 9 }), "{good}");
        }
        for bad in [
            "",
            "5-4",
            "-1-5",
            "0-",
            "-",
            "a-b",
            "0-18446744073709551616",
            "0-9/",
            "0-9/x",
            "bytes=0-9",
            "0 - 9",
        ] {
            assert!(bad.parse::<ChunkRange>().is_err(), "{bad}");
        }
        assert_eq!("0-18446744073709551615".parse::<ChunkRange>().map(|c| c.byte_count()), Ok(None));
    }

    proptest! {
        #[test]
        fn selections_never_leave_the_content_nor_repeat_a_byte(header in "(bytes=)?[-0-9,a ]{0,40}", size in 0u64..5000) {
            if let Selection::Parts(parts) = Selection::parse(&header, size) {
                prop_assert!(!parts.is_empty());
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
                prop_assert!(parts.iter().map(ByteRange::len).sum::<u64>() <= size);
            }
        }

        #[test]
        fn chunk_ranges_never_panic(text: String) {
            let _ = text.parse::<ChunkRange>();
        }
    }
}
