//! Deleting images by the rules of Amazon ECR's BatchDeleteImage.

use proto::digest::Digest;
use proto::name::Tag;

use super::super::manifest::{self, Rows};
use super::super::{StateResult, tag};
use super::rows;
use crate::command::image::ImageName;
use crate::command::{ImageRefusal, Response};
use crate::key::RepositoryId;
use crate::view::{View, ViewMut};

/// What a name means before anything is removed.
enum Found {
    /// One of several tags.
    Tag(Digest, Tag),
    /// The image, with these tags.
    Image(Digest, Vec<Tag>),
}

pub(super) fn delete<V: ViewMut>(
    view: &mut V,
    id: &RepositoryId,
    name: ImageName,
) -> StateResult<Response, V> {
    let removed = match find(view, id, name)? {
        Err(refusal) => return Ok(Response::ImageRefused(refusal)),
        Ok(Found::Tag(digest, name)) => {
            tag::delete(view, id, &name)?;
            vec![(digest, Some(name))]
        }
        Ok(Found::Image(digest, tags)) => {
            // Any index: one that is archived names its children, too.
            if let Some(index) = rows::first_index(view, id, &digest, |_, _| Ok(true))? {
                return Ok(Response::ImageRefused(ImageRefusal::ReferencedByIndex(index)));
            }
            manifest::delete(view, id, &digest, Rows::Kept)?;
            match tags.is_empty() {
                true => vec![(digest, None)],
                false => tags.into_iter().map(|tag| (digest, Some(tag))).collect(),
            }
        }
    };
    Ok(Response::ImagesDeleted(removed))
}

fn find<V: View>(
    view: &V,
    id: &RepositoryId,
    name: ImageName,
) -> StateResult<Result<Found, ImageRefusal>, V> {
    let (wanted, name) = match name {
        ImageName::Digest(digest) => {
            if manifest::manifest(view, id, &digest)?.is_none() {
                return Ok(Err(ImageRefusal::NotFound));
            }
            return Ok(Ok(Found::Image(digest, tag::tags_of_manifest(view, id, &digest)?)));
        }
        ImageName::Tag(tag) => (None, tag),
        ImageName::TagOf(digest, tag) => (Some(digest), tag),
    };
    let Some(record) = tag::tag(view, id, &name)? else {
        return Ok(Err(ImageRefusal::NotFound));
    };
    if wanted.is_some_and(|wanted| wanted != record.digest) {
        return Ok(Err(ImageRefusal::TagDoesNotMatchDigest));
    }
    let first_two = tag::tags_of_manifest_after(view, id, &record.digest, None, 2)?;
    Ok(Ok(if first_two.items.len() < 2 {
        Found::Image(record.digest, vec![name])
    } else {
        Found::Tag(record.digest, name)
    }))
}
