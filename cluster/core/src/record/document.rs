//! Records of documents: texts that belong to a repository or a registry.

use proto::wire::record as wire;

use super::{Record, RecordError};

/// A document of a repository or registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentRecord {
    /// As it came from who validated it.
    pub text: String,
    /// Log time.
    pub created_ms: u64,
    /// Log time of the last change.
    pub changed_ms: u64,
    /// Index of the entry that last changed it: whoever keeps what followed from it compares this.
    pub changed_index: u64,
}

/// What a registry has documents of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegistryDocument {
    /// Who else may use its repositories; the only one.
    Policy,
    /// Where its images go; the only one.
    Replication,
    /// Which of its images are scanned, and when; the only one.
    Scanning,
    /// Which of its images are signed, and as whose; the only one.
    Signing,
    /// A setting of the account; by name.
    AccountSetting,
    /// What repositories are like that are not made by hand; by prefix, or `ROOT`.
    CreationTemplate,
    /// An upstream registry whose images are fetched and kept; by prefix, or `ROOT`.
    PullThroughCacheRule,
    /// A principal whose pulls are not recorded; by ARN.
    PullTimeExclusion,
}

impl RegistryDocument {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Policy,
        Self::Replication,
        Self::Scanning,
        Self::Signing,
        Self::AccountSetting,
        Self::CreationTemplate,
        Self::PullThroughCacheRule,
        Self::PullTimeExclusion,
    ];

    /// Of keys and messages.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Policy => 1,
            Self::Replication => 2,
            Self::Scanning => 3,
            Self::Signing => 4,
            Self::AccountSetting => 5,
            Self::CreationTemplate => 6,
            Self::PullThroughCacheRule => 7,
            Self::PullTimeExclusion => 8,
        }
    }

    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| u32::from(kind.number()) == number)
    }
}

impl Record for DocumentRecord {
    type Wire = wire::Document;

    fn to_wire(&self) -> wire::Document {
        wire::Document {
            text: self.text.clone(),
            created_ms: self.created_ms,
            changed_ms: self.changed_ms,
            changed_index: self.changed_index,
        }
    }

    fn from_wire(wire: wire::Document) -> Result<Self, RecordError> {
        Ok(Self {
            text: wire.text,
            created_ms: wire.created_ms,
            changed_ms: wire.changed_ms,
            changed_index: wire.changed_index,
        })
    }
}
