//! What is pushed: blobs and manifests whose bytes and digests cost nothing to make.
//!
//! Owns generated content and the request body that streams it. Hashing happens before the clock
//! runs: blobs of one [`BlobSource`] share all bytes but the last few, so each digest is one short
//! step from a saved hash state. Pure; no IO.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use proto::digest::{Algorithm, Digest, Hasher};
use serde_json::json;

/// Length of the repeated pattern: small enough to stay in the processor's cache, in bytes.
const PATTERN: usize = 256 * 1024;
/// Bytes at the end that make a blob unique.
const TAIL: usize = 16;

/// Media type of the manifests that are pushed here.
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Makes blobs of one size, all different.
#[derive(Clone)]
pub struct BlobSource {
    pattern: Bytes,
    prefix: u64,
    prefix_hash: Hasher,
}

/// A blob to push: its digest, and its bytes as pattern and tail.
#[derive(Clone)]
pub struct Blob {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
    payload: Payload,
}

impl BlobSource {
    /// Blobs of `size` bytes, at least 16. Hashes `size` bytes once.
    pub fn new(size: u64) -> Self {
        let pattern = pattern();
        let prefix = size.saturating_sub(TAIL as u64);
        let mut prefix_hash = Hasher::new(Algorithm::Sha256);
        let mut left = prefix;
        while left > 0 {
            let part = left.min(PATTERN as u64);
            prefix_hash.update(&pattern[..part as usize]);
            left -= part;
        }
        Self { pattern, prefix, prefix_hash }
    }

    /// The blob numbered `unique`: equal numbers give equal bytes.
    pub fn blob(&self, unique: u128) -> Blob {
        let tail = Bytes::copy_from_slice(&unique.to_be_bytes());
        let mut hash = self.prefix_hash.clone();
        hash.update(&tail);
        let payload =
            Payload { pattern: self.pattern.clone(), repeat: self.prefix, tail, length_declared: true };
        Blob { digest: hash.finish(), size: payload.left(), payload }
    }
}

impl Blob {
    /// A blob of the bytes at hand.
    pub fn of(bytes: Bytes) -> Self {
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        Self { digest, size: bytes.len() as u64, payload: Payload::of(bytes) }
    }

    /// The bytes as a request body with `Content-Length`.
    pub fn payload(&self) -> Payload {
        self.payload.clone()
    }

    /// The bytes as a request body of unknown length, as Docker streams them.
    pub fn stream(&self) -> Payload {
        Payload { length_declared: false, ..self.payload.clone() }
    }
}

/// Pseudo-random bytes (xorshift), so that no server gains by compressing.
fn pattern() -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    words.take(PATTERN / 8).flat_map(u64::to_le_bytes).collect()
}

/// A request body: a pattern repeated, then a tail. Never copies.
#[derive(Clone)]
pub struct Payload {
    pattern: Bytes,
    repeat: u64,
    tail: Bytes,
    length_declared: bool,
}

impl Payload {
    /// No body.
    pub fn empty() -> Self {
        Self::of(Bytes::new())
    }

    /// The bytes at hand.
    pub fn of(bytes: Bytes) -> Self {
        Self { pattern: Bytes::new(), repeat: 0, tail: bytes, length_declared: true }
    }

    fn left(&self) -> u64 {
        self.repeat + self.tail.len() as u64
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.repeat > 0 {
            let part = self.repeat.min(self.pattern.len() as u64);
            self.repeat -= part;
            return Poll::Ready(Some(Ok(Frame::data(self.pattern.slice(..part as usize)))));
        }
        if self.tail.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.tail)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.length_declared { SizeHint::with_exact(self.left()) } else { SizeHint::default() }
    }
}

/// A config blob that no other image has.
pub fn config(unique: u128) -> Blob {
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Labels": { "unique": unique.to_string() } },
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    Blob::of(config.to_string().into())
}

/// An image manifest over `config` and `layers`, made different by `name` and padded to at least `size`
/// bytes by annotations.
pub fn manifest(config: &Blob, layers: &[Blob], name: &str, size: usize) -> Bytes {
    let build = |padding: usize| {
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer))
            .collect();
        json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": layers,
            "annotations": { "name": name, "padding": "x".repeat(padding) },
        })
        .to_string()
    };
    let bare = build(0).len();
    build(size.saturating_sub(bare)).into()
}

fn descriptor(media_type: &str, blob: &Blob) -> serde_json::Value {
    json!({ "mediaType": media_type, "digest": blob.digest.to_string(), "size": blob.size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn bytes_of(payload: Payload) -> Bytes {
        payload.collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn a_blob_streams_the_bytes_of_its_digest() {
        for size in [16, 100, PATTERN as u64 + 16, 3 * PATTERN as u64 + 5] {
            let blob = BlobSource::new(size).blob(7);
            let bytes = bytes_of(blob.stream()).await;
            assert_eq!(bytes.len() as u64, size);
            assert_eq!(Digest::of(Algorithm::Sha256, &bytes), blob.digest);
        }
    }

    #[test]
    fn blobs_differ_by_number_only() {
        let source = BlobSource::new(64);
        assert_eq!(source.blob(1).digest, source.blob(1).digest);
        assert_ne!(source.blob(1).digest, source.blob(2).digest);
    }

    #[test]
    fn a_manifest_is_padded_to_the_size_asked_for() {
        assert_eq!(manifest(&config(1), &[BlobSource::new(64).blob(1)], "", 2048).len(), 2048);
    }
}
