//! Sending a snapshot: in chunks, from where the receiver stands.

use std::sync::Arc;
use std::time::Duration;

use openraft::error::{Fatal, StreamingError};
use openraft::raft::SnapshotResponse;
use openraft::{Snapshot, SnapshotMeta, StorageIOError, Vote};
use proto::wire::raft as wire;

use super::TypeConfig;
use super::message::{self, ReplyKind, RequestKind};
use super::network::{CallError, call};
use super::transport::{Link, Member};
use crate::environment;
use crate::storage::{Outgoing, SnapshotFile, Stored};

/// Bytes in one chunk.
const CHUNK_BYTES: usize = 1 << 20;
/// How long one chunk may be under way.
const CHUNK_PATIENCE: Duration = Duration::from_secs(30);
/// How long the receiver may take to check and install all of it.
const INSTALL_PATIENCE: Duration = Duration::from_secs(300);

type SendError = StreamingError<TypeConfig, Fatal<u64>>;

/// Returns when the receiver has installed the snapshot, or knows of a later vote. Cancel safe: the next
/// call goes on from what the receiver has.
pub(super) async fn send(
    link: &Link,
    outgoing: &Outgoing,
    to: &Member,
    vote: Vote<u64>,
    snapshot: Snapshot<TypeConfig>,
) -> Result<SnapshotResponse<u64>, SendError> {
    let meta = snapshot.meta.clone();
    let file = outgoing.file(snapshot).await.map_err(|error| unreadable(&error))?;
    let size = file.size().map_err(|error| unreadable(&error))?;
    let mut offset = 0;
    let mut data = Vec::new();
    loop {
        outgoing.touch();
        let sent = data.len() as u64;
        let is_last = sent > 0 && offset + sent == size;
        let chunk = chunk(vote, &meta, size, offset, std::mem::take(&mut data));
        let patience = if is_last { INSTALL_PATIENCE } else { CHUNK_PATIENCE };
        let reply = match call(link, to, RequestKind::SnapshotChunk(chunk), patience).await? {
            ReplyKind::SnapshotChunk(reply) => reply,
            _ => return Err(CallError::BadReply.into()),
        };
        let theirs = reply.vote.and_then(message::vote_from_wire);
        if let Some(later) = theirs.filter(|theirs| *theirs > vote) {
            return Ok(SnapshotResponse::new(later));
        }
        if reply.installed {
            return Ok(SnapshotResponse::new(vote));
        }
        // After the first, empty chunk anything but what was just sent means that another transfer came in
        // between, or that what was there is gone: the next try begins anew.
        if reply.received >= size || (sent > 0 && reply.received != offset + sent) {
            return Err(CallError::BadReply.into());
        }
        offset = reply.received;
        data = read(&file, offset).await?;
    }
}

async fn read(file: &Arc<SnapshotFile>, offset: u64) -> Result<Vec<u8>, SendError> {
    let file = Arc::clone(file);
    let read = environment::blocking(move || file.read_at(offset, CHUNK_BYTES)).await;
    match read {
        Ok(Ok(data)) if !data.is_empty() => Ok(data),
        Ok(Ok(_)) => Err(CallError::BadReply.into()),
        Ok(Err(error)) => Err(unreadable(&error)),
        Err(error) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &(impl std::error::Error + 'static)) -> SendError {
    StreamingError::StorageError(StorageIOError::read_snapshot(None, error).into())
}

fn chunk(
    vote: Vote<u64>,
    meta: &SnapshotMeta<u64, openraft::BasicNode>,
    size: u64,
    offset: u64,
    data: Vec<u8>,
) -> wire::SnapshotChunk {
    wire::SnapshotChunk {
        vote: Some(vote.to_wire()),
        snapshot_id: meta.snapshot_id.clone(),
        last: meta.last_log_id.as_ref().map(Stored::to_wire),
        membership: Some(meta.last_membership.to_wire()),
        size,
        offset,
        data,
    }
}
