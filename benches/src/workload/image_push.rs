//! Pushing small images: config, one layer, manifest; each image different from all before.
//!
//! Owns the order of requests: blobs first, then the manifest by tag.

use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};

use super::Progress;
use super::blob_push::{Upload, push_blob};
use crate::LoadError;
use crate::client::Connection;
use crate::content::{BlobSource, MANIFEST_TYPE, Payload, config, manifest};

/// Pushes images whose layer has one size.
pub struct ImagePush {
    /// Where to push.
    pub repository: String,
    /// Makes the layers.
    pub layers: BlobSource,
    /// Number of the run's first image.
    pub base: u128,
}

impl ImagePush {
    pub(super) async fn step(&self, connection: &mut Connection, number: u64) -> Result<Progress, LoadError> {
        let unique = self.base + u128::from(number);
        let manifest = push_image(connection, &self.repository, &self.layers, unique, 0).await?;
        let path = format!("/v2/{}/manifests/i{unique}", self.repository);
        let bytes = manifest.len() as u64;
        put_manifest(connection, &path, MANIFEST_TYPE, manifest).await?;
        Ok(Progress::of(1, bytes))
    }
}

/// Pushes the blobs of the image numbered `unique` and returns its manifest, of at least `size` bytes.
///
/// # Errors
/// What [`push_blob`] gives.
pub async fn push_image(
    connection: &mut Connection,
    repository: &str,
    layers: &BlobSource,
    unique: u128,
    size: usize,
) -> Result<Bytes, LoadError> {
    let config = config(unique);
    let layer = layers.blob(unique);
    push_blob(connection, repository, &config, Upload::Monolithic).await?;
    push_blob(connection, repository, &layer, Upload::Monolithic).await?;
    Ok(manifest(&config, &[layer], "", size))
}

/// Pushes a manifest to `path`, which ends in a tag or a digest, and returns the reply's head.
///
/// # Errors
/// [`LoadError::Refused`] unless the answer is 201, and what [`Connection::call`] gives.
pub async fn put_manifest(
    connection: &mut Connection,
    path: &str,
    media_type: &str,
    manifest: Bytes,
) -> Result<hyper::HeaderMap, LoadError> {
    let put = Request::put(path).header(CONTENT_TYPE, media_type);
    let reply = connection.call(put, Payload::of(manifest), StatusCode::CREATED).await?;
    Ok(reply.into_parts().0.headers)
}
