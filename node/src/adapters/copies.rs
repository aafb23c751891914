//! Copies of a fresh blob on other nodes, before it is committed; and the same asked of this node by others.
//!
//! A copy is pulled: whoever is asked fetches the bytes from the asker, checks each leaf, syncs file and
//! directory, and answers with a receipt (consistency rule R7). A copy whose commit never comes is a staged
//! file like any other, which the janitor removes (R3).

use std::time::Duration;

use blobs::{BlobCopy, BlobError, BlobStore};
use bytes::Bytes;
use cluster::Metadata;
use cluster_core::command::Receipt;
use cluster_core::plan::placement;
use cluster_core::record::NodeKind;
use cluster_core::state;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use peer::{Peers, Protocol};
use prost::Message as _;
use proto::digest::Digest;
use proto::identity::{NodeId, Zone};
use proto::upload::UploadId;
use proto::wire::peer::{self as wire, CopyReply, CopyRequest, copy_reply::Outcome};
use tokio::time::Instant;

use super::exchange::{Fetches, StoreSink, blob_of};
use super::members::Directory;
use crate::auth::node_key::node_of;

/// The only version of the request so far.
const VERSION: u32 = 1;
/// For a copy of nothing; a blob gets more time by its size.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of larger blobs the piece list is not sent along, bytes: 32 bytes for each 256 KiB must fit a request.
const MAX_LISTED: u64 = 8 << 30;
/// For a copy of nothing, before another home is asked as well.
const HEDGE: Duration = Duration::from_millis(300);
/// Between two looks whether anybody has what is waited for.
const GLANCE: Duration = Duration::from_millis(500);
/// A home that takes in less than this in a second is not waited for alone, bytes.
const USUAL: u64 = 32 << 20;
/// A home that takes in less than this in a second is asked no longer, bytes.
const SLOWEST: u64 = 4 << 20;
/// The staging deadline of a copy that a record may name already: none.
const REPAIR: u64 = u64::MAX;

/// Makes copies elsewhere, and here for others. Clones share it.
#[derive(Clone)]
pub(crate) struct Copies {
    pub(crate) peers: Peers,
    pub(crate) directory: Directory,
    pub(crate) metadata: Metadata,
    pub(crate) blobs: BlobStore,
    pub(crate) fetches: Fetches,
    /// Of this start of this node.
    pub(crate) incarnation: u64,
}

impl Copies {
    /// This node's word for a copy that is synced here.
    pub(crate) fn own_receipt(&self) -> Receipt {
        Receipt { node: self.directory.this_node(), incarnation: self.incarnation }
    }

    /// `wanted` receipts for `copy`, which is staged here: this node's own, unless it keeps no copies (an edge, or
    /// a node that is drained), and those of others, in zones of their own as far as there are such. Fewer when no
    /// more can be had in time. Dropping it is safe; the others may still make their copies.
    pub(crate) async fn gather(
        &self,
        copy: &BlobCopy,
        wanted: usize,
        staging_deadline_ms: u64,
    ) -> Vec<Receipt> {
        let (own_zone, mut waiting) = self.candidates(&copy.digest);
        let mut receipts: Vec<Receipt> = own_zone.iter().map(|_| self.own_receipt()).collect();
        let mut zones: Vec<Zone> = own_zone.into_iter().collect();
        // It has most of the bytes already.
        if let Some(ahead) = self.gets_ahead(copy.generation, copy.size) {
            waiting.retain(|other| *other != ahead);
            waiting.insert(0, ahead);
        }
        let mut asked = FuturesUnordered::new();
        let limit = Instant::now() + patience(copy.size);
        let mut hedges = 0;
        while receipts.len() < wanted {
            // Zones without a copy first; in each group in the order of placement, so that homes are asked first.
            while receipts.len() + asked.len() < wanted + hedges && !waiting.is_empty() {
                let place = waiting.iter().position(|(_, zone)| !zones.contains(zone)).unwrap_or(0);
                let (node, zone) = waiting.remove(place);
                zones.push(zone.clone());
                asked.push(async move { (zone, self.ask(node, copy, staging_deadline_ms).await) });
            }
            let hedge = if waiting.is_empty() { limit } else { limit.min(Instant::now() + hedge(copy.size)) };
            match tokio::time::timeout_at(hedge, asked.next()).await {
                Ok(Some((_, Some(receipt)))) => receipts.push(receipt),
                Ok(Some((zone, None))) => zones.retain(|known| *known != zone),
                Ok(None) => break,
                Err(_) if hedge == limit => break,
                // One more than needed: the copy is wanted in the end anyway.
                Err(_) => hedges += 1,
            }
        }
        receipts
    }

    /// Whether `node` has a whole, synced copy; it makes one if it has not.
    pub(crate) async fn is_at(&self, node: NodeId, copy: &BlobCopy) -> bool {
        self.ask(node, copy, REPAIR).await.is_some()
    }

    /// The piece list of a copy that is here, if it is not too long to be sent along.
    async fn pieces(&self, copy: &BlobCopy) -> Option<Vec<u8>> {
        if copy.size > MAX_LISTED {
            return None;
        }
        let reader = self.blobs.open_cached(copy).await.ok()??;
        Some(reader.list())
    }

    /// This node's zone if it may keep the blob, and the other nodes that may, its homes first.
    pub(super) fn candidates(&self, digest: &Digest) -> (Option<Zone>, Vec<(NodeId, Zone)>) {
        let read = || {
            let reader = self.metadata.local().ok()?;
            let own = state::node::node(&reader, self.directory.this_node()).ok()??;
            let counts = own.keeps_copies() && own.incarnation == self.incarnation;
            Some((counts.then_some(own.zone), state::node::homes(&reader).ok()?))
        };
        let Some((own_zone, homes)) = read() else { return (None, Vec::new()) };
        let order = placement::homes(digest, &placement::candidates(&homes), homes.len());
        let others = order.into_iter().filter(|node| *node != self.directory.this_node());
        let zone =
            |node: NodeId| homes.iter().find(|(home, _)| *home == node).map(|(_, home)| home.zone.clone());
        (own_zone, others.filter_map(|node| Some((node, zone(node)?))).collect())
    }

    async fn ask(&self, node: NodeId, copy: &BlobCopy, staging_deadline_ms: u64) -> Option<Receipt> {
        let request = CopyRequest {
            version: VERSION,
            digest: copy.digest.to_bytes(),
            size: copy.size,
            generation: copy.generation.to_bytes().to_vec(),
            pieces_root: copy.pieces_root.to_vec(),
            from: self.directory.this_node().get(),
            staging_deadline_ms,
            pieces: self.pieces(copy).await.unwrap_or_default(),
        };
        let address = self.directory.address(node)?;
        let answered =
            self.peers.call(&address, Protocol::Copy, request.encode_to_vec(), patience(copy.size)).await;
        let reply = match answered {
            Ok(reply) => CopyReply::decode(reply.as_slice()).ok()?,
            Err(error) => {
                tracing::warn!(node.id = %node, digest = %copy.digest, %error, "no copy made");
                return None;
            }
        };
        match reply.outcome? {
            Outcome::Receipt(receipt) => {
                // A receipt of another blob or node counts for nothing.
                let is_right = receipt.digest == copy.digest.to_bytes()
                    && receipt.generation == copy.generation.to_bytes()
                    && receipt.size == copy.size
                    && receipt.node == node.get();
                is_right.then_some(Receipt { node, incarnation: receipt.incarnation })
            }
            Outcome::Refused(refused) => {
                tracing::warn!(node.id = %node, digest = %copy.digest, reason = refused.reason, "no copy made");
                None
            }
        }
    }

    /// Whether the cluster knows of this start of this node: receipts of another one are void.
    fn is_registered(&self) -> bool {
        let own = self.metadata.local().map(|reader| state::node::node(&reader, self.directory.this_node()));
        matches!(own, Ok(Ok(Some(own))) if own.incarnation == self.incarnation)
    }

    /// Edges pass uploads on and own no blobs: nothing that they offer is kept.
    pub(super) fn is_edge(&self, node: NodeId) -> bool {
        let record = self.metadata.local().ok().and_then(|reader| state::node::node(&reader, node).ok()?);
        record.is_some_and(|record| record.kind == NodeKind::Edge)
    }

    /// Answers others from now on.
    pub(crate) fn serve(&self) {
        self.serve_ahead();
        let copies = self.clone();
        self.peers.serve(Protocol::Copy, move |key, message| {
            let copies = copies.clone();
            async move {
                let from = node_of(key.as_bytes())?;
                if copies.is_edge(from) {
                    tracing::warn!(node.id = %from, "an edge asked for a copy, which it may not");
                    return None;
                }
                let outcome = match copies.make(&message).await {
                    Ok(receipt) => Outcome::Receipt(receipt),
                    Err(reason) => Outcome::Refused(wire::Refused { reason, again: true }),
                };
                Some(CopyReply { outcome: Some(outcome) }.encode_to_vec())
            }
        });
    }

    async fn make(&self, message: &[u8]) -> Result<wire::Receipt, String> {
        let request = CopyRequest::decode(message).map_err(|_| "the request cannot be read")?;
        if request.version != VERSION {
            return Err(format!("this node knows version {VERSION} of copies"));
        }
        let copy = copy_of(&request).ok_or("the request makes no sense")?;
        self.is_registered().then_some(()).ok_or("this start of the node is not registered yet")?;
        if request.staging_deadline_ms != REPAIR {
            // From this node's log time on the janitor counts: it must not be behind the upload's (R3, R5).
            self.metadata.read().await.map_err(|error| error.to_string())?;
        }
        // Past the deadline the janitor may remove it at any time (R3).
        let now = self.metadata.applied_log_time().map_err(|error| error.to_string())?;
        if now > request.staging_deadline_ms {
            return Err("the upload has expired".to_owned());
        }
        let pieces = Bytes::from(request.pieces);
        self.fetch(&copy, pieces).await.map_err(|error| error.to_string())?;
        Ok(wire::Receipt {
            digest: request.digest,
            size: copy.size,
            generation: request.generation,
            node: self.directory.this_node().get(),
            incarnation: self.incarnation,
        })
    }

    /// Fetches `copy` from whoever has it, if it is not here whole already; durable when it returns. Joined
    /// by all who want the same. Dropping it is safe: what came so far stays for the next try.
    ///
    /// `pieces`: its piece list, if somebody sent it along; a wrong one is as good as none.
    pub(crate) async fn fetch(&self, copy: &BlobCopy, pieces: Bytes) -> Result<(), CopyError> {
        if self.blobs.open_cached(copy).await?.is_some() {
            return Ok(());
        }
        let incoming = self.blobs.receive(*copy).await?;
        if !pieces.is_empty() {
            match incoming.put_list(pieces).await {
                Err(BlobError::WrongPiece) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let fetch = self.fetches.fetch(blob_of(copy), StoreSink(incoming));
        tokio::select! {
            done = fetch.done() => Ok(done?),
            () = self.until_nowhere(copy) => Err(BlobError::Missing.into()),
        }
    }

    /// Waits until the record of `copy` names no other node; for ever if there is none. Nodes that lost their copies
    /// and fetch from each other would wait for what nobody has.
    pub(crate) async fn until_nowhere(&self, copy: &BlobCopy) {
        let this = self.directory.this_node();
        let is_nowhere = || {
            let record = state::blob::blob(&self.metadata.local().ok()?, &copy.digest).ok()??;
            let others = record.copies.iter().any(|node| *node != this);
            Some(record.generation == copy.generation && !others)
        };
        // Mostly the bytes come first, and nobody needs to look.
        tokio::time::sleep(GLANCE).await;
        while is_nowhere() != Some(true) {
            tokio::time::sleep(GLANCE).await;
        }
    }
}

/// Why there is no copy here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// This node cannot keep it.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// Others do not give it.
    #[error(transparent)]
    Fetch(#[from] peer::exchange::FetchError),
}

fn copy_of(request: &CopyRequest) -> Option<BlobCopy> {
    Some(BlobCopy {
        digest: Digest::from_bytes(&request.digest)?,
        size: request.size,
        generation: UploadId::from_bytes(&request.generation)?,
        pieces_root: request.pieces_root.as_slice().try_into().ok()?,
    })
}

/// How long a home may be silent before another one is asked as well: it may be dead.
fn hedge(size: u64) -> Duration {
    HEDGE + Duration::from_secs(size / USUAL)
}

fn patience(size: u64) -> Duration {
    PATIENCE + Duration::from_secs(size / SLOWEST)
}
