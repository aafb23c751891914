//! Which images can be pulled: those that are archived cannot, until they are active again.

use proto::digest::Digest;

use super::super::{Moment, StateResult};
use super::{image, put_state, rows, state};
use crate::command::{ImageRefusal, Response};
use crate::key::RepositoryId;
use crate::record::{ImageState, StorageClass};
use crate::view::ViewMut;

pub(super) fn set<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    id: &RepositoryId,
    digest: &Digest,
    target: StorageClass,
) -> StateResult<Response, V> {
    let Some(image) = image(view, id, digest)? else {
        return Ok(Response::ImageRefused(ImageRefusal::NotFound));
    };
    if image.state.class == target {
        return Ok(Response::ImageChanged);
    }
    let now = Some(moment.now_ms);
    let state = match target {
        StorageClass::Active => ImageState { class: target, activated_ms: now, ..image.state },
        StorageClass::Archived => {
            // Who pulls the index pulls its children.
            let active = rows::first_index(view, id, digest, |index, record| {
                Ok(state(view, id, index, record)?.class == StorageClass::Active)
            })?;
            if let Some(index) = active {
                return Ok(Response::ImageRefused(ImageRefusal::IndexNotArchived(index)));
            }
            ImageState { class: target, archived_ms: now, ..image.state }
        }
    };
    put_state(view, id, digest, &image.manifest, state);
    Ok(Response::ImageChanged)
}
