//! Reading: manifests, blobs, and the listings.

use blobs::BlobCopy;
use cluster::{StateReader, StorageError};
use cluster_core::command::{Command, Response};
use cluster_core::key::RepositoryId;
use cluster_core::record::{BlobRecord, ReferrerRecord};
use cluster_core::state::{self, Page, StateError};
use proto::digest::Digest;
use proto::identity::RegistryId;
use proto::name::{Reference, RepositoryName, Tag};

use super::{Registry, RegistryError};

/// A manifest that was found.
#[derive(Clone, Debug)]
pub(crate) struct FoundManifest {
    /// Its name.
    pub(crate) digest: Digest,
    /// As pushed.
    pub(crate) media_type: String,
    /// Bytes.
    pub(crate) size: u64,
}

/// One referrer, as listed.
pub(crate) type ReferrerRow = (Digest, ReferrerRecord);

impl Registry {
    /// The manifest that `reference` names now. Tags are read linearizably.
    pub(crate) async fn find_manifest(
        &self,
        repository: &RepositoryId,
        reference: &Reference,
    ) -> Result<Option<FoundManifest>, RegistryError> {
        self.by_reference(reference, |reader| find_in(reader, repository, reference)).await
    }

    /// The same with its bytes, which were checked against the digest; both of one index.
    pub(crate) async fn read_manifest(
        &self,
        repository: &RepositoryId,
        reference: &Reference,
    ) -> Result<Option<(FoundManifest, Vec<u8>)>, RegistryError> {
        let read = |reader: &StateReader| {
            let Some(found) = find_in(reader, repository, reference)? else {
                return Ok(None);
            };
            let content = state::manifest::manifest_content(reader, repository, &found.digest)?;
            Ok(content.map(|content| (found, content)))
        };
        self.by_reference(reference, read).await
    }

    async fn by_reference<T>(
        &self,
        reference: &Reference,
        question: impl Fn(&StateReader) -> Result<Option<T>, StateError<StorageError>>,
    ) -> Result<Option<T>, RegistryError> {
        match reference {
            Reference::Tag(_) => Ok(question(&self.current().await?)?),
            Reference::Digest(_) => self.local_first(question).await,
        }
    }

    /// The blob, if this repository has it.
    pub(crate) async fn find_blob(
        &self,
        repository: &RepositoryId,
        digest: &Digest,
    ) -> Result<Option<(BlobCopy, BlobRecord)>, RegistryError> {
        let found = self.local_first(|reader| state::blob::linked_blob(reader, repository, digest)).await?;
        Ok(found.map(|(_, record)| {
            let copy = BlobCopy {
                digest: *digest,
                size: record.size,
                generation: record.generation,
                pieces_root: record.pieces_root,
            };
            (copy, record)
        }))
    }

    /// Keeps a blob that a pusher was told of from being dropped before it can link it (promise 28).
    /// Proposes only when less than half of the lease is left.
    pub(crate) async fn renew_lease(&self, digest: Digest, record: &BlobRecord) -> Result<(), RegistryError> {
        let now = self.metadata.applied_log_time()?;
        if record.lease_until_ms.saturating_sub(now) >= state::blob::LEASE_MS / 2 {
            return Ok(());
        }
        match self.metadata.propose(Command::RenewLease { digest }).await? {
            Response::LeaseRenewed { .. } | Response::NotFound => Ok(()),
            _ => Err(RegistryError::Unexpected),
        }
    }

    /// Tags after `after`, or `None` if there is no such repository.
    pub(crate) async fn tags(
        &self,
        repository: &RepositoryId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Page<Tag>>, RegistryError> {
        let reader = self.current().await?;
        if state::repository::repository(&reader, repository)?.is_none() {
            return Ok(None);
        }
        Ok(Some(state::tag::tags(&reader, repository, after, limit)?))
    }

    /// Repositories after `after`.
    pub(crate) async fn repositories(
        &self,
        registry: &RegistryId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<RepositoryName>, RegistryError> {
        let reader = self.current().await?;
        Ok(state::repository::repositories(&reader, registry, after, limit)?)
    }

    /// Some repositories of the registry that have the blob; at most `limit`.
    pub(crate) async fn repositories_with_blob(
        &self,
        registry: &RegistryId,
        digest: &Digest,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, RegistryError> {
        let reader = self.current().await?;
        Ok(state::blob::repositories_with_blob(&reader, registry, digest, limit)?)
    }

    /// Referrers of `subject` after `after`, of one type or all, of about `max_bytes` together; the second
    /// value is the last one's digest if more follow. All of one index, read on a blocking thread, since a
    /// filter reads what it leaves out.
    pub(crate) async fn referrers(
        &self,
        repository: &RepositoryId,
        subject: &Digest,
        artifact_type: Option<String>,
        mut after: Option<Digest>,
        max_bytes: usize,
    ) -> Result<(Vec<ReferrerRow>, Option<Digest>), RegistryError> {
        let reader = self.current().await?;
        let (repository, subject) = (repository.clone(), *subject);
        let gather = move || -> Result<_, StateError<StorageError>> {
            let (mut rows, mut bytes) = (Vec::new(), 0);
            loop {
                let kind = artifact_type.as_deref();
                let page = state::referrer::referrers(
                    &reader,
                    &repository,
                    &subject,
                    kind,
                    after.as_ref(),
                    ROWS_AT_ONCE,
                )?;
                for row in page.items {
                    let size = size_of(&row);
                    if bytes + size > max_bytes && !rows.is_empty() {
                        return Ok((rows, after));
                    }
                    bytes += size;
                    after = Some(row.0);
                    rows.push(row);
                }
                if !page.more {
                    return Ok((rows, None));
                }
            }
        };
        let gathered = tokio::task::spawn_blocking(gather).await;
        Ok(gathered.map_err(|_| RegistryError::Unexpected)??)
    }
}

/// Referrers that are read before their sizes are looked at; each can have 4 MiB of annotations.
const ROWS_AT_ONCE: usize = 4;

/// About how many bytes a referrer takes in a reply.
fn size_of((_, row): &ReferrerRow) -> usize {
    let texts: usize = row.annotations.iter().map(|(key, value)| key.len() + value.len() + 8).sum();
    texts + row.media_type.len() + row.artifact_type.as_ref().map_or(0, String::len) + 256
}

/// Archived images are not found until they are active again (ECR specification §6.5).
fn find_in(
    reader: &StateReader,
    repository: &RepositoryId,
    reference: &Reference,
) -> Result<Option<FoundManifest>, StateError<StorageError>> {
    let found = match reference {
        Reference::Tag(tag) => {
            let found = state::tag::tag(reader, repository, tag)?;
            found.map(|tag| FoundManifest { digest: tag.digest, media_type: tag.media_type, size: tag.size })
        }
        Reference::Digest(digest) => {
            let found = state::manifest::manifest(reader, repository, digest)?;
            let digest = *digest;
            found.map(|record| FoundManifest { digest, media_type: record.media_type, size: record.size })
        }
    };
    match found {
        Some(found) if state::image::is_archived(reader, repository, &found.digest)? => Ok(None),
        found => Ok(found),
    }
}
