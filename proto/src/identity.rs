//! Who and where: accounts, registries, nodes, regions, zones, principals; keys and addresses of peers.

use std::fmt;
use std::str::FromStr;

use crate::name::text_id;

mod address;

pub use address::{AddressError, HostPort, MAX_HOST, MAX_HOSTS, PeerAddress, PeerKey};

/// Why a text is not one of the ids of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not an account.
    #[error("an account is 12 digits")]
    Account,
    /// Not a region or zone.
    #[error("a region or zone is 1 to 63 characters of [a-z0-9-] and neither begins nor ends with -")]
    Label,
    /// Not a node.
    #[error("a node id is a positive hexadecimal number of at most 64 bits")]
    Node,
}

text_id! {
    /// An account: 12 digits, as in ECR.
    AccountId
}

impl FromStr for AccountId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let fits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        if fits { Ok(Self(text.to_owned())) } else { Err(IdentityError::Account) }
    }
}

text_id! {
    /// A domain of policy and failure, such as `eu-north-1` or `store-17`.
    Region
}

impl FromStr for Region {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        if is_label(text) { Ok(Self(text.to_owned())) } else { Err(IdentityError::Label) }
    }
}

text_id! {
    /// A part of a region that fails on its own.
    Zone
}

impl FromStr for Zone {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        if is_label(text) { Ok(Self(text.to_owned())) } else { Err(IdentityError::Label) }
    }
}

/// A DNS label in lower case (RFC 1123), since regions appear in host names.
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// One account's images in one region: the unit that all names live in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryId {
    /// Whose images.
    pub account: AccountId,
    /// Where they belong.
    pub region: Region,
}

impl fmt::Display for RegistryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}

/// A node of the cluster. Never zero; written in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

impl NodeId {
    /// `None` for zero.
    pub fn new(id: u64) -> Option<Self> {
        (id != 0).then_some(Self(id))
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let plain = !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !plain || text.starts_with('0') {
            return Err(IdentityError::Node);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| IdentityError::Node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_regions_and_nodes_follow_their_grammar() {
        assert!("000000000000".parse::<AccountId>().is_ok());
        for bad in ["", "99999999999", "9999999999999", "99999999999a", "٠٠٠٠٠٠"] {
            assert!(bad.parse::<AccountId>().is_err(), "{bad}");
        }
        assert!("eu-north-1".parse::<Region>().is_ok());
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", &"a".repeat(64)] {
            assert!(bad.parse::<Region>().is_err(), "{bad}");
        }
        assert_eq!("ff".parse::<NodeId>().map(NodeId::get), Ok(255));
        for bad in ["", "0", "00", "+1", "g", "11111111111111111", "FF"] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
    }
}
