//! Documents of the keys that encrypt secrets. No key is in them.

use serde::{Deserialize, Serialize};

/// The keys of secrets that a node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretKeys {
    /// The newest first.
    pub keys: Vec<SecretKey>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretKey {
    /// Its number: 8 hexadecimal digits.
    pub key: String,
    /// Access keys whose secrets it encrypts.
    pub access_keys: u64,
}

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// The number of the new key.
    pub key: String,
    /// Access keys whose secrets were encrypted anew.
    pub access_keys: u64,
}
