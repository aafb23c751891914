//! Reading small documents: manifests and the first page of a listing.
//!
//! Owns the requests and the manifest that is read. The whole reply is read each time.

use hyper::header::ACCEPT;
use hyper::http::HeaderValue;
use hyper::{Method, Request, StatusCode};
use proto::digest::{Algorithm, Digest};

use super::Progress;
use super::image_push::{push_image, put_manifest};
use crate::LoadError;
use crate::client::Connection;
use crate::content::{BlobSource, MANIFEST_TYPE, Payload};

/// Size of the manifest that is read, in bytes: what an image of some ten layers has.
const MANIFEST_SIZE: usize = 2048;
/// What the daemons send, shortened to the types that matter.
const ACCEPTED: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, */*",
);

/// Reads one path again and again.
pub struct Read {
    /// GET or HEAD.
    pub method: Method,
    /// What to read.
    pub path: String,
}

/// How a manifest is named in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Reference {
    /// By tag, which the server must look up.
    Tag,
    /// By digest, which never changes.
    Digest,
}

impl Read {
    /// Pushes an image with a manifest of 2 KiB and returns the manifest's path.
    ///
    /// # Errors
    /// What the push gives.
    pub async fn prepare_manifest(
        connection: &mut Connection,
        repository: &str,
        reference: Reference,
    ) -> Result<String, LoadError> {
        let layers = BlobSource::new(1024);
        let manifest = push_image(connection, repository, &layers, 0, MANIFEST_SIZE).await?;
        let digest = Digest::of(Algorithm::Sha256, &manifest);
        let tagged = format!("/v2/{repository}/manifests/read");
        put_manifest(connection, &tagged, MANIFEST_TYPE, manifest).await?;
        Ok(match reference {
            Reference::Tag => tagged,
            Reference::Digest => format!("/v2/{repository}/manifests/{digest}"),
        })
    }

    pub(super) async fn step(&self, connection: &mut Connection) -> Result<Progress, LoadError> {
        let request = Request::builder().method(&self.method).uri(&self.path).header(ACCEPT, ACCEPTED);
        let reply = connection.call(request, Payload::empty(), StatusCode::OK).await?;
        Ok(Progress::of(1, reply.body().len() as u64))
    }
}
