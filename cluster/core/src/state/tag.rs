//! Tags: movable names of the manifests of a repository.
//!
//! Beside each tag stands a row under its manifest, so that deleting a manifest finds its tags.

use proto::digest::Digest;
use proto::name::Tag;

use super::page::{Page, page};
use super::{StateError, StateResult, inconsistent, read, write};
use crate::command::Response;
use crate::key::{self, RepositoryId};
use crate::record::TagRecord;
use crate::view::{View, ViewMut};

/// Points `tag` at `record.digest`, wherever it pointed before.
pub(super) fn point<V: ViewMut>(
    view: &mut V,
    id: &RepositoryId,
    name: &Tag,
    record: &TagRecord,
) -> StateResult<(), V> {
    if let Some(before) = tag(view, id, name)? {
        view.delete(key::tag_of_manifest(id, &before.digest, name));
    }
    write(view, key::tag(id, name), record);
    view.put(key::tag_of_manifest(id, &record.digest, name), Vec::new());
    Ok(())
}

pub(super) fn delete<V: ViewMut>(view: &mut V, id: &RepositoryId, name: &Tag) -> StateResult<Response, V> {
    let Some(record) = tag(view, id, name)? else {
        return Ok(Response::NotFound);
    };
    view.delete(key::tag(id, name));
    view.delete(key::tag_of_manifest(id, &record.digest, name));
    Ok(Response::Deleted)
}

/// What a tag stands for.
///
/// # Errors
/// The state could not be read.
pub fn tag<V: View>(view: &V, id: &RepositoryId, name: &Tag) -> StateResult<Option<TagRecord>, V> {
    read(view, &key::tag(id, name))
}

/// The next tags of a repository after `after`, which may be any text.
///
/// # Errors
/// The state could not be read.
pub fn tags<V: View>(
    view: &V,
    id: &RepositoryId,
    after: Option<&str>,
    limit: usize,
) -> StateResult<Page<Tag>, V> {
    tags_under(view, &key::tags(id), after.map(str::as_bytes), limit)
}

/// All tags that stand for a manifest.
///
/// # Errors
/// The state could not be read.
pub fn tags_of_manifest<V: View>(view: &V, id: &RepositoryId, digest: &Digest) -> StateResult<Vec<Tag>, V> {
    Ok(tags_under(view, &key::tags_of_manifest(id, digest), None, usize::MAX)?.items)
}

/// The next tags that stand for a manifest.
///
/// # Errors
/// The state could not be read.
pub fn tags_of_manifest_after<V: View>(
    view: &V,
    id: &RepositoryId,
    digest: &Digest,
    after: Option<&Tag>,
    limit: usize,
) -> StateResult<Page<Tag>, V> {
    let after = after.map(|tag| tag.as_str().as_bytes());
    tags_under(view, &key::tags_of_manifest(id, digest), after, limit)
}

fn tags_under<V: View>(
    view: &V,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> StateResult<Page<Tag>, V> {
    page(view, prefix, after, limit, |rest, _| parse(prefix, rest).map(Some))
}

fn parse<E: std::error::Error>(prefix: &[u8], rest: &[u8]) -> Result<Tag, StateError<E>> {
    let tag = std::str::from_utf8(rest).ok().and_then(|text| text.parse().ok());
    tag.ok_or_else(|| inconsistent([prefix, rest].concat(), "no tag"))
}
