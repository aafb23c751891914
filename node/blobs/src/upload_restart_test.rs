//! Sessions whose files are not as this process left them: after restarts, crashes, failed writes.

use std::fs;

use crate::BlobError;
use crate::testing::{TestStore, body, content, owner, sha256};

const KIB: usize = 1024;

#[tokio::test]
async fn sessions_go_on_after_a_restart() {
    let test = TestStore::new().await;
    let content = content(900 * KIB);
    let (first, second) = content.split_at(600 * KIB + 3);
    let upload = test.start().await;
    upload.append(None, None, body(first, 5000)).await.expect("a part");
    let empty = test.start().await;
    let test = test.reopen().await;
    let again = test.store.upload(upload.id(), &owner()).expect("the session is found");
    assert_eq!(again.offset(), first.len() as u64);
    assert!(matches!(
        again.append(Some(0), None, body(second, 9)).await,
        Err(BlobError::OffsetMismatch { offset }) if offset == first.len() as u64
    ));
    again.append(Some(again.offset()), None, body(second, 5000)).await.expect("goes on");
    let copy = again.finish(sha256(&content)).await.expect("all hashes are right");
    assert_eq!(test.read(&copy).await.expect("whole"), content);
    let empty = test.store.upload(empty.id(), &owner()).expect("sessions without bytes too");
    empty.finish(sha256(b"")).await.expect("an empty blob");
    assert_eq!(test.store.uploads_of(&owner().principal), 0);
}

#[tokio::test]
async fn a_session_cut_short_by_a_crash_tells_the_truth() {
    let test = TestStore::new().await;
    let content = content(900 * KIB);
    let upload = test.start().await;
    upload.append(None, None, body(&content, 5000)).await.expect("all of it");
    let paths = test.store.inner().layout.session(upload.id());
    fs::File::options().write(true).open(&paths.data).expect("data").set_len(400_000).expect("cut");
    fs::write(&paths.leaves, b"rubbish").expect("leaves are written");
    let test = test.reopen().await;
    let again = test.store.upload(upload.id(), &owner()).expect("the session is found");
    assert_eq!(again.offset(), 400_000);
    again.append(Some(400_000), None, body(&content[400_000..], 5000)).await.expect("goes on");
    let copy = again.finish(sha256(&content)).await.expect("the digest matches");
    assert_eq!(test.read(&copy).await.expect("whole"), content);
}

#[tokio::test]
async fn the_piece_list_is_the_same_however_the_bytes_came() {
    let test = TestStore::new().await;
    let content = content(700 * KIB);
    let (first, second) = content.split_at(300 * KIB);
    let expected = fs::read(test.list_path(&test.put(&content).await)).expect("a list");
    for restart in [false, true] {
        let upload = test.start().await;
        upload.append(None, None, body(first, 5000)).await.expect("a part");
        let refused = upload.append(None, Some(3000 * KIB as u64), body(&vec![0; 2000 * KIB], 5000)).await;
        assert!(matches!(refused, Err(BlobError::LengthMismatch { .. })));
        let paths = test.store.inner().layout.session(upload.id());
        if restart {
            fs::remove_file(&paths.leaves).expect("leaves");
            fs::File::options().write(true).open(&paths.data).expect("data").set_len(290_000).expect("cut");
        }
        upload.append(None, None, body(b"", 1)).await.expect("looks at the file");
        let rest = &content[upload.offset() as usize..];
        assert_eq!(rest.len() > second.len(), restart, "what is on disk is the truth");
        upload.append(None, None, body(rest, 5000)).await.expect("the rest");
        let copy = upload.finish(sha256(&content)).await.expect("the digest matches");
        assert_eq!(fs::read(test.list_path(&copy)).expect("a list"), expected);
    }
}

#[tokio::test]
async fn a_session_whose_file_grew_unseen_goes_on_from_the_file() {
    let test = TestStore::new().await;
    let upload = test.start().await;
    upload.append(None, None, body(b"first ", 3)).await.expect("a part");
    let data = test.store.inner().layout.session(upload.id()).data;
    fs::write(data, b"first sent").expect("a write that failed and could not be taken back");
    let refused = upload.append(Some(6), None, body(b"sent", 3)).await;
    assert!(matches!(refused, Err(BlobError::OffsetMismatch { offset: 10 })));
    upload.append(Some(10), None, body(b" last", 3)).await.expect("goes on");
    upload.finish(sha256(b"first sent last")).await.expect("the hash is that of the file");
}

#[tokio::test]
async fn leftovers_and_broken_sessions_are_removed_at_start() {
    let test = TestStore::new().await;
    let (good, broken, headless) = (test.start().await, test.start().await, test.start().await);
    for upload in [&good, &broken, &headless] {
        upload.append(None, None, body(b"bytes", 5)).await.expect("a part");
    }
    let layout = &test.store.inner().layout;
    fs::write(layout.session(broken.id()).session, b"{\"version\":1,").expect("half a description");
    fs::remove_file(layout.session(headless.id()).session).expect("no description");
    fs::write(test.root().join("uploads/foreign"), b"").expect("a foreign file");
    let test = test.reopen().await;
    let id = good.id();
    let expected = [format!("{id}.data"), format!("{id}.session"), "foreign".to_owned()];
    assert_eq!(test.names("uploads"), expected.into());
    assert_eq!(test.store.upload(id, &owner()).expect("the good one").offset(), 5);
    assert!(matches!(test.store.upload(broken.id(), &owner()), Err(BlobError::UploadUnknown)));
}
