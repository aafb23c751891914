//! Manifests: their records and bytes, and all that moves with them in one entry: tags, referrer row, the
//! reference counts of the links they need.

use std::collections::BTreeSet;

use proto::digest::Digest;
use proto::name::Tag;
use proto::settings::MutabilityMode;

use super::{Moment, StateError, StateResult, blob, image, inconsistent, node, read, repository, tag, write};
use crate::command::{Condition, PutManifest, Response};
use crate::key::{self, RepositoryId};
use crate::level;
use crate::record::{ManifestRecord, ReferrerRecord, TagRecord};
use crate::view::{View, ViewMut};

/// Whether a command keeps the rows of `image`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// It is of a level that does not know them, and must do the same on every release.
    Untouched,
    /// They are what they should be afterwards.
    Kept,
}

pub(super) fn put<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    put: PutManifest,
    rows: Rows,
) -> StateResult<Response, V> {
    let stored = manifest(view, &put.repository, &put.digest)?;
    if let Some(refusal) = refuse(view, &put, stored.is_some())? {
        return Ok(refusal);
    }
    let created = stored.is_none();
    let record = match stored {
        Some(record) => record,
        None => store(view, moment, &put)?,
    };
    for name in &put.tags {
        let tag = TagRecord {
            digest: put.digest,
            media_type: record.media_type.clone(),
            size: record.size,
            pushed_ms: moment.now_ms,
            updated_index: moment.index,
        };
        tag::point(view, &put.repository, name, &tag)?;
    }
    if rows == Rows::Kept {
        image::pushed(view, moment, &put.repository, &put.digest, &record)?;
    }
    Ok(Response::ManifestStored { created, index: moment.index })
}

/// Everything that can be wrong with a put, before anything is changed.
fn refuse<V: View>(view: &V, put: &PutManifest, exists: bool) -> StateResult<Option<Response>, V> {
    let id = &put.repository;
    if let Some(condition) = &put.condition {
        let mut names = Vec::new();
        for name in &put.tags {
            names.push(tag::tag(view, id, name)?.map(|record| record.digest));
        }
        if put.tags.is_empty() {
            names.push(exists.then_some(put.digest));
        }
        if let Some(current) = names.into_iter().find(|current| !holds(condition, *current)) {
            return Ok(Some(Response::ConditionFailed { current }));
        }
    }
    let mut missing = BTreeSet::new();
    let mut wrong_size = BTreeSet::new();
    for (digest, size) in &put.blobs {
        match blob::linked_blob(view, id, digest)? {
            None => drop(missing.insert(*digest)),
            Some((_, record)) if record.size != *size => drop(wrong_size.insert((*digest, record.size))),
            Some(_) => {}
        }
    }
    if !missing.is_empty() {
        return Ok(Some(Response::MissingBlobs(missing.into_iter().collect())));
    }
    if !wrong_size.is_empty() {
        return Ok(Some(Response::SizeMismatch(wrong_size.into_iter().collect())));
    }
    Ok(immutable_tag(view, put)?.map(|tag| Response::TagImmutable { tag }))
}

/// The first tag that stands for another manifest and may not move.
fn immutable_tag<V: View>(view: &V, put: &PutManifest) -> StateResult<Option<Tag>, V> {
    let Some(record) = repository::repository(view, &put.repository)? else {
        return Ok(None);
    };
    for name in &put.tags {
        if record.settings.mutability.of(name) == MutabilityMode::Immutable
            && tag::tag(view, &put.repository, name)?.is_some_and(|stored| stored.digest != put.digest)
        {
            // A node that went back to an older release moves the tag at this entry, so all do.
            let is_known = node::level(view)? >= level::REPOSITORY_SETTINGS;
            return Ok(is_known.then(|| name.clone()));
        }
    }
    Ok(None)
}

fn holds(condition: &Condition, current: Option<Digest>) -> bool {
    match condition {
        Condition::IfMatch(wanted) => current.is_some_and(|current| wanted.contains(&current)),
        Condition::IfMatchAny => current.is_some(),
        Condition::IfNoneMatchAny => current.is_none(),
    }
}

/// Writes a manifest that this repository does not have yet.
fn store<V: ViewMut>(view: &mut V, moment: Moment, put: &PutManifest) -> StateResult<ManifestRecord, V> {
    let id = &put.repository;
    let blobs: BTreeSet<Digest> = put.blobs.iter().map(|(digest, _)| *digest).collect();
    let record = ManifestRecord {
        media_type: put.media_type.clone(),
        size: put.content.len() as u64,
        pushed_ms: moment.now_ms,
        blobs: blobs.into_iter().collect(),
        children: put.children.clone(),
        subject: put.subject,
        artifact_type: put.artifact_type.clone(),
    };
    repository::ensure(view, moment, id)?;
    for digest in &record.blobs {
        blob::reference(view, id, digest)?;
    }
    if let Some(subject) = &put.subject {
        let referrer = ReferrerRecord {
            media_type: record.media_type.clone(),
            size: record.size,
            artifact_type: put.artifact_type.clone(),
            annotations: put.annotations.clone(),
        };
        write(view, key::referrer(id, subject, &put.digest), &referrer);
    }
    write(view, key::manifest(id, &put.digest), &record);
    view.put(key::manifest_content(id, &put.digest), put.content.clone());
    Ok(record)
}

pub(super) fn delete<V: ViewMut>(
    view: &mut V,
    id: &RepositoryId,
    digest: &Digest,
    rows: Rows,
) -> StateResult<Response, V> {
    let Some(record) = manifest(view, id, digest)? else {
        return Ok(Response::NotFound);
    };
    for name in tag::tags_of_manifest(view, id, digest)? {
        tag::delete(view, id, &name)?;
    }
    for needed in &record.blobs {
        blob::release(view, id, needed)?;
    }
    if let Some(subject) = &record.subject {
        view.delete(key::referrer(id, subject, digest));
    }
    view.delete(key::manifest(id, digest));
    view.delete(key::manifest_content(id, digest));
    if rows == Rows::Kept {
        image::forget(view, id, digest, &record);
    }
    Ok(Response::Deleted)
}

/// A manifest's record.
///
/// # Errors
/// The state could not be read.
pub fn manifest<V: View>(
    view: &V,
    id: &RepositoryId,
    digest: &Digest,
) -> StateResult<Option<ManifestRecord>, V> {
    read(view, &key::manifest(id, digest))
}

/// A manifest's bytes, exactly as pushed: they are hashed again, so that no wrong byte leaves the node.
///
/// # Errors
/// The state could not be read, or the bytes do not have the digest any more.
pub fn manifest_content<V: View>(
    view: &V,
    id: &RepositoryId,
    digest: &Digest,
) -> StateResult<Option<Vec<u8>>, V> {
    let key = key::manifest_content(id, digest);
    let Some(content) = view.get(&key).map_err(StateError::View)? else {
        return Ok(None);
    };
    if Digest::of(digest.algorithm(), &content) != *digest {
        return Err(inconsistent(key, "the manifest's bytes do not have its digest"));
    }
    Ok(Some(content))
}
