//! Deleting: names at once; bytes would go later, when nothing links them (consistency promises 26–28), but
//! nothing proposes that yet.

use cluster_core::command::image::{ImageCommand, ImageName, ImageRefusal};
use cluster_core::command::{Command, Response};
use cluster_core::key::RepositoryId;
use proto::digest::Digest;
use proto::name::{Reference, Tag};

use super::{Registry, RegistryError};

/// What became of the wish to delete a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlobDeletion {
    /// It can no longer be read here.
    Deleted,
    /// It was not here.
    NotFound,
    /// A manifest here needs it.
    InUse,
}

impl Registry {
    /// Removes a tag, or a manifest with all its tags. False if there was none.
    pub(crate) async fn delete_manifest(
        &self,
        repository: &RepositoryId,
        reference: Reference,
    ) -> Result<bool, RegistryError> {
        let repository = repository.clone();
        // Tags are never read from a state that may be behind.
        let is_shown_by_digest = matches!(reference, Reference::Digest(_));
        let command = match reference {
            Reference::Tag(tag) => Command::DeleteTag { repository, tag },
            Reference::Digest(digest) => Command::DeleteManifest { repository, digest },
        };
        match self.metadata.propose(command).await? {
            Response::Deleted => {
                if is_shown_by_digest {
                    self.settle().await;
                }
                Ok(true)
            }
            Response::NotFound => Ok(false),
            _ => Err(RegistryError::Unexpected),
        }
    }

    /// Deletes an image by Amazon ECR's rules: what was removed, as digests with tags. Call [`Registry::settle`] when all
    /// deletions of a request are done.
    pub(crate) async fn delete_image(
        &self,
        repository: &RepositoryId,
        image: ImageName,
    ) -> Result<Result<Vec<(Digest, Option<Tag>)>, ImageRefusal>, RegistryError> {
        let command = ImageCommand::Delete { repository: repository.clone(), image };
        match self.metadata.propose(Command::Image(Box::new(command))).await? {
            Response::ImagesDeleted(removed) => Ok(Ok(removed)),
            Response::ImageRefused(refusal) => Ok(Err(refusal)),
            _ => Err(RegistryError::Unexpected),
        }
    }

    /// Makes a blob unreadable in this repository; others keep it.
    pub(crate) async fn delete_blob(
        &self,
        repository: &RepositoryId,
        digest: Digest,
    ) -> Result<BlobDeletion, RegistryError> {
        let command = Command::UnlinkBlob { repository: repository.clone(), digest };
        match self.metadata.propose(command).await? {
            Response::Unlinked => {
                self.settle().await;
                Ok(BlobDeletion::Deleted)
            }
            Response::NotFound => Ok(BlobDeletion::NotFound),
            Response::InUse => Ok(BlobDeletion::InUse),
            _ => Err(RegistryError::Unexpected),
        }
    }

    /// What was deleted is to be gone at every node once that is acknowledged, though each reads by digest from
    /// its own state first.
    pub(crate) async fn settle(&self) {
        for cut_off in self.metadata.settle().await {
            tracing::warn!(node.id = %cut_off.node, "a node that cannot be reached may show what was deleted");
        }
    }
}
