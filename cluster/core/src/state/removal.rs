//! How repositories go: their manifests first, then they themselves, neither in one entry of any size.
//!
//! An entry removes at most as many rows as it says, and answers whether that was all; whoever proposes goes on until
//! it was. Nothing remembers that a removal has begun. So after a crash between two entries the repository is there
//! with what is left of it, settings and documents included, and whoever wants it gone asks again. What is pushed in
//! between stays: a repository that has a manifest again is not deleted, and the answer says so. A push whose blobs
//! were unlinked under it is refused for the missing blobs, and makes the repository anew, without settings, if it
//! uploads them after the last entry. Blobs without links stay until their lease is over, as always.

use proto::digest::Digest;

use super::manifest::{self, Rows};
use super::page::{Page, page};
use super::repository::{is_empty, refused, repository};
use super::{StateResult, blob, inconsistent};
use crate::command::{RepositoryRefusal, Response};
use crate::key::{self, RepositoryId};
use crate::record::RepositoryDocument;
use crate::view::{View, ViewMut};

/// Removes manifests with their tags, referrer rows and references.
pub(super) fn clear<V: ViewMut>(view: &mut V, id: &RepositoryId, limit: u32) -> StateResult<Response, V> {
    if repository(view, id)?.is_none() {
        return Ok(refused(RepositoryRefusal::NotFound));
    }
    let next = digests(view, &key::manifests(id), limit)?;
    for digest in &next.items {
        manifest::delete(view, id, digest, Rows::Kept)?;
    }
    Ok(Response::RepositoryCleared { is_done: !next.more })
}

/// Removes links, and with the last one the repository and its documents.
pub(super) fn delete<V: ViewMut>(view: &mut V, id: &RepositoryId, limit: u32) -> StateResult<Response, V> {
    if repository(view, id)?.is_none() {
        return Ok(refused(RepositoryRefusal::NotFound));
    }
    if !is_empty(view, id)? {
        return Ok(refused(RepositoryRefusal::NotEmpty));
    }
    let next = digests(view, &key::links(id), limit)?;
    for digest in &next.items {
        if blob::unlink(view, id, digest)? != Response::Unlinked {
            return Err(inconsistent(key::link(id, digest), "no manifest is there that needs it"));
        }
    }
    if !next.more {
        for kind in RepositoryDocument::ALL {
            view.delete(key::repository_document(id, kind));
        }
        view.delete(key::repository(id));
    }
    Ok(Response::RepositoryCleared { is_done: !next.more })
}

/// The first digests under `prefix`; at least one, so that every entry gets on.
fn digests<V: View>(view: &V, prefix: &[u8], limit: u32) -> StateResult<Page<Digest>, V> {
    page(view, prefix, None, limit.max(1) as usize, |rest, _| {
        let digest = Digest::from_bytes(rest);
        digest.map(Some).ok_or_else(|| inconsistent([prefix, rest].concat(), "no digest"))
    })
}
