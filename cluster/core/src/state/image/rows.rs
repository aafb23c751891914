//! Rows that follow from manifests: in which order they were pushed, and which indexes name a child.

use std::ops::ControlFlow;

use proto::digest::Digest;

use super::super::page::page;
use super::super::{StateError, StateResult, inconsistent, manifest, read};
use crate::command::Response;
use crate::command::image::IndexFrom;
use crate::key::{self, RepositoryId};
use crate::record::{ImageIndexRecord, ManifestRecord};
use crate::view::{View, ViewMut, key_after};

/// Most manifests that one command looks at, whatever it asks for.
const MAX_INDEXED: u32 = 10_000;
/// Rows that are read at once.
const AT_ONCE: usize = 64;

/// Writes those of a manifest, again perhaps.
pub(super) fn write(view: &mut impl ViewMut, id: &RepositoryId, digest: &Digest, record: &ManifestRecord) {
    view.put(key::push(id, record.pushed_ms, digest), Vec::new());
    for child in &record.children {
        view.put(key::index_of_child(id, child, digest), Vec::new());
    }
}

pub(super) fn remove(view: &mut impl ViewMut, id: &RepositoryId, digest: &Digest, record: &ManifestRecord) {
    view.delete(key::push(id, record.pushed_ms, digest));
    for child in &record.children {
        view.delete(key::index_of_child(id, child, digest));
    }
}

/// The first index of the repository that names `child` and `is_wanted`. Indexes whose rows are missing are not seen.
pub(super) fn first_index<V: View>(
    view: &V,
    id: &RepositoryId,
    child: &Digest,
    mut is_wanted: impl FnMut(&Digest, &ManifestRecord) -> StateResult<bool, V>,
) -> StateResult<Option<Digest>, V> {
    let prefix = key::indexes_of_child(id, child);
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = page(view, &prefix, after.as_deref(), AT_ONCE, |rest, _| {
            let digest = Digest::from_bytes(rest);
            digest.map(Some).ok_or_else(|| inconsistent([&prefix, rest].concat(), "no digest"))
        })?;
        for index in &rows.items {
            // A manifest's digest says which children it has, so that it is there is enough.
            if let Some(record) = manifest::manifest(view, id, index)?
                && is_wanted(index, &record)?
            {
                return Ok(Some(*index));
            }
        }
        if !rows.more {
            return Ok(None);
        }
        after = rows.items.last().map(Digest::to_bytes);
    }
}

/// Writes the rows of the next manifests of the cluster.
pub(super) fn index<V: ViewMut>(view: &mut V, from: IndexFrom, limit: u32) -> StateResult<Response, V> {
    let next = match (from, progress(view)?) {
        (IndexFrom::Start, _) | (IndexFrom::Last, None) => key::MANIFESTS.to_vec(),
        (IndexFrom::Last, Some(ImageIndexRecord { next: Some(next) })) => next,
        (IndexFrom::Last, Some(ImageIndexRecord { next: None })) => {
            return Ok(Response::ImagesIndexed { is_done: true });
        }
    };
    let keys = manifests_from(view, &next, limit.clamp(1, MAX_INDEXED))?;
    for key in &keys {
        let (id, digest) =
            key::parse_manifest(key).ok_or_else(|| inconsistent(key.clone(), "no manifest"))?;
        let record: Option<ManifestRecord> = read(view, key)?;
        if let Some(record) = record {
            write(view, &id, &digest, &record);
        }
    }
    let next = keys.last().map(|last| key_after(last));
    let is_done = next.is_none();
    super::write(view, key::IMAGE_INDEX.to_vec(), &ImageIndexRecord { next });
    Ok(Response::ImagesIndexed { is_done })
}

/// The keys of the next manifests, `from` at the earliest.
fn manifests_from<V: View>(view: &V, from: &[u8], limit: u32) -> StateResult<Vec<Vec<u8>>, V> {
    let mut keys = Vec::new();
    view.scan(from, &key::end_of(key::MANIFESTS), &mut |key, _| {
        keys.push(key.to_vec());
        if keys.len() < limit as usize { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .map_err(StateError::View)?;
    Ok(keys)
}

fn progress<V: View>(view: &V) -> StateResult<Option<ImageIndexRecord>, V> {
    read(view, key::IMAGE_INDEX)
}

/// Whether all manifests had their rows once; those that came by older commands after that have none.
pub(super) fn are_complete<V: View>(view: &V) -> StateResult<bool, V> {
    Ok(progress(view)?.is_some_and(|progress| progress.next.is_none()))
}
