//! The way of a body into a session: the request's own future reads the body into buffers; a task of the store hands
//! each to two lanes, one hashing, one writing. A lane takes a blocking thread only while buffers are waiting, so a
//! slow client holds no thread, and a fast one keeps both lanes busy without a switch for each buffer.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use proto::digest::Hasher;
use tokio::sync::{mpsc, oneshot};

use super::session::{Claim, Progress, Session};
use super::write::WriteLane;
use crate::error::BlobError;
use crate::pieces::LEAF;
use crate::store::Inner;

/// Bytes gathered before they are hashed and written. Three buffers exist for each upload: one being filled, one
/// waiting, one being worked on.
const BUFFER: usize = LEAF as usize;

type Buffer = Arc<Vec<u8>>;

/// Where the reader of the body puts full buffers. Dropping it ends the append and keeps what was put.
struct Lanes {
    hash: mpsc::Sender<Buffer>,
    write: mpsc::Sender<Buffer>,
}

impl Lanes {
    /// False if a lane failed. Both lanes get the buffer or, if the future is dropped, none does.
    async fn put(&self, buffer: Vec<u8>) -> bool {
        let (Ok(write), Ok(hash)) = (self.write.reserve().await, self.hash.reserve().await) else {
            return false;
        };
        let buffer = Arc::new(buffer);
        write.send(Arc::clone(&buffer));
        hash.send(buffer);
        true
    }
}

/// How a body ended.
enum BodyEnd {
    Whole,
    WrongLength,
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// The writer failed first.
    Unwanted,
}

/// See [`super::Upload::append`].
pub(super) async fn append<S, E>(
    inner: &Arc<Inner>,
    session: &Arc<Session>,
    at: Option<u64>,
    length: Option<u64>,
    body: S,
) -> Result<u64, BlobError>
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    inner.volume.check()?;
    // Before the claim, which may have to hash the session's bytes again: a full volume stays cheap to refuse.
    inner.volume.claim_space(0)?;
    let claim = session.claim(inner)?;
    let (hash, to_hash) = mpsc::channel(1);
    let (write, to_write) = mpsc::channel(1);
    let (revert, reverted) = oneshot::channel();
    let writer = inner.tasks.spawn(write_body(claim, at, to_hash, to_write, reverted));
    let end = read_body(body, length, Lanes { hash, write }, revert).await;
    let offset = writer.await.map_err(|_| BlobError::Stopped)??;
    match end {
        BodyEnd::Whole => Ok(offset),
        BodyEnd::WrongLength => Err(BlobError::LengthMismatch { offset }),
        BodyEnd::Broken(error) => Err(BlobError::Body(error)),
        BodyEnd::Unwanted => Err(BlobError::Stopped),
    }
}

async fn read_body<S, E>(body: S, length: Option<u64>, lanes: Lanes, revert: oneshot::Sender<()>) -> BodyEnd
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let mut body = pin!(body);
    let mut buffer = Vec::new();
    let mut received = 0;
    let end = loop {
        let next = tokio::select! {
            next = body.next() => next,
            () = lanes.write.closed() => break BodyEnd::Unwanted,
        };
        let mut chunk = match next {
            None if length.is_none_or(|length| received == length) => break BodyEnd::Whole,
            None => break BodyEnd::WrongLength,
            Some(Err(error)) => break BodyEnd::Broken(error.into()),
            Some(Ok(chunk)) => chunk,
        };
        received += chunk.len() as u64;
        if length.is_some_and(|length| received > length) {
            break BodyEnd::WrongLength;
        }
        if !gather(&mut buffer, &mut chunk, &lanes).await {
            break BodyEnd::Unwanted;
        }
    };
    // Nobody listens only if the writer failed, which says so itself.
    if matches!(end, BodyEnd::WrongLength) {
        _ = revert.send(());
    } else if !buffer.is_empty() {
        _ = lanes.put(buffer).await;
    }
    end
}

/// Moves a chunk into buffers and hands over the full ones; false if nobody wants them any more.
async fn gather(buffer: &mut Vec<u8>, chunk: &mut Bytes, lanes: &Lanes) -> bool {
    while !chunk.is_empty() {
        let room = BUFFER - buffer.len();
        buffer.extend_from_slice(&chunk.split_to(room.min(chunk.len())));
        if buffer.len() == BUFFER {
            let full = std::mem::replace(buffer, Vec::with_capacity(BUFFER));
            if !lanes.put(full).await {
                return false;
            }
        }
    }
    true
}

/// Runs in a task of its own and is never cancelled, so that claim, file and hashes stay in step.
async fn write_body(
    mut claim: Claim,
    at: Option<u64>,
    to_hash: mpsc::Receiver<Buffer>,
    to_write: mpsc::Receiver<Buffer>,
    mut reverted: oneshot::Receiver<()>,
) -> Result<u64, BlobError> {
    let inner = Arc::clone(&claim.inner);
    let prepared = inner.blocking(move || claim.prepare().map(|(file, start)| (claim, file, start)));
    let (mut claim, file, start) = prepared.await?;
    if at.is_some_and(|at| at != start.len) {
        return Err(BlobError::OffsetMismatch { offset: start.len });
    }
    // Until both lanes are done nobody knows hashes that belong to the file.
    claim.progress = None;
    let file = Arc::new(file);
    let writing = WriteLane::new(&claim, &file, &start);
    let hashed = run_lane(&inner, to_hash, start.whole.clone(), |whole: &mut Hasher, buffer| {
        whole.update(buffer);
        Ok(())
    });
    let written = run_lane(&inner, to_write, writing, WriteLane::write);
    let (hashed, written) = tokio::join!(hashed, written);
    let whole = hashed?;
    let (len, pieces) = written?.end();
    let now = if reverted.try_recv().is_ok() {
        let (file, session, len) = (Arc::clone(&file), Arc::clone(&claim.session), start.len);
        inner.blocking(move || file.set_len(len).map_err(BlobError::io("cut", &session.paths.data))).await?;
        start
    } else {
        Progress { len, whole, pieces }
    };
    if claim.session.is_doomed() {
        return Err(BlobError::UploadUnknown);
    }
    let len = now.len;
    claim.session.advance(len, inner.clock.now());
    claim.progress = Some(now);
    Ok(len)
}

/// Works through all buffers that come, on a blocking thread whenever some are there. Returns the last state; on
/// failure the rest of the buffers is refused.
async fn run_lane<L, W>(
    inner: &Inner,
    mut buffers: mpsc::Receiver<Buffer>,
    mut lane: L,
    work: W,
) -> Result<L, BlobError>
where
    L: Send + 'static,
    W: Fn(&mut L, &[u8]) -> Result<(), BlobError> + Copy + Send + 'static,
{
    while let Some(first) = buffers.recv().await {
        let drain = move || {
            let mut next = Some(first);
            while let Some(buffer) = next {
                work(&mut lane, &buffer)?;
                drop(buffer);
                next = buffers.try_recv().ok();
            }
            Ok((buffers, lane))
        };
        (buffers, lane) = inner.blocking(drain).await?;
    }
    Ok(lane)
}
