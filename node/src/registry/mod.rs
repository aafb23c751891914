//! What the registry does, without HTTP: pull, push, delete, a file each. Handlers of every dialect call
//! these; each asks the metadata what is true and the blob store for bytes.

pub(crate) mod account_setting;
pub(crate) mod creation;
mod delete;
pub(crate) mod edge;
mod fetch;
mod pull;
mod pulls;
mod push;

use blobs::{BlobError, BlobStore};
use cluster::{Metadata, ProposeError, ReadError, StateReader, StorageError};
use cluster_core::access::Caller;
use cluster_core::key::RepositoryId;
use cluster_core::state::StateError;
use proto::digest::Digest;
use proto::settings::TemplateError;

use peer::exchange::FetchError;

use crate::adapters::copies::Copies;

pub(crate) use delete::BlobDeletion;
pub(crate) use fetch::OpenBlob;
pub(crate) use pull::{FoundManifest, ReferrerRow};
pub(crate) use pulls::Pulls;
pub(crate) use push::{ImageRefused, ManifestPut, ManifestRefusal, STAGING_MS};

/// Why something could not be done, though it was asked rightly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    /// Metadata could not be read.
    #[error("metadata could not be read")]
    Read(#[from] ReadError),
    /// The change was not agreed on; it may still take effect.
    #[error("the change was not agreed on")]
    Propose(#[from] ProposeError),
    /// The blob store refused or failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The upload took so long that its bytes may be gone (consistency rule R3); push again.
    #[error("the staged upload expired")]
    StagingExpired,
    /// Not enough nodes could take a copy in time; nothing became visible.
    #[error("{copies} copies in {zones} zones, which are too few")]
    TooFewCopies {
        /// Nodes that have one.
        copies: u32,
        /// Zones that these are in.
        zones: u32,
    },
    /// The bytes are elsewhere and could not be fetched.
    #[error("the blob could not be fetched from other nodes")]
    Fetch(#[from] FetchError),
    /// A stored creation template that a release took in which knew less.
    #[error("a creation template cannot be used")]
    Template(#[from] TemplateError),
    /// Apply answered what it never should.
    #[error("unexpected answer of the state machine")]
    Unexpected,
}

impl From<StateError<StorageError>> for RegistryError {
    fn from(error: StateError<StorageError>) -> Self {
        Self::Read(error.into())
    }
}

/// Nodes that must have a blob synced before it is acknowledged, in zones of their own: fewer where the
/// cluster has fewer (consistency promise 9).
pub(crate) const COPIES_AT_PUSH: u32 = 2;

/// The registry's use cases on this node.
#[derive(Clone)]
pub(crate) struct Registry {
    /// What is true.
    pub(crate) metadata: Metadata,
    /// Where the bytes are.
    pub(crate) blobs: BlobStore,
    /// Where they are beside here.
    pub(crate) copies: Copies,
    /// On an edge: how it may answer without the others.
    pub(crate) edge: Option<edge::Edge>,
    /// What it gave to somebody.
    pub(crate) pulls: Pulls,
}

impl Registry {
    /// An image was given to `caller` now, which its registry notes unless it was told not to for this one.
    pub(crate) fn note_pull(
        &self,
        caller: &Caller,
        repository: &RepositoryId,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        if !pulls::is_excluded(&self.metadata.local()?, &repository.registry, caller)? {
            self.pulls.note(repository, digest);
        }
        Ok(())
    }

    /// The state that names are read from: linearizable; on an edge this node's own, since [`edge::Edge::look`]
    /// came before and made it current, or decided that it may be old.
    async fn current(&self) -> Result<StateReader, ReadError> {
        match self.edge {
            Some(_) => self.metadata.local(),
            None => self.metadata.read().await,
        }
    }

    /// Asks `question` of this node's state, and again behind a linearizable barrier if that finds
    /// nothing: right for content named by digest, which never changes.
    async fn local_first<T>(
        &self,
        question: impl Fn(&StateReader) -> Result<Option<T>, StateError<StorageError>>,
    ) -> Result<Option<T>, RegistryError> {
        if let Some(found) = question(&self.metadata.local()?)? {
            return Ok(Some(found));
        }
        Ok(question(&self.metadata.read().await?)?)
    }
}
