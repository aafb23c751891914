//! The workloads: what one operation of each does, a file per kind.
//!
//! Owns the requests and what is prepared for them. Speaks the OCI distribution API and Docker's
//! catalog, nothing of a particular server. Counting and timing belong to `drive`.

pub mod authorization;
pub mod blob_get;
pub mod blob_push;
pub mod fill;
pub mod image_push;
pub mod read;

use tokio::time::Instant;

use crate::LoadError;
use crate::client::Connection;

pub use authorization::{AccessKey, AuthorizationToken};
pub use blob_get::BlobGet;
pub use blob_push::{BlobPush, Upload};
pub use fill::{FillRepositories, FillTags};
pub use image_push::ImagePush;
pub use read::Read;

/// What one operation achieved.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Things done.
    pub items: u64,
    /// Body bytes moved in the measured direction.
    pub bytes: u64,
    /// The deadline ended it early, so its duration says nothing.
    pub cut_short: bool,
}

impl Progress {
    fn of(items: u64, bytes: u64) -> Self {
        Self { items, bytes, cut_short: false }
    }
}

/// A prepared workload.
pub enum Operation {
    /// Reads a blob to its end.
    BlobGet(BlobGet),
    /// Pushes a blob that nobody has.
    BlobPush(BlobPush),
    /// Asks for a password.
    AuthorizationToken(AuthorizationToken),
    /// Reads a small document: manifest, page of tags or of repositories.
    Read(Read),
    /// Pushes an image that nobody has.
    ImagePush(ImagePush),
    /// Sets tags that do not exist.
    FillTags(FillTags),
    /// Makes repositories that do not exist.
    FillRepositories(FillRepositories),
}

impl Operation {
    /// Does the operation numbered `number` of the run. Dropping the future leaves `connection` unusable
    /// for the reply under way; the server may or may not have acted.
    ///
    /// # Errors
    /// Whatever the server or the connection did wrong.
    pub async fn step(
        &self,
        connection: &mut Connection,
        number: u64,
        deadline: Instant,
    ) -> Result<Progress, LoadError> {
        match self {
            Self::BlobGet(operation) => operation.step(connection, deadline).await,
            Self::BlobPush(operation) => operation.step(connection, number).await,
            Self::AuthorizationToken(operation) => operation.step(connection).await,
            Self::Read(operation) => operation.step(connection).await,
            Self::ImagePush(operation) => operation.step(connection, number).await,
            Self::FillTags(operation) => operation.step(connection, number).await,
            Self::FillRepositories(operation) => operation.step(connection, number).await,
        }
    }
}

/// A number that no earlier run used, with room below it for the operations of this run.
pub fn fresh_base() -> u128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.as_nanos() << 40
}
