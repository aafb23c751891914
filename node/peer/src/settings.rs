//! What a node says when it starts to talk to others.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// Identity, place and bounds.
#[derive(Clone)]
pub struct Settings {
    /// The ed25519 secret of this node.
    pub seed: [u8; 32],
    /// Where to listen, UDP and TCP alike; port 0 means any that is free for both. Outgoing connections
    /// leave from this address too, if it is not the unspecified one. An IPv6 address takes IPv6 only.
    pub listen: SocketAddr,
    /// Bounds that are the same for all protocols.
    pub limits: Limits,
}

impl fmt::Debug for Settings {
    /// Hides the seed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// Bounds on what others can make this node hold. Numbers of connections are per [`crate::Link`].
#[derive(Clone, Debug)]
pub struct Limits {
    /// Established connections in all.
    pub connections: usize,
    /// Established connections to one member; at a further one the oldest is closed.
    pub connections_per_peer: usize,
    /// Established connections to keys that are not members; on control only, bulk has none.
    pub strangers: usize,
    /// Connections from others that have not finished their handshake.
    pub pending: usize,
    /// The same, from one IP address.
    pub pending_per_host: usize,
    /// Peers that are being dialled.
    pub dials: usize,
    /// Streams that others opened and that are being served.
    pub streams: usize,
    /// Calls that wait for one of the streams to a peer, per protocol.
    pub calls_waiting: usize,
    /// From the first packet to an authenticated connection, and from there to an agreed stream.
    pub handshake: Duration,
    /// A control connection over which nothing came for so long is dead. Something is sent at a quarter.
    pub silence: Duration,
    /// A bulk stream, or a request under way, that moved no byte for so long ends.
    pub stream_idle: Duration,
    /// A whole request must have come in by then.
    pub request: Duration,
    /// A connection to a key that is no member is closed when unused for so long, and its requests end when
    /// they move no byte.
    pub stranger_idle: Duration,
    /// ... and in any case after so long.
    pub stranger_life: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_peer: 4,
            strangers: 16,
            pending: 256,
            pending_per_host: 64,
            dials: 256,
            streams: 4096,
            calls_waiting: 2048,
            handshake: Duration::from_secs(2),
            silence: Duration::from_secs(2),
            stream_idle: Duration::from_secs(20),
            request: Duration::from_secs(60),
            stranger_idle: Duration::from_secs(5),
            stranger_life: Duration::from_secs(30),
        }
    }
}
