//! Where a listing of images goes on, as the text inside a page token.

use cluster_core::state::image::{ImageCursor, NameCursor};
use proto::ecr::Failure;

/// `p<milliseconds>/<digest>` in the order of pushes, `d<digest>` in that of digests.
pub(super) fn image_to_text(at: &ImageCursor) -> String {
    match at {
        ImageCursor::Pushed { pushed_ms, digest } => format!("p{pushed_ms}/{digest}"),
        ImageCursor::Digest(digest) => format!("d{digest}"),
    }
}

/// Reads what [`image_to_text`] wrote.
pub(super) fn image_from_text(text: &str) -> Result<ImageCursor, Failure> {
    let parse = || match text.split_at_checked(1)? {
        ("p", rest) => {
            let (pushed_ms, digest) = rest.split_once('/')?;
            Some(ImageCursor::Pushed { pushed_ms: pushed_ms.parse().ok()?, digest: digest.parse().ok()? })
        }
        ("d", digest) => Some(ImageCursor::Digest(digest.parse().ok()?)),
        _ => None,
    };
    parse().ok_or_else(invalid)
}

/// The image, and behind a space the last tag of it that was listed.
pub(super) fn name_to_text(at: &NameCursor) -> String {
    let tag = at.tag.as_ref().map(|tag| format!(" {tag}")).unwrap_or_default();
    image_to_text(&at.image) + &tag
}

/// Reads what [`name_to_text`] wrote.
pub(super) fn name_from_text(text: &str) -> Result<NameCursor, Failure> {
    let (image, tag) = match text.split_once(' ') {
        Some((image, tag)) => (image, Some(tag.parse().map_err(|_| invalid())?)),
        None => (text, None),
    };
    Ok(NameCursor { image: image_from_text(image)?, tag })
}

fn invalid() -> Failure {
    Failure::invalid_parameter("nextToken", "Invalid token")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::digest::{Algorithm, Digest};

    #[test]
    fn cursors_round_trip_and_nothing_else_is_one() {
        let digest = Digest::of(Algorithm::Sha256, b"x");
        for image in [ImageCursor::Pushed { pushed_ms: 17, digest }, ImageCursor::Digest(digest)] {
            assert_eq!(image_from_text(&image_to_text(&image)).expect("a cursor"), image);
            for tag in [None, Some("v1".parse().expect("a tag"))] {
                let name = NameCursor { image, tag };
                assert_eq!(name_from_text(&name_to_text(&name)).expect("a cursor"), name);
            }
        }
        for wrong in ["", "p", "d", "p17", "é", "x/y", "p1/sha256:00"] {
            assert!(image_from_text(wrong).is_err(), "{wrong}");
        }
    }
}
