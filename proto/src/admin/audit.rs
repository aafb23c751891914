//! Documents of the audit log.

use serde::{Deserialize, Serialize};

/// One decision: something was changed, or denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub time_ms: u64,
    /// Who asked: an ARN, or `anonymous`.
    pub principal: String,
    /// From which address.
    pub source: String,
    /// What for, as policies name it.
    pub action: String,
    /// Of what: an ARN, or `*`.
    pub resource: String,
    /// The tag that is moved, removed or read, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// What the resource does not say: the request to the admin API, the policy, key, token or member that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether it was allowed.
    pub is_allowed: bool,
    /// The statement that decided it, or what was missing.
    pub reason: String,
    /// Of the request, as its answer says: one may ask for several decisions.
    pub request_id: String,
}

/// Some entries, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// At most 1000; there may be none although there are more.
    pub entries: Vec<Entry>,
    /// Where the next page begins.
    pub next: String,
    /// Whether there is one now.
    pub more: bool,
}
