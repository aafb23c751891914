//! Damaged directories: refused with a message that names the file, or served exactly; never a panic,
//! never another answer.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;

use std::path::Path;
use std::time::Duration;

use cluster::{DirectoryError, Metadata, NoPeers, OpenError, Start, StorageError};
use cluster_core::state;
use support::{blob, config, manifest, open, repository};
use tempfile::TempDir;

const TAGS: u32 = 60;

/// A directory with known content, closed.
async fn written() -> TempDir {
    let dir = TempDir::new().unwrap();
    let metadata = open(dir.path()).await;
    let (commit, digest) = blob("team/app", b"layer");
    metadata.propose(commit).await.unwrap();
    for n in 0..TAGS {
        let content = format!("content {n} {}", "x".repeat(700));
        metadata
            .propose(manifest("team/app", &format!("v{n}"), content.as_bytes(), digest, 5))
            .await
            .unwrap();
    }
    assert!(metadata.shutdown(Duration::from_secs(10)).await);
    drop(metadata);
    // The files are closed once another opening succeeds.
    let again = support::settled(dir.path()).await;
    assert!(again.shutdown(Duration::from_secs(10)).await);
    dir
}

const LOG: &str = "log/00000001.log";
const STATE: &str = "state.db";

fn copy_of(dir: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    support::copy(dir, copy.path());
    copy
}

/// Opens a damaged copy and reads all; what is answered must be right. Returns whether it was refused.
async fn refused_or_right(dir: &Path, what: &str) -> bool {
    let metadata = match Metadata::open(config(dir), NoPeers, Start::Found).await {
        Ok(metadata) => metadata,
        Err(error) => {
            assert!(!format!("{error}").is_empty());
            return true;
        }
    };
    let view = metadata.read().await.unwrap();
    let id = repository("team/app");
    let mut all_right = true;
    for n in 0..TAGS {
        let Ok(tag) = state::tag::tag(&view, &id, &format!("v{n}").parse().unwrap()) else {
            all_right = false;
            continue;
        };
        let tag = tag.unwrap_or_else(|| panic!("{what}: v{n} is gone without an error"));
        match state::manifest::manifest_content(&view, &id, &tag.digest) {
            Err(_) => all_right = false,
            Ok(content) => {
                let content = content.unwrap_or_else(|| panic!("{what}: v{n} has no content"));
                assert!(content.starts_with(format!("content {n} ").as_bytes()), "{what}: v{n} is wrong");
            }
        }
    }
    metadata.shutdown(Duration::from_secs(10)).await;
    !all_right
}

#[tokio::test]
async fn a_flipped_byte_is_never_answered() {
    let dir = written().await;
    for file in [LOG, STATE] {
        let bytes = std::fs::read(dir.path().join(file)).unwrap();
        let mut noticed = 0;
        // Every page, at a place that moves through the page.
        for (page, start) in (0..bytes.len())
            .step_by(4096)
            .enumerate()
            .filter(|(_, start)| bytes[*start..].iter().take(4096).any(|b| *b != 0))
        {
            let copy = copy_of(dir.path());
            let mut altered = bytes.clone();
            let at = (start + page * 997 % 4096).min(bytes.len() - 1);
            altered[at] ^= 0x40;
            std::fs::write(copy.path().join(file), altered).unwrap();
            noticed += u32::from(refused_or_right(copy.path(), &format!("{file} at {at}")).await);
        }
        assert!(noticed > 0, "no flip in {file} was noticed");
    }
}

#[tokio::test]
async fn a_file_that_was_cut_is_refused_or_complete() {
    let dir = written().await;
    for file in [LOG, STATE] {
        let bytes = std::fs::read(dir.path().join(file)).unwrap();
        // Not the room that is reserved behind the last record.
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        for part in 0..16 {
            let copy = copy_of(dir.path());
            let length = used * part / 16;
            std::fs::write(copy.path().join(file), &bytes[..length]).unwrap();
            refused_or_right(copy.path(), &format!("{file} cut to {length}")).await;
        }
    }
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let dir = written().await;
    for file in [LOG, STATE] {
        let copy = copy_of(dir.path());
        std::fs::remove_file(copy.path().join(file)).unwrap();
        match Metadata::open(config(copy.path()), NoPeers, Start::Found).await {
            Err(OpenError::Directory(
                DirectoryError::Missing { path } | DirectoryError::Storage(StorageError::Missing { path }),
            )) => assert!(path.ends_with(file)),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_foreign_directory_is_left_alone() {
    let dir = written().await;
    for text in ["shoal-metadata 3\n", "", "\u{0}\u{ff}"] {
        std::fs::write(dir.path().join("FORMAT"), text).unwrap();
        let refused = Metadata::open(config(dir.path()), NoPeers, Start::Found).await;
        assert!(
            matches!(refused, Err(OpenError::Directory(DirectoryError::WrongFormat { .. }))),
            "{refused:?}"
        );
    }
    let file = dir.path().join("FORMAT");
    let refused = Metadata::open(config(&file), NoPeers, Start::Found).await;
    assert!(matches!(refused, Err(OpenError::Directory(DirectoryError::Io { .. }))), "{refused:?}");
}

#[tokio::test]
async fn a_creation_that_was_cut_short_is_finished() {
    let dir = written().await;
    for gone in [vec!["FORMAT", LOG, STATE], vec!["FORMAT", STATE], vec!["FORMAT"]] {
        let made = TempDir::new().unwrap();
        let metadata = open(made.path()).await;
        metadata.shutdown(Duration::from_secs(10)).await;
        let fresh = copy_of(made.path());
        for file in gone {
            std::fs::remove_file(fresh.path().join(file)).unwrap();
            if file == LOG {
                std::fs::remove_dir_all(fresh.path().join("log")).unwrap();
            }
        }
        drop(open(fresh.path()).await);
        assert!(fresh.path().join("FORMAT").exists());
    }
    drop(dir);
}

#[tokio::test]
async fn a_state_that_is_older_than_the_log_is_refused() {
    let old = written().await;
    let new = copy_of(old.path());
    let metadata = open(new.path()).await;
    let (commit, digest) = blob("team/app", b"layer");
    metadata.propose(commit).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..2000 {
        waiting.push(metadata.propose(cluster_core::command::Command::RenewLease { digest }).await);
    }
    support::until("the log is cut", || metadata.status().purged_index > 200).await;
    assert!(metadata.shutdown(Duration::from_secs(10)).await);
    drop(metadata);
    std::fs::copy(old.path().join(STATE), new.path().join(STATE)).unwrap();
    support::until_async("the files are closed", || async {
        match Metadata::open(config(new.path()), NoPeers, Start::Found).await {
            Err(OpenError::Directory(DirectoryError::StateBehindLog { .. })) => true,
            Err(OpenError::Directory(_)) => false,
            other => panic!("{other:?}"),
        }
    })
    .await;
}
