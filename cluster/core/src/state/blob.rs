//! Blobs: one record per digest for the whole cluster, links by which repositories read it, its lease.
//!
//! Consistency rules R1 to R3: the record names one generation for as long as it exists; a blob is dropped
//! only without links and after its lease, judged here and nowhere else; a commit past its staging deadline
//! is refused. Which nodes have it is the business of `copies`.

use std::collections::BTreeSet;

use proto::digest::Digest;
use proto::identity::RegistryId;
use proto::name::RepositoryName;
use proto::upload::UploadId;

use super::page::{Page, page};
use super::{Moment, StateResult, copies, decode, inconsistent, read, repository, write};
use crate::command::{CommitBlob, MountBlob, Response};
use crate::key::{self, RepositoryId};
use crate::record::{BlobRecord, LinkRecord};
use crate::view::{View, ViewMut};

/// How long an unlinked blob stays after it was last uploaded, mounted or renewed: 24 h of log time.
pub const LEASE_MS: u64 = 24 * 60 * 60 * 1000;

pub(super) fn commit<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    commit: &CommitBlob,
) -> StateResult<Response, V> {
    if moment.now_ms > commit.staging_deadline_ms {
        return Ok(Response::StagingExpired);
    }
    let known = blob(view, &commit.digest)?;
    // The copies of a known blob are those of its generation, which its own commit asked for; receipts of
    // another one say nothing of them (R7). Who adopts its copy for the recorded one confirms it then.
    let receipts = if known.as_ref().is_some_and(|record| record.generation != commit.generation) {
        BTreeSet::new()
    } else {
        match copies::of_commit(view, commit)? {
            Ok(nodes) => nodes,
            Err(refusal) => return Ok(refusal),
        }
    };
    let mut record = known.unwrap_or(BlobRecord {
        size: commit.size,
        generation: commit.generation,
        pieces_root: commit.pieces_root,
        links: 0,
        lease_until_ms: 0,
        created_ms: moment.now_ms,
        copies: Vec::new(),
    });
    let generation = record.generation;
    if generation == commit.generation {
        let all = record.copies.iter().copied().chain(receipts).collect();
        copies::set(view, &commit.digest, &mut record, &all)?;
    }
    link_here(view, moment, &commit.repository, &commit.digest, record)?;
    Ok(Response::BlobLinked { generation })
}

pub(super) fn mount<V: ViewMut>(view: &mut V, moment: Moment, mount: &MountBlob) -> StateResult<Response, V> {
    let registry = &mount.repository.registry;
    let from = mount.from.iter().map(|name| RepositoryId { registry: registry.clone(), name: name.clone() });
    for source in std::iter::once(mount.repository.clone()).chain(from) {
        if let Some((_, record)) = linked_blob(view, &source, &mount.digest)? {
            let size = record.size;
            link_here(view, moment, &mount.repository, &mount.digest, record)?;
            return Ok(Response::Mounted { size });
        }
    }
    Ok(Response::NotMounted)
}

/// Writes `record` with a renewed lease, and the link and repository if they are not there.
fn link_here<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    id: &RepositoryId,
    digest: &Digest,
    mut record: BlobRecord,
) -> StateResult<(), V> {
    if link(view, id, digest)?.is_none() {
        repository::ensure(view, moment, id)?;
        write(view, key::link(id, digest), &LinkRecord { references: 0 });
        view.put(key::holder(id, digest), Vec::new());
        record.links += 1;
    }
    record.lease_until_ms = record.lease_until_ms.max(moment.now_ms.saturating_add(LEASE_MS));
    write(view, key::blob(digest), &record);
    Ok(())
}

pub(super) fn renew_lease<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    digest: &Digest,
) -> StateResult<Response, V> {
    let Some(mut record) = blob(view, digest)? else {
        return Ok(Response::NotFound);
    };
    record.lease_until_ms = record.lease_until_ms.max(moment.now_ms.saturating_add(LEASE_MS));
    write(view, key::blob(digest), &record);
    Ok(Response::LeaseRenewed { until_ms: record.lease_until_ms })
}

pub(super) fn unlink<V: ViewMut>(
    view: &mut V,
    id: &RepositoryId,
    digest: &Digest,
) -> StateResult<Response, V> {
    let Some((link, mut record)) = linked_blob(view, id, digest)? else {
        return Ok(Response::NotFound);
    };
    if link.references > 0 {
        return Ok(Response::InUse);
    }
    let fewer = record.links.checked_sub(1);
    record.links =
        fewer.ok_or_else(|| inconsistent(key::blob(digest), "it counts fewer links than exist"))?;
    view.delete(key::link(id, digest));
    view.delete(key::holder(id, digest));
    write(view, key::blob(digest), &record);
    Ok(Response::Unlinked)
}

pub(super) fn drop_unused<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    digest: &Digest,
    generation: UploadId,
) -> StateResult<Response, V> {
    let Some(record) = blob(view, digest)? else {
        return Ok(Response::Kept);
    };
    let unused = record.links == 0 && record.lease_until_ms < moment.now_ms;
    if record.generation != generation || !unused {
        return Ok(Response::Kept);
    }
    copies::forget(view, digest, &record);
    view.delete(key::blob(digest));
    Ok(Response::Dropped)
}

/// Counts one manifest more that needs the link.
pub(super) fn reference<V: ViewMut>(view: &mut V, id: &RepositoryId, digest: &Digest) -> StateResult<(), V> {
    count(view, id, digest, |references| references.checked_add(1))
}

/// Counts one manifest less.
pub(super) fn release<V: ViewMut>(view: &mut V, id: &RepositoryId, digest: &Digest) -> StateResult<(), V> {
    count(view, id, digest, |references| references.checked_sub(1))
}

fn count<V: ViewMut>(
    view: &mut V,
    id: &RepositoryId,
    digest: &Digest,
    change: impl FnOnce(u32) -> Option<u32>,
) -> StateResult<(), V> {
    let key = key::link(id, digest);
    let Some(link) = link(view, id, digest)? else {
        return Err(inconsistent(key, "a manifest needs a link that is not there"));
    };
    let Some(references) = change(link.references) else {
        return Err(inconsistent(key, "the count of manifests that need it cannot be right"));
    };
    write(view, key, &LinkRecord { references });
    Ok(())
}

/// The blob, whoever may read it.
///
/// # Errors
/// The state could not be read.
pub fn blob<V: View>(view: &V, digest: &Digest) -> StateResult<Option<BlobRecord>, V> {
    read(view, &key::blob(digest))
}

/// The link by which a repository reads a blob.
///
/// # Errors
/// The state could not be read.
pub fn link<V: View>(view: &V, id: &RepositoryId, digest: &Digest) -> StateResult<Option<LinkRecord>, V> {
    read(view, &key::link(id, digest))
}

/// The blob as a repository sees it: `None` unless it links it, whether or not it exists elsewhere.
///
/// # Errors
/// The state could not be read.
pub fn linked_blob<V: View>(
    view: &V,
    id: &RepositoryId,
    digest: &Digest,
) -> StateResult<Option<(LinkRecord, BlobRecord)>, V> {
    let Some(link) = link(view, id, digest)? else {
        return Ok(None);
    };
    match blob(view, digest)? {
        Some(record) => Ok(Some((link, record))),
        None => Err(inconsistent(key::blob(digest), "a link leads to a blob without a record")),
    }
}

/// Repositories of the registry that link the blob, in the order of their names; at most `limit`.
///
/// # Errors
/// The state could not be read.
pub fn repositories_with_blob<V: View>(
    view: &V,
    registry: &RegistryId,
    digest: &Digest,
    limit: usize,
) -> StateResult<Vec<RepositoryName>, V> {
    let prefix = key::holders(registry, digest);
    let found = page(view, &prefix, None, limit, |rest, _| {
        let name = std::str::from_utf8(rest).ok().and_then(|text| text.parse().ok());
        name.map(Some).ok_or_else(|| inconsistent([&prefix, rest].concat(), "no repository name"))
    })?;
    Ok(found.items)
}

/// The next blobs of the cluster after `after`, in the order of their digests' bytes.
///
/// # Errors
/// The state could not be read.
pub fn blobs<V: View>(
    view: &V,
    after: Option<&Digest>,
    limit: usize,
) -> StateResult<Page<(Digest, BlobRecord)>, V> {
    let after = after.map(Digest::to_bytes);
    page(view, key::BLOBS, after.as_deref(), limit, |rest, value| {
        let key = || [key::BLOBS, rest].concat();
        let digest = Digest::from_bytes(rest).ok_or_else(|| inconsistent(key(), "no digest"))?;
        Ok(Some((digest, decode(&key(), value)?)))
    })
}
