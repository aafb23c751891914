//! Who gets a connection: the swarm asks here before and after each handshake.
//!
//! Keeps count of unfinished handshakes, lets in members and, on control, a few strangers. Does nothing by
//! itself: dialling and closing is the event loop's.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::{ConnectionClosed, ListenFailure};
use libp2p::swarm::{ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, ToSwarm};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::handler::Handler;
use super::table::{Standing, Table};
use crate::identity::key_of;
use crate::inbound::Inbound;
use crate::members::Members;
use crate::metrics::Metrics;
use crate::notice::Notice;
use crate::place;
use crate::protocol::Link;
use crate::settings::Limits;

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Denied {
    #[error("too many unfinished handshakes")]
    Pending,
    #[error("too many connections")]
    Full,
    #[error("not a member")]
    Stranger,
    #[error("the key is not ed25519")]
    Key,
}

/// See the module.
pub(crate) struct Behaviour {
    pub(super) link: Link,
    pub(super) table: Arc<Table>,
    pub(super) members: watch::Receiver<Members>,
    pub(super) inbound: Arc<Inbound>,
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: Arc<Metrics>,
    /// Handshakes that others began, by where they come from.
    pub(super) pending: HashMap<ConnectionId, Option<IpAddr>>,
    /// For each [`Denied`].
    pub(super) notices: [Notice; 4],
}

impl Behaviour {
    fn begin(&mut self, id: ConnectionId, from: &Multiaddr) -> Result<(), Denied> {
        let from = place::socket_address(from).map(|address| address.ip());
        let same = self.pending.values().filter(|other| **other == from).count();
        if self.pending.len() >= self.limits.pending || same >= self.limits.pending_per_host {
            return Err(Denied::Pending);
        }
        self.pending.insert(id, from);
        Ok(())
    }

    /// A stranger that dialled us gets in on control only; one that we dialled was named by a join token.
    fn admit(&self, id: ConnectionId, peer: PeerId, dialled: Dialled) -> Result<Handler, Denied> {
        let key = key_of(peer).ok_or(Denied::Key)?;
        let standing =
            if self.members.borrow().contains(&key) { Standing::Member } else { Standing::Stranger };
        if standing == Standing::Stranger {
            if self.link == Link::Bulk {
                return Err(Denied::Stranger);
            }
            if dialled == Dialled::ByThem && self.table.strangers() >= self.limits.strangers {
                return Err(Denied::Full);
            }
        }
        // A member that is at its own bound loses its oldest connection instead: see the event loop.
        if self.table.len() >= self.limits.connections && self.table.newest(&key).is_none() {
            return Err(Denied::Full);
        }
        let seat = self.table.add(id, key, standing);
        Ok(Handler::new(self.link, seat, self.inbound.clone(), self.limits.handshake))
    }

    fn deny(&self, peer: Option<PeerId>, from: &Multiaddr, why: Denied) -> ConnectionDenied {
        let peer = peer.and_then(key_of).map(|key| key.to_string());
        let link = self.link.name();
        match self.notices[why as usize].count(Instant::now()) {
            Some(times) => {
                tracing::warn!(link, peer, from = %from, reason = %why, times, "peers were not let in")
            }
            None => tracing::debug!(link, peer, from = %from, reason = %why, "a peer was not let in"),
        }
        self.metrics.link(self.link).peers_refused_total.add(1);
        ConnectionDenied::new(why)
    }
}

/// Who began.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialled {
    ByUs,
    ByThem,
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        from: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.begin(id, from).map_err(|why| self.deny(None, from, why))
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        from: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        self.pending.remove(&id);
        self.admit(id, peer, Dialled::ByThem).map_err(|why| self.deny(Some(peer), from, why))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        to: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        self.admit(id, peer, Dialled::ByUs).map_err(|why| self.deny(Some(peer), to, why))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                self.pending.remove(&connection_id);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                if let Some(key) = key_of(peer_id) {
                    self.table.remove(connection_id, &key);
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, Infallible>> {
        Poll::Pending
    }
}
