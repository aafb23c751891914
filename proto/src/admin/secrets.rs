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
    /// The number of the newest key, which encrypts all secrets now.
    pub key: String,
    /// Whether it was made now. Not if a rotation before did not come to its end: then that was ended.
    pub is_new: bool,
    /// Access keys whose secrets were encrypted anew.
    pub access_keys: u64,
    /// Access keys whose secrets cannot be read, and stay as they are.
    pub damaged: u64,
}
