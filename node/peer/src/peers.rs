//! The handle that the rest of the node holds.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use proto::identity::{HostPort, PeerAddress, PeerKey};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use crate::error::{CallError, StartError};
use crate::frame::{self, FrameError};
use crate::identity;
use crate::inbound::{Ending, Inbound, Service};
use crate::lanes::{Lanes, PeerLanes};
use crate::link::{self, Handle, Shared};
use crate::members::Members;
use crate::metrics::Metrics;
use crate::nudge;
use crate::place;
use crate::protocol::{Callers, Link, Protocol};
use crate::settings::Settings;
use crate::stream::ByteStream;
use crate::transport;

/// This node's way to others and theirs to it. Cheap to clone; when the last clone is dropped everything
/// stops. Handlers that hold a clone keep it alive until [`Peers::shutdown`].
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    key: PeerKey,
    address: SocketAddr,
    control: Handle,
    bulk: Handle,
    lanes: Arc<Lanes>,
    shared: Shared,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.ending.stopped.cancel();
    }
}

impl Peers {
    /// Binds the port and starts; nothing but pings is served yet. `members` is looked at for every stream, and a
    /// change of it closes the connections of keys that left. To be called inside a tokio runtime.
    pub fn start(settings: Settings, members: watch::Receiver<Members>) -> Result<Self, StartError> {
        let Settings { seed, listen, limits } = settings;
        let keypair = identity::keypair(seed)?;
        let us = keypair.public().to_peer_id();
        let key = identity::key_of(us).ok_or(StartError::Key)?;
        let bound = transport::bind(&keypair, listen, &limits)?;

        let (limits, metrics) = (Arc::new(limits), Arc::new(Metrics::default()));
        let (tasks, ending) = (TaskTracker::new(), Ending::default());
        let lanes = Arc::new(Lanes::new(limits.calls_waiting));
        let inbound = Arc::new(Inbound::new(
            members.clone(),
            lanes.clone(),
            limits.clone(),
            metrics.clone(),
            tasks.clone(),
            ending.clone(),
        ));
        let pong = |_, _| futures::future::ready(Some(Vec::new())).boxed();
        inbound.serve(Protocol::Ping, Service::Calls(Arc::new(pong)));
        let shared = Shared { members, inbound, limits, metrics, tasks, ending };
        let control = link::start(Link::Control, bound.control, us, &shared);
        let bulk = link::start(Link::Bulk, bound.bulk, us, &shared);
        tracing::info!(address = %bound.address, peer = %key, "listening for peers");
        Ok(Self(Arc::new(Inner { key, address: bound.address, control, bulk, lanes, shared })))
    }

    /// Where both links listen: the address asked for, with the port that was found.
    pub fn local_address(&self) -> SocketAddr {
        self.0.address
    }

    /// This node's public key.
    pub fn key(&self) -> PeerKey {
        self.0.key
    }

    /// What was counted so far.
    pub fn metrics(&self) -> &Metrics {
        &self.0.shared.metrics
    }

    /// One message there and one back within `limit`, connecting first if need be. To keys in the membership
    /// only, but for [`Protocol::Join`]. Dropped, the call may still be handled.
    pub async fn call(
        &self,
        to: &PeerAddress,
        protocol: Protocol,
        message: Vec<u8>,
        limit: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let deadline = Instant::now() + limit;
        self.counted(protocol, async {
            if message.len() > protocol.frame_limit() {
                return Err(CallError::TooLarge);
            }
            let lanes = self.lanes(to, protocol)?;
            let slot = acquire(&lanes, protocol, deadline).await?;
            let opened = timeout_at(deadline, self.handle(protocol).open(to, protocol)).await;
            let stream = opened.unwrap_or(Err(CallError::Unreachable))?;
            let stream =
                ByteStream::new(stream, protocol, self.0.shared.metrics.clone(), None, [Some(slot), None]);
            let exchange = timeout_at(deadline, exchange(stream, protocol, &lanes, &message));
            let answer = match protocol {
                Protocol::Raft | Protocol::Metadata => {
                    nudge::while_waiting(exchange, &lanes.pace, || self.nudge(to)).await
                }
                // Others may take long for reasons of their own.
                _ => exchange.await,
            };
            answer.unwrap_or(Err(CallError::TimedOut))
        })
        .await
    }

    /// Sends `to` an empty call, whatever comes of it.
    fn nudge(&self, to: &PeerAddress) {
        let (peers, to) = (self.clone(), to.clone());
        let ping = async move {
            let _ = peers.call(&to, Protocol::Ping, Vec::new(), nudge::PATIENCE).await;
        };
        self.0.shared.tasks.spawn(ping.boxed());
    }

    /// A stream of bytes, agreed on by both sides within `limit`. A peer that refuses it afterwards, since
    /// it has too many or does not know this node as a member, ends it early. Safe to drop.
    pub async fn open(
        &self,
        to: &PeerAddress,
        protocol: Protocol,
        limit: Duration,
    ) -> Result<ByteStream, CallError> {
        let deadline = Instant::now() + limit;
        self.counted(protocol, async {
            let lanes = self.lanes(to, protocol)?;
            let slot = acquire(&lanes, protocol, deadline).await?;
            let opened = timeout_at(deadline, self.handle(protocol).open(to, protocol)).await;
            let stream = opened.unwrap_or(Err(CallError::Unreachable))?;
            let idle = Some(self.0.shared.limits.stream_idle);
            let slots = [Some(slot), None];
            Ok(ByteStream::new(stream, protocol, self.0.shared.metrics.clone(), idle, slots))
        })
        .await
    }

    /// Begins to connect to whoever is at these places, for calls: a member that is there can be called from then
    /// on wherever it was thought to be. Names are resolved first. Safe to drop.
    pub async fn find(&self, places: &[HostPort]) {
        for place in place::resolve(places).await {
            self.0.control.find(place);
        }
    }

    /// Whether a call to this peer would find a connection.
    pub fn is_connected(&self, key: &PeerKey) -> bool {
        self.0.control.is_connected(key)
    }

    /// Answers calls of this protocol with `handler`, which gets the caller's key and message; `None` refuses.
    /// A handler goes on when its caller gives up, and is dropped after [`Protocol::handling`] or at the end
    /// of [`Peers::shutdown`]. A second handler replaces the first.
    pub fn serve<H, F>(&self, protocol: Protocol, handler: H)
    where
        H: Fn(PeerKey, Vec<u8>) -> F + Send + Sync + 'static,
        F: Future<Output = Option<Vec<u8>>> + Send + 'static,
    {
        let calls = Arc::new(move |key, message| handler(key, message).boxed());
        self.0.shared.inbound.serve(protocol, Service::Calls(calls));
    }

    /// Gives streams of this protocol to `handler`, with the opener's key. It is dropped at the end of
    /// [`Peers::shutdown`]. A second handler replaces the first.
    pub fn serve_streams<H, F>(&self, protocol: Protocol, handler: H)
    where
        H: Fn(PeerKey, ByteStream) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let streams = Arc::new(move |key, stream| handler(key, stream).boxed());
        self.0.shared.inbound.serve(protocol, Service::Streams(streams));
    }

    /// Begins nothing new and lets what is being handled finish for at most `limit`; then everything is
    /// dropped and peers are told. Returns within `limit` and about a second; safe to drop, and to repeat.
    pub async fn shutdown(&self, limit: Duration) {
        /// For the farewell of both links and the tasks of their connections.
        const LAST: Duration = Duration::from_secs(1);
        let Shared { inbound, tasks, ending, limits, .. } = &self.0.shared;
        ending.closing.cancel();
        // All slots back means that nothing is being handled.
        let all = u32::try_from(limits.streams).unwrap_or(u32::MAX);
        if tokio::time::timeout(limit, inbound.idle(all)).await.is_err() {
            tracing::warn!("peers are being served still; they are cut off");
        }
        inbound.forget();
        ending.stopped.cancel();
        tasks.close();
        if tokio::time::timeout(LAST, tasks.wait()).await.is_err() {
            tracing::warn!("connections to peers did not close in time");
        }
    }

    fn handle(&self, protocol: Protocol) -> &Handle {
        match protocol.link() {
            Link::Control => &self.0.control,
            Link::Bulk => &self.0.bulk,
        }
    }

    /// May we, and with which slots?
    fn lanes(&self, to: &PeerAddress, protocol: Protocol) -> Result<Arc<PeerLanes>, CallError> {
        if self.0.shared.ending.closing.is_cancelled() {
            return Err(CallError::Stopped);
        }
        let members = self.0.shared.members.borrow().clone();
        if protocol.callers() == Callers::Members && !members.contains(&to.key()) {
            return Err(CallError::NotMember);
        }
        Ok(self.0.lanes.of(to.key(), &members))
    }

    async fn counted<T>(
        &self,
        protocol: Protocol,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let metrics = self.metrics().protocol(protocol);
        metrics.opened_total.add(1);
        let stopped = self.0.shared.ending.stopped.run_until_cancelled(work).await;
        let result = stopped.unwrap_or(Err(CallError::Stopped));
        if result.is_err() {
            metrics.failed_total.add(1);
        }
        result
    }
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = &self.0;
        f.debug_struct("Peers").field("key", &inner.key).field("address", &inner.address).finish()
    }
}

/// A slot for one use. Failing here, nothing was sent.
async fn acquire(
    lanes: &PeerLanes,
    protocol: Protocol,
    deadline: Instant,
) -> Result<OwnedSemaphorePermit, CallError> {
    let lane = lanes.of(protocol);
    if let Ok(slot) = lane.outgoing.clone().try_acquire_owned() {
        return Ok(slot);
    }
    let _waiting = lane.waiting.try_acquire().map_err(|_| CallError::Overloaded)?;
    let slot = timeout_at(deadline, lane.outgoing.clone().acquire_owned()).await;
    slot.ok().and_then(Result::ok).ok_or(CallError::Overloaded)
}

async fn exchange(
    mut stream: ByteStream,
    protocol: Protocol,
    lanes: &PeerLanes,
    message: &[u8],
) -> Result<Vec<u8>, CallError> {
    let sent = frame::write(&mut stream, message).await;
    let length = match frame::read_head(&mut stream, protocol.frame_limit()).await {
        Ok(length) => length,
        Err(error) => return Err(sent.err().map_or(error, FrameError::Io).into()),
    };
    let _budget = lanes.of(protocol).answers.take(length).await;
    Ok(frame::read_body(&mut stream, length).await?)
}

#[cfg(test)]
#[path = "peers_test/mod.rs"]
mod tests;
