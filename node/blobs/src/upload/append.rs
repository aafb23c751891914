//! The way of a body into a session: one task reads the body into buffers, another hashes and writes them on
//! blocking threads, so that a slow client holds no thread and a dropped request leaves a whole state.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::session::{Claim, Progress, Session};
use crate::error::BlobError;
use crate::pieces::{ENTRY, LEAF};
use crate::store::Inner;

/// Bytes gathered before they are hashed and written. Three buffers exist for each upload: one being filled, one
/// waiting, one being worked on.
const BUFFER: usize = LEAF as usize;

/// Bytes written between two calls of fdatasync in the background, so that the last one is short.
const SYNC_EVERY: u64 = 32 * 1024 * 1024;

/// What the reader of the body hands to the writer of the session. The end of the channel ends the append.
enum Part {
    Bytes(Vec<u8>),
    /// Drop what this append wrote.
    Revert,
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
    let claim = session.claim(inner)?;
    let (parts, received) = mpsc::channel(1);
    let writer = inner.tasks.spawn(write_parts(claim, at, received));
    let end = read_body(body, length, parts).await;
    let offset = writer.await.map_err(|_| BlobError::Stopped)??;
    match end {
        BodyEnd::Whole => Ok(offset),
        BodyEnd::WrongLength => Err(BlobError::LengthMismatch { offset }),
        BodyEnd::Broken(error) => Err(BlobError::Body(error)),
        BodyEnd::Unwanted => Err(BlobError::Stopped),
    }
}

async fn read_body<S, E>(body: S, length: Option<u64>, parts: mpsc::Sender<Part>) -> BodyEnd
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
            () = parts.closed() => break BodyEnd::Unwanted,
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
        if !gather(&mut buffer, &mut chunk, &parts).await {
            break BodyEnd::Unwanted;
        }
    };
    let last = match end {
        BodyEnd::WrongLength => Part::Revert,
        _ if buffer.is_empty() => return end,
        _ => Part::Bytes(buffer),
    };
    // A writer that failed says so itself.
    _ = parts.send(last).await;
    end
}

/// Moves a chunk into buffers and hands over the full ones; false if nobody wants them any more.
async fn gather(buffer: &mut Vec<u8>, chunk: &mut Bytes, parts: &mpsc::Sender<Part>) -> bool {
    while !chunk.is_empty() {
        let room = BUFFER - buffer.len();
        buffer.extend_from_slice(&chunk.split_to(room.min(chunk.len())));
        if buffer.len() == BUFFER {
            let full = std::mem::replace(buffer, Vec::with_capacity(BUFFER));
            if parts.send(Part::Bytes(full)).await.is_err() {
                return false;
            }
        }
    }
    true
}

/// Runs in a task of its own and is never cancelled, so that claim, file and hashes stay in step.
async fn write_parts(
    mut claim: Claim,
    at: Option<u64>,
    mut parts: mpsc::Receiver<Part>,
) -> Result<u64, BlobError> {
    let inner = Arc::clone(&claim.inner);
    let prepared = inner.blocking(move || claim.prepare().map(|(file, start)| (claim, file, start)));
    let (claim, file, start) = prepared.await?;
    if at.is_some_and(|at| at != start.len) {
        return Err(BlobError::OffsetMismatch { offset: start.len });
    }
    let mut writer = Writer { claim, file: Arc::new(file), now: start.clone(), unsynced: 0, syncing: None };
    while let Some(part) = parts.recv().await {
        match part {
            Part::Bytes(bytes) => writer.write(bytes).await?,
            Part::Revert => writer.revert_to(start.clone()).await?,
        }
    }
    if writer.claim.is_doomed() { Err(BlobError::UploadUnknown) } else { Ok(writer.now.len) }
}

struct Writer {
    claim: Claim,
    file: Arc<File>,
    now: Progress,
    unsynced: u64,
    syncing: Option<JoinHandle<Result<(), BlobError>>>,
}

impl Writer {
    /// Hashes and writes one buffer, side by side on two threads. The state moves on only if both worked.
    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), BlobError> {
        if self.claim.is_doomed() {
            return Err(BlobError::UploadUnknown);
        }
        let (inner, session) = (Arc::clone(&self.claim.inner), Arc::clone(&self.claim.session));
        let (file, before, mut whole) = (Arc::clone(&self.file), self.now.clone(), self.now.whole.clone());
        let len = bytes.len() as u64;
        let bytes = Arc::new(bytes);
        let hashed = self.claim.inner.blocking({
            let bytes = Arc::clone(&bytes);
            move || {
                whole.update(&bytes);
                Ok(whole)
            }
        });
        let write = move || write_part(&inner, &session, &file, before, &bytes);
        let written = self.claim.inner.blocking(write);
        let (whole, written) = tokio::join!(hashed, written);
        let written = written?;
        self.now = Progress { whole: whole?, ..written };
        self.claim.advance(self.now.clone());
        self.sync_some(len).await
    }

    /// Starts writing out in the background now and then; waits for the one before, so that a slow disk slows the
    /// client and dirty memory stays bounded.
    async fn sync_some(&mut self, written: u64) -> Result<(), BlobError> {
        self.unsynced += written;
        if self.unsynced < SYNC_EVERY {
            return Ok(());
        }
        if let Some(before) = self.syncing.take() {
            before.await.map_err(|_| BlobError::Stopped)??;
        }
        let (inner, file) = (Arc::clone(&self.claim.inner), Arc::clone(&self.file));
        let session = Arc::clone(&self.claim.session);
        let sync = move || inner.volume.sync_file(&file, &session.paths.data);
        self.syncing = Some(self.claim.inner.tasks.spawn_blocking(sync));
        self.unsynced = 0;
        Ok(())
    }

    async fn revert_to(&mut self, start: Progress) -> Result<(), BlobError> {
        let (file, session) = (Arc::clone(&self.file), Arc::clone(&self.claim.session));
        let len = start.len;
        let cut = move || file.set_len(len).map_err(BlobError::io("cut", &session.paths.data));
        self.claim.inner.blocking(cut).await?;
        self.now = start.clone();
        self.claim.advance(start);
        Ok(())
    }
}

/// Writes `bytes` behind what is there, and the leaves they complete. On failure the file is as before.
fn write_part(
    inner: &Inner,
    session: &Session,
    file: &File,
    before: Progress,
    bytes: &[u8],
) -> Result<Progress, BlobError> {
    inner.volume.claim_space(bytes.len() as u64)?;
    let mut after = before.clone();
    let mut list = Vec::new();
    after.pieces.update(bytes, &mut list);
    let path = &session.paths.data;
    let written = file
        .write_all_at(bytes, before.len)
        .map_err(BlobError::io("write", path))
        .and_then(|()| write_leaves(session, &list, before.pieces.entries()));
    if let Err(error) = written {
        // If even this fails, the next claim finds another length and hashes the file again.
        _ = file.set_len(before.len);
        return Err(error);
    }
    inner.volume.metrics.written_bytes.add(bytes.len() as u64);
    after.len += bytes.len() as u64;
    Ok(after)
}

/// Writes entries of the piece list behind the first `entries`.
pub(super) fn write_leaves(session: &Session, list: &[u8], entries: u64) -> Result<(), BlobError> {
    if list.is_empty() {
        return Ok(());
    }
    let path = &session.paths.leaves;
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    file.and_then(|file| file.write_all_at(list, entries * ENTRY)).map_err(BlobError::io("write", path))
}
