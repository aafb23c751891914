//! Upload sessions and the generations of blob files that they produce.

use std::fmt;
use std::str::FromStr;

use crate::identity::NodeId;

/// Names an upload session and, later, the generation of the blob that came from it
/// (consistency promise R2: every upload has a unique generation).
///
/// Text form: `<node>-<32 hex digits>`; safe as a path element and without characters that URLs escape. An id of
/// [`UploadId::short`] also has the form of a UUID, which Amazon ECR's API demands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId {
    node: NodeId,
    random: u128,
}

impl UploadId {
    /// An id on `node`. `random` must come from the system's secure source.
    pub fn new(node: NodeId, random: u128) -> Self {
        Self { node, random }
    }

    /// As [`UploadId::new`], for where an id has to be a UUID, in which there is room for no more random bits: unique
    /// among those of its node, but whose session it is, not who knows its id, must decide who may use it.
    pub fn short(node: NodeId, random: u64) -> Self {
        Self { node, random: u128::from(random) << 64 }
    }

    /// As 8-4-4-4-12 lower-case hex digits: the node, then the random bits; `None` if it was not made by
    /// [`UploadId::short`].
    pub fn to_uuid(&self) -> Option<String> {
        let [random, rest] = [self.random >> 64, self.random & u128::from(u64::MAX)];
        if rest != 0 {
            return None;
        }
        let digits = format!("{:016x}{random:016x}", self.node.get());
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| digits.get(part));
        let parts: Option<Vec<&str>> = parts.into_iter().collect();
        Some(parts?.join("-"))
    }

    /// Reads what [`UploadId::to_uuid`] wrote, in either case; `None` for anything else.
    pub fn from_uuid(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        if lengths != [8, 4, 4, 4, 12] || !text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()) {
            return None;
        }
        let number = u128::from_str_radix(&parts.concat(), 16).ok()?;
        let [node, random] = [number >> 64, number & u128::from(u64::MAX)].map(u64::try_from);
        Some(Self::short(NodeId::new(node.ok()?)?, random.ok()?))
    }

    /// The node that holds the session's bytes.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// 24 bytes for keys and messages.
    pub fn to_bytes(&self) -> [u8; 24] {
        let mut out = [0; 24];
        out[..8].copy_from_slice(&self.node.get().to_be_bytes());
        out[8..].copy_from_slice(&self.random.to_be_bytes());
        out
    }

    /// Reads what [`UploadId::to_bytes`] wrote; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 24] = bytes.try_into().ok()?;
        let (node, random) = bytes.split_at(8);
        let node = NodeId::new(u64::from_be_bytes(node.try_into().ok()?))?;
        Some(Self { node, random: u128::from_be_bytes(random.try_into().ok()?) })
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:032x}", self.node, self.random)
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an upload id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an upload id")]
pub struct UploadIdError;

impl FromStr for UploadId {
    type Err = UploadIdError;

    fn from_str(text: &str) -> Result<Self, UploadIdError> {
        let (node, random) = text.split_once('-').ok_or(UploadIdError)?;
        let node = node.parse().map_err(|_| UploadIdError)?;
        let plain = random.len() == 32 && random.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !plain {
            return Err(UploadIdError);
        }
        let random = u128::from_str_radix(random, 16).map_err(|_| UploadIdError)?;
        Ok(Self { node, random })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_uuid_of_a_short_id_is_one() {
        let node = NodeId::new(0x0123_4567_89ab_cdef).expect("not zero");
        let uuid = "01234567-89ab-cdef-fedc-ba9876543210";
        assert_eq!(UploadId::short(node, 0xfedc_ba98_7654_3210).to_uuid().as_deref(), Some(uuid));
        assert_eq!(UploadId::new(node, 1).to_uuid(), None);
        for wrong in [
            "00000000-0000-0000-fedc-ba9876543210",
            "0123456789abcdeffedcba9876543210",
            "01234567-89ab-cdef-fedc-ba987654321g",
            "+1234567-89ab-cdef-fedc-ba9876543210",
            "01234567-89ab-cdef-fedc-ba98765432101",
            "012345678-9ab-cdef-fedc-ba9876543210",
            "",
        ] {
            assert_eq!(UploadId::from_uuid(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn uuids_round_trip(node in 1u64.., random: u64) {
            let id = UploadId::short(NodeId::new(node).expect("not zero"), random);
            let uuid = id.to_uuid().expect("a short one");
            prop_assert_eq!(UploadId::from_uuid(&uuid), Some(id));
            prop_assert_eq!(UploadId::from_uuid(&uuid.to_uppercase()), Some(id));
        }

        #[test]
        fn ids_round_trip(node in 1u64.., random: u128) {
            let id = UploadId::new(NodeId::new(node).expect("not zero"), random);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(UploadId::from_bytes(&id.to_bytes()), Some(id));
        }

        #[test]
        fn only_the_printed_form_is_accepted(text in "[0-9a-g-]{0,40}") {
            if let Ok(id) = text.parse::<UploadId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
