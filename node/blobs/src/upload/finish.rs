//! The end of an upload: check the digest, make the bytes durable, move them under their final name.

use std::fs::File;
use std::sync::Arc;

use proto::digest::{Digest, Hasher};

use super::session::{Claim, Progress, Session, remove_files};
use super::write::write_leaves;
use crate::copy::{BlobCopy, remove_if_there};
use crate::error::BlobError;
use crate::pieces;
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
