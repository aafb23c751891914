//! What others ask of this node: each stream is let in or refused, gets a slot and a task, and ends in time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::future::BoxFuture;
use proto::identity::PeerKey;
use tokio::io::AsyncReadExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::frame::{self, FrameError, Refusal};
use crate::lanes::{Lanes, PeerLanes};
use crate::members::Members;
use crate::metrics::Metrics;
use crate::notice::Notice;
use crate::protocol::{Callers, Protocol, Protocols};
use crate::settings::Limits;
use crate::stream::{ByteStream, Slots};

/// Refusals being said at once; beyond, streams are just dropped.
const REFUSALS: usize = 64;
/// Longest time for saying one.
const REFUSING: Duration = Duration::from_secs(1);
/// Longest time from an answer to the caller's end of the stream. A node that stops before would take the
/// answer with it: closing a QUIC connection drops what is under way.
const LINGER: Duration = Duration::from_secs(1);

type Answer = BoxFuture<'static, Option<Vec<u8>>>;

/// Who serves a protocol.
#[derive(Clone)]
pub(crate) enum Service {
    Calls(Arc<dyn Fn(PeerKey, Vec<u8>) -> Answer + Send + Sync>),
    Streams(Arc<dyn Fn(PeerKey, ByteStream) -> BoxFuture<'static, ()> + Send + Sync>),
}

/// When to end.
#[derive(Clone, Default)]
pub(crate) struct Ending {
    /// Nothing new begins.
    pub(crate) closing: CancellationToken,
    /// Everything ends.
    pub(crate) stopped: CancellationToken,
}

/// See the module.
pub(crate) struct Inbound {
    services: RwLock<HashMap<Protocol, Service>>,
    served: AtomicU16,
    members: watch::Receiver<Members>,
    lanes: Arc<Lanes>,
    streams: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    ending: Ending,
    /// For each [`Refusal`].
    notices: [Notice; 4],
}

/// One stream that was let in.
struct Guest {
    key: PeerKey,
    protocol: Protocol,
    lanes: Arc<PeerLanes>,
    slots: Slots,
    idle: Duration,
}

impl Inbound {
    pub(crate) fn new(
        members: watch::Receiver<Members>,
        lanes: Arc<Lanes>,
        limits: Arc<Limits>,
        metrics: Arc<Metrics>,
        tasks: TaskTracker,
        ending: Ending,
    ) -> Self {
        let streams = Arc::new(Semaphore::new(limits.streams));
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        let (services, served, notices) = Default::default();
        Self { services, served, members, lanes, streams, refusals, limits, metrics, tasks, ending, notices }
    }

    /// From now on, this protocol is served so.
    pub(crate) fn serve(&self, protocol: Protocol, service: Service) {
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        services.insert(protocol, service);
        self.served.fetch_or(Protocols::one(protocol).bits(), Relaxed);
    }

    /// Nothing is served any more; what is held by handlers is let go.
    pub(crate) fn forget(&self) {
        self.served.store(0, Relaxed);
        let services = std::mem::take(&mut *self.services.write().unwrap_or_else(PoisonError::into_inner));
        drop(services);
    }

    /// The protocols that are served now.
    pub(crate) fn served(&self) -> Protocols {
        Protocols::from_bits(self.served.load(Relaxed))
    }

    /// Waits until none of the `all` slots is taken. Safe to drop.
    pub(crate) async fn idle(&self, all: u32) {
        let _ = self.streams.acquire_many(all).await;
    }

    /// A peer opened a stream. Never waits.
    pub(crate) fn accept(self: &Arc<Self>, key: PeerKey, protocol: Protocol, stream: libp2p::Stream) {
        match self.admit(key, protocol) {
            Ok((service, guest)) => {
                self.metrics.protocol(protocol).served_total.add(1);
                let stopped = self.ending.stopped.clone();
                let (this, handling) = (self.clone(), protocol.handling());
                self.tasks.spawn(async move {
                    let work = tokio::time::timeout(handling, this.serve_one(service, guest, stream));
                    if let Some(Err(_)) = stopped.run_until_cancelled(work).await {
                        tracing::warn!(peer = %key, protocol = protocol.name(), "a handler took too long");
                    }
                });
            }
            Err(why) => {
                self.metrics.protocol(protocol).refused_total.add(1);
                match self.notices[why as usize].count(Instant::now()) {
                    Some(times) => {
                        tracing::warn!(peer = %key, protocol = protocol.name(), ?why, times, "requests of peers were refused");
                    }
                    None => {
                        tracing::debug!(peer = %key, protocol = protocol.name(), ?why, "a stream was refused")
                    }
                }
                self.refuse(protocol, stream, why);
            }
        }
    }

    fn admit(&self, key: PeerKey, protocol: Protocol) -> Result<(Service, Guest), Refusal> {
        if self.ending.closing.is_cancelled() {
            return Err(Refusal::Stopping);
        }
        let members = self.members.borrow().clone();
        if protocol.callers() == Callers::Members && !members.contains(&key) {
            return Err(Refusal::Refused);
        }
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        let service = services.get(&protocol).cloned().ok_or(Refusal::Refused)?;
        let lanes = self.lanes.of(key, &members);
        let slot =
            |slots: &Arc<Semaphore>| slots.clone().try_acquire_owned().map_err(|_| Refusal::Overloaded);
        let slots = [Some(slot(&lanes.of(protocol).incoming)?), Some(slot(&self.streams)?)];
        let known = members.contains(&key);
        let idle = if known { self.limits.stream_idle } else { self.limits.stranger_idle };
        Ok((service, Guest { key, protocol, lanes, slots, idle }))
    }

    fn refuse(&self, protocol: Protocol, stream: libp2p::Stream, why: Refusal) {
        let Ok(slot) = self.refusals.clone().try_acquire_owned() else { return };
        let slots = [Some(slot), None];
        let mut stream = ByteStream::new(stream, protocol, self.metrics.clone(), Some(REFUSING), slots);
        self.tasks.spawn(async move {
            let _ = tokio::time::timeout(REFUSING, frame::refuse(&mut stream, why)).await;
        });
    }

    async fn serve_one(&self, service: Service, guest: Guest, stream: libp2p::Stream) {
        let Guest { key, protocol, lanes, slots, idle } = guest;
        let mut stream = ByteStream::new(stream, protocol, self.metrics.clone(), Some(idle), slots);
        match service {
            Service::Streams(handler) => handler(key, stream).await,
            Service::Calls(handler) => {
                let asked = tokio::time::timeout(self.limits.request, request(&mut stream, protocol, &lanes));
                let answer = match asked.await {
                    Ok(Ok((message, _budget))) => handler(key, message).await.ok_or(Refusal::Refused),
                    Ok(Err(FrameError::TooLarge { .. })) => Err(Refusal::TooLarge),
                    // Whoever asked is gone, or too slow to be told.
                    Ok(Err(_)) | Err(_) => return,
                };
                self.answer(&mut stream, protocol, answer).await;
                stream.free_lane();
                let _ = tokio::time::timeout(LINGER, ended(&mut stream)).await;
            }
        }
    }

    async fn answer(&self, stream: &mut ByteStream, protocol: Protocol, answer: Result<Vec<u8>, Refusal>) {
        let answer = answer.and_then(|message| {
            let fits = message.len() <= protocol.frame_limit();
            if fits { Ok(message) } else { Err(Refusal::TooLarge) }
        });
        let said = match &answer {
            Ok(message) => frame::write(stream, message).await,
            Err(why) => {
                self.metrics.protocol(protocol).refused_total.add(1);
                frame::refuse(stream, *why).await
            }
        };
        if let Err(error) = said {
            tracing::debug!(protocol = protocol.name(), %error, "an answer could not be sent");
        }
    }
}

/// The caller has its answer: it lets go of the stream.
async fn ended(stream: &mut ByteStream) {
    let mut rest = [0; 16];
    while let Ok(1..) = stream.read(&mut rest).await {}
}

/// The request and what it takes of the budget, to be kept while it is handled.
async fn request(
    stream: &mut ByteStream,
    protocol: Protocol,
    lanes: &PeerLanes,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), FrameError> {
    let length = frame::read_head(stream, protocol.frame_limit()).await?;
    let budget = lanes.of(protocol).requests.take(length).await;
    Ok((frame::read_body(stream, length).await?, budget))
}
