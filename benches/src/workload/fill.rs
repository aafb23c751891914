//! Making many tags or many repositories, as fast as the server takes them.
//!
//! Owns their names: `t00000042` and `<prefix>/r00000042`, so that later runs find them. Several tags
//! go in one request where the server says that it takes them (end-7b).

use bytes::Bytes;
use hyper::header::HeaderMap;
use hyper::{Request, StatusCode};
use proto::digest::{Algorithm, Digest};

use super::Progress;
use super::blob_push::{Upload, push_blob};
use super::image_push::{push_image, put_manifest};
use crate::LoadError;
use crate::client::Connection;
use crate::content::{Blob, BlobSource, MANIFEST_TYPE, Payload, config, manifest};

/// Sizes of batches to try, largest first; the query of the largest takes 1.4 KiB.
const BATCHES: [u64; 3] = [100, 50, 10];

/// Sets tags of one manifest.
pub struct FillTags {
    repository: String,
    manifest: Bytes,
    digest: Digest,
    batch: u64,
}

impl FillTags {
    /// Pushes the image that all tags will name and finds out how many tags one request can set.
    ///
    /// # Errors
    /// What the push gives.
    pub async fn prepare(connection: &mut Connection, repository: &str) -> Result<Self, LoadError> {
        let manifest = push_image(connection, repository, &BlobSource::new(1024), 0, 0).await?;
        let digest = Digest::of(Algorithm::Sha256, &manifest);
        let mut fill = Self { repository: repository.into(), manifest, digest, batch: 1 };
        put_manifest(connection, &fill.by_digest(), MANIFEST_TYPE, fill.manifest.clone()).await?;
        for batch in BATCHES {
            let trial =
                Self { batch, manifest: fill.manifest.clone(), repository: repository.into(), digest };
            match put_manifest(connection, &trial.path(0), MANIFEST_TYPE, trial.manifest.clone()).await {
                Ok(headers) if accepted_tags(&headers) == batch => {
                    fill.batch = batch;
                    break;
                }
                Ok(_) | Err(LoadError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(fill)
    }

    /// Tags that one request sets.
    pub fn batch(&self) -> u64 {
        self.batch
    }

    pub(super) async fn step(&self, connection: &mut Connection, number: u64) -> Result<Progress, LoadError> {
        put_manifest(connection, &self.path(number), MANIFEST_TYPE, self.manifest.clone()).await?;
        Ok(Progress::of(self.batch, 0))
    }

    fn by_digest(&self) -> String {
        format!("/v2/{}/manifests/{}", self.repository, self.digest)
    }

    fn path(&self, number: u64) -> String {
        let first = number * self.batch;
        if self.batch == 1 {
            return format!("/v2/{}/manifests/{}", self.repository, tag(first));
        }
        let tags: Vec<_> = (first..first + self.batch).map(|tag| format!("tag={}", self::tag(tag))).collect();
        format!("{}?{}", self.by_digest(), tags.join("&"))
    }
}

fn tag(number: u64) -> String {
    format!("t{number:08}")
}

/// How many tags the server says that it set.
fn accepted_tags(headers: &HeaderMap) -> u64 {
    let values = headers.get_all("oci-tag").into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).count() as u64
}

/// Makes repositories, each with one image of its own: a config that all share and no layer.
pub struct FillRepositories {
    prefix: String,
    config: Blob,
}

impl FillRepositories {
    /// Pushes the config that the images share to `<prefix>/source`.
    ///
    /// # Errors
    /// What the push gives.
    pub async fn prepare(connection: &mut Connection, prefix: &str) -> Result<Self, LoadError> {
        let config = config(0);
        push_blob(connection, &format!("{prefix}/source"), &config, Upload::Monolithic).await?;
        Ok(Self { prefix: prefix.into(), config })
    }

    pub(super) async fn step(&self, connection: &mut Connection, number: u64) -> Result<Progress, LoadError> {
        let repository = format!("/v2/{}/r{number:08}", self.prefix);
        let mount =
            format!("{repository}/blobs/uploads/?mount={}&from={}/source", self.config.digest, self.prefix);
        connection.call(Request::post(mount), Payload::empty(), StatusCode::CREATED).await?;
        let image = manifest(&self.config, &[], &number.to_string(), 0);
        put_manifest(connection, &format!("{repository}/manifests/v1"), MANIFEST_TYPE, image).await?;
        Ok(Progress::of(1, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_counted_in_lists_and_repeated_headers() {
        let mut headers = HeaderMap::new();
        headers.append("oci-tag", "a,b".parse().unwrap());
        headers.append("oci-tag", "c".parse().unwrap());
        assert_eq!(accepted_tags(&headers), 3);
        assert_eq!(accepted_tags(&HeaderMap::new()), 0);
    }
}
