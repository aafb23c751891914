//! One link: a swarm in its own task, and the handle by which callers get streams from it.

mod behaviour;
mod event_loop;
mod handler;
mod table;

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use libp2p::PeerId;
use libp2p::core::upgrade::Version;
use libp2p::swarm::{Config, Swarm};
use proto::identity::{PeerAddress, PeerKey};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::error::CallError;
use crate::inbound::{Ending, Inbound};
use crate::members::Members;
use crate::metrics::Metrics;
use crate::protocol::{Link, Protocol};
use crate::settings::Limits;
use crate::transport::Stack;

use behaviour::Behaviour;
use event_loop::{Dial, EventLoop, NotDialled, Parts, Wanted};
use table::{NoStream, Open, Table};

/// Requests for dials that wait for the event loop.
const WAITING_DIALS: usize = 1024;
/// Connections tried for one stream; each was alive a moment before.
const TRIES: usize = 3;

/// What the two links share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) members: watch::Receiver<Members>,
    pub(crate) inbound: Arc<Inbound>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tasks: TaskTracker,
    pub(crate) ending: Ending,
}

/// Handle of a link.
pub(crate) struct Handle {
    table: Arc<Table>,
    dials: mpsc::Sender<Wanted>,
}

/// Starts the link's tasks in `shared.tasks`.
pub(crate) fn start(link: Link, stack: Stack, us: PeerId, shared: &Shared) -> Handle {
    let table = Arc::new(Table::default());
    let Shared { members, inbound, limits, metrics, tasks, ending } = shared.clone();
    let behaviour = Behaviour {
        link,
        table: table.clone(),
        members: members.clone(),
        inbound,
        limits: limits.clone(),
        metrics: metrics.clone(),
        pending: HashMap::new(),
        notices: Default::default(),
    };
    let spawner = tasks.clone();
    let executor = move |task: Pin<Box<dyn Future<Output = ()> + Send>>| drop(spawner.spawn(task));
    let mut config = Config::with_executor(executor).with_idle_connection_timeout(limits.stranger_idle);
    if link == Link::Control {
        // Saves a call the round trip of agreeing on its protocol first. On bulk the first bytes may be the
        // answerer's, and a stream is opened once for many bytes.
        config = config.with_substream_upgrade_protocol_override(Version::V1Lazy);
    }
    let swarm = Swarm::new(stack, behaviour, us, config);
    let (sender, dials) = mpsc::channel(WAITING_DIALS);
    let parts = Parts { link, swarm, table: table.clone(), members, dials, limits, metrics };
    tasks.spawn(EventLoop::new(parts).run(ending.stopped));
    Handle { table, dials: sender }
}

impl Handle {
    /// A stream to this peer, over the newest connection or a new one. Nothing was sent on it yet. Safe to
    /// drop.
    pub(crate) async fn open(
        &self,
        to: &PeerAddress,
        protocol: Protocol,
    ) -> Result<libp2p::Stream, CallError> {
        for _ in 0..TRIES {
            let Some(way) = self.table.newest(&to.key()) else {
                self.dial(to).await?;
                continue;
            };
            let (reply, answer) = oneshot::channel();
            if way.send(Open { protocol, reply }).await.is_err() {
                continue;
            }
            match answer.await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(NoStream::Unsupported)) => return Err(CallError::Unsupported),
                Ok(Err(NoStream::TimedOut)) => return Err(CallError::TimedOut),
                // The connection died with nothing sent: the next one may do.
                Ok(Err(NoStream::Broken)) | Err(_) => {}
            }
        }
        Err(CallError::Unreachable)
    }

    /// Whether there is a connection to this peer.
    pub(crate) fn is_connected(&self, key: &PeerKey) -> bool {
        self.table.newest(key).is_some()
    }

    /// Begins to connect to whoever is there. Given up when too much waits.
    pub(crate) fn find(&self, place: SocketAddr) {
        let _ = self.dials.try_send(Wanted::Place(place));
    }

    async fn dial(&self, to: &PeerAddress) -> Result<(), CallError> {
        let (reply, answer) = oneshot::channel();
        let dial = Dial { to: to.clone(), reply };
        self.dials.send(Wanted::Peer(dial)).await.map_err(|_| CallError::Stopped)?;
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(NotDialled::Unreachable)) => Err(CallError::Unreachable),
            Ok(Err(NotDialled::Overloaded)) => Err(CallError::Overloaded),
            Err(_) => Err(CallError::Stopped),
        }
    }
}
