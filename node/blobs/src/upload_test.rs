//! Sessions from the first byte to the staged copy, through mistakes and restarts.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use proto::digest::{Algorithm, Digest};

use crate::testing::{TestStore, body, content, owner, sha256};
use crate::{BlobError, LEAF, UploadOwner};

const KIB: usize = 1024;

#[tokio::test]
async fn bytes_sent_in_parts_become_a_copy_that_reads_the_same() {
    let test = TestStore::new().await;
    for size in [0, 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 1024 * KIB, 3000 * KIB + 5] {
        let content = content(size);
        let upload = test.start().await;
        let mut offset = 0;
        for part in content.chunks(370_001) {
            let at = offset;
            offset =
                upload.append(Some(at), Some(part.len() as u64), body(part, 9_999)).await.expect("a part");
            assert_eq!(offset, at + part.len() as u64);
            assert_eq!(upload.offset(), offset);
        }
        let copy = upload.finish(sha256(&content)).await.expect("the digest matches");
        assert_eq!(copy.size, size as u64);
        assert_eq!(copy.generation, upload.id());
        assert_eq!(&copy.pieces_root, blake3::hash(&content).as_bytes());
        assert_eq!(test.list_path(&copy).exists(), copy.size > LEAF);
        assert_eq!(test.read(&copy).await.expect("the copy is whole"), content);
    }
    assert!(test.names("uploads").is_empty(), "finished sessions leave nothing");
}

#[tokio::test]
async fn one_shot_uploads_of_any_size_read_the_same() {
    let test = TestStore::new().await;
    for size in [0, 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 2000 * KIB] {
        let content = content(size);
        let copy = test.put(&content).await;
        assert_eq!(test.read(&copy).await.expect("the copy is whole"), content);
    }
    assert!(test.names("uploads").is_empty());
}

#[tokio::test]
async fn a_failed_one_shot_upload_leaves_nothing() {
    let test = TestStore::new().await;
    for size in [5, 700 * KIB] {
        let content = content(size);
        let wrong = test.try_put(sha256(b"other"), None, body(&content, 1000)).await;
        assert!(matches!(wrong, Err(BlobError::DigestMismatch { computed }) if computed == sha256(&content)));
        for length in [0, size as u64 - 1, size as u64 + 1] {
            let wrong = test.try_put(sha256(&content), Some(length), body(&content, 1000)).await;
            assert!(matches!(wrong, Err(BlobError::LengthMismatch { .. })), "{size} {length} {wrong:?}");
        }
        let broken = [Ok(Bytes::from(content)), Err(io::Error::other("reset"))];
        let wrong = test.try_put(sha256(b""), None, stream::iter(broken)).await;
        assert!(matches!(wrong, Err(BlobError::Body(_))));
    }
    test.settle().await;
    assert!(test.names("uploads").is_empty());
    assert!(test.names("blobs/sha256").is_empty());
}

#[tokio::test]
async fn a_body_at_the_wrong_place_or_of_the_wrong_length_changes_nothing() {
    let test = TestStore::new().await;
    let content = content(600 * KIB);
    let (first, second) = content.split_at(300 * KIB + 7);
    let upload = test.start().await;
    let n = upload.append(None, None, body(first, 5000)).await.expect("a part");
    for at in [0, n - 1, n + 1, u64::MAX] {
        let refused = upload.append(Some(at), None, body(second, 5000)).await;
        assert!(matches!(refused, Err(BlobError::OffsetMismatch { offset }) if offset == n));
    }
    for length in [0, second.len() as u64 - 1, second.len() as u64 + 1, u64::MAX] {
        let refused = upload.append(Some(n), Some(length), body(second, 5000)).await;
        assert!(matches!(refused, Err(BlobError::LengthMismatch { offset }) if offset == n));
        assert_eq!(upload.offset(), n);
    }
    upload.append(Some(n), None, body(second, 5000)).await.expect("the rest");
    let copy = upload.finish(sha256(&content)).await.expect("nothing refused was kept");
    assert_eq!(test.read(&copy).await.expect("whole"), content);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_kept_as_far_as_it_came() {
    let test = TestStore::new().await;
    let content = content(500 * KIB);
    let upload = test.start().await;
    let cut = Bytes::copy_from_slice(&content[..400 * KIB]);
    let broken = upload.append(None, None, stream::iter([Ok(cut), Err(io::Error::other("reset"))])).await;
    assert!(matches!(broken, Err(BlobError::Body(_))));
    assert_eq!(upload.offset(), 400 * KIB as u64);
    let rest = body(&content[400 * KIB..], 5000);
    upload.append(Some(upload.offset()), None, rest).await.expect("goes on");
    upload.finish(sha256(&content)).await.expect("the digest matches");
}

#[tokio::test]
async fn a_wrong_digest_ends_the_session_and_leaves_nothing() {
    let test = TestStore::new().await;
    let upload = test.start().await;
    upload.append(None, None, body(b"content", 3)).await.expect("a part");
    let wrong = upload.finish(sha256(b"other")).await;
    assert!(matches!(wrong, Err(BlobError::DigestMismatch { computed }) if computed == sha256(b"content")));
    assert!(matches!(test.store.upload(upload.id(), &owner()), Err(BlobError::UploadUnknown)));
    assert!(matches!(upload.finish(sha256(b"content")).await, Err(BlobError::UploadUnknown)));
    assert!(matches!(upload.append(None, None, body(b"x", 1)).await, Err(BlobError::UploadUnknown)));
    assert!(test.names("uploads").is_empty());
    assert!(test.names("blobs/sha256").is_empty());
    assert_eq!(test.store.uploads_of(&owner().principal), 0);
}

#[tokio::test]
async fn a_session_may_end_in_a_digest_of_another_algorithm() {
    let test = TestStore::new().await;
    let content = content(700 * KIB);
    let upload = test.start().await;
    upload.append(None, None, body(&content, 5000)).await.expect("a part");
    let digest = Digest::of(Algorithm::Sha512, &content);
    let copy = upload.finish(digest).await.expect("the bytes are read again");
    assert_eq!(copy.digest, digest);
    assert_eq!(test.read(&copy).await.expect("whole"), content);
}

#[tokio::test]
async fn only_its_owner_finds_a_session_or_its_end() {
    let test = TestStore::new().await;
    let upload = test.start().await;
    let others = [
        UploadOwner { principal: "anonymous".into(), ..owner() },
        UploadOwner { repository: "team/other".into(), ..owner() },
    ];
    for other in &others {
        assert!(matches!(test.store.upload(upload.id(), other), Err(BlobError::UploadUnknown)));
    }
    let copy = upload.finish(sha256(b"")).await.expect("empty");
    assert_eq!(test.store.finished(upload.id(), &owner()), Some(copy));
    for other in &others {
        assert_eq!(test.store.finished(upload.id(), other), None);
    }
}

#[tokio::test]
async fn a_principal_has_a_limited_number_of_sessions() {
    let test = TestStore::new().await;
    let uploads = [test.start().await, test.start().await, test.start().await];
    let refused = test.store.start_upload(owner(), Algorithm::Sha256).await;
    assert!(matches!(refused, Err(BlobError::TooManyUploads { limit: 3 })));
    let other = UploadOwner { principal: "other".into(), ..owner() };
    test.store.start_upload(other, Algorithm::Sha256).await.expect("another principal has its own limit");
    uploads[0].cancel();
    uploads[0].cancel();
    assert_eq!(test.store.uploads_of(&owner().principal), 2);
    test.start().await;
}

#[tokio::test]
async fn idle_sessions_expire_and_live_ones_do_not() {
    let test = TestStore::new().await;
    let hour = Duration::from_secs(3600);
    let (old, live) = (test.start().await, test.start().await);
    old.append(None, None, body(b"bytes", 5)).await.expect("a part");
    let (sender, receiver) = futures::channel::mpsc::unbounded::<io::Result<Bytes>>();
    let appending = tokio::spawn({
        let live = live.clone();
        async move { live.append(None, None, receiver).await }
    });
    sender.unbounded_send(Ok(Bytes::from(content(LEAF as usize)))).expect("the append listens");
    while live.offset() != LEAF {
        tokio::task::yield_now().await;
    }
    test.store.inner().clock.skip(hour);
    assert_eq!(test.store.expire_uploads(hour * 2), 0);
    assert_eq!(test.store.expire_uploads(hour), 1);
    assert!(matches!(test.store.upload(old.id(), &owner()), Err(BlobError::UploadUnknown)));
    sender.unbounded_send(Ok(Bytes::from_static(b"late"))).expect("the append still listens");
    drop(sender);
    assert_eq!(appending.await.expect("no panic").expect("the live session goes on"), LEAF + 4);
    assert_eq!(test.store.expire_uploads(hour), 0, "bytes that came make it young again");
    test.settle().await;
    assert!(test.names("uploads").iter().all(|name| name.starts_with(&live.id().to_string())));
}

#[tokio::test]
async fn a_full_volume_refuses_bytes_and_keeps_the_session() {
    let test = TestStore::new().await;
    let upload = test.start().await;
    upload.append(None, None, body(b"first ", 5)).await.expect("a part");
    test.store.inner().volume.pretend_full(true);
    assert!(matches!(upload.append(None, None, body(b"second", 5)).await, Err(BlobError::Full)));
    assert!(matches!(test.store.start_upload(owner(), Algorithm::Sha256).await, Err(BlobError::Full)));
    assert!(matches!(test.try_put(sha256(b"x"), None, body(b"x", 1)).await, Err(BlobError::Full)));
    assert_eq!(upload.offset(), 6);
    test.store.inner().volume.pretend_full(false);
    upload.append(Some(6), None, body(b"second", 5)).await.expect("space came back");
    upload.finish(sha256(b"first second")).await.expect("the digest matches");
}
