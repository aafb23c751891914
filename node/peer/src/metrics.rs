//! What happened between this node and others, counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::protocol::{Link, Protocol};

/// A number that only grows, or one that follows something; read at any time.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}

/// Of one link.
#[derive(Debug, Default)]
pub struct LinkMetrics {
    /// Connections established, whoever dialled.
    pub connections_opened_total: Counter,
    /// Connections now.
    pub connections: Counter,
    /// Dials that reached nobody.
    pub dials_failed_total: Counter,
    /// Handshakes of others that came to no connection: noise, silence, keys that are not theirs.
    pub handshakes_failed_total: Counter,
    /// Connections not let in: not members, or too many.
    pub peers_refused_total: Counter,
    /// Bytes of streams that came in, framing included, encryption not.
    pub received_bytes_total: Counter,
    /// Bytes of streams that went out.
    pub sent_bytes_total: Counter,
}

/// Of one protocol.
#[derive(Debug, Default)]
pub struct ProtocolMetrics {
    /// Calls made and streams opened by this node.
    pub opened_total: Counter,
    /// Those of them that failed.
    pub failed_total: Counter,
    /// Calls and streams of others that were served.
    pub served_total: Counter,
    /// Calls and streams of others that were refused: not allowed, too many, too long.
    pub refused_total: Counter,
}

/// All counters of the crate.
#[derive(Debug, Default)]
pub struct Metrics {
    links: [LinkMetrics; Link::ALL.len()],
    protocols: [ProtocolMetrics; Protocol::ALL.len()],
}

impl Metrics {
    /// Of this link.
    pub fn link(&self, link: Link) -> &LinkMetrics {
        &self.links[link as usize]
    }

    /// Of this protocol.
    pub fn protocol(&self, protocol: Protocol) -> &ProtocolMetrics {
        &self.protocols[protocol.index()]
    }
}
