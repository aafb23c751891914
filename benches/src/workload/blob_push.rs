//! Pushing a blob: in one PUT, or streamed by PATCH as Docker does.
//!
//! Owns the upload requests of the distribution API (end-4a, 5, 6). Digests are ready before the
//! clock runs, so the client's hashing is not measured.

use clap::ValueEnum;
use hyper::header::{CONTENT_TYPE, LOCATION};
use hyper::http::HeaderValue;
use hyper::{Request, Response, StatusCode, Uri};

use super::Progress;
use crate::LoadError;
use crate::client::Connection;
use crate::content::{Blob, BlobSource, Payload};

/// How the bytes of a blob travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Upload {
    /// POST, then one PUT with all bytes and their length.
    Monolithic,
    /// POST, one PATCH of unknown length, then an empty PUT.
    Streamed,
}

/// Pushes blobs of one size, each different from all before.
pub struct BlobPush {
    /// Where to push.
    pub repository: String,
    /// Makes the blobs.
    pub source: BlobSource,
    /// Number of the run's first blob.
    pub base: u128,
    /// How the bytes travel.
    pub upload: Upload,
}

impl BlobPush {
    pub(super) async fn step(&self, connection: &mut Connection, number: u64) -> Result<Progress, LoadError> {
        let blob = self.source.blob(self.base + u128::from(number));
        push_blob(connection, &self.repository, &blob, self.upload).await?;
        Ok(Progress::of(1, blob.size))
    }
}

/// Pushes one blob. Dropping the future may leave an open upload behind.
///
/// # Errors
/// [`LoadError::Refused`] unless the server answers 202 and 201 as it must, and what
/// [`Connection::call`] gives.
pub async fn push_blob(
    connection: &mut Connection,
    repository: &str,
    blob: &Blob,
    upload: Upload,
) -> Result<(), LoadError> {
    let begin = Request::post(format!("/v2/{repository}/blobs/uploads/"));
    let reply = connection.call(begin, Payload::empty(), StatusCode::ACCEPTED).await?;
    let mut location = location(&reply)?;
    let mut last = blob.payload();
    if upload == Upload::Streamed {
        let patch = Request::patch(&location).header(CONTENT_TYPE, OCTET_STREAM);
        let reply = connection.call(patch, blob.stream(), StatusCode::ACCEPTED).await?;
        location = self::location(&reply)?;
        last = Payload::empty();
    }
    let separator = if location.contains('?') { '&' } else { '?' };
    let commit = Request::put(format!("{location}{separator}digest={}", blob.digest))
        .header(CONTENT_TYPE, OCTET_STREAM);
    connection.call(commit, last, StatusCode::CREATED).await?;
    Ok(())
}

const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Path and query of the `Location`, which some servers send with scheme and host.
fn location<B>(reply: &Response<B>) -> Result<String, LoadError> {
    let location = reply.headers().get(LOCATION).and_then(|value| value.to_str().ok()?.parse::<Uri>().ok());
    let path = location.as_ref().and_then(|uri| uri.path_and_query());
    Ok(path.ok_or(LoadError::BadReply("Location"))?.to_string())
}
