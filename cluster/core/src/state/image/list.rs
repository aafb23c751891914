//! Listings of images and of their names, page by page.
//!
//! In the order of their push, the oldest first and of equal ones the lesser digest, once every image has its row
//! (`rows`); until then in the order of their digests. A cursor says which order its listing began with, so pages
//! belong together even if the rows are completed between them.

use proto::digest::Digest;
use proto::name::Tag;

use super::super::page::{Page, page};
use super::super::{StateResult, inconsistent, node, tag};
use super::{Image, image, rows};
use crate::command::image::LEVEL;
use crate::key::{self, RepositoryId};
use crate::record::StorageClass;
use crate::view::View;

/// After which image a page begins, whether or not that is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageCursor {
    /// In the order of their push.
    Pushed {
        /// Of the image.
        pushed_ms: u64,
        /// Of the image.
        digest: Digest,
    },
    /// In the order of their digests.
    Digest(Digest),
}

/// An image in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedImage {
    /// Where the listing goes on after it.
    pub at: ImageCursor,
    /// Its digest.
    pub digest: Digest,
    /// The image.
    pub image: Image,
}

/// A part of a listing of images; perhaps an empty one that is not the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePage {
    /// In order.
    pub items: Vec<ListedImage>,
    /// Where the next page begins, if there may be more.
    pub next: Option<ImageCursor>,
}

/// The next images of a repository, at most `limit`.
///
/// # Errors
/// The state could not be read.
pub fn images<V: View>(
    view: &V,
    id: &RepositoryId,
    after: Option<&ImageCursor>,
    limit: usize,
) -> StateResult<ImagePage, V> {
    let found = match after {
        Some(ImageCursor::Pushed { pushed_ms, digest }) => {
            pushes(view, id, Some((*pushed_ms, digest)), limit)?
        }
        Some(ImageCursor::Digest(digest)) => digests(view, id, Some(digest), limit)?,
        // While the level is an older one, images come without rows.
        None if rows::are_complete(view)? && node::level(view)? >= LEVEL => pushes(view, id, None, limit)?,
        None => digests(view, id, None, limit)?,
    };
    let next = if found.more { found.items.last().copied() } else { None };
    let mut items = Vec::new();
    for at in found.items {
        let (digest, pushed_ms) = match at {
            ImageCursor::Pushed { pushed_ms, digest } => (digest, Some(pushed_ms)),
            ImageCursor::Digest(digest) => (digest, None),
        };
        let Some(image) = image(view, id, &digest)? else { continue };
        // The row of an earlier push of the same manifest may be left over.
        if pushed_ms.is_none_or(|pushed_ms| pushed_ms == image.manifest.pushed_ms) {
            items.push(ListedImage { at, digest, image });
        }
    }
    Ok(ImagePage { items, next })
}

fn pushes<V: View>(
    view: &V,
    id: &RepositoryId,
    after: Option<(u64, &Digest)>,
    limit: usize,
) -> StateResult<Page<ImageCursor>, V> {
    let prefix = key::pushes(id);
    let after =
        after.map(|(pushed_ms, digest)| [&pushed_ms.to_be_bytes(), digest.to_bytes().as_slice()].concat());
    page(view, &prefix, after.as_deref(), limit, |rest, _| {
        let cursor = rest.split_first_chunk().and_then(|(pushed_ms, digest)| {
            let digest = Digest::from_bytes(digest)?;
            Some(ImageCursor::Pushed { pushed_ms: u64::from_be_bytes(*pushed_ms), digest })
        });
        cursor.map(Some).ok_or_else(|| inconsistent([&prefix, rest].concat(), "no push"))
    })
}

fn digests<V: View>(
    view: &V,
    id: &RepositoryId,
    after: Option<&Digest>,
    limit: usize,
) -> StateResult<Page<ImageCursor>, V> {
    let prefix = key::manifests(id);
    let after = after.map(Digest::to_bytes);
    page(view, &prefix, after.as_deref(), limit, |rest, _| {
        let cursor = Digest::from_bytes(rest).map(ImageCursor::Digest);
        cursor.map(Some).ok_or_else(|| inconsistent([&prefix, rest].concat(), "no digest"))
    })
}

/// One name of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageEntry {
    /// Its digest.
    pub digest: Digest,
    /// `None`: it has no tag.
    pub tag: Option<Tag>,
    /// Of the image.
    pub class: StorageClass,
}

/// After which name a page begins, whether or not that is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameCursor {
    /// Its image.
    pub image: ImageCursor,
    /// Its tag; `None`: all names of the image were listed.
    pub tag: Option<Tag>,
}

/// A part of a listing of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePage {
    /// In the order of the images, then of the tags.
    pub items: Vec<ImageEntry>,
    /// Where the next page begins, if there are more.
    pub next: Option<NameCursor>,
}

/// The next names of a repository's images, at most `limit`: one for each tag, and one for each image without.
///
/// # Errors
/// The state could not be read.
pub fn names<V: View>(
    view: &V,
    id: &RepositoryId,
    after: Option<&NameCursor>,
    limit: usize,
) -> StateResult<NamePage, V> {
    // One more than is wanted shows whether there are more.
    let enough = limit.saturating_add(1);
    let mut found: Vec<(NameCursor, ImageEntry)> = Vec::new();
    if let Some(NameCursor { image: at, tag: Some(after) }) = after {
        let (ImageCursor::Pushed { digest, .. } | ImageCursor::Digest(digest)) = at;
        if let Some(image) = image(view, id, digest)? {
            let tags = tag::tags_of_manifest_after(view, id, digest, Some(after), enough)?;
            found.extend(tags.items.into_iter().map(|tag| entry(*at, *digest, &image, Some(tag))));
        }
    }
    let mut next = after.map(|after| after.image);
    while found.len() < enough {
        let page = images(view, id, next.as_ref(), enough - found.len())?;
        for listed in page.items {
            let tags = tag::tags_of_manifest_after(view, id, &listed.digest, None, enough - found.len())?;
            let tags =
                if tags.items.is_empty() { vec![None] } else { tags.items.into_iter().map(Some).collect() };
            found.extend(tags.into_iter().map(|tag| entry(listed.at, listed.digest, &listed.image, tag)));
            if found.len() >= enough {
                break;
            }
        }
        if page.next.is_none() {
            break;
        }
        next = page.next;
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(cursor, _)| cursor.clone());
    Ok(NamePage { items: found.into_iter().map(|(_, entry)| entry).collect(), next })
}

fn entry(at: ImageCursor, digest: Digest, image: &Image, tag: Option<Tag>) -> (NameCursor, ImageEntry) {
    (NameCursor { image: at, tag: tag.clone() }, ImageEntry { digest, tag, class: image.state.class })
}
