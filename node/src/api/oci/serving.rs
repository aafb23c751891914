//! A blob's bytes as a response body: checked windows, by sendfile where the connection can, or
//! what comes from other nodes.

use axum::body::Body;
use blobs::{BlobCopy, BlobError, Reader, WINDOW};
use bytes::Bytes;
use cluster_core::record::BlobRecord;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use proto::range::ByteRange;

use crate::http::file_frames::FileFrames;
use crate::registry::{OpenBlob, Registry, RegistryError};

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

/// A blob that is being sent.
pub(super) struct Sending {
    pub(super) registry: Registry,
    pub(super) copy: BlobCopy,
    pub(super) record: BlobRecord,
    pub(super) frames: Option<FileFrames>,
}

/// Sends `segments` in order, and returns once the first bytes of the blob are there and checked. Every window is
/// checked before its bytes go out; when this node's copy fails, the rest comes from other nodes, and where
/// there are none the body ends early, and with it the connection (P11). Holds at most [`COPIED`] bytes
/// between frames of this node's copy, and none where there are `frames`; a leaf of one that comes.
pub(super) async fn body(
    sending: Sending,
    opened: OpenBlob,
    segments: Vec<Segment>,
) -> Result<Body, RegistryError> {
    let texts = segments.iter().take_while(|segment| matches!(segment, Segment::Text(_))).count();
    let parts = Parts { sending, opened, segments: segments.into_iter(), rest: None, arriving: None };
    let mut parts = Box::pin(stream::unfold(Some(parts), |parts| async move {
        let mut parts = parts?;
        match parts.next().await {
            Ok(bytes) => bytes.map(|bytes| (Ok(bytes), Some(parts))),
            Err(error) => {
                tracing::error!(reason = %crate::telemetry::log::chain(&error), "blob not sent to its end");
                Some((Err(error), None))
            }
        }
    }));
    let first = parts.by_ref().take(texts + 1).try_collect::<Vec<Bytes>>().await?;
    Ok(Body::from_stream(stream::iter(first.into_iter().map(Ok)).chain(parts)))
}

/// What of a body was not sent yet.
struct Parts {
    sending: Sending,
    opened: OpenBlob,
    segments: std::vec::IntoIter<Segment>,
    /// Of the current segment, from this node's copy.
    rest: Option<ByteRange>,
    /// The current segment, from other nodes.
    arriving: Option<BoxStream<'static, Result<Bytes, RegistryError>>>,
}

impl Parts {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        loop {
            if let Some(arriving) = &mut self.arriving {
                match arriving.next().await.transpose()? {
                    Some(bytes) => return Ok(Some(bytes)),
                    None => self.arriving = None,
                }
            }
            let range = match self.rest.take().map(Segment::Blob).or_else(|| self.segments.next()) {
                None => return Ok(None),
                Some(Segment::Text(text)) => return Ok(Some(text)),
                Some(Segment::Blob(range)) => range,
            };
            let Sending { registry, copy, record, frames } = &self.sending;
            match &self.opened {
                OpenBlob::Coming(fetch) => {
                    self.arriving = Some(registry.coming(fetch, copy, range.start..range.end).boxed());
                }
                OpenBlob::Here(reader) => match next_bytes(reader, frames.as_ref(), range).await {
                    Ok(bytes) => {
                        let start = range.start + bytes.len() as u64;
                        self.rest = (start < range.end).then_some(ByteRange { start, ..range });
                        return Ok(Some(bytes));
                    }
                    Err(error) => {
                        self.opened = OpenBlob::Coming(registry.open_after(error, copy, record).await?);
                        self.rest = Some(range);
                    }
                },
            }
        }
    }
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
