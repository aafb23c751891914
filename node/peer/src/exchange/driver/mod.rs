//! The shell around a session: streams in, checked leaves out to the sink and to waiting readers.
//!
//! Owns the running fetches, one for each blob and node however many ask, their tasks and their streams. Feeds the
//! session with facts and does what it decides; decides nothing itself. Never passes on a byte that the sink did not
//! check. Memory of a fetch: one leaf being read and one being stored for each ask that flies.

mod gauge;
mod lane;
mod reader;
mod run;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use bytes::Bytes;
use proto::digest::Digest;
use proto::identity::NodeId;
use proto::upload::UploadId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::codec::Blob;
use super::leaves::{Cut, Leaves};
use super::quarantine::Quarantine;
use super::random::mix;
use super::session::{Class, Failure, Found, Reason};
use crate::metrics::Counter;

use gauge::Gauge;
pub use reader::Reader;

/// The way to other nodes.
pub trait Connect: Send + Sync + 'static {
    /// A stream to a holder, on which it serves the blob protocol.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Opens a stream. Dropping the future must be safe.
    fn open(&self, holder: NodeId) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Nodes that may have the blob: its recorded copies, those that asked this node for it
    /// ([`super::Server::askers`]), and of those in `named` (by other holders, so not to be believed) the members. Called again and again while a fetch runs. Dropping the future must be safe.
    fn find(&self, blob: &Blob, named: Vec<NodeId>) -> impl Future<Output = Vec<Found>> + Send;

    /// A holder is not asked any more; [`Reason::Wrong`] is for the quarantine.
    fn left(&self, blob: &Blob, holder: NodeId, reason: Reason);
}

/// Where leaves go: it checks them.
pub trait Sink: Clone + Send + Sync + 'static {
    /// Whether the proven list is there, or none is needed.
    fn has_list(&self) -> bool;

    /// The leaves that are there.
    fn leaves(&self) -> Leaves;

    /// Takes the piece list, if it is of this blob. Dropping the future must be safe.
    fn put_list(&self, list: Bytes) -> impl Future<Output = Result<Taken, SinkError>> + Send;

    /// Takes a leaf, if it is of this blob. Dropping the future must be safe.
    fn put_leaf(&self, index: u64, leaf: Bytes) -> impl Future<Output = Result<Taken, SinkError>> + Send;

    /// A leaf that is there, checked.
    fn leaf(&self, index: u64) -> impl Future<Output = Result<Bytes, SinkError>> + Send;

    /// Makes the blob durable when every leaf is there.
    fn finish(&self) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// What a sink says of bytes from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Of this blob, and kept.
    Right,
    /// Not of this blob; nothing was kept.
    Wrong,
}

/// The sink cannot go on: a full or failed disk.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the blob cannot be kept here")]
pub struct SinkError(#[source] pub Arc<dyn std::error::Error + Send + Sync>);

/// Why a fetch ended without the blob.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// Others do not have it, or do not give it: try again later.
    #[error("the blob cannot be fetched")]
    Failed(#[from] Failure),
    /// This node cannot keep it.
    #[error("the fetched blob cannot be kept")]
    Sink(#[from] SinkError),
    /// Larger than the protocol carries.
    #[error("the blob is too large to be exchanged")]
    TooLarge,
    /// The node is stopping, or nobody wanted the fetch any more.
    #[error("the fetch was stopped")]
    Stopped,
}

/// All fetches of this node. Clones share them.
pub struct Fetches<C, S: Sink> {
    shelf: Arc<Shelf<C, S>>,
}

/// By digest and generation.
type Running<S> = BTreeMap<(Digest, UploadId), Weak<Held<S>>>;

struct Shelf<C, S: Sink> {
    node: NodeId,
    connect: C,
    running: Mutex<Running<S>>,
    quarantine: Quarantine,
    /// Bytes of lists and leaves that came, by the class of who sent them.
    received: [Counter; 3],
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A running fetch. Clones are the same one; when the last one and its readers are dropped, it stops and what came so
/// far stays in the sink.
#[derive(Clone)]
pub struct Fetch<S: Sink> {
    held: Arc<Held<S>>,
}

/// Stops the fetch when nobody holds it any more.
struct Held<S: Sink>(Arc<Shared<S>>);

impl<S: Sink> Drop for Held<S> {
    fn drop(&mut self) {
        self.0.stop.cancel();
    }
}

/// What the task of a fetch and its handles share.
struct Shared<S> {
    blob: Blob,
    cut: Cut,
    sink: S,
    have: Mutex<Leaves>,
    /// Touched when a leaf came.
    arrived: watch::Sender<()>,
    outcome: watch::Sender<Option<Result<(), FetchError>>>,
    readers: Mutex<reader::Positions>,
    readers_moved: Notify,
    stop: CancellationToken,
    memory: Gauge,
}

impl<C, S: Sink> Clone for Fetches<C, S> {
    fn clone(&self) -> Self {
        Self { shelf: Arc::clone(&self.shelf) }
    }
}

impl<C: Connect, S: Sink> Fetches<C, S> {
    /// No fetches yet. `node` is this one: it differs from node to node, and so do their orders of pieces.
    pub fn new(node: NodeId, connect: C) -> Self {
        let shelf = Shelf {
            node,
            connect,
            running: Mutex::default(),
            quarantine: Quarantine::default(),
            received: Default::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        Self { shelf: Arc::new(shelf) }
    }

    /// Fetches `blob` into `sink`, or joins the fetch that does so already; then `sink` is dropped unused.
    /// Needs a tokio runtime; returns at once.
    pub fn fetch(&self, blob: Blob, sink: S) -> Fetch<S> {
        let key = (blob.digest, blob.generation);
        let mut running = self.shelf.running();
        if let Some(held) = running.get(&key).and_then(Weak::upgrade).filter(|held| held.0.is_wanted(&blob)) {
            return Fetch { held };
        }
        running.retain(|_, fetch| fetch.strong_count() > 0);
        let shared = Arc::new(Shared::new(blob, sink, self.shelf.stop.child_token()));
        let held = Arc::new(Held(Arc::clone(&shared)));
        running.insert(key, Arc::downgrade(&held));
        drop(running);
        let node = self.shelf.node;
        let seed = blob.digest.hash().iter().fold(node.get(), |seed, byte| mix(seed ^ u64::from(*byte)));
        self.shelf.tasks.spawn(run::run(shared, Arc::clone(&self.shelf), seed));
        Fetch { held }
    }

    /// How often a holder was quarantined: after three wrong pieces it is not asked for ten minutes.
    pub fn quarantines_total(&self) -> u64 {
        self.shelf.quarantine.begun()
    }

    /// How many holders are quarantined now.
    pub fn quarantined(&self) -> usize {
        self.shelf.quarantine.present(Instant::now())
    }

    /// Bytes of lists and leaves that came from nodes of this class, right or wrong.
    pub fn received_bytes(&self, class: Class) -> u64 {
        self.shelf.received[class.index()].get()
    }

    /// Stops all fetches and waits for their tasks; false if they are not done after `deadline`. Dropping the future is
    /// safe: they stop all the same.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        self.shelf.stop.cancel();
        self.shelf.tasks.close();
        tokio::time::timeout(deadline, self.shelf.tasks.wait()).await.is_ok()
    }
}

impl<C, S: Sink> Shelf<C, S> {
    fn running(&self) -> MutexGuard<'_, Running<S>> {
        self.running.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

impl<S: Sink> Fetch<S> {
    /// The sink that the leaves go to.
    pub fn sink(&self) -> &S {
        &self.held.0.sink
    }

    /// Waits until the blob is durable in the sink. Dropping the future is safe.
    ///
    /// # Errors
    /// See [`FetchError`]; everybody who waits gets the same.
    pub async fn done(&self) -> Result<(), FetchError> {
        let mut outcome = self.held.0.outcome.subscribe();
        let ended = outcome.wait_for(Option::is_some).await.map_err(|_| FetchError::Stopped)?;
        ended.clone().unwrap_or(Err(FetchError::Stopped))
    }

    /// Reads `range` of the blob (cut at its end) in order, as it comes; what it waits for is fetched first.
    pub fn read(&self, range: std::ops::Range<u64>) -> Reader<S> {
        Reader::new(self.clone(), range)
    }

    #[cfg(test)]
    pub(super) fn stop_token(&self) -> CancellationToken {
        self.held.0.stop.clone()
    }

    /// Most bytes of leaves that were in memory at once so far, between stream and sink.
    pub fn peak_memory(&self) -> u64 {
        self.held.0.memory.peak()
    }
}

impl<S: Sink> Shared<S> {
    fn new(blob: Blob, sink: S, stop: CancellationToken) -> Self {
        Self {
            blob,
            cut: Cut::of(blob.size),
            have: Mutex::new(sink.leaves()),
            sink,
            arrived: watch::channel(()).0,
            outcome: watch::channel(None).0,
            readers: Mutex::default(),
            readers_moved: Notify::new(),
            stop,
            memory: Gauge::default(),
        }
    }

    /// Whether this fetch will still bring, or brought, this very blob.
    fn is_wanted(&self, blob: &Blob) -> bool {
        self.blob == *blob && !matches!(*self.outcome.borrow(), Some(Err(_))) && !self.stop.is_cancelled()
    }

    fn has(&self, leaf: u64) -> bool {
        self.have.lock().unwrap_or_else(|broken| broken.into_inner()).has(leaf)
    }

    fn arrived(&self, leaf: u64) {
        self.have.lock().unwrap_or_else(|broken| broken.into_inner()).insert(leaf);
        self.arrived.send_replace(());
    }
}
