//! The log over real files: what it says after it was opened again, and what counts as on disk.

use futures::FutureExt;
use openraft::{CommittedLeaderId, EntryPayload};
use tempfile::TempDir;

use super::*;

struct Place {
    dir: TempDir,
    state: Arc<Engine>,
}

impl Place {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("state.db");
        Engine::create(&path).unwrap();
        LogStore::create(&dir.path().join("log"), Beginning::default()).unwrap();
        Self { state: Arc::new(Engine::open(&path, 1 << 20).unwrap()), dir }
    }

    fn open(&self) -> Result<LogStore, StorageError> {
        LogStore::open(&self.dir.path().join("log"), Arc::clone(&self.state), Installing::new())
    }
}

fn log_id(term: u64, index: u64) -> LogId<u64> {
    LogId::new(CommittedLeaderId::new(term, 1), index)
}

fn entry(term: u64, index: u64, size: usize) -> Record {
    let payload = EntryPayload::Normal(crate::raft::EncodedBatch(vec![index as u8; size]));
    Record::Entry(Entry { log_id: log_id(term, index), payload })
}

fn indices(log: &LogStore) -> Vec<u64> {
    lock(&log.contents).slots.iter().map(|slot| slot.log_id.index).collect()
}

#[test]
fn what_was_said_is_there_after_segments_went_and_entries_were_cut_and_purged() {
    let place = Place::new();
    let log = place.open().unwrap();
    log.set_owner(NodeId::new(1).unwrap()).unwrap();
    let vote = Vote { committed: true, ..Vote::new(3, 1) };
    log.write_blocking(&[Record::Vote(vote)], Sync::Now).unwrap();
    for index in 0..40 {
        log.write_blocking(&[entry(1, index, 1 << 20)], Sync::Now).unwrap();
    }
    log.write_blocking(&[Record::Cut(Some(log_id(1, 29)))], Sync::Now).unwrap();
    for index in 30..50 {
        log.write_blocking(&[entry(2, index, 1 << 20), Record::Committed(log_id(1, 20))], Sync::Now).unwrap();
    }
    let bytes = log.disk_bytes();
    tokio::runtime::Runtime::new().unwrap().block_on(log.clone().purge(log_id(2, 35))).unwrap();
    assert!(log.disk_bytes() < bytes - (20 << 20), "segments went");
    let (head, left) = (log.head(), indices(&log));
    assert_eq!(left, (36..50).collect::<Vec<_>>());
    drop(log);

    let log = place.open().unwrap();
    assert_eq!(log.head(), head);
    assert_eq!(head.vote, Some(vote));
    assert_eq!(head.owner, Some(1));
    assert_eq!((head.purged, head.last), (Some(log_id(2, 35)), Some(log_id(2, 49))));
    assert_eq!(head.committed, Some(log_id(1, 20)));
    assert_eq!(indices(&log), left);
    let read = tokio::runtime::Runtime::new().unwrap().block_on(async {
        use openraft::RaftLogReader;
        log.clone().try_get_log_entries(36..38).await
    });
    let payloads: Vec<_> = read.unwrap().into_iter().map(|entry| entry.log_id).collect();
    assert_eq!(payloads, [log_id(2, 36), log_id(2, 37)]);
}

#[test]
fn a_log_without_its_first_entries_is_refused() {
    let place = Place::new();
    let log = place.open().unwrap();
    for index in 0..20 {
        log.write_blocking(&[entry(1, index, 1 << 20)], Sync::Now).unwrap();
    }
    drop(log);
    std::fs::remove_file(place.dir.path().join("log/00000001.log")).unwrap();
    assert!(matches!(place.open(), Err(StorageError::Incomplete { .. })));
}

#[tokio::test]
async fn what_follows_from_a_leaders_entry_waits_until_it_is_on_disk() {
    let place = Place::new();
    let log = place.open().unwrap();
    log.write_blocking(&[entry(1, 0, 10)], Sync::Now).unwrap();
    log.write_blocking(&[entry(1, 1, 10)], Sync::Soon).unwrap();
    let committed = Some(log_id(1, 1));
    assert_eq!(log.on_disk(committed), Some(log_id(1, 0)));
    assert!(log.reaches_disk(0).now_or_never().is_some_and(|reached| reached.is_ok()));
    assert!(log.reaches_disk(1).now_or_never().is_none());
    log.syncer.want(&log.segments);
    log.reaches_disk(1).await.unwrap();
    assert_eq!(log.on_disk(committed), committed);
}

#[tokio::test]
async fn after_a_failed_sync_nothing_more_counts_as_on_disk() {
    let place = Place::new();
    let log = place.open().unwrap();
    log.write_blocking(&[entry(1, 0, 10)], Sync::Now).unwrap();
    log.write_blocking(&[entry(1, 1, 10)], Sync::Soon).unwrap();
    log.syncer.publish(&Err(StorageError::Broken { path: log.path() }));
    log.syncer.publish(&Ok(u64::MAX));
    assert!(log.reaches_disk(1).await.is_err());
    assert_eq!(log.on_disk(Some(log_id(1, 1))), None);
}

#[tokio::test]
async fn a_change_of_members_is_on_the_leaders_disk_before_it_counts() {
    let place = Place::new();
    let mut log = place.open().unwrap();
    log.set_owner(NodeId::new(1).unwrap()).unwrap();
    log.write_blocking(&[Record::Vote(Vote { committed: true, ..Vote::new(1, 1) })], Sync::Now).unwrap();
    let members = openraft::Membership::new(vec![std::collections::BTreeSet::from([1])], None);
    let entry = Entry { log_id: log_id(1, 0), payload: EntryPayload::Membership(members) };
    openraft::storage::RaftLogStorageExt::blocking_append(&mut log, [entry]).await.unwrap();
    assert!(log.reaches_disk(0).now_or_never().is_some_and(|reached| reached.is_ok()));
}

#[test]
fn only_the_leader_that_a_node_is_may_go_ahead_of_its_disk() {
    let place = Place::new();
    let log = place.open().unwrap();
    let is_leading = |id| lock(&log.contents).is_leading(id);
    assert!(!is_leading(log_id(3, 0)));
    log.set_owner(NodeId::new(1).unwrap()).unwrap();
    for (vote, expected) in [
        (Vote::new(3, 1), false),
        (Vote { committed: true, ..Vote::new(3, 1) }, true),
        (Vote { committed: true, ..Vote::new(4, 1) }, false),
        (Vote { committed: true, ..Vote::new(4, 2) }, false),
    ] {
        log.write_blocking(&[Record::Vote(vote)], Sync::Now).unwrap();
        assert_eq!(is_leading(log_id(3, 0)), expected, "{vote:?}");
    }
}
