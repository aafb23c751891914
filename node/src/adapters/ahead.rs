//! Bytes of an upload, sent on while they arrive to the node that will be asked for the second copy.
//!
//! A digest, and so a blob's homes, is often known at the end of an upload only; the node that gets a head start is
//! therefore chosen by the upload's id. It keeps the bytes aside and trusts none of them: asked for the copy, it
//! checks them against the piece list and fetches the rest. So whatever goes wrong here costs time and nothing else,
//! and is given up at once: the client is not slowed down by a node that does not take bytes as fast as this one.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use peer::{ByteStream, Protocol, frame};
use prost::Message as _;
use proto::digest::{Algorithm, Digest};
use proto::identity::{NodeId, Zone};
use proto::upload::UploadId;
use proto::wire::peer::Ahead;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::copies::Copies;
use crate::auth::node_key::node_of;

/// The only version so far.
const VERSION: u32 = 1;
/// Bytes at the beginning of a blob that are not sent ahead: smaller ones are fetched as fast.
const FIRST: u64 = 1 << 20;
/// To connect, and for the other node to take some bytes in.
const PATIENCE: Duration = Duration::from_secs(1);
/// For the other node to write what it got, at the end of a body.
const LAST: Duration = Duration::from_secs(2);
/// Bytes gathered before they are written.
const BUFFER: usize = 256 << 10;
/// The answer to a stream that was written whole.
const WRITTEN: u8 = 1;

/// How far the way to the other node is.
enum Way {
    /// Not needed yet.
    Unopened,
    Open(Box<ByteStream>),
    /// Given up, or there is nobody.
    Closed,
}

struct Sending<S> {
    copies: Copies,
    upload: UploadId,
    /// Of the next byte of `body` in the upload.
    at: u64,
    body: S,
    way: Way,
}

impl Copies {
    /// `body`, whose first byte is at `offset` of `upload`, unchanged; large ones are sent ahead as they pass. Ends when
    /// the other node has written them, or does not in time.
    pub(crate) fn send_ahead<S, E>(
        &self,
        upload: UploadId,
        offset: u64,
        body: S,
    ) -> impl Stream<Item = Result<Bytes, E>> + Send
    where
        S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
        E: Send,
    {
        let start = Sending { copies: self.clone(), upload, at: offset, body, way: Way::Unopened };
        stream::unfold(start, |mut sending| async move {
            let next = sending.body.next().await;
            match &next {
                Some(Ok(bytes)) => sending.pass(bytes).await,
                Some(Err(_)) => sending.way = Way::Closed,
                None => sending.end().await,
            }
            Some((next?, sending))
        })
    }

    /// Who gets a head start of `upload`, if it will be larger than `size` bytes: the first node in another zone, in
    /// this region if there is one.
    pub(super) fn gets_ahead(&self, upload: UploadId, size: u64) -> Option<(NodeId, Zone)> {
        if size <= FIRST {
            return None;
        }
        let name = Digest::of(Algorithm::Sha256, &upload.to_bytes());
        let (own_zone, others) = self.candidates(&name);
        others.into_iter().find(|(_, zone)| Some(zone) != own_zone.as_ref())
    }

    /// A stream for the bytes of `upload` from `at` on, if somebody takes them.
    async fn open_ahead(&self, upload: UploadId, at: u64) -> Option<ByteStream> {
        let (node, _) = self.gets_ahead(upload, at.saturating_add(1))?;
        let address = self.directory.address(node)?;
        let mut stream = self.peers.open(&address, Protocol::Ahead, PATIENCE).await.ok()?;
        let head = Ahead { version: VERSION, upload: upload.to_bytes().to_vec(), offset: at };
        timeout(PATIENCE, frame::write(&mut stream, &head.encode_to_vec())).await.ok()?.ok()?;
        Some(stream)
    }

    /// Takes what other nodes send ahead, from now on.
    pub(super) fn serve_ahead(&self) {
        let copies = self.clone();
        self.peers.serve_streams(Protocol::Ahead, move |key, stream| {
            let copies = copies.clone();
            async move {
                let Some(from) = node_of(key.as_bytes()) else { return };
                if let Err(error) = copies.take_ahead(from, stream).await {
                    tracing::debug!(node.id = %from, %error, "bytes that came ahead were not kept");
                }
            }
        });
    }

    async fn take_ahead(&self, from: NodeId, mut stream: ByteStream) -> anyhow::Result<()> {
        let head = frame::read(&mut stream, Protocol::Ahead.frame_limit()).await?;
        let head = Ahead::decode(head.as_slice())?;
        if self.is_edge(from) {
            anyhow::bail!("an edge owns no uploads");
        }
        let upload = UploadId::from_bytes(&head.upload).filter(|upload| upload.node() == from);
        let Some(upload) = upload.filter(|_| head.version == VERSION) else {
            anyhow::bail!("the head makes no sense");
        };
        let head_start = self.blobs.head_start(upload).await?;
        let mut at = head.offset;
        loop {
            let mut buffer = BytesMut::with_capacity(BUFFER);
            while buffer.len() < BUFFER && stream.read_buf(&mut buffer).await? > 0 {}
            if buffer.is_empty() {
                break;
            }
            let length = buffer.len() as u64;
            head_start.write(at, buffer.freeze()).await?;
            at = at.saturating_add(length);
        }
        stream.write_u8(WRITTEN).await?;
        Ok(stream.flush().await?)
    }
}

impl<S> Sending<S> {
    /// Sends on what just came.
    async fn pass(&mut self, bytes: &Bytes) {
        let at = self.at;
        self.at = at.saturating_add(bytes.len() as u64);
        if at >= FIRST && matches!(self.way, Way::Unopened) {
            self.way = self
                .copies
                .open_ahead(self.upload, at)
                .await
                .map_or(Way::Closed, |stream| Way::Open(Box::new(stream)));
        }
        if let Way::Open(stream) = &mut self.way
            && !matches!(timeout(PATIENCE, stream.write_all(bytes)).await, Ok(Ok(())))
        {
            tracing::debug!(upload = %self.upload, "a node does not take what is sent ahead");
            self.way = Way::Closed;
        }
    }

    /// Waits until what was sent is written over there.
    async fn end(&mut self) {
        let Way::Open(mut stream) = std::mem::replace(&mut self.way, Way::Closed) else { return };
        let written = async {
            stream.shutdown().await?;
            stream.read_u8().await
        };
        if !matches!(timeout(LAST, written).await, Ok(Ok(WRITTEN))) {
            tracing::debug!(upload = %self.upload, "a node did not write what was sent ahead in time");
        }
    }
}
