//! What the tests of this crate share: a store in a temporary directory, contents, bodies.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, stream};
use proto::digest::{Algorithm, Digest};
use proto::identity::NodeId;
use tempfile::TempDir;

use crate::{BlobCopy, BlobStore, Settings, Upload, UploadOwner};

pub(crate) struct TestStore {
    pub(crate) store: BlobStore,
    dir: TempDir,
}

impl TestStore {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = BlobStore::open(dir.path(), settings()).await.expect("a new directory opens");
        Self { store, dir }
    }

    /// Another store on the same directory, as after a restart; the old one must not be used any more.
    pub(crate) async fn reopen(self) -> Self {
        let store = BlobStore::open(self.root(), settings()).await.expect("the directory opens again");
        Self { store, dir: self.dir }
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) async fn start(&self) -> Upload {
        self.store.start_upload(owner(), Algorithm::Sha256).await.expect("a session starts")
    }

    /// Stages a blob.
    pub(crate) async fn put(&self, content: &[u8]) -> BlobCopy {
        self.try_put(sha256(content), None, body(content, 100_000)).await.expect("a blob is stored")
    }

    /// A whole upload, cancelled when it fails.
    pub(crate) async fn try_put<S, E>(
        &self,
        digest: Digest,
        length: Option<u64>,
        body: S,
    ) -> Result<BlobCopy, crate::BlobError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    {
        let upload = self.store.start_upload(owner(), digest.algorithm()).await?;
        let appended = upload.append(Some(0), length, body).await;
        if appended.is_err() {
            upload.cancel();
        }
        appended?;
        upload.finish(digest).await
    }

    pub(crate) fn path(&self, copy: &BlobCopy) -> PathBuf {
        self.store.inner().layout.copy(&copy.digest, copy.generation)
    }

    pub(crate) fn list_path(&self, copy: &BlobCopy) -> PathBuf {
        self.store.inner().layout.pieces(&copy.digest, copy.generation)
    }

    /// Waits until removals in the background are done.
    pub(crate) async fn settle(&self) {
        assert!(self.store.shutdown(Duration::from_secs(20)).await, "work goes on for too long");
    }

    /// The names in a folder below the root.
    pub(crate) fn names(&self, folder: &str) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.root().join(folder)).expect("the folder is there");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    /// Reads a copy to its end.
    pub(crate) async fn read(&self, copy: &BlobCopy) -> Result<Vec<u8>, crate::BlobError> {
        let reader = self.store.open_copy(copy).await?;
        let mut content = Vec::new();
        loop {
            let part = reader.read(content.len() as u64, 700_000).await?;
            if part.is_empty() {
                return Ok(content);
            }
            content.extend_from_slice(&part);
        }
    }
}

pub(crate) fn settings() -> Settings {
    Settings { uploads_per_principal: 3, ..Settings::new(NodeId::new(1).expect("not zero")) }
}

pub(crate) fn owner() -> UploadOwner {
    UploadOwner { principal: "123456789012:root".into(), repository: "team/app".into() }
}

pub(crate) fn sha256(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

/// Bytes that differ everywhere, also between leaves.
pub(crate) fn content(size: usize) -> Vec<u8> {
    let mut state = size as u64 | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..size).map(|_| next()).collect()
}

/// A body that comes in chunks and ends well.
pub(crate) fn body(content: &[u8], chunk: usize) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let chunks: Vec<_> = content.chunks(chunk).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    stream::iter(chunks)
}
