//! Writing: committing uploaded blobs, mounting, and storing manifests.

use std::collections::BTreeMap;

use blobs::{BlobCopy, BlobError, Upload};
use cluster_core::command::image::{Dialect, ImageCommand, ImageRefusal, PutImage};
use cluster_core::command::{
    Command, CommitBlob, Condition, ConfirmCopies, MountBlob, PutManifest, Response,
};
use cluster_core::key::RepositoryId;
use cluster_core::state;
use proto::digest::Digest;
use proto::manifest::Manifest;
use proto::name::{RepositoryName, Tag};
use proto::upload::UploadId;

use super::{COPIES_AT_PUSH, Registry, RegistryError};

/// How long a staged copy may wait for its commit, in log time (consistency rule R3), milliseconds.
pub(crate) const STAGING_MS: u64 = 60 * 60 * 1000;

/// A manifest to be stored.
pub(crate) struct ManifestPut {
    /// Of `content`, which was checked.
    pub(crate) digest: Digest,
    /// Byte for byte.
    pub(crate) content: Vec<u8>,
    /// What `content` says.
    pub(crate) manifest: Manifest,
    /// Moved to it, all or none.
    pub(crate) tags: Vec<Tag>,
    /// Judged when the entry is applied.
    pub(crate) condition: Option<Condition>,
}

/// Why a manifest was not stored.
pub(crate) enum ManifestRefusal {
    /// The repository does not have these blobs.
    MissingBlobs(Vec<Digest>),
    /// The document states other sizes; with the true ones.
    SizeMismatch(Vec<(Digest, u64)>),
    /// The condition does not hold.
    ConditionFailed(Option<Digest>),
    /// The tag stands for another image, and the repository lets it not move.
    TagImmutable(Tag),
}

/// Why Amazon ECR's API does not store an image.
pub(crate) enum ImageRefused {
    /// There is no such repository.
    NoRepository,
    /// The image is there, with this tag if one was given.
    AlreadyThere,
    /// The repository does not have these images of the index.
    MissingChildren(Vec<Digest>),
    /// As in every dialect.
    Manifest(ManifestRefusal),
}

impl Registry {
    /// Closes an upload and makes its blob readable in `repository`. A crash before the commit leaves a
    /// session or a staged file, which the janitor removes; after it, a linked blob.
    ///
    /// The deadline is taken before the file is staged: whoever finds the file counts from a later log
    /// time, and so never removes it while the commit could still take effect (R3).
    pub(crate) async fn finish_upload(
        &self,
        repository: &RepositoryId,
        upload: &Upload,
        digest: Digest,
    ) -> Result<(), RegistryError> {
        let staging_deadline_ms = self.metadata.applied_log_time()?.saturating_add(STAGING_MS);
        let copy = upload.finish(digest).await?;
        let known = state::blob::blob(&self.metadata.local()?, &digest)?;
        let copies = match known {
            // Its copies are those of the record, whatever is uploaded now.
            Some(_) => vec![self.copies.own_receipt()],
            None => self.copies.gather(&copy, COPIES_AT_PUSH as usize, staging_deadline_ms).await,
        };
        let command = Command::CommitBlob(CommitBlob {
            repository: repository.clone(),
            digest: copy.digest,
            size: copy.size,
            generation: copy.generation,
            pieces_root: copy.pieces_root,
            staging_deadline_ms,
            copies,
            required_copies: COPIES_AT_PUSH,
            required_zones: COPIES_AT_PUSH,
        });
        match self.metadata.propose(command).await? {
            Response::BlobLinked { generation } => {
                // An older record stays; its copy may be damaged, ours is not (rule R4).
                self.blobs.adopt(&copy, generation).await?;
                self.confirm_adopted(&digest, generation).await
            }
            Response::StagingExpired => Err(RegistryError::StagingExpired),
            Response::TooFewCopies { copies, zones } => Err(RegistryError::TooFewCopies { copies, zones }),
            Response::VoidReceipts(_) => Err(RegistryError::TooFewCopies { copies: 0, zones: 0 }),
            _ => Err(RegistryError::Unexpected),
        }
    }

    /// Whether the upload that ended in `staged` is committed, and can be read. What a lost request left
    /// undone, adopting the staged copy in place of a damaged one, is done now; committing is not, since the
    /// deadline of that copy is not known any more.
    pub(crate) async fn finish_again(
        &self,
        repository: &RepositoryId,
        staged: &BlobCopy,
    ) -> Result<bool, RegistryError> {
        let Some((recorded, _)) = self.find_blob(repository, &staged.digest).await? else {
            return Ok(false);
        };
        if self.blobs.open_copy(&recorded).await.is_ok() {
            return Ok(true);
        }
        match self.blobs.adopt(staged, recorded.generation).await {
            Ok(_) if staged.generation != recorded.generation => {
                self.confirm_adopted(&staged.digest, recorded.generation).await?;
                Ok(true)
            }
            Ok(_) => Err(BlobError::Damaged.into()),
            Err(BlobError::Missing) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells the cluster of the copy that was adopted here, if the blob has too few without it: until it knows, other
    /// nodes look for the bytes in vain. The repair would tell it too, but after the client has its answer.
    async fn confirm_adopted(&self, digest: &Digest, generation: UploadId) -> Result<(), RegistryError> {
        let own = self.copies.own_receipt();
        let is_missed = {
            let reader = self.metadata.read().await?;
            let wanted = state::node::layout(&reader)?.unwrap_or_default().wanted();
            match state::blob::blob(&reader, digest)? {
                Some(record) if record.generation == generation && !record.copies.contains(&own.node) => {
                    state::copies::count(&reader, &record.copies)?.copies < wanted
                }
                _ => false,
            }
        };
        if is_missed {
            let (lost, released) = (Vec::new(), Vec::new());
            let confirm = ConfirmCopies { digest: *digest, generation, added: vec![own], lost, released };
            self.metadata.propose(Command::ConfirmCopies(confirm)).await?;
        }
        Ok(())
    }

    /// Makes `digest` readable in `repository` if one of `from` has it. `from` must be readable for who
    /// asks. A damaged blob is not mounted, so that the client pushes it and heals it.
    pub(crate) async fn mount_blob(
        &self,
        repository: &RepositoryId,
        digest: Digest,
        from: Vec<RepositoryName>,
    ) -> Result<bool, RegistryError> {
        if from.is_empty() || self.blobs.is_damaged(&digest) {
            return Ok(false);
        }
        let command = Command::MountBlob(MountBlob { repository: repository.clone(), digest, from });
        match self.metadata.propose(command).await? {
            Response::Mounted { .. } => Ok(true),
            Response::NotMounted => Ok(false),
            _ => Err(RegistryError::Unexpected),
        }
    }

    /// Stores a manifest and moves tags to it in one entry.
    pub(crate) async fn put_manifest(
        &self,
        repository: &RepositoryId,
        put: ManifestPut,
    ) -> Result<Result<(), ManifestRefusal>, RegistryError> {
        let command = Command::PutManifest(Box::new(put.into_command(repository)));
        stored(self.metadata.propose(command).await?).ok_or(RegistryError::Unexpected)
    }

    /// The same by Amazon ECR's rules: into a repository that exists, nothing that is there already, and an index only
    /// if all its images are there.
    pub(crate) async fn put_image(
        &self,
        repository: &RepositoryId,
        put: ManifestPut,
    ) -> Result<Result<(), ImageRefused>, RegistryError> {
        let put = PutImage { manifest: put.into_command(repository), dialect: Dialect::Ecr };
        let command = Command::Image(Box::new(ImageCommand::Put(put)));
        Ok(Err(match self.metadata.propose(command).await? {
            Response::ImageRefused(ImageRefusal::NoRepository) => ImageRefused::NoRepository,
            Response::ImageRefused(ImageRefusal::AlreadyThere) => ImageRefused::AlreadyThere,
            Response::ImageRefused(ImageRefusal::MissingChildren(children)) => {
                ImageRefused::MissingChildren(children)
            }
            response => match stored(response) {
                Some(Ok(())) => return Ok(Ok(())),
                Some(Err(refusal)) => ImageRefused::Manifest(refusal),
                None => return Err(RegistryError::Unexpected),
            },
        }))
    }
}

impl ManifestPut {
    fn into_command(self, repository: &RepositoryId) -> PutManifest {
        let manifest = self.manifest;
        let required = manifest.blobs.iter().filter(|blob| !blob.foreign);
        PutManifest {
            repository: repository.clone(),
            digest: self.digest,
            media_type: manifest.kind.media_type().to_owned(),
            content: self.content,
            blobs: required.map(|blob| (blob.digest, blob.size)).collect(),
            children: manifest.children.iter().map(|child| child.digest).collect(),
            subject: manifest.subject,
            artifact_type: manifest.artifact_type,
            annotations: if manifest.subject.is_some() { manifest.annotations } else { BTreeMap::new() },
            tags: self.tags,
            condition: self.condition,
        }
    }
}

/// What became of a put; `None` for an answer to something else.
fn stored(response: Response) -> Option<Result<(), ManifestRefusal>> {
    match response {
        Response::ManifestStored { .. } => Some(Ok(())),
        Response::MissingBlobs(digests) => Some(Err(ManifestRefusal::MissingBlobs(digests))),
        Response::SizeMismatch(sizes) => Some(Err(ManifestRefusal::SizeMismatch(sizes))),
        Response::ConditionFailed { current } => Some(Err(ManifestRefusal::ConditionFailed(current))),
        Response::TagImmutable { tag } => Some(Err(ManifestRefusal::TagImmutable(tag))),
        _ => None,
    }
}
