//! Sole owner of one swarm: dials on demand, closes what must go, stops when told.
//!
//! Longer than 300 lines: what the loop does for each event stands beside the state it changes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use libp2p::core::ConnectedPoint;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, ListenError, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId};
use proto::identity::{PeerAddress, PeerKey};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::behaviour::Behaviour;
use super::table::Table;
use crate::identity::{key_of, peer_of};
use crate::members::Members;
use crate::metrics::Metrics;
use crate::notice::Notice;
use crate::place;
use crate::protocol::Link;
use crate::settings::Limits;

/// Rest after the first failed dial of a peer; doubles up to the last.
const FIRST_REST: Duration = Duration::from_millis(50);
const LAST_REST: Duration = Duration::from_secs(1);
/// Period of looking after what has a time.
const TICK: Duration = Duration::from_millis(500);
/// Longest time for telling all peers that we go.
const FAREWELL: Duration = Duration::from_millis(500);

/// Why a dial brought no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotDialled {
    Unreachable,
    Overloaded,
}

/// A connection, please.
pub(crate) enum Wanted {
    /// To this peer.
    Peer(Dial),
    /// To whoever is there.
    Place(SocketAddr),
}

/// "A connection to this peer, please."
pub(crate) struct Dial {
    pub(crate) to: PeerAddress,
    pub(crate) reply: oneshot::Sender<Result<(), NotDialled>>,
}

/// How it stands with a peer that has no connection.
enum Attempt {
    /// Its names are being resolved, or a handshake is under way.
    Running(Running),
    /// It did not answer; dials fail at once until then.
    Resting { until: Instant, rest: Duration },
}

/// See [`Attempt::Running`].
struct Running {
    waiting: Vec<oneshot::Sender<Result<(), NotDialled>>>,
    since: Instant,
    /// What follows if it fails.
    rest: Duration,
    /// Once they are known.
    addresses: Vec<Multiaddr>,
    /// The first one, which fails if the others do.
    dial: Option<ConnectionId>,
}

/// See the module.
pub(crate) struct EventLoop {
    pub(super) link: Link,
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) table: Arc<Table>,
    pub(super) members: watch::Receiver<Members>,
    pub(super) dials: mpsc::Receiver<Wanted>,
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: Arc<Metrics>,
    attempts: HashMap<PeerKey, Attempt>,
    resolving: JoinSet<(PeerKey, Vec<Multiaddr>)>,
    handshakes: Notice,
}

/// What an event loop is made of.
pub(super) struct Parts {
    pub(super) link: Link,
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) table: Arc<Table>,
    pub(super) members: watch::Receiver<Members>,
    pub(super) dials: mpsc::Receiver<Wanted>,
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: Arc<Metrics>,
}

impl EventLoop {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { link, swarm, table, members, dials, limits, metrics } = parts;
        let (attempts, resolving, handshakes) = Default::default();
        Self { link, swarm, table, members, dials, limits, metrics, attempts, resolving, handshakes }
    }

    /// Runs until `stop`, then closes all connections.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watching = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(wanted) = self.dials.recv() => match wanted {
                    Wanted::Peer(dial) => self.on_dial(dial),
                    Wanted::Place(place) => self.on_place(place),
                },
                Some(resolved) = self.resolving.join_next(), if !self.resolving.is_empty() => {
                    // What a panic of the resolver leaves behind is cleared by a tick.
                    if let Ok((key, addresses)) = resolved {
                        self.dial(key, addresses);
                    }
                }
                // Without a sender the last membership stays.
                changed = self.members.changed(), if watching => {
                    watching = changed.is_ok();
                    self.on_members();
                }
                _ = tick.tick() => self.on_tick(),
            }
        }
        self.close().await;
    }

    fn on_dial(&mut self, Dial { to, reply }: Dial) {
        let key = to.key();
        if self.table.newest(&key).is_some() {
            let _ = reply.send(Ok(()));
            return;
        }
        let rest = match self.attempts.get_mut(&key) {
            Some(Attempt::Running(running)) => {
                running.waiting.retain(|other| !other.is_closed());
                running.waiting.push(reply);
                return;
            }
            Some(Attempt::Resting { until, .. }) if *until > Instant::now() => {
                let _ = reply.send(Err(NotDialled::Unreachable));
                return;
            }
            Some(Attempt::Resting { rest, .. }) => (*rest * 2).min(LAST_REST),
            None => FIRST_REST,
        };
        let running = |attempt: &&Attempt| matches!(attempt, Attempt::Running(_));
        if self.attempts.values().filter(running).count() >= self.limits.dials {
            let _ = reply.send(Err(NotDialled::Overloaded));
            return;
        }
        let (waiting, since) = (vec![reply], Instant::now());
        let running = Running { waiting, since, rest, addresses: Vec::new(), dial: None };
        self.attempts.insert(key, Attempt::Running(running));
        let (link, deadline) = (self.link, self.limits.handshake);
        if to.hosts().iter().all(|host| host.ip().is_some()) {
            let address = |host: &proto::identity::HostPort| Some((host.ip()?, host.port()).into());
            let addresses = to.hosts().iter().filter_map(address);
            self.dial(key, addresses.map(|address| place::multiaddr(link, address)).collect());
            return;
        }
        self.resolving.spawn(async move {
            let found = tokio::time::timeout(deadline, place::resolve(to.hosts())).await.unwrap_or_default();
            (key, found.into_iter().map(|address| place::multiaddr(link, address)).collect())
        });
    }

    /// Which key is there shows when the connection stands; who is no member is let go as any stranger is.
    fn on_place(&mut self, place: SocketAddr) {
        if let Err(error) = self.swarm.dial(place::multiaddr(self.link, place)) {
            tracing::debug!(link = self.link.name(), %place, %error, "a place cannot be dialled");
        }
    }

    fn dial(&mut self, key: PeerKey, addresses: Vec<Multiaddr>) {
        let Some(peer) = peer_of(key) else { return self.rest(key) };
        let Some(Attempt::Running(running)) = self.attempts.get_mut(&key) else { return };
        running.addresses.clone_from(&addresses);
        // The attempts say when to dial; the swarm's own view knows nothing of dead connections.
        let dial = DialOpts::peer_id(peer).addresses(addresses).condition(PeerCondition::Always).build();
        let id = dial.connection_id();
        running.dial.get_or_insert(id);
        if let Err(error) = self.swarm.dial(dial) {
            tracing::debug!(link = self.link.name(), peer = %key, %error, "a peer cannot be dialled");
            self.failed(key, id);
        }
    }

    /// Dials those again that have not answered yet: their first packet may be lost, or a link just mended. QUIC
    /// and TCP themselves repeat it after one second, then after two.
    fn dial_again(&mut self) {
        let slow = self.attempts.iter().filter_map(|(key, attempt)| match attempt {
            Attempt::Running(running) if running.dial.is_some() && running.since.elapsed() >= TICK => {
                Some((*key, running.addresses.clone()))
            }
            _ => None,
        });
        for (key, addresses) in slow.collect::<Vec<_>>() {
            self.dial(key, addresses);
        }
    }

    fn on_event(&mut self, event: SwarmEvent<std::convert::Infallible>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                self.on_connected(peer_id, &endpoint)
            }
            SwarmEvent::ConnectionClosed { peer_id, cause, .. } => {
                let (link, peer) = (self.link.name(), key_of(peer_id).map(|key| key.to_string()));
                let cause = cause.map(|cause| cause.to_string());
                tracing::debug!(link, peer, cause, "a connection to a peer is closed");
                self.count();
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), connection_id, error } => {
                let Some(key) = key_of(peer) else { return };
                tracing::debug!(link = self.link.name(), peer = %key, %error, "a peer did not answer");
                self.failed(key, connection_id);
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                self.on_failed_handshake(&send_back_addr, &error);
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(link = self.link.name(), %error, "connections of peers cannot be accepted");
            }
            SwarmEvent::ListenerClosed { reason, .. } => {
                tracing::error!(link = self.link.name(), ?reason, "peers can no longer connect");
            }
            _ => {}
        }
    }

    /// Of another one; who was denied has been told of already.
    fn on_failed_handshake(&self, from: &Multiaddr, error: &ListenError) {
        if matches!(error, ListenError::Denied { .. }) {
            return;
        }
        self.metrics.link(self.link).handshakes_failed_total.add(1);
        let link = self.link.name();
        match self.handshakes.count(Instant::now()) {
            Some(times) => tracing::warn!(link, from = %from, %error, times, "handshakes of peers failed"),
            None => tracing::debug!(link, from = %from, %error, "a handshake failed"),
        }
    }

    fn on_connected(&mut self, peer: PeerId, endpoint: &ConnectedPoint) {
        self.metrics.link(self.link).connections_opened_total.add(1);
        self.count();
        let Some(key) = key_of(peer) else { return };
        let dialled = endpoint.is_dialer();
        tracing::debug!(link = self.link.name(), peer = %key, dialled, "a peer is connected");
        for id in self.table.beyond(&key, self.limits.connections_per_peer) {
            self.swarm.close_connection(id);
        }
        if let Some(Attempt::Running(running)) = self.attempts.remove(&key) {
            for reply in running.waiting {
                let _ = reply.send(Ok(()));
            }
        }
    }

    /// A dial came to nothing. If the peer reached us meanwhile, its attempt is gone already.
    fn failed(&mut self, key: PeerKey, dial: ConnectionId) {
        self.metrics.link(self.link).dials_failed_total.add(1);
        if matches!(self.attempts.get(&key), Some(Attempt::Running(running)) if running.dial == Some(dial)) {
            self.rest(key);
        }
    }

    /// Ends the attempt that is running.
    fn rest(&mut self, key: PeerKey) {
        let Some(Attempt::Running(Running { waiting, rest, .. })) = self.attempts.remove(&key) else {
            return;
        };
        self.attempts.insert(key, Attempt::Resting { until: Instant::now() + rest, rest });
        for reply in waiting {
            let _ = reply.send(Err(NotDialled::Unreachable));
        }
    }

    fn on_members(&mut self) {
        let gone = self.table.judge(&self.members.borrow_and_update());
        self.close_all(gone);
    }

    fn on_tick(&mut self) {
        self.table.nudge_strangers();
        let outstayed = self.table.outstayed(self.limits.stranger_life);
        self.close_all(outstayed);
        self.dial_again();
        // A rest that is long over is forgotten, and with it how long it was. The transport ends every
        // handshake, and the resolver is given as long.
        let now = Instant::now();
        let longest = self.limits.handshake * 4;
        self.attempts.retain(|_, attempt| match attempt {
            Attempt::Running(running) => running.since + longest > now,
            Attempt::Resting { until, rest } => *until + *rest * 4 > now,
        });
    }

    fn close_all(&mut self, ids: Vec<ConnectionId>) {
        for id in ids {
            self.swarm.close_connection(id);
        }
    }

    fn count(&self) {
        self.metrics.link(self.link).connections.set(self.table.len() as u64);
    }

    /// Tells peers, so that they need not wait for silence. Bounded by [`FAREWELL`].
    async fn close(mut self) {
        let ids = self.table.ids();
        self.close_all(ids);
        let farewell = async {
            while self.table.len() > 0 {
                let event = self.swarm.select_next_some().await;
                self.on_event(event);
            }
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }
}
