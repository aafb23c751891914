//! Documents of access keys.

use serde::{Deserialize, Serialize};

/// An access key, as it is made; shown once.
#[derive(Clone, Serialize, Deserialize)]
pub struct AccessKey {
    /// Names it; no secret.
    pub id: String,
    /// What requests are signed with.
    pub secret: String,
}

/// An access key as it is listed: without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKeyInfo {
    /// Names it.
    pub id: String,
    /// Whether what it signs is its owner's.
    pub is_active: bool,
    /// When it was made.
    pub created_ms: u64,
}

/// All access keys of an owner, by id: at most two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKeys {
    /// The keys.
    pub keys: Vec<AccessKeyInfo>,
}
