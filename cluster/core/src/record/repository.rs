//! Records of repositories: their settings, and which documents they have.

use std::collections::BTreeMap;

use proto::settings::{
    Encryption, KmsKey, Mutability, MutabilityMode, ResourceTagKey, ResourceTagValue, SettingsError,
};
use proto::wire::record as wire;

use super::{Record, RecordError};

/// A repository exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryRecord {
    /// Of its making, or of the first push.
    pub created_ms: u64,
    /// What can be set.
    pub settings: RepositorySettings,
    /// Index of the entry that last changed its access policy; none: it has none. Whoever keeps what followed from the
    /// policy compares this.
    pub policy_index: Option<u64>,
    /// As `policy_index`, of its lifecycle policy.
    pub lifecycle_index: Option<u64>,
}

impl RepositoryRecord {
    /// Without anything set, as a push makes it.
    pub(crate) fn new(created_ms: u64) -> Self {
        Self {
            created_ms,
            settings: RepositorySettings::default(),
            policy_index: None,
            lifecycle_index: None,
        }
    }

    /// Index of the entry that last changed the document; `None`: there is none.
    pub fn document_index(&self, kind: RepositoryDocument) -> Option<u64> {
        match kind {
            RepositoryDocument::Policy => self.policy_index,
            RepositoryDocument::LifecyclePolicy => self.lifecycle_index,
        }
    }

    pub(crate) fn document_index_mut(&mut self, kind: RepositoryDocument) -> &mut Option<u64> {
        match kind {
            RepositoryDocument::Policy => &mut self.policy_index,
            RepositoryDocument::LifecyclePolicy => &mut self.lifecycle_index,
        }
    }
}

/// What can be set of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositorySettings {
    /// Which tags may move.
    pub mutability: Mutability,
    /// Whether its images are scanned when they are pushed, if the registry has no rule for it.
    pub scans_on_push: bool,
    /// Fixed when it is made.
    pub encryption: Encryption,
    /// At most `MAX_RESOURCE_TAGS` of `proto::settings`.
    pub tags: BTreeMap<ResourceTagKey, ResourceTagValue>,
}

/// What a repository has one document of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RepositoryDocument {
    /// Who else may use it.
    Policy,
    /// Which of its images go.
    LifecyclePolicy,
}

impl RepositoryDocument {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Policy, Self::LifecyclePolicy];

    /// Of keys and messages.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Policy => 1,
            Self::LifecyclePolicy => 2,
        }
    }

    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| u32::from(kind.number()) == number)
    }
}

/// As messages have it.
pub(crate) fn encryption_to_numbers(encryption: &Encryption) -> (u32, Option<String>) {
    let text = |key: &Option<KmsKey>| key.as_ref().map(ToString::to_string);
    match encryption {
        Encryption::Aes256 => (0, None),
        Encryption::Kms(key) => (1, text(key)),
        Encryption::KmsDsse(key) => (2, text(key)),
    }
}

/// As [`encryption_to_numbers`] wrote it.
pub(crate) fn encryption_from_numbers(kind: u32, key: Option<&str>) -> Result<Encryption, &'static str> {
    let key = key.map(str::parse).transpose().map_err(|_| "encryption key")?;
    match (kind, key) {
        (0, None) => Ok(Encryption::Aes256),
        (1, key) => Ok(Encryption::Kms(key)),
        (2, key) => Ok(Encryption::KmsDsse(key)),
        _ => Err("encryption"),
    }
}

/// As messages have it.
pub(crate) fn mutability_to_texts(mutability: &Mutability) -> (bool, Vec<String>) {
    let exclusions = mutability.exclusions().iter().map(ToString::to_string);
    (mutability.mode() == MutabilityMode::Immutable, exclusions.collect())
}

/// As [`mutability_to_texts`] wrote it.
pub(crate) fn mutability_from_texts(
    is_immutable: bool,
    exclusions: &[String],
) -> Result<Mutability, SettingsError> {
    let mode = if is_immutable { MutabilityMode::Immutable } else { MutabilityMode::Mutable };
    let exclusions = exclusions.iter().map(|filter| filter.parse());
    Mutability::new(mode, exclusions.collect::<Result<_, _>>()?)
}

/// As messages have them.
pub(crate) fn tags_to_texts(tags: &BTreeMap<ResourceTagKey, ResourceTagValue>) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// As [`tags_to_texts`] wrote them.
pub(crate) fn tags_from_texts(
    tags: &BTreeMap<String, String>,
) -> Result<BTreeMap<ResourceTagKey, ResourceTagValue>, SettingsError> {
    tags.iter().map(|(key, value)| Ok((key.parse()?, value.parse()?))).collect()
}

impl Record for RepositoryRecord {
    type Wire = wire::Repository;

    const VERSION: u8 = 2;

    /// What a push makes has the bytes that every release wrote for it.
    fn version(&self) -> u8 {
        if *self == Self::new(self.created_ms) { 1 } else { Self::VERSION }
    }

    fn to_wire(&self) -> wire::Repository {
        let (is_immutable, mutability_exclusions) = mutability_to_texts(&self.settings.mutability);
        let (encryption, kms_key) = encryption_to_numbers(&self.settings.encryption);
        wire::Repository {
            created_ms: self.created_ms,
            is_immutable,
            mutability_exclusions,
            scans_on_push: self.settings.scans_on_push,
            encryption,
            kms_key,
            tags: tags_to_texts(&self.settings.tags),
            policy_index: self.policy_index.unwrap_or(0),
            lifecycle_index: self.lifecycle_index.unwrap_or(0),
        }
    }

    fn from_wire(wire: wire::Repository) -> Result<Self, RecordError> {
        let mutability = mutability_from_texts(wire.is_immutable, &wire.mutability_exclusions);
        let index = |index: u64| (index > 0).then_some(index);
        Ok(Self {
            created_ms: wire.created_ms,
            settings: RepositorySettings {
                mutability: mutability.map_err(|_| RecordError::Field("mutability"))?,
                scans_on_push: wire.scans_on_push,
                encryption: encryption_from_numbers(wire.encryption, wire.kms_key.as_deref())
                    .map_err(RecordError::Field)?,
                tags: tags_from_texts(&wire.tags).map_err(|_| RecordError::Field("resource tag"))?,
            },
            policy_index: index(wire.policy_index),
            lifecycle_index: index(wire.lifecycle_index),
        })
    }
}
