//! Copies from other nodes: what is refused, what a crash leaves, who shares what, and what is durable.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use proto::identity::NodeId;
use proto::upload::UploadId;

use crate::pieces::{LEAF, PieceHasher};
use crate::testing::{TestStore, content, sha256};
use crate::{BlobCopy, BlobError, Incoming, Stored};

const KIB: usize = 1024;

/// A blob as another node has it.
struct Remote {
    copy: BlobCopy,
    list: Bytes,
    content: Vec<u8>,
}

impl Remote {
    fn new(size: usize) -> Self {
        let content = content(size);
        let mut list = Vec::new();
        let mut hasher = PieceHasher::new();
        hasher.update(&content, &mut list);
        let pieces_root = hasher.finish(&mut list);
        let generation = UploadId::new(NodeId::new(7).expect("not zero"), size as u128);
        let copy = BlobCopy { digest: sha256(&content), size: size as u64, generation, pieces_root };
        Self { copy, list: list.into(), content }
    }

    fn leaf(&self, index: u64) -> Bytes {
        let leaf = self.content.chunks(LEAF as usize).nth(index as usize).unwrap_or_default();
        Bytes::copy_from_slice(leaf)
    }

    fn leaves(&self) -> u64 {
        crate::leaf_count(self.copy.size)
    }

    async fn put_all(&self, incoming: &Incoming) {
        incoming.put_list(self.list.clone()).await.expect("the list is right");
        for index in (0..self.leaves()).rev() {
            incoming.put_leaf(index, self.leaf(index)).await.expect("the leaf is right");
        }
    }
}

/// Bytes of the partial file.
fn partial(test: &TestStore, copy: &BlobCopy) -> Vec<u8> {
    fs::read(test.store.inner().layout.incoming(&copy.digest, copy.generation).data).expect("a partial file")
}

#[tokio::test]
async fn leaves_in_any_order_become_a_copy_of_that_generation() {
    let test = TestStore::new().await;
    for size in [0, 1, 256 * KIB, 256 * KIB + 1, 1000 * KIB] {
        let remote = Remote::new(size);
        let incoming = test.store.receive(remote.copy).await.expect("it begins");
        remote.put_all(&incoming).await;
        assert_eq!(incoming.missing(), 0);
        assert_eq!(incoming.finish().await.expect("all is there"), remote.copy);
        assert_eq!(test.read(&remote.copy).await.expect("a copy like any other"), remote.content);
        let reader = test.store.open_copy(&remote.copy).await.expect("it opens");
        assert_eq!(reader.list(), remote.list);
        assert_eq!(reader.leaf(0).await.expect("checked"), Some(remote.leaf(0)));
        assert_eq!(reader.leaf(remote.leaves()).await.expect("nothing there"), None);
        assert!(test.store.incoming(&remote.copy.digest, remote.copy.generation).is_none());
        assert_eq!(test.list_path(&remote.copy).exists(), size > 256 * KIB);
    }
    assert!(test.names("uploads").is_empty());
}

#[tokio::test]
async fn a_list_of_another_blob_is_refused_and_leaves_wait_for_the_right_one() {
    let test = TestStore::new().await;
    let (remote, other) = (Remote::new(900 * KIB), Remote::new(901 * KIB));
    let incoming = test.store.receive(remote.copy).await.expect("it begins");
    let early = incoming.put_leaf(0, remote.leaf(0)).await;
    assert!(matches!(early, Err(BlobError::Incomplete { missing: 4 })));
    let mut flipped = remote.list.to_vec();
    flipped[40] ^= 1;
    for wrong in [other.list.clone(), remote.list.slice(32..), Bytes::new(), flipped.into()] {
        assert!(matches!(incoming.put_list(wrong).await, Err(BlobError::WrongPiece)));
        assert!(incoming.list().is_none());
    }
    let names = test.names("uploads");
    assert!(names.iter().all(|name| name.ends_with(".incoming")), "no list on the disk: {names:?}");
    incoming.put_list(remote.list.clone()).await.expect("the right one");
    assert_eq!(incoming.list().as_deref(), Some(remote.list.as_ref()));
    assert_eq!(test.store.metrics().pieces_refused.get(), 4);
}

#[tokio::test]
async fn a_bad_leaf_never_reaches_the_disk() {
    let test = TestStore::new().await;
    let remote = Remote::new(900 * KIB);
    let incoming = test.store.receive(remote.copy).await.expect("it begins");
    incoming.put_list(remote.list.clone()).await.expect("the list is right");
    incoming.put_leaf(0, remote.leaf(0)).await.expect("the leaf is right");
    let before = partial(&test, &remote.copy);
    let mut flipped = remote.leaf(1).to_vec();
    flipped[1000] ^= 1;
    let longer = [remote.leaf(1).as_ref(), b"x"].concat();
    let wrong = [
        (1, Bytes::from(flipped)),
        (1, longer.into()),
        (1, remote.leaf(1).slice(1..)),
        (1, Bytes::new()),
        (1, remote.leaf(2)),
        (4, remote.leaf(3)),
        (u64::MAX, remote.leaf(3)),
    ];
    for (index, leaf) in wrong {
        assert!(matches!(incoming.put_leaf(index, leaf).await, Err(BlobError::WrongPiece)));
        assert_eq!(partial(&test, &remote.copy), before);
    }
    assert!(matches!(incoming.finish().await, Err(BlobError::Incomplete { missing: 3 })));
    assert!(!test.path(&remote.copy).exists());
}

#[tokio::test]
async fn a_crash_in_the_middle_costs_only_what_was_not_written() {
    let test = TestStore::new().await;
    let remote = Remote::new(2000 * KIB);
    let incoming = test.store.receive(remote.copy).await.expect("it begins");
    incoming.put_list(remote.list.clone()).await.expect("the list is right");
    for index in [1, 3, 5, 7] {
        incoming.put_leaf(index, remote.leaf(index)).await.expect("the leaf is right");
    }
    drop(incoming);
    // The crash tore one leaf.
    let path = test.store.inner().layout.incoming(&remote.copy.digest, remote.copy.generation).data;
    let mut torn = fs::read(&path).expect("a partial file");
    torn[3 * LEAF as usize + 100] ^= 1;
    fs::write(&path, torn).expect("written");
    let test = test.reopen().await;
    let incoming = test.store.receive(remote.copy).await.expect("it goes on");
    assert_eq!(incoming.list().as_deref(), Some(remote.list.as_ref()));
    assert_eq!(incoming.have(), [0b1010_0010]);
    assert_eq!(incoming.missing(), 5);
    for index in [0, 2, 3, 4, 6] {
        assert_eq!(incoming.put_leaf(index, remote.leaf(index)).await.expect("right"), Stored::New);
    }
    incoming.finish().await.expect("all is there");
    assert_eq!(test.read(&remote.copy).await.expect("whole"), remote.content);
}

#[tokio::test]
async fn without_a_proven_list_nothing_on_the_disk_is_believed() {
    let test = TestStore::new().await;
    let remote = Remote::new(900 * KIB);
    let incoming = test.store.receive(remote.copy).await.expect("it begins");
    remote.put_all(&incoming).await;
    drop(incoming);
    let list = test.store.inner().layout.incoming(&remote.copy.digest, remote.copy.generation).list;
    fs::write(&list, vec![0; remote.list.len()]).expect("written");
    let test = test.reopen().await;
    let incoming = test.store.receive(remote.copy).await.expect("it begins anew");
    assert_eq!((incoming.missing(), incoming.list()), (4, None));
    remote.put_all(&incoming).await;
    incoming.finish().await.expect("all is there");
    assert_eq!(test.read(&remote.copy).await.expect("whole"), remote.content);
}

#[tokio::test]
async fn all_who_ask_for_one_copy_share_it() {
    let test = TestStore::new().await;
    let remote = Remote::new(900 * KIB);
    let asked = (0..8).map(|_| test.store.receive(remote.copy));
    let handles = futures::future::try_join_all(asked).await.expect("all begin");
    handles[0].put_list(remote.list.clone()).await.expect("the list is right");
    let puts = (0..4).flat_map(|index| handles.iter().map(move |handle| (index, handle)));
    let puts = puts.map(|(index, handle)| handle.put_leaf(index, remote.leaf(index)));
    let stored = futures::future::try_join_all(puts).await.expect("all are right");
    assert_eq!(stored.iter().filter(|stored| **stored == Stored::New).count(), 4);
    assert!(handles.iter().all(|handle| handle.missing() == 0));
    let finished =
        futures::future::try_join_all(handles.iter().map(Incoming::finish)).await.expect("one copy");
    assert!(finished.iter().all(|copy| *copy == remote.copy));
    assert_eq!(test.store.metrics().copies_received.get(), 1);
    assert_eq!(test.read(&remote.copy).await.expect("whole"), remote.content);
    let changed = BlobCopy { size: 5, ..remote.copy };
    let _running = test.store.receive(remote.copy).await.expect("it begins again");
    assert!(matches!(test.store.receive(changed).await, Err(BlobError::WrongPiece)));
}

#[tokio::test]
async fn readers_are_served_while_the_rest_is_on_its_way() {
    let test = TestStore::new().await;
    let remote = Remote::new(600 * KIB);
    let incoming = test.store.receive(remote.copy).await.expect("it begins");
    incoming.put_list(remote.list.clone()).await.expect("the list is right");
    let reader = tokio::spawn({
        let incoming = incoming.clone();
        async move {
            let mut content = Vec::new();
            loop {
                let part = incoming.read(content.len() as u64, 100_000).await.expect("it comes");
                if part.is_empty() {
                    return content;
                }
                content.extend_from_slice(&part);
            }
        }
    });
    assert_eq!(incoming.leaf(2).await.expect("no error"), None);
    for index in [2, 0] {
        incoming.put_leaf(index, remote.leaf(index)).await.expect("the leaf is right");
    }
    assert_eq!(incoming.leaf(2).await.expect("checked"), Some(remote.leaf(2)));
    assert!(!reader.is_finished(), "leaf 1 is still missing");
    let found = test.store.incoming(&remote.copy.digest, remote.copy.generation).expect("it is found");
    found.put_leaf(1, remote.leaf(1)).await.expect("the leaf is right");
    assert_eq!(reader.await.expect("the reader ends"), remote.content);
    assert!(matches!(incoming.wait_for(3).await, Err(BlobError::Missing)));
}

#[tokio::test]
async fn a_leaf_that_the_disk_changed_is_not_served() {
    let test = TestStore::new().await;
    let remote = Remote::new(600 * KIB);
    let incoming = test.store.receive(remote.copy).await.expect("it begins");
    remote.put_all(&incoming).await;
    let path = test.store.inner().layout.incoming(&remote.copy.digest, remote.copy.generation).data;
    let mut content = fs::read(&path).expect("a file");
    content[5] ^= 1;
    fs::write(&path, content).expect("damage");
    assert!(matches!(incoming.read(0, 10).await, Err(BlobError::Damaged)));
    assert!(matches!(incoming.finish().await, Err(BlobError::Incomplete { missing: 1 })));
    incoming.put_leaf(0, remote.leaf(0)).await.expect("it can be fetched again");
    incoming.finish().await.expect("all is there");
    assert_eq!(test.read(&remote.copy).await.expect("whole"), remote.content);
}

#[tokio::test]
async fn finishing_is_durable_and_heals_what_lay_there() {
    let test = TestStore::new().await;
    for (size, files) in [(100 * KIB, 1), (900 * KIB, 2)] {
        let remote = Remote::new(size);
        for damaged in [false, true] {
            if damaged {
                fs::write(test.path(&remote.copy), b"short").expect("damage");
                assert!(matches!(test.read(&remote.copy).await, Err(BlobError::Damaged)));
                assert!(test.store.is_damaged(&remote.copy.digest));
            }
            let incoming = test.store.receive(remote.copy).await.expect("it begins");
            remote.put_all(&incoming).await;
            let before = test.store.metrics().fsyncs.get();
            incoming.finish().await.expect("all is there");
            let folder = u64::from(!damaged);
            assert_eq!(test.store.metrics().fsyncs.get(), before + files + 1 + folder, "file, list, folders");
            assert!(!test.store.is_damaged(&remote.copy.digest));
            assert_eq!(test.read(&remote.copy).await.expect("whole"), remote.content);
        }
    }
    assert!(test.names("quarantine").is_empty());
}

#[tokio::test]
async fn a_failed_volume_and_a_full_one_take_nothing() {
    let test = TestStore::new().await;
    let remote = Remote::new(600 * KIB);
    let incoming = test.store.receive(remote.copy).await.expect("it begins");
    incoming.put_list(remote.list.clone()).await.expect("the list is right");
    test.store.inner().volume.pretend_full(true);
    assert!(matches!(incoming.put_leaf(0, remote.leaf(0)).await, Err(BlobError::Full)));
    assert!(matches!(test.store.receive(remote.copy).await, Err(BlobError::Full)));
    test.store.inner().volume.pretend_full(false);
    remote.put_all(&incoming).await;
    test.store.inner().volume.pretend_failed();
    assert!(matches!(incoming.finish().await, Err(BlobError::VolumeFailed)));
    assert!(!test.path(&remote.copy).exists());
    assert!(matches!(test.store.receive(remote.copy).await, Err(BlobError::VolumeFailed)));
    let test = test.reopen().await;
    let incoming = test.store.receive(remote.copy).await.expect("it goes on after the restart");
    incoming.finish().await.expect("all is there");
}

#[tokio::test]
async fn what_nobody_goes_on_with_expires() {
    let test = TestStore::new().await;
    let (held, left) = (Remote::new(600 * KIB), Remote::new(700 * KIB));
    let _held = test.store.receive(held.copy).await.expect("it begins");
    for remote in [&held, &left] {
        let incoming = test.store.receive(remote.copy).await.expect("it begins");
        incoming.put_list(remote.list.clone()).await.expect("the list is right");
    }
    let day = Duration::from_secs(24 * 3600);
    let expire = || test.store.expire_incoming(day);
    assert_eq!(expire().await.expect("looked"), 0, "both are fresh");
    for name in test.names("uploads") {
        let file = File::options().write(true).open(test.root().join("uploads").join(name)).expect("a file");
        file.set_modified(SystemTime::now() - 2 * day).expect("dated back");
    }
    assert_eq!(expire().await.expect("looked"), 1, "the held one stays");
    assert!(test.names("uploads").iter().all(|name| name.contains(&held.copy.digest.hex())));
}

#[tokio::test]
async fn giving_up_wakes_the_readers_and_removes_the_files() {
    let test = TestStore::new().await;
    let remote = Remote::new(600 * KIB);
    let incoming = test.store.receive(remote.copy).await.expect("it begins");
    incoming.put_list(remote.list.clone()).await.expect("the list is right");
    let (waited, ()) = tokio::join!(incoming.wait_for(0), async { incoming.discard() });
    assert!(matches!(waited, Err(BlobError::Missing)));
    assert!(matches!(incoming.put_leaf(0, remote.leaf(0)).await, Err(BlobError::Missing)));
    assert!(matches!(incoming.finish().await, Err(BlobError::Missing)));
    test.settle().await;
    assert!(test.names("uploads").is_empty());
}

#[tokio::test]
async fn a_copy_that_does_not_fit_waits_for_the_cache_to_make_room() {
    let test = TestStore::new().await;
    let remote = Remote::new(600 * KIB);
    let volume = &test.store.inner().volume;
    volume.pretend_full(true);
    // The control: without a cache there is nothing to wait for.
    assert!(matches!(test.store.receive(remote.copy).await, Err(BlobError::Full)));
    test.store.room().await.expect("measured");
    test.store.metrics().cache_bytes.store(1, std::sync::atomic::Ordering::Relaxed);
    let make_room = async {
        while test.store.room().await.expect("measured").short == 0 {
            tokio::task::yield_now().await;
        }
        volume.pretend_full(false);
    };
    let (incoming, ()) = tokio::join!(test.store.receive(remote.copy), make_room);
    assert_eq!(incoming.expect("there is room now").missing(), 3);
}
