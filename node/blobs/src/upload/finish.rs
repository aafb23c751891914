//! The end of an upload: check the digest, make the bytes durable, move them under their final name. And the short
//! way for blobs that come whole.

use std::fs::{self, File};
use std::io::Write as _;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use proto::digest::{Digest, Hasher};

use super::append::append;
use super::session::{Claim, Progress, Session, remove_files};
use super::write::write_leaves;
use super::{Upload, UploadOwner};
use crate::copy::{BlobCopy, remove_if_there};
use crate::error::BlobError;
use crate::pieces::{self, LEAF, PieceHasher};
use crate::reader::read_whole;
use crate::store::Inner;

/// See [`super::Upload::finish`].
pub(super) async fn finish(
    inner: &Arc<Inner>,
    session: &Arc<Session>,
    digest: Digest,
) -> Result<BlobCopy, BlobError> {
    inner.volume.check()?;
    let claim = session.claim(inner)?;
    inner.blocking(move || finish_claimed(claim, digest)).await
}

fn finish_claimed(mut claim: Claim, digest: Digest) -> Result<BlobCopy, BlobError> {
    let (file, progress) = claim.prepare()?;
    if claim.session.is_doomed() {
        return Err(BlobError::UploadUnknown);
    }
    let inner = Arc::clone(&claim.inner);
    let session = Arc::clone(&claim.session);
    let Progress { len, whole, pieces } = progress;
    let computed = if whole.algorithm() == digest.algorithm() {
        whole.finish()
    } else {
        hash_as(&file, digest).map_err(BlobError::io("read", &session.paths.data))?
    };
    if computed != digest {
        claim.end();
        remove_files(&session.paths);
        return Err(BlobError::DigestMismatch { computed });
    }
    // From here on a failure leaves the list in an unknown state, so the next try hashes again.
    claim.progress = None;
    let mut list = Vec::new();
    let entries = pieces.entries();
    let copy = BlobCopy { digest, size: len, generation: session.id, pieces_root: pieces.finish(&mut list) };
    write_leaves(&session, &list, entries)?;
    move_away(&inner, &session, &file, &copy)?;
    inner.uploads.finish(&session, copy);
    claim.end();
    inner.volume.metrics.uploads_finished.add(1);
    Ok(copy)
}

fn move_away(inner: &Inner, session: &Session, file: &File, copy: &BlobCopy) -> Result<(), BlobError> {
    let paths = &session.paths;
    let list = pieces::has_list(copy.size).then_some(paths.leaves.as_path());
    if let Some(path) = list {
        let leaves = File::options().write(true).open(path).map_err(BlobError::io("open", path))?;
        leaves.set_len(pieces::leaf_count(copy.size) * pieces::ENTRY).map_err(BlobError::io("cut", path))?;
        inner.volume.sync_file(&leaves, path)?;
    }
    inner.volume.sync_file(file, &paths.data)?;
    // A description that outlived its data would be this generation once more (R2), so it goes first.
    remove_if_there(&paths.session)?;
    inner.stage(&paths.data, list, copy)
}

fn hash_as(file: &File, digest: Digest) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new(digest.algorithm());
    read_whole(file, |part| hasher.update(part))?;
    Ok(hasher.finish())
}

/// See [`crate::BlobStore::put`].
pub(crate) async fn put<S, E>(
    inner: &Arc<Inner>,
    digest: Digest,
    length: Option<u64>,
    body: S,
) -> Result<BlobCopy, BlobError>
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    inner.volume.check()?;
    // Nobody else finds this session: it is in no table and has no description.
    let owner = UploadOwner { principal: String::new(), repository: String::new() };
    let session = Arc::new(Session::new(inner, owner, digest.algorithm())?);
    let mut body = pin!(body);
    let mut first = Vec::new();
    while (first.len() as u64) < LEAF {
        match body.next().await {
            Some(Ok(chunk)) => first.extend_from_slice(&chunk),
            Some(Err(error)) => return Err(BlobError::Body(error.into())),
            None if length.is_some_and(|length| length != first.len() as u64) => {
                return Err(BlobError::LengthMismatch { offset: 0 });
            }
            None => {
                let store = Arc::clone(inner);
                return inner.blocking(move || put_small(&store, &session, digest, &first)).await;
            }
        }
    }
    let upload = Discarded(Upload { inner: Arc::clone(inner), session });
    let Upload { inner, session } = &upload.0;
    append(inner, session, Some(0), length, stream::iter([Ok(Bytes::from(first))]).chain(body)).await?;
    finish(inner, session, digest).await
}

/// Discards the session of a [`put`] that fails or is dropped; one that was finished is gone already.
struct Discarded(Upload);

impl Drop for Discarded {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// All of a small blob in one go on one thread.
fn put_small(
    inner: &Inner,
    session: &Session,
    digest: Digest,
    content: &[u8],
) -> Result<BlobCopy, BlobError> {
    let computed = Digest::of(digest.algorithm(), content);
    if computed != digest {
        return Err(BlobError::DigestMismatch { computed });
    }
    let mut pieces = PieceHasher::new();
    let mut list = Vec::new();
    pieces.update(content, &mut list);
    let pieces_root = pieces.finish(&mut list);
    let copy = BlobCopy { digest, size: content.len() as u64, generation: session.id, pieces_root };
    let stored = write_small(inner, session, content, &list, &copy);
    if stored.is_err() {
        remove_files(&session.paths);
    }
    stored?;
    inner.volume.metrics.written_bytes.add(copy.size);
    inner.volume.metrics.uploads_finished.add(1);
    Ok(copy)
}

fn write_small(
    inner: &Inner,
    session: &Session,
    content: &[u8],
    list: &[u8],
    copy: &BlobCopy,
) -> Result<(), BlobError> {
    inner.volume.claim_space(copy.size)?;
    let path = &session.paths.data;
    let mut file = fs::File::create_new(path).map_err(BlobError::io("create", path))?;
    file.write_all(content).map_err(BlobError::io("write", path))?;
    write_leaves(session, list, 0)?;
    move_away(inner, session, &file, copy)
}
