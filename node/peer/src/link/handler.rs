//! One connection's end in the swarm: asks for streams that callers want and hands over those that come.
//!
//! Ours in place of `libp2p-stream`, which drops an incoming stream whenever the one before was not taken
//! yet, opens one stream at a time, and remembers connections for ever.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::Stream;
use libp2p::core::UpgradeInfo;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol};
use tokio::sync::oneshot;

use super::table::{NoStream, Open, Opened, Seat};
use crate::inbound::Inbound;
use crate::protocol::{Link, Protocol, Protocols};

/// Takes a stream as it is, with the protocol that was agreed on.
pub(crate) struct Agreed(Protocols);

impl UpgradeInfo for Agreed {
    type Info = Protocol;
    type InfoIter = Protocols;

    fn protocol_info(&self) -> Protocols {
        self.0
    }
}

impl InboundUpgrade<Stream> for Agreed {
    type Output = (Stream, Protocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: Protocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<Stream> for Agreed {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: Protocol) -> Self::Future {
        ready(Ok(stream))
    }
}

/// See the module.
pub(crate) struct Handler {
    link: Link,
    seat: Seat,
    inbound: Arc<Inbound>,
    handshake: Duration,
}

impl Handler {
    pub(super) fn new(link: Link, seat: Seat, inbound: Arc<Inbound>, handshake: Duration) -> Self {
        Self { link, seat, inbound, handshake }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = Agreed;
    type OutboundProtocol = Agreed;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = oneshot::Sender<Opened>;

    fn listen_protocol(&self) -> SubstreamProtocol<Agreed> {
        let served = self.inbound.served().and(Protocols::all_of(self.link));
        SubstreamProtocol::new(Agreed(served), ()).with_timeout(self.handshake)
    }

    fn connection_keep_alive(&self) -> bool {
        self.seat.stays.load(Relaxed)
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Agreed, oneshot::Sender<Opened>, Infallible>> {
        while let Poll::Ready(Some(Open { protocol, reply })) = self.seat.opens.poll_recv(cx) {
            if reply.is_closed() {
                continue;
            }
            let upgrade = Agreed(Protocols::one(protocol));
            let protocol = SubstreamProtocol::new(upgrade, reply).with_timeout(self.handshake);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Agreed, Agreed, (), oneshot::Sender<Opened>>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info: () }) => {
                let (stream, protocol) = protocol;
                self.inbound.accept(self.seat.key, protocol, stream);
            }
            // Whoever asked may have given up: the stream is dropped then.
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                let _ = info.send(Ok(protocol));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, info }) => {
                let why = match error {
                    StreamUpgradeError::Timeout => NoStream::TimedOut,
                    StreamUpgradeError::NegotiationFailed => NoStream::Unsupported,
                    StreamUpgradeError::Io(_) => NoStream::Broken,
                    StreamUpgradeError::Apply(never) => match never {},
                };
                let _ = info.send(Err(why));
            }
            _ => {}
        }
    }
}
