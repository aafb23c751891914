//! Copies that are not what they should be: quarantine, marks, healing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::testing::{TestStore, body, content, sha256};
use crate::{BlobCopy, BlobError, Shard};

type Harm = fn(&Path);

/// What can lie under a copy's name instead of it.
const HARMS: [(&str, Harm); 7] = [
    ("shorter", |path| fs::write(path, b"conten").expect("written")),
    ("empty", |path| fs::write(path, b"").expect("written")),
    ("longer", |path| fs::write(path, b"content+").expect("written")),
    ("flipped", |path| fs::write(path, b"cOntent").expect("written")),
    ("link", |path| {
        fs::remove_file(path).expect("removed");
        symlink("/etc/passwd", path).expect("linked");
    }),
    ("directory", |path| {
        fs::remove_file(path).expect("removed");
        fs::create_dir(path).expect("a directory");
        fs::write(path.join("inside"), b"").expect("written");
    }),
    ("pipe", |path| {
        fs::remove_file(path).expect("removed");
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, rustix::fs::Mode::RUSR, 0).expect("a pipe");
    }),
];

#[tokio::test]
async fn every_kind_of_bad_file_is_quarantined_and_a_new_push_heals_it() {
    let test = TestStore::new().await;
    for (name, harm) in HARMS {
        let copy = test.put(b"content").await;
        harm(&test.path(&copy));
        assert!(matches!(test.read(&copy).await, Err(BlobError::Damaged)), "{name}");
        assert!(fs::symlink_metadata(test.path(&copy)).is_err(), "{name} is out of the way");
        assert_eq!(test.names("quarantine").len(), 1, "{name}");
        assert_eq!(test.store.damaged(), [(copy.digest, copy.generation)], "{name}");
        let staged = test.put(b"content").await;
        test.store.adopt(&staged, copy.generation).await.expect("adopted");
        assert!(!test.store.is_damaged(&copy.digest), "{name}");
        assert!(test.names("quarantine").is_empty(), "{name}");
        assert_eq!(test.read(&copy).await.expect("healed"), b"content", "{name}");
        test.store.remove(&copy.digest, copy.generation).await.expect("removed");
    }
    assert_eq!(test.store.metrics().damaged_copies.get(), HARMS.len() as u64);
}

#[tokio::test]
async fn a_new_push_replaces_a_bad_file_that_nobody_read_yet() {
    let test = TestStore::new().await;
    for (name, harm) in HARMS {
        let copy = test.put(b"content").await;
        harm(&test.path(&copy));
        let staged = test.put(b"content").await;
        test.store.adopt(&staged, copy.generation).await.expect("adopted");
        assert_eq!(test.read(&copy).await.expect("healed"), b"content", "{name}");
        test.store.remove(&copy.digest, copy.generation).await.expect("removed");
    }
}

#[tokio::test]
async fn a_missing_copy_is_marked_until_it_is_replaced() {
    let test = TestStore::new().await;
    let copy = test.put(b"content").await;
    fs::remove_file(test.path(&copy)).expect("removed");
    for _ in 0..2 {
        assert!(matches!(test.read(&copy).await, Err(BlobError::Missing)));
    }
    assert!(test.store.is_damaged(&copy.digest));
    assert_eq!(test.store.metrics().damaged_copies.get(), 1, "one copy is counted once");
    let staged = test.put(b"content").await;
    test.store.adopt(&staged, copy.generation).await.expect("adopted");
    assert!(!test.store.is_damaged(&copy.digest));
}

#[tokio::test]
async fn damage_is_remembered_over_a_restart_until_it_is_removed() {
    let test = TestStore::new().await;
    let content = content(600_000);
    let (bad, good) = (test.put(&content).await, test.put(&content).await);
    fs::write(test.path(&bad), b"short").expect("damage");
    assert!(matches!(test.read(&bad).await, Err(BlobError::Damaged)));
    assert!(!test.list_path(&bad).exists());
    let test = test.reopen().await;
    assert_eq!(test.store.damaged(), [(bad.digest, bad.generation)]);
    assert!(matches!(test.read(&bad).await, Err(BlobError::Missing)));
    assert_eq!(test.read(&good).await.expect("the other copy is good"), content);
    assert!(test.store.remove(&bad.digest, bad.generation).await.is_ok());
    assert!(!test.store.is_damaged(&bad.digest));
    assert!(test.names("quarantine").is_empty());
    let listed = test.store.files_in(Shard::of(&good.digest)).await.expect("listed");
    assert_eq!(listed.len(), 1);
}

#[tokio::test]
async fn a_reader_of_the_old_file_does_not_quarantine_the_new_one() {
    let test = TestStore::new().await;
    let copy = test.put(b"content").await;
    fs::write(test.path(&copy), b"cOntent").expect("damage");
    let old = test.store.open_copy(&copy).await.expect("the length is right");
    let staged = test.try_put(sha256(b"content"), None, body(b"content", 3)).await.expect("staged");
    test.store.adopt(&staged, copy.generation).await.expect("adopted");
    assert!(matches!(old.read(0, 7).await, Err(BlobError::Damaged)));
    assert_eq!(test.read(&copy).await.expect("the new file stays"), b"content");
    assert!(!test.store.is_damaged(&copy.digest));
}

/// All of a copy; the bytes that were checked.
async fn scrub(test: &TestStore, copy: &BlobCopy) -> Result<u64, BlobError> {
    let mut rest = test.store.scrub(copy).await?;
    let mut bytes = 0;
    while let Some(scrub) = rest {
        let (checked, next) = scrub.next().await?;
        bytes += checked;
        rest = next;
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_scrub_finds_a_changed_bit_anywhere_and_wakes_who_repairs() {
    let test = TestStore::new().await;
    for size in [0, 1, 700, 262_144, 262_145, 4 << 20, (9 << 20) + 5] {
        let content = content(size);
        let copy = test.put(&content).await;
        assert_eq!(scrub(&test, &copy).await.expect("a good copy"), size as u64);
        assert!(!test.store.is_damaged(&copy.digest), "{size}");
        for at in [0, size / 2, size.saturating_sub(1)] {
            if size == 0 {
                continue;
            }
            let mut changed = content.clone();
            changed[at] ^= 0x10;
            fs::write(test.path(&copy), &changed).expect("written");
            assert!(matches!(scrub(&test, &copy).await, Err(BlobError::Damaged)), "{at} of {size}");
            let woken = tokio::time::timeout(std::time::Duration::from_secs(30), test.store.damage_found());
            woken.await.expect("the repair is woken");
            let staged = test.put(&content).await;
            test.store.adopt(&staged, copy.generation).await.expect("healed");
        }
        test.store.remove(&copy.digest, copy.generation).await.expect("removed");
        assert!(test.store.scrub(&copy).await.expect("no damage").is_none(), "not here is no damage");
        assert!(!test.store.is_damaged(&copy.digest));
    }
}
