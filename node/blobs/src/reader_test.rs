//! Ranges, and when a check is trusted.

use std::fs::{self, FileTimes};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use crate::freshness::FRESH;
use crate::testing::{TestStore, content};
use crate::{BlobCopy, BlobError, BlobStore, Reader, WINDOW};

/// Opens a copy and checks all of it, again until the file's last change is old enough to be told from the next.
async fn open_fresh(store: &BlobStore, copy: &BlobCopy) -> Reader {
    let reader = store.open_copy(copy).await.expect("it opens");
    let fresh = async {
        while !reader.is_fresh(0..copy.size) {
            reader.ensure_verified(0..copy.size).await.expect("it is whole");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), fresh).await.expect("it becomes fresh");
    reader
}

fn verified(test: &TestStore) -> u64 {
    test.store.metrics().verified_bytes.get()
}

#[tokio::test]
async fn reads_stop_at_window_borders_and_at_the_end() {
    let test = TestStore::new().await;
    let content = content(WINDOW as usize * 2 + 1000);
    let copy = test.put(&content).await;
    let reader = test.store.open_copy(&copy).await.expect("it opens");
    assert_eq!(reader.size(), content.len() as u64);
    for (offset, max, len) in [
        (0, 10, 10),
        (0, usize::MAX, WINDOW as usize),
        (WINDOW - 5, 100, 5),
        (WINDOW, 100, 100),
        (WINDOW * 2, 5000, 1000),
        (WINDOW * 2 + 999, 5000, 1),
        (WINDOW * 2 + 1000, 5000, 0),
        (u64::MAX, 1, 0),
        (5, 0, 0),
    ] {
        let part = reader.read(offset, max).await.expect("checked bytes");
        let start = (offset as usize).min(content.len());
        assert_eq!(part, content[start..start + len], "{offset} {max}");
    }
}

#[tokio::test]
async fn a_window_checked_lately_is_not_checked_again() {
    let test = TestStore::new().await;
    let copy = test.put(&content(WINDOW as usize + 1000)).await;
    let reader = open_fresh(&test.store, &copy).await;
    let before = verified(&test);
    reader.ensure_verified(0..copy.size).await.expect("fresh");
    reader.read(0, 1000).await.expect("fresh");
    let second = test.store.open_copy(&copy).await.expect("it opens");
    assert!(second.is_fresh(0..copy.size), "readers share what is known");
    assert_eq!(verified(&test), before);
    assert!(!reader.is_fresh(0..copy.size + WINDOW), "nothing past the end is fresh");
    assert!(reader.is_fresh(5..5));
}

#[tokio::test]
async fn damage_without_a_time_stamp_is_found_when_the_check_is_old() {
    let test = TestStore::new().await;
    let copy = test.put(&content(700_000)).await;
    let reader = open_fresh(&test.store, &copy).await;
    test.store.inner().clock.skip(FRESH - Duration::from_secs(1));
    assert!(reader.is_fresh(0..copy.size));
    test.store.inner().clock.skip(Duration::from_secs(2));
    assert!(!reader.is_fresh(0..copy.size));
    // The flip itself changes the time stamps here, but the check is due in any case.
    fs::File::options()
        .write(true)
        .open(test.path(&copy))
        .expect("it opens")
        .write_at(b"!!", 300_000)
        .expect("a flip");
    assert!(matches!(reader.read(600_000, 10).await, Err(BlobError::Damaged)), "the whole window is checked");
    assert!(test.store.is_damaged(&copy.digest));
}

#[tokio::test]
async fn damage_with_a_new_time_stamp_is_found_at_once_even_if_it_was_set_back() {
    let test = TestStore::new().await;
    for backdate in [false, true] {
        let copy = test.put(&content(700_000)).await;
        let reader = open_fresh(&test.store, &copy).await;
        let file = fs::File::options().write(true).open(test.path(&copy)).expect("it opens");
        let modified = file.metadata().expect("metadata").modified().expect("a time");
        file.write_at(b"!!", 300_000).expect("a flip");
        if backdate {
            file.set_times(FileTimes::new().set_modified(modified)).expect("set back");
        }
        assert!(!reader.is_fresh(0..10));
        assert!(matches!(reader.ensure_verified(0..10).await, Err(BlobError::Damaged)));
        test.store.remove(&copy.digest, copy.generation).await.expect("removed");
    }
}

#[tokio::test]
async fn a_flip_anywhere_never_comes_out() {
    let test = TestStore::new().await;
    let content = content(WINDOW as usize + 300_000);
    for at in [0, 262_143, 262_144, 1_000_000, WINDOW as usize, content.len() - 1] {
        let copy = test.put(&content).await;
        let file = fs::File::options().write(true).open(test.path(&copy)).expect("it opens");
        file.write_at(&[content[at] ^ 1], at as u64).expect("a flip");
        assert!(matches!(test.read(&copy).await, Err(BlobError::Damaged)), "{at}");
        test.store.remove(&copy.digest, copy.generation).await.expect("removed");
    }
}
