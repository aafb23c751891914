//! What only an entry of another release can bring about.

use std::error::Error;
use std::time::Duration;

use cluster_core::command::{Batch, Command};
use proto::digest::{Algorithm, Digest};
use proto::identity::NodeId;
use tempfile::TempDir;

use super::*;
use crate::NoPeers;
use crate::raft::EncodedBatch;

fn config(dir: &TempDir) -> MetadataConfig {
    MetadataConfig { reserve_bytes: Some(0), ..MetadataConfig::new(dir.path(), NodeId::new(1).unwrap()) }
}

fn renew() -> Command {
    Command::RenewLease { digest: Digest::of(Algorithm::Sha256, b"x") }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

#[tokio::test]
async fn an_entry_of_a_newer_release_stops_the_node_and_is_never_skipped() {
    let dir = TempDir::new().unwrap();
    let metadata = Metadata::open(config(&dir), NoPeers, Start::Found).await.unwrap();
    metadata.propose(renew()).await.unwrap();
    let mut newer = Batch { time_ms: 1, commands: Vec::new() }.encode();
    // The version stands first: field 1, a varint.
    assert_eq!(newer[..2], [8, 2]);
    let version = u8::try_from(cluster_core::level::NEWEST + 1).unwrap();
    newer[1] = version;
    assert!(metadata.inner.group.raft.client_write(EncodedBatch(newer)).await.is_err());
    let refused = metadata.propose(renew()).await.unwrap_err();
    assert!(matches!(refused, ProposeError::StorageFailed(_)), "{refused:?}");
    assert!(matches!(metadata.read().await, Err(ReadError::StorageFailed(_))));
    assert!(!metadata.status().ready);
    metadata.shutdown(Duration::from_secs(10)).await;
    drop(metadata);
    let error = loop {
        match Metadata::open(config(&dir), NoPeers, Start::Found).await {
            Err(OpenError::Directory(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            other => break other.unwrap_err(),
        }
    };
    let text = chain(&error);
    assert!(text.contains(&format!("version {version}")), "{text}");
}

#[tokio::test]
async fn a_nearly_full_volume_still_takes_deletes() {
    let dir = TempDir::new().unwrap();
    let metadata = Metadata::open(
        MetadataConfig { reserve_bytes: Some(u64::MAX), ..config(&dir) },
        NoPeers,
        Start::Found,
    )
    .await
    .unwrap();
    let key = cluster_core::command::RegisterNodeKey { node: NodeId::new(1).unwrap(), public_key: [0; 32] };
    assert!(matches!(metadata.propose(Command::RegisterNodeKey(key)).await, Err(ProposeError::Full)));
    let registry = proto::identity::RegistryId {
        account: "000000000001".parse().unwrap(),
        region: "home".parse().unwrap(),
    };
    let repository = cluster_core::key::RepositoryId { registry, name: "a".parse().unwrap() };
    let delete = Command::DeleteTag { repository, tag: "v1".parse().unwrap() };
    assert_eq!(metadata.propose(delete).await.unwrap(), Response::NotFound);
    metadata.tick().await.unwrap();
}
