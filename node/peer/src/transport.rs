//! How bytes get to other nodes: QUIC for control, TCP with TLS and yamux for bulk.
//!
//! Builds the two stacks and binds them to one port number. Knows neither membership nor protocols.

mod mux;
mod tcp;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, ListenerId, Transport, TransportError};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{PeerId, quic};

use crate::error::StartError;
use crate::place;
use crate::protocol::Link;
use crate::settings::Limits;

/// Authenticated connections that carry streams.
pub(crate) type Stack = Boxed<(PeerId, StreamMuxerBox)>;

/// Tries to find a number that is free for both UDP and TCP.
const TRIES: usize = 32;
/// Most bytes on the way on one control stream, and on all of a connection.
const CONTROL_WINDOW: u32 = 4 << 20;
const CONTROL_WINDOWS: u32 = 16 << 20;
/// Streams that the other side may have open on one control connection; more than all protocols at once.
const CONTROL_STREAMS: u32 = 1024;

/// Both stacks, listening, and the address they share.
pub(crate) struct Bound {
    pub(crate) control: Stack,
    pub(crate) bulk: Stack,
    pub(crate) address: SocketAddr,
}

/// Binds both stacks. To be called inside a tokio runtime.
pub(crate) fn bind(keypair: &Keypair, listen: SocketAddr, limits: &Limits) -> Result<Bound, StartError> {
    let tls = tls::Upgrade::new(keypair)?;
    let tries = if listen.port() == 0 { TRIES } else { 1 };
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..tries {
        match bind_once(keypair, listen, limits, tls.clone()) {
            Ok(bound) => return Ok(bound),
            Err(error) => last = error,
        }
    }
    Err(StartError::Listen { address: listen, source: last })
}

/// TCP first, since it says which port it got; then UDP with the same.
fn bind_once(keypair: &Keypair, listen: SocketAddr, limits: &Limits, tls: tls::Upgrade) -> io::Result<Bound> {
    let tcp = tcp::Tcp::bind(listen)?;
    let address = tcp.address();
    let mut control = control(keypair, limits);
    listen_on(&mut control, Link::Control, address)?;
    let mut bulk = bulk(tcp, tls, limits.handshake);
    listen_on(&mut bulk, Link::Bulk, address)?;
    Ok(Bound { control, bulk, address })
}

fn listen_on(stack: &mut Stack, link: Link, address: SocketAddr) -> io::Result<()> {
    stack.listen_on(ListenerId::next(), place::multiaddr(link, address)).map_err(|error| match error {
        TransportError::Other(error) => error,
        TransportError::MultiaddrNotSupported(_) => io::ErrorKind::Unsupported.into(),
    })
}

fn control(keypair: &Keypair, limits: &Limits) -> Stack {
    let mut config = quic::Config::new(keypair);
    config.handshake_timeout = limits.handshake;
    config.max_idle_timeout = u32::try_from(limits.silence.as_millis()).unwrap_or(u32::MAX);
    config.keep_alive_interval = (limits.silence / 4).max(Duration::from_millis(50));
    config.max_concurrent_stream_limit = CONTROL_STREAMS;
    config.max_stream_data = CONTROL_WINDOW;
    config.max_connection_data = CONTROL_WINDOWS;
    quic::tokio::Transport::new(config).map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer))).boxed()
}

fn bulk(tcp: tcp::Tcp, tls: tls::Upgrade, handshake: Duration) -> Stack {
    tcp.upgrade(Version::V1Lazy).authenticate(tls).multiplex(mux::Upgrade).timeout(handshake).boxed()
}
