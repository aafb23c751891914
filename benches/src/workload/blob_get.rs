//! Reading a blob to its end and discarding it, at full speed or slowly.
//!
//! Owns the read loop and its pacing. Never keeps a byte.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::{Request, StatusCode};
use tokio::time::{Instant, sleep_until};

use super::Progress;
use super::blob_push::{Upload, push_blob};
use crate::LoadError;
use crate::client::{Connection, describe};
use crate::content::{BlobSource, Payload};

/// Reads the blob at one path.
pub struct BlobGet {
    path: String,
    bytes_per_second: Option<u64>,
}

impl BlobGet {
    /// Reads whatever is at `path`, each stream at no more than `bytes_per_second`.
    pub fn at(path: String, bytes_per_second: Option<u64>) -> Self {
        Self { path, bytes_per_second }
    }

    /// Pushes a blob of `size` bytes unless the repository has it, and returns its path.
    ///
    /// # Errors
    /// What the push gives.
    pub async fn prepare(
        connection: &mut Connection,
        repository: &str,
        size: u64,
    ) -> Result<String, LoadError> {
        let blob = BlobSource::new(size).blob(0);
        let path = format!("/v2/{repository}/blobs/{}", blob.digest);
        let known = connection.send(Request::head(&path), Payload::empty()).await?;
        if known.status() != StatusCode::OK {
            push_blob(connection, repository, &blob, Upload::Monolithic).await?;
        }
        Ok(path)
    }

    pub(super) async fn step(
        &self,
        connection: &mut Connection,
        deadline: Instant,
    ) -> Result<Progress, LoadError> {
        let begin = Instant::now();
        let request = Request::get(&self.path);
        let what = describe(&request);
        let reply = connection.send(request, Payload::empty()).await?;
        if reply.status() != StatusCode::OK {
            return Err(LoadError::Refused { status: reply.status(), request: what });
        }
        let mut body = reply.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(LoadError::Broken)?;
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            drop(frame);
            if let Some(rate) = self.bytes_per_second {
                let due = begin + Duration::from_secs_f64(bytes as f64 / rate as f64);
                sleep_until(due.min(deadline)).await;
            }
            if Instant::now() >= deadline {
                return Ok(Progress { items: 0, bytes, cut_short: true });
            }
        }
        Ok(Progress::of(1, bytes))
    }
}
