//! Settings of repositories and registries: which tags may move, how bytes are encrypted, resource tags, ids of documents.
//!
//! Owns their grammars and bounds (ECR specification §3, §6.3, §13). Parsed once, at the edge. What is done with them is
//! decided elsewhere.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use crate::name::{Tag, text_id};

mod template;

pub use template::{CreationTemplate, Scenario, TemplateError};

/// Most filters of a repository.
pub const MAX_TAG_FILTERS: usize = 5;
/// Longest filter in bytes.
pub const MAX_TAG_FILTER: usize = 128;
/// Most resource tags of a repository.
pub const MAX_RESOURCE_TAGS: usize = 50;
/// Longest key of a resource tag in characters.
pub const MAX_RESOURCE_TAG_KEY: usize = 128;
/// Longest value of a resource tag in characters.
pub const MAX_RESOURCE_TAG_VALUE: usize = 256;
/// Longest name of an encryption key in bytes.
pub const MAX_KMS_KEY: usize = 2048;
/// Longest id of a document in bytes: a template's prefix.
pub const MAX_DOCUMENT_ID: usize = 256;

/// Why a text or list is not one of the values of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not a filter of tags.
    #[error("a filter of tags is 1 to {MAX_TAG_FILTER} characters of [0-9a-zA-Z._*-]")]
    TagFilter,
    /// Too many filters.
    #[error("a repository has at most {MAX_TAG_FILTERS} filters of tags")]
    TagFilters,
    /// No mode of tags.
    #[error("no mode of tags")]
    MutabilityMode,
    /// A mode with exclusion that excludes nothing.
    #[error("Exclusion filters are required for a mode with exclusion")]
    NoExclusion,
    /// Exclusions of a plain mode.
    #[error("Exclusion filters need a mode with exclusion")]
    Exclusion,
    /// Not a key of a resource tag.
    #[error("the key of a resource tag is 1 to {MAX_RESOURCE_TAG_KEY} characters")]
    ResourceTagKey,
    /// Not a value of a resource tag.
    #[error("the value of a resource tag is at most {MAX_RESOURCE_TAG_VALUE} characters")]
    ResourceTagValue,
    /// Too many resource tags.
    #[error("a repository has at most {MAX_RESOURCE_TAGS} resource tags")]
    ResourceTags,
    /// Not the name of an encryption key.
    #[error("the name of an encryption key is 1 to {MAX_KMS_KEY} bytes")]
    KmsKey,
    /// Not the id of a document.
    #[error("the id of a document is at most {MAX_DOCUMENT_ID} bytes without control characters")]
    DocumentId,
}

text_id! {
    /// Which tags are meant: `*` is any run of characters, all else is itself, and the whole tag must match.
    TagFilter
}

impl FromStr for TagFilter {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'*' | b'-');
        let fits = (1..=MAX_TAG_FILTER).contains(&text.len()) && text.bytes().all(allowed);
        if fits { Ok(Self(text.to_owned())) } else { Err(SettingsError::TagFilter) }
    }
}

impl TagFilter {
    /// Whether the tag is meant. Time: the sum of both lengths.
    pub fn matches(&self, tag: &Tag) -> bool {
        matches_stars(&self.0, tag.as_str())
    }
}

/// Whether `pattern`, in which `*` is any run of characters and all else itself, matches all of `text`. Time: the sum of
/// both lengths, since what stands between two `*` is never looked for again once it was found at its first place.
pub(crate) fn matches_stars(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Whether a tag may move to another manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MutabilityMode {
    /// It may.
    #[default]
    Mutable,
    /// It may not; it may be deleted, and pushed again.
    Immutable,
}

/// Which tags of a repository may move.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mutability {
    mode: MutabilityMode,
    exclusions: Vec<TagFilter>,
}

impl Mutability {
    /// `mode` holds for all tags but those that one of `exclusions` means.
    ///
    /// # Errors
    /// There are more than [`MAX_TAG_FILTERS`].
    pub fn new(mode: MutabilityMode, exclusions: Vec<TagFilter>) -> Result<Self, SettingsError> {
        let fits = exclusions.len() <= MAX_TAG_FILTERS;
        if fits { Ok(Self { mode, exclusions }) } else { Err(SettingsError::TagFilters) }
    }

    /// By the mode's name in ECR's API (§6.3).
    ///
    /// # Errors
    /// There is no such mode, it does not go with the exclusions, or there are more than [`MAX_TAG_FILTERS`].
    pub fn named(name: &str, exclusions: Vec<TagFilter>) -> Result<Self, SettingsError> {
        let (mode, with_exclusion) = match name {
            "MUTABLE" => (MutabilityMode::Mutable, false),
            "IMMUTABLE" => (MutabilityMode::Immutable, false),
            "MUTABLE_WITH_EXCLUSION" => (MutabilityMode::Mutable, true),
            "IMMUTABLE_WITH_EXCLUSION" => (MutabilityMode::Immutable, true),
            _ => return Err(SettingsError::MutabilityMode),
        };
        match (with_exclusion, exclusions.is_empty()) {
            (true, true) => Err(SettingsError::NoExclusion),
            (false, false) => Err(SettingsError::Exclusion),
            _ => Self::new(mode, exclusions),
        }
    }

    /// The mode's name in ECR's API.
    pub fn name(&self) -> &'static str {
        match (self.mode, self.exclusions.is_empty()) {
            (MutabilityMode::Mutable, true) => "MUTABLE",
            (MutabilityMode::Immutable, true) => "IMMUTABLE",
            (MutabilityMode::Mutable, false) => "MUTABLE_WITH_EXCLUSION",
            (MutabilityMode::Immutable, false) => "IMMUTABLE_WITH_EXCLUSION",
        }
    }

    /// Of the tags that no exclusion means.
    pub fn mode(&self) -> MutabilityMode {
        self.mode
    }

    /// In the order they were given.
    pub fn exclusions(&self) -> &[TagFilter] {
        &self.exclusions
    }

    /// Of this tag.
    pub fn of(&self, tag: &Tag) -> MutabilityMode {
        let is_excluded = self.exclusions.iter().any(|filter| filter.matches(tag));
        match (self.mode, is_excluded) {
            (MutabilityMode::Mutable, false) | (MutabilityMode::Immutable, true) => MutabilityMode::Mutable,
            (MutabilityMode::Immutable, false) | (MutabilityMode::Mutable, true) => MutabilityMode::Immutable,
        }
    }
}

text_id! {
    /// What a key of a key management service is called there: an id, an ARN or an alias.
    KmsKey
}

impl FromStr for KmsKey {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let fits = (1..=MAX_KMS_KEY).contains(&text.len());
        if fits { Ok(Self(text.to_owned())) } else { Err(SettingsError::KmsKey) }
    }
}

/// How a repository's bytes are encrypted; fixed when it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encryption {
    /// By the registry itself.
    #[default]
    Aes256,
    /// By a key of a key management service; none: the account's default one.
    Kms(Option<KmsKey>),
    /// Twice, as [`Encryption::Kms`].
    KmsDsse(Option<KmsKey>),
}

text_id! {
    /// The key of a resource tag. That `aws:` is reserved is the business of who takes it in.
    ResourceTagKey
}

impl FromStr for ResourceTagKey {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let fits = !text.is_empty() && has_at_most(text, MAX_RESOURCE_TAG_KEY);
        if fits { Ok(Self(text.to_owned())) } else { Err(SettingsError::ResourceTagKey) }
    }
}

/// So that a map of tags is asked by the text of a policy.
impl Borrow<str> for ResourceTagKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

text_id! {
    /// The value of a resource tag; it may be empty.
    ResourceTagValue
}

impl FromStr for ResourceTagValue {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let fits = has_at_most(text, MAX_RESOURCE_TAG_VALUE);
        if fits { Ok(Self(text.to_owned())) } else { Err(SettingsError::ResourceTagValue) }
    }
}

/// Counts no further than needed.
fn has_at_most(text: &str, characters: usize) -> bool {
    text.chars().nth(characters).is_none()
}

text_id! {
    /// Which of a registry's documents of one kind: a setting's name, a prefix or a principal's ARN. Empty where there is
    /// only one.
    DocumentId
}

impl DocumentId {
    /// Of the only document of its kind.
    pub fn only() -> Self {
        Self(String::new())
    }
}

impl FromStr for DocumentId {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let fits = text.len() <= MAX_DOCUMENT_ID && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(SettingsError::DocumentId) }
    }
}

#[cfg(test)]
#[path = "settings_test.rs"]
mod tests;
