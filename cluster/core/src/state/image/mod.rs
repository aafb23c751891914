//! Images: manifests with what Amazon ECR's API knows of them beside: when they were pushed and pulled, by which
//! indexes they are named, whether they are archived.
//!
//! Everything here goes with the manifest in the same entry. Only commands of level 5 touch it: apply must do with an
//! older command what a release that does not know these rows does with it, or the states of the nodes would differ.
//! The leader of a cluster of that level has only the newer commands written (`Command::at_level`), so rows are missing,
//! or left over, only of what was pushed or deleted while the cluster had an older level. So a row counts only if its
//! manifest is there, which is asked whenever one is read, and `rows` writes those that are missing.
//!
//! Referrers stay when their subject goes; to remove them is the business of a job.

mod delete;
mod list;
mod rows;
mod storage_class;

use std::collections::BTreeSet;

use proto::digest::Digest;

use super::manifest::{self, Rows};
use super::{Moment, StateResult, blob, read, repository, tag, write};
use crate::command::image::{Dialect, ImageCommand, MAX_PULLS, Pull, PutImage};
use crate::command::{ImageRefusal, PutManifest, Response};
use crate::key::{self, RepositoryId};
use crate::record::{ImageRecord, ImageState, ManifestRecord, StorageClass};
use crate::view::{View, ViewMut};
pub use list::{ImageCursor, ImageEntry, ImagePage, ListedImage, NameCursor, NamePage, images, names};

/// Indexes in indexes that [`size`] looks into; deeper ones count nothing.
const MAX_DEPTH: u32 = 3;

pub(super) fn apply<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    command: ImageCommand,
) -> StateResult<Response, V> {
    match command {
        ImageCommand::Put(put) => self::put(view, moment, put),
        ImageCommand::Delete { repository, image } => delete::delete(view, &repository, image),
        ImageCommand::DeleteManifest { repository, digest } => {
            manifest::delete(view, &repository, &digest, Rows::Kept)
        }
        ImageCommand::SetStorageClass { repository, digest, target } => {
            storage_class::set(view, moment, &repository, &digest, target)
        }
        ImageCommand::RecordPulls(pulls) => record_pulls(view, moment, &pulls),
        ImageCommand::Index { from, limit } => rows::index(view, from, limit),
    }
}

fn put<V: ViewMut>(view: &mut V, moment: Moment, put: PutImage) -> StateResult<Response, V> {
    if put.dialect == Dialect::Ecr
        && let Some(refusal) = refuse(view, &put.manifest)?
    {
        return Ok(Response::ImageRefused(refusal));
    }
    manifest::put(view, moment, put.manifest, Rows::Kept)
}

/// What Amazon ECR refuses beside what any push is refused for.
fn refuse<V: View>(view: &V, put: &PutManifest) -> StateResult<Option<ImageRefusal>, V> {
    let id = &put.repository;
    if repository::repository(view, id)?.is_none() {
        return Ok(Some(ImageRefusal::NoRepository));
    }
    let mut missing = BTreeSet::new();
    for child in &put.children {
        if manifest::manifest(view, id, child)?.is_none() {
            missing.insert(*child);
        }
    }
    if !missing.is_empty() {
        return Ok(Some(ImageRefusal::MissingChildren(missing.into_iter().collect())));
    }
    let Some(image) = image(view, id, &put.digest)? else {
        return Ok(None);
    };
    for name in &put.tags {
        if tag::tag(view, id, name)?.is_none_or(|record| record.digest != put.digest) {
            return Ok(None);
        }
    }
    // To push an archived image is to want it back.
    let is_active = image.state.class == StorageClass::Active;
    Ok(is_active.then_some(ImageRefusal::AlreadyThere))
}

/// After a push: its rows, and it can be pulled.
pub(super) fn pushed<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    id: &RepositoryId,
    digest: &Digest,
    record: &ManifestRecord,
) -> StateResult<(), V> {
    rows::write(view, id, digest, record);
    let mut state = state(view, id, digest, record)?;
    if state.class == StorageClass::Archived {
        state.class = StorageClass::Active;
        state.activated_ms = Some(moment.now_ms);
    }
    put_state(view, id, digest, record, state);
    Ok(())
}

/// After the manifest is gone.
pub(super) fn forget(view: &mut impl ViewMut, id: &RepositoryId, digest: &Digest, record: &ManifestRecord) {
    rows::remove(view, id, digest, record);
    view.delete(key::image(id, digest));
}

/// Whether pulls of the image find nothing; of what is no image, false. Of most images that is one look.
///
/// # Errors
/// The state could not be read.
pub fn is_archived<V: View>(view: &V, id: &RepositoryId, digest: &Digest) -> StateResult<bool, V> {
    let Some(record) = read::<ImageRecord, V>(view, &key::image(id, digest))? else { return Ok(false) };
    let manifest = manifest::manifest(view, id, digest)?;
    let is_own = manifest.is_some_and(|manifest| manifest.pushed_ms == record.pushed_ms);
    Ok(is_own && record.state.class == StorageClass::Archived)
}

fn state<V: View>(
    view: &V,
    id: &RepositoryId,
    digest: &Digest,
    manifest: &ManifestRecord,
) -> StateResult<ImageState, V> {
    let record: Option<ImageRecord> = read(view, &key::image(id, digest))?;
    let own = record.filter(|record| record.pushed_ms == manifest.pushed_ms);
    Ok(own.map(|record| record.state).unwrap_or_default())
}

fn put_state(
    view: &mut impl ViewMut,
    id: &RepositoryId,
    digest: &Digest,
    manifest: &ManifestRecord,
    state: ImageState,
) {
    let key = key::image(id, digest);
    if state == ImageState::default() {
        view.delete(key);
    } else {
        write(view, key, &ImageRecord { pushed_ms: manifest.pushed_ms, state });
    }
}

fn record_pulls<V: ViewMut>(view: &mut V, moment: Moment, pulls: &[Pull]) -> StateResult<Response, V> {
    for Pull { repository: id, digest, at_ms } in pulls.iter().take(MAX_PULLS) {
        let Some(image) = image(view, id, digest)? else { continue };
        let at_ms = Some(moment.now_ms.min(*at_ms));
        if at_ms > image.state.last_pull_ms {
            let state = ImageState { last_pull_ms: at_ms, ..image.state };
            put_state(view, id, digest, &image.manifest, state);
        }
    }
    Ok(Response::ImageChanged)
}

/// A manifest and what may change beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its manifest's record.
    pub manifest: ManifestRecord,
    /// The rest.
    pub state: ImageState,
}

/// One image.
///
/// # Errors
/// The state could not be read.
pub fn image<V: View>(view: &V, id: &RepositoryId, digest: &Digest) -> StateResult<Option<Image>, V> {
    let Some(manifest) = manifest::manifest(view, id, digest)? else {
        return Ok(None);
    };
    let state = state(view, id, digest, &manifest)?;
    Ok(Some(Image { manifest, state }))
}

/// Bytes of config and layers, as they are stored; of an index, those of its largest child that is stored (ECR API,
/// ImageDetail). What is kept elsewhere, as layers with URLs, does not count.
///
/// # Errors
/// The state could not be read.
pub fn size<V: View>(view: &V, id: &RepositoryId, record: &ManifestRecord) -> StateResult<u64, V> {
    Looking { looks: MAX_LOOKS, seen: BTreeSet::new() }.size(view, id, record, MAX_DEPTH)
}

/// Records that are read for one size: an index can name another one 30 000 times, and that one a third.
const MAX_LOOKS: u32 = 10_000;

/// What a look for a size may still read.
struct Looking {
    looks: u32,
    /// Children that were looked at; one that is named again makes nothing larger.
    seen: BTreeSet<Digest>,
}

impl Looking {
    fn may_look(&mut self) -> bool {
        let may = self.looks > 0;
        self.looks = self.looks.saturating_sub(1);
        may
    }

    fn size<V: View>(
        &mut self,
        view: &V,
        id: &RepositoryId,
        record: &ManifestRecord,
        depth: u32,
    ) -> StateResult<u64, V> {
        let mut own: u64 = 0;
        for digest in &record.blobs {
            if !self.may_look() {
                break;
            }
            own = own.saturating_add(blob::blob(view, digest)?.map_or(0, |blob| blob.size));
        }
        let mut largest = 0;
        if let Some(depth) = depth.checked_sub(1) {
            for child in &record.children {
                if !self.seen.insert(*child) || !self.may_look() {
                    continue;
                }
                if let Some(child) = manifest::manifest(view, id, child)? {
                    largest = largest.max(self.size(view, id, &child, depth)?);
                }
            }
        }
        Ok(own.saturating_add(largest))
    }
}

#[cfg(test)]
#[path = "image_test.rs"]
mod tests;

#[cfg(test)]
#[path = "image_model_test.rs"]
mod model_tests;
