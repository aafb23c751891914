//! Upload sessions and the generations of blob files that they produce.

use std::fmt;
use std::str::FromStr;

use crate::identity::NodeId;

/// Names an upload session and, later, the generation of the blob that came from it
/// (consistency promise R2: every upload has a unique generation).
///
/// Text form: `<node>-<32 hex digits>`; safe as a path element and without characters that URLs escape.
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

    proptest! {
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
