//! The directory, copies and generations, and what a crash leaves at every step.

use std::fs;
use std::path::Path;

use proto::digest::{Algorithm, Digest};

use crate::testing::{TestStore, body, content, owner, settings, sha256};
use crate::{BlobCopy, BlobError, BlobStore, Shard, StoredFile};

async fn all_files(test: &TestStore) -> Vec<StoredFile> {
    let mut files = Vec::new();
    for shard in Shard::all() {
        let found = test.store.files_in(shard).await.expect("a shard is listed");
        files.extend(found.into_iter().map(|file| StoredFile { inode: 0, last_use_ms: 0, ..file }));
    }
    files
}

fn file_of(copy: &BlobCopy) -> StoredFile {
    StoredFile { digest: copy.digest, generation: copy.generation, size: copy.size, inode: 0, last_use_ms: 0 }
}

#[tokio::test]
async fn foreign_newer_and_unusable_directories_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).expect("a directory");
    fs::write(foreign.join("precious"), b"").expect("a file");
    let newer = dir.path().join("newer");
    fs::create_dir(&newer).expect("a directory");
    fs::write(newer.join("FORMAT"), b"shoal-blobs 2\n").expect("a file");
    for root in [&foreign, &newer] {
        let before = fs::read_dir(root).expect("a listing").count();
        let refused = BlobStore::open(root, settings()).await;
        assert!(matches!(refused, Err(BlobError::ForeignRoot { path }) if path == *root));
        assert_eq!(fs::read_dir(root).expect("a listing").count(), before, "nothing was written there");
    }
    let file = foreign.join("precious");
    let refused = BlobStore::open(&file, settings()).await;
    assert!(matches!(refused, Err(BlobError::UnusableRoot { path, .. }) if path == file));
}

#[tokio::test]
async fn a_new_filesystem_and_a_crash_while_beginning_are_no_obstacle() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("lost+found")).expect("a directory");
    fs::write(dir.path().join("FORMAT.new"), b"shoal-b").expect("half a file");
    BlobStore::open(dir.path(), settings()).await.expect("it opens");
    BlobStore::open(dir.path(), settings()).await.expect("and again");
}

#[tokio::test]
async fn files_of_one_digest_are_kept_apart_by_generation() {
    let test = TestStore::new().await;
    let (old, new) = (test.put(b"content").await, test.put(b"content").await);
    assert_ne!(old.generation, new.generation);
    let other = test.put(&content(600_000)).await;
    let mut expected = vec![file_of(&old), file_of(&new), file_of(&other)];
    expected.sort_by_key(|file| (file.digest, file.generation));
    assert_eq!(all_files(&test).await, expected);
    assert!(test.store.remove(&old.digest, old.generation).await.expect("removed"));
    assert!(!test.store.remove(&old.digest, old.generation).await.expect("nothing there"));
    assert_eq!(test.read(&new).await.expect("the other generation stays"), b"content");
    assert!(matches!(test.read(&old).await, Err(BlobError::Missing)));
}

#[tokio::test]
async fn an_open_reader_outlives_the_removal_of_its_file() {
    let test = TestStore::new().await;
    let content = content(2_000_000);
    let copy = test.put(&content).await;
    let reader = test.store.open_copy(&copy).await.expect("it opens");
    test.store.remove(&copy.digest, copy.generation).await.expect("removed");
    let part = reader.read(1_500_000, 10).await.expect("the file is still open");
    assert_eq!(part, content[1_500_000..1_500_010]);
}

#[tokio::test]
async fn a_staged_copy_takes_the_place_and_generation_of_the_recorded_one() {
    let test = TestStore::new().await;
    for content in [b"small".to_vec(), content(900_000)] {
        let (recorded, staged) = (test.put(&content).await, test.put(&content).await);
        fs::write(test.path(&recorded), b"flipped").expect("damage");
        let adopted = test.store.adopt(&staged, recorded.generation).await.expect("adopted");
        assert_eq!(adopted, recorded);
        assert_eq!(test.read(&recorded).await.expect("healed"), content);
        assert!(!test.path(&staged).exists() && !test.list_path(&staged).exists());
        let again = test.store.adopt(&staged, recorded.generation).await;
        assert!(matches!(again, Err(BlobError::Missing)));
        assert_eq!(test.read(&recorded).await.expect("and stays"), content);
    }
    let own = test.put(b"own").await;
    assert_eq!(test.store.adopt(&own, own.generation).await.expect("nothing to do"), own);
    assert_eq!(test.read(&own).await.expect("whole"), b"own");
}

#[tokio::test]
async fn who_waits_for_a_copy_that_was_pushed_meanwhile_does_not_wait_in_vain() {
    let test = TestStore::new().await;
    let content = content(900_000);
    let (recorded, staged) = (test.put(&content).await, test.put(&content).await);
    test.store.remove(&recorded.digest, recorded.generation).await.expect("lost");
    let incoming = test.store.receive(recorded).await.expect("it begins");
    assert!(test.store.incoming(&recorded.digest, recorded.generation).is_some());
    test.store.adopt(&staged, recorded.generation).await.expect("adopted");
    assert!(
        test.store.incoming(&recorded.digest, recorded.generation).is_none(),
        "others are not sent to it"
    );
    incoming.wait_for(0).await.expect_err("it never comes");
    assert_eq!(test.read(&recorded).await.expect("healed"), content);
}

#[tokio::test]
async fn nothing_is_walked_at_start_but_everything_is_found_again() {
    let test = TestStore::new().await;
    let content = content(500_000);
    let copy = test.put(&content).await;
    let test = test.reopen().await;
    assert_eq!(test.read(&copy).await.expect("whole"), content);
    assert_eq!(all_files(&test).await, [file_of(&copy)]);
}

#[tokio::test]
async fn a_crash_between_the_two_renames_loses_no_bytes() {
    let test = TestStore::new().await;
    let content = content(900_000);
    let copy = test.put(&content).await;
    // The list was moved, the data not yet: the list alone is a staged file that can be removed.
    fs::rename(test.path(&copy), test.root().join("uploads/aside")).expect("moved");
    assert_eq!(all_files(&test).await, [StoredFile { size: 0, ..file_of(&copy) }]);
    // The data is there without its list, or with half of it: it is computed again.
    fs::rename(test.root().join("uploads/aside"), test.path(&copy)).expect("moved back");
    let list = fs::read(test.list_path(&copy)).expect("a list");
    for damage in [None, Some(&list[..40]), Some(&[0; 128])] {
        fs::remove_file(test.list_path(&copy)).expect("removed");
        if let Some(half) = damage {
            fs::write(test.list_path(&copy), half).expect("written");
        }
        test.store.inner().copies.forget(&(copy.digest, copy.generation));
        assert_eq!(test.read(&copy).await.expect("whole"), content);
        assert_eq!(fs::read(test.list_path(&copy)).expect("a list again"), list);
    }
}

#[tokio::test]
async fn a_crash_after_staging_begins_never_brings_the_session_back() {
    let test = TestStore::new().await;
    let upload = test.start().await;
    upload.append(None, None, body(b"content", 3)).await.expect("a part");
    fs::remove_file(test.store.inner().layout.session(upload.id()).session)
        .expect("the step before the rename");
    let test = test.reopen().await;
    assert!(matches!(test.store.upload(upload.id(), &owner()), Err(BlobError::UploadUnknown)));
    assert!(test.names("uploads").is_empty());
}

#[tokio::test]
async fn a_failed_fsync_ends_all_acknowledgements_but_not_reading() {
    let test = TestStore::new().await;
    let copy = test.put(b"before").await;
    let upload = test.start().await;
    upload.append(None, None, body(b"after", 3)).await.expect("a part");
    test.store.inner().volume.pretend_failed();
    assert!(matches!(upload.finish(sha256(b"after")).await, Err(BlobError::VolumeFailed)));
    assert!(matches!(upload.append(None, None, body(b"x", 3)).await, Err(BlobError::VolumeFailed)));
    assert!(matches!(test.try_put(sha256(b"x"), None, body(b"x", 1)).await, Err(BlobError::VolumeFailed)));
    assert!(matches!(test.store.adopt(&copy, copy.generation).await, Err(BlobError::VolumeFailed)));
    assert!(matches!(
        test.store.start_upload(owner(), Algorithm::Sha256).await,
        Err(BlobError::VolumeFailed)
    ));
    assert_eq!(test.read(&copy).await.expect("whole"), b"before");
    let test = test.reopen().await;
    test.store.upload(upload.id(), &owner()).expect("kept").finish(sha256(b"after")).await.expect("finishes");
}

#[tokio::test]
async fn every_file_and_folder_is_synced_before_an_acknowledgement() {
    let test = TestStore::new().await;
    for (content, files) in [(b"small".to_vec(), 1), (content(900_000), 2)] {
        let recorded = test.put(&content).await;
        let fsyncs = || test.store.metrics().fsyncs.get();
        let before = fsyncs();
        let upload = test.start().await;
        upload.append(None, None, body(&content, 5000)).await.expect("a part");
        assert_eq!(fsyncs(), before, "nothing is promised yet");
        upload.finish(sha256(&content)).await.expect("finished");
        assert_eq!(fsyncs(), before + files + 1);
        let staged = test.put(&content).await;
        assert_eq!(fsyncs(), before + 2 * (files + 1));
        test.store.adopt(&staged, recorded.generation).await.expect("adopted");
        assert_eq!(fsyncs(), before + 2 * (files + 1) + 1);
    }
}

#[tokio::test]
async fn names_in_the_wrong_place_are_not_listed() {
    let test = TestStore::new().await;
    let copy = test.put(b"content").await;
    let shard = test.path(&copy).parent().map(Path::to_owned).expect("a shard");
    fs::write(shard.join("foreign"), b"").expect("written");
    let elsewhere = Digest::of(Algorithm::Sha256, b"elsewhere");
    let wrong = test.store.inner().layout.copy(&elsewhere, copy.generation);
    fs::write(shard.join(wrong.file_name().expect("a name")), b"").expect("written");
    assert_eq!(all_files(&test).await, [file_of(&copy)]);
}

#[tokio::test]
async fn an_evicted_copy_is_exactly_the_file_that_was_listed() {
    let test = TestStore::new().await;
    let (first, second) = (test.put(&content(600_000)).await, test.put(&content(500_000)).await);
    let listed = |copy: BlobCopy| {
        let store = &test.store;
        async move {
            let files = store.files_in(Shard::of(&copy.digest)).await.expect("a shard is listed");
            files.into_iter().find(|file| file.digest == copy.digest).expect("it is there")
        }
    };
    let before = listed(first).await;
    let reader = test.store.open_copy(&first).await.expect("it opens");
    assert!(listed(first).await.last_use_ms >= before.last_use_ms, "a read is a use");
    // A file that took the name since then stays.
    let bytes = fs::read(test.path(&first)).expect("the copy");
    fs::write(test.root().join("other"), &bytes).expect("another file");
    fs::rename(test.root().join("other"), test.path(&first)).expect("it takes the name");
    assert!(!test.store.evict(&before).await.expect("looked at"));
    assert!(test.path(&first).exists());
    // The listed one goes, with its list; who reads goes on, and it is no damage.
    assert!(test.store.evict(&listed(first).await).await.expect("removed"));
    assert!(!test.path(&first).exists() && !test.list_path(&first).exists());
    assert_eq!(reader.read(0, 10).await.expect("the file is still open"), bytes[..10]);
    assert!(test.store.open_cached(&first).await.expect("no damage").is_none());
    assert!(!test.store.is_damaged(&first.digest));
    assert!(!test.store.evict(&before).await.expect("nothing is there"));
    assert_eq!(test.store.metrics().evicted_copies.get(), 1);
    assert_eq!(test.store.metrics().evicted_bytes.get(), 600_000);
    assert_eq!(test.read(&second).await.expect("the other one stays").len(), 500_000);
}
