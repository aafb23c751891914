//! Requests that meet in one session, or go away in the middle.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::future::join_all;
use tokio::task::JoinHandle;

use crate::testing::{TestStore, body, content, owner, sha256};
use crate::{BlobError, Upload};

/// An append whose body the test feeds.
fn append_slowly(
    upload: &Upload,
) -> (UnboundedSender<io::Result<Bytes>>, JoinHandle<Result<u64, BlobError>>) {
    let (sender, receiver) = unbounded();
    let upload = upload.clone();
    (sender, tokio::spawn(async move { upload.append(None, None, receiver).await }))
}

/// Waits until nobody works on the session.
async fn wait_idle(upload: &Upload) {
    let idle = async {
        while matches!(upload.append(None, None, body(b"", 1)).await, Err(BlobError::Busy)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), idle).await.expect("the session stays busy");
}

async fn wait_offset(upload: &Upload, offset: u64) {
    let reached = async {
        while upload.offset() < offset {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), reached).await;
    assert!(waited.is_ok(), "the offset is {} and not yet {offset}", upload.offset());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_concurrent_appends_never_mix() {
    let test = TestStore::new().await;
    let upload = test.start().await;
    let mut expected = Vec::new();
    for round in 0..250_u32 {
        let appends = (0..4_u8).map(|writer| {
            let upload = upload.clone();
            let content = vec![writer; 1 + (round as usize * 97) % 3000];
            tokio::spawn(async move { (upload.append(None, None, body(&content, 500)).await, content) })
        });
        let mut written: Vec<_> =
            join_all(appends).await.into_iter().map(|joined| joined.expect("no panic")).collect();
        written.retain(|(result, _)| !matches!(result, Err(BlobError::Busy)));
        let offset = |result: &Result<u64, BlobError>| *result.as_ref().expect("appended or busy");
        written.sort_by_key(|(result, _)| offset(result));
        assert!(!written.is_empty(), "one of them wins");
        for (result, content) in &written {
            expected.extend_from_slice(content);
            assert_eq!(offset(result), expected.len() as u64);
        }
    }
    let copy = upload.finish(sha256(&expected)).await.expect("the hash saw the same order");
    assert_eq!(test.read(&copy).await.expect("whole"), expected);
}

#[tokio::test]
async fn while_one_request_writes_the_others_are_told_at_once() {
    let test = TestStore::new().await;
    let upload = test.start().await;
    let (sender, appending) = append_slowly(&upload);
    sender.unbounded_send(Ok(Bytes::from(content(300_000)))).expect("the append listens");
    wait_offset(&upload, 256 * 1024).await;
    assert!(matches!(upload.append(None, None, body(b"x", 1)).await, Err(BlobError::Busy)));
    assert!(matches!(upload.finish(sha256(b"")).await, Err(BlobError::Busy)));
    drop(sender);
    assert_eq!(appending.await.expect("no panic").expect("the first goes on"), 300_000);
    upload.finish(sha256(&content(300_000))).await.expect("nothing else was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_append_leaves_a_whole_state() {
    let test = TestStore::new().await;
    for round in 0..50 {
        let upload = test.start().await;
        let content = content(1_000_000 + round);
        let (sender, appending) = append_slowly(&upload);
        for chunk in content.chunks(60_000) {
            sender.unbounded_send(Ok(Bytes::copy_from_slice(chunk))).expect("the append listens");
        }
        wait_offset(&upload, (round as u64 % 4) * 256 * 1024).await;
        appending.abort();
        _ = appending.await;
        wait_idle(&upload).await;
        let at = upload.offset();
        assert!(at <= content.len() as u64);
        let rest = &content[at as usize..];
        upload.append(Some(at), Some(rest.len() as u64), body(rest, 9_000)).await.expect("goes on");
        upload.finish(sha256(&content)).await.expect("the bytes are those that were sent");
    }
}

#[tokio::test]
async fn cancelling_a_session_that_is_being_written_removes_it() {
    let test = TestStore::new().await;
    let upload = test.start().await;
    let (sender, appending) = append_slowly(&upload);
    sender.unbounded_send(Ok(Bytes::from(content(600_000)))).expect("the append listens");
    wait_offset(&upload, 512 * 1024).await;
    upload.cancel();
    assert!(matches!(test.store.upload(upload.id(), &owner()), Err(BlobError::UploadUnknown)));
    assert_eq!(test.store.uploads_of(&owner().principal), 0);
    drop(sender);
    let ended = appending.await.expect("no panic");
    assert!(matches!(ended, Err(BlobError::UploadUnknown)), "{ended:?}");
    test.settle().await;
    assert!(test.names("uploads").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finishing_and_cancelling_at_once_ends_in_one_of_the_two() {
    let test = TestStore::new().await;
    for _ in 0..100 {
        let upload = test.start().await;
        upload.append(None, None, body(b"content", 3)).await.expect("a part");
        let finishing = tokio::spawn({
            let upload = upload.clone();
            async move { upload.finish(sha256(b"content")).await }
        });
        upload.cancel();
        match finishing.await.expect("no panic") {
            Ok(copy) => assert_eq!(test.read(&copy).await.expect("whole"), b"content"),
            Err(BlobError::UploadUnknown) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    test.settle().await;
    assert!(test.names("uploads").is_empty());
    assert_eq!(test.store.uploads_of(&owner().principal), 0);
}

#[tokio::test]
async fn a_dropped_finish_is_found_again_as_finished() {
    let test = TestStore::new().await;
    let upload = test.start().await;
    upload.append(None, None, body(b"content", 3)).await.expect("a part");
    let mut finishing = Box::pin(upload.finish(sha256(b"content")));
    assert!(futures::poll!(&mut finishing).is_pending());
    drop(finishing);
    test.settle().await;
    let copy = test.store.finished(upload.id(), &owner()).expect("the work went on");
    assert_eq!(test.read(&copy).await.expect("whole"), b"content");
}
