//! A blob's bytes as a response body: checked windows, by sendfile where the connection can.

use axum::body::Body;
use blobs::{BlobError, Reader, WINDOW};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use proto::range::ByteRange;

use crate::adapters::exchange::Fetch;
use crate::http::file_frames::FileFrames;
use crate::registry::{OpenBlob, RegistryError};

/// Most bytes of one frame that is copied: HTTP/2 keeps one for each stream that its reader stalls.
const COPIED: usize = 64 << 10;

/// A part of a body.
#[derive(Clone, Debug)]
pub(super) enum Segment {
    /// Text between parts.
    Text(Bytes),
    /// Bytes of the blob.
    Blob(ByteRange),
}

impl Segment {
    /// Bytes.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Blob(range) => range.len(),
        }
    }
}

/// Sends `segments` in order. Every window of the blob is checked before its bytes go out; a window that
/// fails the check ends the body early, and with it the connection (P11). Holds at most [`COPIED`] bytes
/// between frames, and none where `frames` are given.
pub(super) fn body(reader: Reader, segments: Vec<Segment>, frames: Option<FileFrames>) -> Body {
    let start = (reader, frames, segments.into_iter(), None);
    Body::from_stream(stream::unfold(start, |(reader, frames, mut segments, mut current)| async move {
        let range: ByteRange = match current.take() {
            Some(range) => range,
            None => match segments.next()? {
                Segment::Text(text) => return Some((Ok(text), (reader, frames, segments, None))),
                Segment::Blob(range) => range,
            },
        };
        match next_bytes(&reader, frames.as_ref(), range).await {
            Ok(bytes) => {
                let start = range.start + bytes.len() as u64;
                let rest = (start < range.end).then_some(ByteRange { start, ..range });
                Some((Ok(bytes), (reader, frames, segments, rest)))
            }
            Err(error) => {
                tracing::error!(reason = %crate::telemetry::log::chain(&error), "blob not sent to its end");
                Some((Err(error), (reader, frames, Vec::new().into_iter(), None)))
            }
        }
    }))
}

/// Sends `segments` of a blob that is being fetched, in order, as its bytes come; each was checked. Returns
/// once the first ones are there. A fetch that fails later ends the body early, and with it the connection.
pub(super) async fn coming(fetch: &Fetch, segments: Vec<Segment>) -> Result<Body, RegistryError> {
    let fetch = fetch.clone();
    let parts = stream::iter(segments).flat_map(move |segment| match segment {
        Segment::Text(text) => stream::iter([Ok(text)]).left_stream(),
        Segment::Blob(range) => OpenBlob::coming(&fetch, range.start..range.end).right_stream(),
    });
    let mut parts = Box::pin(parts);
    let first = parts.next().await.transpose()?;
    Ok(Body::from_stream(stream::iter(first.map(Ok)).chain(parts)))
}

/// The first bytes of `range`, up to the end of their window; never none.
async fn next_bytes(
    reader: &Reader,
    frames: Option<&FileFrames>,
    range: ByteRange,
) -> Result<Bytes, BlobError> {
    let window_end = (range.start / WINDOW + 1) * WINDOW;
    let end = range.end.min(window_end);
    // A window is at most one frame, so this fits.
    let len = (end - range.start) as usize;
    let Some(frames) = frames else {
        let bytes = reader.read(range.start, len.min(COPIED)).await?;
        return if bytes.is_empty() { Err(BlobError::Damaged) } else { Ok(bytes) };
    };
    let window = range.start..end;
    if !reader.is_fresh(window.clone()) {
        reader.ensure_verified(window).await?;
    }
    Ok(frames.frame(reader.file().clone(), range.start, len))
}
