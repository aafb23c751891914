//! The handle from outside: what is acknowledged is read, survives, and stays bounded.

mod support;

use std::time::Duration;

use cluster::{Metadata, NoPeers, OpenError, Start};
use cluster_core::command::{Command, Response};
use cluster_core::state;
use support::{blob, config, manifest, node, open, repository, settled};
use tempfile::TempDir;

#[tokio::test]
async fn what_was_proposed_is_read() {
    let dir = TempDir::new().unwrap();
    let metadata = open(dir.path()).await;
    let (commit, digest) = blob("team/app", b"layer");
    assert!(matches!(metadata.propose(commit).await.unwrap(), Response::BlobLinked { .. }));
    let stored = metadata.propose(manifest("team/app", "v1", b"{}", digest, 5)).await.unwrap();
    assert!(matches!(stored, Response::ManifestStored { created: true, .. }), "{stored:?}");
    let view = metadata.read().await.unwrap();
    let tag = state::tag::tag(&view, &repository("team/app"), &"v1".parse().unwrap()).unwrap().unwrap();
    let content = state::manifest::manifest_content(&view, &repository("team/app"), &tag.digest).unwrap();
    assert_eq!(content.as_deref(), Some(b"{}".as_slice()));
    assert!(metadata.applied_log_time().unwrap() > 0);
}

#[tokio::test]
async fn a_view_does_not_change_while_writes_go_on() {
    let dir = TempDir::new().unwrap();
    let metadata = open(dir.path()).await;
    let before = metadata.read().await.unwrap();
    metadata.propose(blob("team/app", b"layer").0).await.unwrap();
    let id = repository("team/app");
    assert_eq!(state::repository::repository(&before, &id).unwrap(), None);
    let after = metadata.read().await.unwrap();
    assert!(state::repository::repository(&after, &id).unwrap().is_some());
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let metadata = open(dir.path()).await;
    let (commit, digest) = blob("team/app", b"layer");
    metadata.propose(commit).await.unwrap();
    for n in 0..200 {
        metadata.propose(manifest("team/app", &format!("v{n}"), b"{}", digest, 5)).await.unwrap();
    }
    assert!(metadata.shutdown(Duration::from_secs(10)).await);
    drop(metadata);
    let metadata = settled(dir.path()).await;
    let tags = state::tag::tags(&metadata.local().unwrap(), &repository("team/app"), None, 1000).unwrap();
    assert_eq!(tags.items.len(), 200);
}

#[tokio::test]
async fn a_copy_of_the_files_taken_between_two_writes_opens_with_all_that_was_acknowledged() {
    let dir = TempDir::new().unwrap();
    let metadata = open(dir.path()).await;
    let (commit, digest) = blob("team/app", b"layer");
    metadata.propose(commit).await.unwrap();
    for n in 0..100 {
        metadata.propose(manifest("team/app", &format!("v{n}"), b"{}", digest, 5)).await.unwrap();
        if n % 20 != 19 {
            continue;
        }
        // What a crash of the process would leave.
        let copy = TempDir::new().unwrap();
        support::copy(dir.path(), copy.path());
        let restarted = open(copy.path()).await;
        let tags = state::tag::tags(&restarted.read().await.unwrap(), &repository("team/app"), None, 1000);
        assert_eq!(tags.unwrap().items.len(), n + 1);
    }
}

#[tokio::test]
async fn commands_that_come_together_share_entries() {
    let dir = TempDir::new().unwrap();
    let metadata = open(dir.path()).await;
    let before = metadata.status();
    let proposals = (0..256).map(|n: u32| {
        let metadata = metadata.clone();
        let (command, _) = blob("team/app", &n.to_be_bytes());
        tokio::spawn(async move { metadata.propose(command).await })
    });
    for proposal in proposals.collect::<Vec<_>>() {
        assert!(matches!(proposal.await.unwrap().unwrap(), Response::BlobLinked { .. }));
    }
    let after = metadata.status();
    assert_eq!(after.commands_proposed - before.commands_proposed, 256);
    let entries = after.entries_proposed - before.entries_proposed;
    assert!(entries <= 64, "{entries} entries for 256 commands");
}

#[tokio::test]
async fn a_reader_sees_every_write_acknowledged_before_it_asked() {
    let dir = TempDir::new().unwrap();
    let metadata = open(dir.path()).await;
    let clients = (0..8).map(|client| {
        let metadata = metadata.clone();
        tokio::spawn(async move {
            for n in 0..20 {
                let name = format!("team/c{client}-{n}");
                metadata.propose(blob(&name, b"layer").0).await.unwrap();
                let view = metadata.read().await.unwrap();
                assert!(state::repository::repository(&view, &repository(&name)).unwrap().is_some());
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_harms_nobody() {
    let dir = TempDir::new().unwrap();
    let metadata = open(dir.path()).await;
    for n in 0u32..50 {
        let (command, _) = blob("team/gone", &n.to_be_bytes());
        let proposal = metadata.propose(command);
        tokio::select! {
            biased;
            _ = proposal => {}
            () = tokio::task::yield_now() => {}
        }
    }
    let stayed = metadata.propose(blob("team/stayed", b"layer").0).await.unwrap();
    assert!(matches!(stayed, Response::BlobLinked { .. }));
}

#[tokio::test]
async fn the_log_is_bounded_by_entries() {
    let dir = TempDir::new().unwrap();
    let metadata = open(dir.path()).await;
    let (commit, digest) = blob("team/app", b"layer");
    metadata.propose(commit).await.unwrap();
    for _ in 0..1600 {
        metadata.propose(Command::RenewLease { digest }).await.unwrap();
    }
    // The purge runs behind.
    support::until("the log is cut", || metadata.status().purged_index >= 400).await;
    let status = metadata.status();
    assert!(status.last_log_index >= 1600 && status.snapshot_index >= 900, "{status:?}");
    assert!(status.disk_bytes < 32 << 20, "{status:?}");
}

#[tokio::test]
async fn the_log_is_bounded_by_bytes() {
    let dir = TempDir::new().unwrap();
    let metadata = open(dir.path()).await;
    let (commit, digest) = blob("team/app", b"layer");
    metadata.propose(commit).await.unwrap();
    for n in 0u8..40 {
        // All the same manifest row count, so only the log could grow: each replaces the one before.
        let content = vec![n; 4 << 20];
        let stored = metadata.propose(manifest("team/app", "big", &content, digest, 5)).await.unwrap();
        assert!(matches!(stored, Response::ManifestStored { .. }), "{stored:?}");
    }
    support::until("the log is cut", || {
        let status = metadata.status();
        status.log_bytes < 100 << 20
    })
    .await;
    assert!(metadata.status().purged_index > 0);
}

#[tokio::test]
async fn a_directory_of_another_node_is_refused() {
    let dir = TempDir::new().unwrap();
    let metadata = open(dir.path()).await;
    assert!(metadata.shutdown(Duration::from_secs(10)).await);
    drop(metadata);
    let mut other = config(dir.path());
    other.node = node(2);
    support::until_async("the files are closed", || async {
        match Metadata::open(other.clone(), NoPeers, Start::Found).await {
            Err(OpenError::OtherNode { found: 1, .. }) => true,
            Err(OpenError::Directory(_)) => false,
            unexpected => panic!("{unexpected:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn after_shutdown_commands_and_reads_are_refused_at_once() {
    let dir = TempDir::new().unwrap();
    let metadata = open(dir.path()).await;
    assert!(metadata.shutdown(Duration::from_secs(10)).await);
    assert!(metadata.propose(blob("team/app", b"layer").0).await.is_err());
    assert!(metadata.read().await.is_err());
    assert!(!metadata.status().ready);
}
