//! Blob bytes between this node's store and other nodes' over peers.
//!
//! Owns nothing but handles: which node has a blob is read from its record, how near it is from the nodes'
//! records, the bytes go from and to the blob store, which checks every leaf.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use blobs::{BlobCopy, BlobError, BlobStore, Incoming, Reader};
use bytes::Bytes;
use cluster::Metadata;
use cluster_core::state;
use peer::exchange::{
    self, Blob, Class, Connect, Found, Leaves, Presumed, Reason, Sink, SinkError, Source, Taken,
};
use peer::{ByteStream, Peers, Protocol};
use proto::digest::Digest;
use proto::identity::NodeId;

use super::members::Directory;
use crate::auth::node_key::node_of;

/// To connect to a holder.
const PATIENCE: Duration = Duration::from_secs(2);

/// Nodes of a region that everybody there asks who else fetches a blob.
const MEETING: usize = 4;

/// All fetches of this node.
pub(crate) type Fetches = exchange::Fetches<Holders, StoreSink>;
/// One of them.
pub(crate) type Fetch = exchange::Fetch<StoreSink>;

/// The same copy in the words of the exchange.
pub(crate) fn blob_of(copy: &BlobCopy) -> Blob {
    let BlobCopy { digest, size, generation, pieces_root } = *copy;
    Blob { digest, generation, size, pieces_root }
}

fn copy_of(blob: &Blob) -> BlobCopy {
    let Blob { digest, generation, size, pieces_root } = *blob;
    BlobCopy { digest, size, generation, pieces_root }
}

/// What gives others the blobs of this node.
pub(crate) type Server = exchange::Server<StoreSource>;

/// Whom to ask for a blob, and how.
#[derive(Clone)]
pub(crate) struct Holders {
    pub(crate) peers: Peers,
    pub(crate) directory: Directory,
    pub(crate) metadata: Metadata,
    /// It knows who asked here.
    pub(crate) server: Arc<Server>,
}

impl Holders {
    /// How near `node` is, as the records of both say.
    fn class(&self, node: NodeId) -> Class {
        let place = |node| {
            let reader = self.metadata.local().ok()?;
            let record = state::node::node(&reader, node).ok()??;
            Some((record.region, record.zone))
        };
        match (place(self.directory.this_node()), place(node)) {
            (Some(here), Some(there)) if here == there => Class::Site,
            (Some((here, _)), Some((there, _))) if here == there => Class::Region,
            _ => Class::Wide,
        }
    }

    /// Where the nodes of this region that fetch a blob learn of each other.
    fn meeting(&self, digest: &Digest) -> Vec<NodeId> {
        let nodes = self.metadata.local().ok().and_then(|reader| state::node::nodes(&reader).ok());
        let nodes = nodes.unwrap_or_default();
        let this = self.directory.this_node();
        let Some(region) = nodes.iter().find(|(node, _)| *node == this).map(|(_, here)| &here.region) else {
            return Vec::new();
        };
        let near = nodes.iter().filter(|(_, record)| record.region == *region).map(|(node, _)| *node);
        exchange::elected(digest, &near.collect::<Vec<_>>(), MEETING)
    }
}

impl Connect for Holders {
    type Stream = ByteStream;

    async fn open(&self, holder: NodeId) -> io::Result<ByteStream> {
        let address = self.directory.address(holder).ok_or(io::ErrorKind::NotFound)?;
        self.peers.open(&address, Protocol::Blob, PATIENCE).await.map_err(io::Error::other)
    }

    async fn find(&self, blob: &Blob, named: Vec<NodeId>) -> Vec<Found> {
        let recorded = self.metadata.local().ok().and_then(|reader| {
            let record = state::blob::blob(&reader, &blob.digest).ok()??;
            (record.generation == blob.generation).then_some(record.copies)
        });
        let recorded = recorded.unwrap_or_default();
        // A staged copy has no record yet; whoever asked us to fetch it made it.
        let maker = blob.generation.node();
        let asked = self.server.askers(blob);
        let others = named.into_iter().chain(asked).chain([maker]).filter(|node| !recorded.contains(node));
        let unknown: Vec<_> = others.map(|node| (node, Presumed::Unknown)).collect();
        let complete = recorded.iter().map(|node| (*node, Presumed::Complete));
        let met = self.meeting(&blob.digest).into_iter().map(|node| (node, Presumed::Nothing));
        complete
            .chain(unknown)
            .chain(met)
            .filter(|(node, _)| {
                *node != self.directory.this_node() && self.directory.address(*node).is_some()
            })
            .map(|(node, presumed)| Found { node, class: self.class(node), presumed })
            .collect()
    }

    fn left(&self, blob: &Blob, holder: NodeId, reason: Reason) {
        tracing::warn!(digest = %blob.digest, node.id = %holder, %reason, "holder not asked any more");
    }
}

/// Where a fetch puts its leaves.
#[derive(Clone)]
pub(crate) struct StoreSink(pub(crate) Incoming);

fn taken<T>(result: Result<T, BlobError>) -> Result<Taken, SinkError> {
    match result {
        Ok(_) => Ok(Taken::Right),
        Err(BlobError::WrongPiece) => Ok(Taken::Wrong),
        Err(error) => Err(SinkError(Arc::new(error))),
    }
}

impl Sink for StoreSink {
    fn has_list(&self) -> bool {
        self.0.list().is_some()
    }

    fn leaves(&self) -> Leaves {
        Leaves::from_words(blobs::leaf_count(self.0.copy().size), &self.0.have())
    }

    async fn put_list(&self, list: Bytes) -> Result<Taken, SinkError> {
        taken(self.0.put_list(list).await)
    }

    async fn put_leaf(&self, index: u64, leaf: Bytes) -> Result<Taken, SinkError> {
        taken(self.0.put_leaf(index, leaf).await)
    }

    async fn leaf(&self, index: u64) -> Result<Bytes, SinkError> {
        let read = self.0.leaf(index).await.and_then(|leaf| leaf.ok_or(BlobError::Missing));
        read.map_err(|error| SinkError(Arc::new(error)))
    }

    async fn finish(&self) -> Result<(), SinkError> {
        self.0.finish().await.map(drop).map_err(|error| SinkError(Arc::new(error)))
    }
}

/// What this node gives others: whole copies and those on their way.
pub(crate) struct StoreSource(pub(crate) BlobStore);

/// One of them.
pub(crate) enum Given {
    Whole(Reader),
    Partial(Incoming),
}

impl Source for StoreSource {
    type Copy = Given;

    async fn open(&self, blob: &Blob) -> Option<Given> {
        // The whole first: somebody may still try to fetch what was pushed here meanwhile. Not here may be right: it was
        // only guessed, or the copy was let go.
        if let Ok(Some(reader)) = self.0.open_cached(&copy_of(blob)).await {
            return Some(Given::Whole(reader));
        }
        let incoming = self.0.incoming(&blob.digest, blob.generation)?;
        (*incoming.copy() == copy_of(blob)).then_some(Given::Partial(incoming))
    }
}

impl exchange::Copy for Given {
    fn list(&self) -> Option<Bytes> {
        match self {
            Self::Whole(reader) => Some(Bytes::from(reader.list())),
            Self::Partial(incoming) => incoming.list().map(Bytes::from),
        }
    }

    fn leaves(&self) -> Option<Leaves> {
        match self {
            Self::Whole(_) => None,
            Self::Partial(incoming) => {
                Some(Leaves::from_words(blobs::leaf_count(incoming.copy().size), &incoming.have()))
            }
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Whole(_) => false,
            Self::Partial(incoming) => !incoming.is_open(),
        }
    }

    async fn leaf(&self, index: u64) -> Option<Bytes> {
        match self {
            Self::Whole(reader) => reader.leaf(index).await.ok()?,
            Self::Partial(incoming) => incoming.leaf(index).await.ok()?,
        }
    }
}

/// Gives what `blobs` has, within `limits`; see [`serve`].
pub(crate) fn server(blobs: &BlobStore, limits: exchange::Limits) -> Arc<Server> {
    exchange::Server::new(StoreSource(blobs.clone()), limits)
}

/// Answers other members that fetch blobs from now on.
pub(crate) fn serve(holders: Holders) {
    let peers = holders.peers.clone();
    let holders = Arc::new(holders);
    peers.serve_streams(Protocol::Blob, move |key, stream| {
        let holders = Arc::clone(&holders);
        async move {
            let Some(asker) = node_of(key.as_bytes()) else { return };
            if let Err(error) = holders.server.serve(stream, asker, holders.class(asker)).await {
                tracing::debug!(node.id = %asker, %error, "exchange ended early");
            }
        }
    });
}
