//! Commands about what is set of repositories and registries, and about repositories as a whole.
//!
//! Whoever builds one has asked whether the caller may, and has validated the texts in it: apply looks at their length and
//! number only.

use std::collections::{BTreeMap, BTreeSet};

use proto::identity::RegistryId;
use proto::settings::{DocumentId, Mutability, ResourceTagKey, ResourceTagValue};

use crate::key::RepositoryId;
use crate::record::{RegistryDocument, RepositoryDocument, RepositorySettings};

/// Longest text of a document in bytes. Callers have tighter limits of their own; this one bounds an entry.
pub const MAX_DOCUMENT: usize = 64 << 10;

/// Makes a repository with all that is set of it, or refuses. Not done already if it comes again: one who made it and
/// did not hear of it is told that it exists, as anybody else is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRepository {
    /// Which.
    pub repository: RepositoryId,
    /// As it begins.
    pub settings: RepositorySettings,
    /// With which it begins.
    pub documents: BTreeMap<RepositoryDocument, String>,
    /// How many repositories the registry may have then. What the first push makes is not held back by it.
    pub most: u32,
}

/// Sets a document of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutRegistryDocument {
    /// Whose.
    pub registry: RegistryId,
    /// Of what.
    pub kind: RegistryDocument,
    /// Which one.
    pub id: DocumentId,
    /// In place of what was there.
    pub text: String,
    /// Refused if it does not hold.
    pub condition: DocumentCondition,
    /// How many of the kind the registry may have, if it is a new one.
    pub most: u32,
}

/// What must be there before a document is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentCondition {
    /// Nothing.
    Create,
    /// One to replace.
    Replace,
    /// Nothing or one.
    Any,
}

/// Commands of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepositoryCommand {
    /// See [`CreateRepository`].
    Create(CreateRepository),
    /// Says which tags may move from now on.
    SetMutability {
        /// Of what.
        repository: RepositoryId,
        /// From now on.
        mutability: Mutability,
    },
    /// Says whether images are scanned when they are pushed.
    SetScanOnPush {
        /// Of what.
        repository: RepositoryId,
        /// From now on.
        scans_on_push: bool,
    },
    /// Adds resource tags, in place of those with the same keys; all or none.
    Tag {
        /// To what.
        repository: RepositoryId,
        /// To add.
        tags: BTreeMap<ResourceTagKey, ResourceTagValue>,
    },
    /// Takes resource tags away, as far as they are there.
    Untag {
        /// From what.
        repository: RepositoryId,
        /// Which.
        keys: BTreeSet<ResourceTagKey>,
    },
    /// Sets a document of a repository.
    SetDocument {
        /// Of what.
        repository: RepositoryId,
        /// Which.
        kind: RepositoryDocument,
        /// In place of what was there.
        text: String,
    },
    /// Takes a document of a repository away.
    DeleteDocument {
        /// Of what.
        repository: RepositoryId,
        /// Which.
        kind: RepositoryDocument,
    },
    /// Deletes a repository without manifests, in as many entries as it takes.
    Delete {
        /// Which.
        repository: RepositoryId,
        /// Most links that are removed in this entry; at least one is.
        limit: u32,
    },
    /// Removes a repository's manifests with all that hangs on them, in as many entries as it takes.
    Clear {
        /// Of what.
        repository: RepositoryId,
        /// Most manifests that are removed in this entry; at least one is.
        limit: u32,
    },
    /// See [`PutRegistryDocument`].
    PutRegistryDocument(PutRegistryDocument),
    /// Takes a document of a registry away.
    DeleteRegistryDocument {
        /// Whose.
        registry: RegistryId,
        /// Of what.
        kind: RegistryDocument,
        /// Which one.
        id: DocumentId,
    },
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RepositoryRefusal {
    /// The repository is there already.
    Exists,
    /// There is no such repository.
    NotFound,
    /// The repository has manifests.
    NotEmpty,
    /// It would be more repositories, or documents of the kind, than there may be.
    Limit,
    /// It would be more resource tags than there may be.
    TooManyTags,
    /// The text is longer than [`MAX_DOCUMENT`].
    DocumentTooLong,
    /// There is such a document already.
    DocumentExists,
    /// There is no such document.
    DocumentNotFound,
}

impl RepositoryRefusal {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Exists,
        Self::NotFound,
        Self::NotEmpty,
        Self::Limit,
        Self::TooManyTags,
        Self::DocumentTooLong,
        Self::DocumentExists,
        Self::DocumentNotFound,
    ];
}

impl RepositoryCommand {
    /// Whether it can make the state larger.
    pub fn adds(&self) -> bool {
        match self {
            Self::Create(_)
            | Self::SetMutability { .. }
            | Self::Tag { .. }
            | Self::SetDocument { .. }
            | Self::PutRegistryDocument(_) => true,
            Self::SetScanOnPush { .. }
            | Self::Untag { .. }
            | Self::DeleteDocument { .. }
            | Self::Delete { .. }
            | Self::Clear { .. }
            | Self::DeleteRegistryDocument { .. } => false,
        }
    }

    /// Bytes of the texts in it that can be long.
    pub(super) fn text_len(&self) -> usize {
        let of_tags = |tags: &BTreeMap<ResourceTagKey, ResourceTagValue>| -> usize {
            tags.iter().map(|(key, value)| key.as_str().len() + value.as_str().len() + 16).sum()
        };
        match self {
            Self::Create(create) => {
                of_tags(&create.settings.tags) + create.documents.values().map(String::len).sum::<usize>()
            }
            Self::Tag { tags, .. } => of_tags(tags),
            Self::Untag { keys, .. } => keys.iter().map(|key| key.as_str().len() + 8).sum(),
            Self::SetDocument { text, .. } => text.len(),
            Self::PutRegistryDocument(put) => put.text.len(),
            _ => 0,
        }
    }
}
