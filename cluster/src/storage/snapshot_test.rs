//! A snapshot is installed whole or not at all.

use std::io::{Seek, Write};
use std::sync::Arc;

use cluster_core::view::View;
use openraft::storage::RaftStateMachine;
use openraft::{CommittedLeaderId, LogId, SnapshotMeta};
use tempfile::TempDir;

use super::super::encoding::Stored;
use super::super::engine::{Durability, Engine};
use super::super::log::{Beginning, LogStore};
use super::super::state::StateStore;
use super::super::transfer::Installing;
use super::*;

fn log_id(index: u64) -> LogId<u64> {
    LogId::new(CommittedLeaderId::new(1, 1), index)
}

fn store(dir: &TempDir, index: u64, pairs: &[(&str, &str)]) -> StateStore {
    let path = dir.path().join("state.db");
    Engine::create(&path).unwrap();
    let engine = Arc::new(Engine::open(&path, 1 << 20).unwrap());
    let position = (APPLIED.to_vec(), Some(log_id(index).encode()));
    let pairs = pairs.iter().map(|(key, value)| (key.as_bytes().to_vec(), Some(value.as_bytes().to_vec())));
    engine.write(pairs.chain([position]), Durability::Now).unwrap();
    let (log, installing) = (dir.path().join("log"), Installing::new());
    LogStore::create(&log, Beginning::default()).unwrap();
    let log = LogStore::open(&log, Arc::clone(&engine), installing.clone()).unwrap();
    StateStore::open(engine, log, dir.path().to_owned(), installing).unwrap()
}

fn all(store: &StateStore) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut pairs = Vec::new();
    let mut keep = |key: &[u8], value: &[u8]| {
        pairs.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    store.reader().unwrap().scan(b"", ALL_END, &mut keep).unwrap();
    pairs
}

fn meta(index: u64) -> SnapshotMeta<u64, openraft::BasicNode> {
    SnapshotMeta { last_log_id: Some(log_id(index)), ..SnapshotMeta::default() }
}

async fn install(store: &mut StateStore, meta_index: u64, bytes: &[u8]) -> bool {
    let mut received = store.begin_receiving_snapshot().await.unwrap();
    let StateSnapshot::Received(file) = received.as_mut() else { panic!("not a file") };
    file.file.write_all(bytes).unwrap();
    store.install_snapshot(&meta(meta_index), received).await.is_ok()
}

fn bytes_of(store: &StateStore, dir: &TempDir) -> Vec<u8> {
    let mut file = StateSnapshot::View(store.reader().unwrap()).into_file(dir.path()).unwrap();
    file.file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.file.read_to_end(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn a_snapshot_replaces_the_state_of_another_node() {
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let source = store(&here, 9, &[("a", "1"), ("b", ""), ("c", "3")]);
    let mut target = store(&there, 2, &[("a", "old"), ("d", "old")]);
    let before = target.reader().unwrap();
    assert!(install(&mut target, 9, &bytes_of(&source, &here)).await);
    assert_eq!(all(&target), all(&source));
    assert_eq!(target.applied_index(), Some(9));
    assert_eq!(before.get(b"d").unwrap().as_deref(), Some(b"old".as_slice()), "an older view changed");
}

#[tokio::test]
async fn a_snapshot_that_is_cut_altered_or_misplaced_replaces_nothing() {
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let bytes = bytes_of(&store(&here, 9, &[("a", "1"), ("b", "2")]), &here);
    let mut target = store(&there, 2, &[("a", "old")]);
    let before = all(&target);
    for cut in 0..bytes.len() {
        assert!(!install(&mut target, 9, &bytes[..cut]).await, "cut at {cut}");
    }
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 0x10;
        assert!(!install(&mut target, 9, &altered).await, "altered at {at}");
    }
    assert!(!install(&mut target, 9, &[&bytes[..], b"x"].concat()).await, "longer");
    assert!(!install(&mut target, 8, &bytes).await, "of another position");
    assert_eq!(all(&target), before);
}
