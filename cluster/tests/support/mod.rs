//! Short ways to what the tests of this crate need.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

pub(crate) mod group;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use cluster::{Metadata, MetadataConfig, NoPeers, Start};
use cluster_core::command::{Command, CommitBlob, PutManifest, Receipt};
use cluster_core::key::RepositoryId;
use proto::digest::{Algorithm, Digest};
use proto::identity::{NodeId, RegistryId};
use proto::upload::UploadId;

pub(crate) fn node(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

pub(crate) fn config(dir: &Path) -> MetadataConfig {
    MetadataConfig { reserve_bytes: Some(0), entries_kept: 500, ..MetadataConfig::new(dir, node(1)) }
}

pub(crate) async fn open(dir: &Path) -> Metadata {
    Metadata::open(config(dir), NoPeers, Start::Found).await.unwrap()
}

/// Opens once the process has closed the files after a shutdown.
pub(crate) async fn settled(dir: &Path) -> Metadata {
    let started = Instant::now();
    loop {
        match Metadata::open(config(dir), NoPeers, Start::Found).await {
            Ok(metadata) => return metadata,
            Err(error) if started.elapsed() > Duration::from_secs(10) => panic!("{error:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Copies a directory.
pub(crate) fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    until_async(what, || std::future::ready(holds())).await;
}

pub(crate) async fn until_async<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn repository(name: &str) -> RepositoryId {
    let registry = RegistryId { account: "000000000001".parse().unwrap(), region: "home".parse().unwrap() };
    RepositoryId { registry, name: name.parse().unwrap() }
}

pub(crate) fn blob(name: &str, content: &[u8]) -> (Command, Digest) {
    let digest = Digest::of(Algorithm::Sha256, content);
    let commit = CommitBlob {
        repository: repository(name),
        digest,
        size: content.len() as u64,
        generation: UploadId::new(node(1), 7),
        pieces_root: [3; 32],
        staging_deadline_ms: u64::MAX,
        copies: vec![Receipt { node: node(1), incarnation: 1 }],
        required_copies: 1,
        required_zones: 1,
    };
    (Command::CommitBlob(commit), digest)
}

pub(crate) fn manifest(name: &str, tag: &str, content: &[u8], blob: Digest, size: u64) -> Command {
    Command::PutManifest(Box::new(PutManifest {
        repository: repository(name),
        digest: Digest::of(Algorithm::Sha256, content),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        content: content.to_vec(),
        blobs: vec![(blob, size)],
        children: Vec::new(),
        subject: None,
        artifact_type: None,
        annotations: BTreeMap::new(),
        tags: vec![tag.parse().unwrap()],
        condition: None,
    }))
}
