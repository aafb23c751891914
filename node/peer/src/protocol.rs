//! What peers may say to each other: a fixed handful of protocols, each with its place and its bounds.
//!
//! Owns the names on the wire and every bound that differs between protocols. What the messages mean is
//! known to whoever calls and serves.

use std::time::Duration;

/// One of the two sets of connections between nodes. They share a port number, not a socket, so that
/// small messages never wait behind blob bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// QUIC over UDP: calls.
    Control,
    /// TCP, TLS and yamux: streams of bytes.
    Bulk,
}

impl Link {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Control, Self::Bulk];

    /// For logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Bulk => "bulk",
        }
    }
}

/// Who may open a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Keys in the membership.
    Members,
    /// Any key; the handler decides.
    Anyone,
}

/// A protocol: one stream per use. On control, one frame there and one back; on bulk, whatever the two
/// sides agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Raft traffic.
    Raft,
    /// Commands and reads for the leader.
    Metadata,
    /// A node that is not a member yet asks to become one.
    Join,
    /// "Fetch this blob from me and keep it."
    Copy,
    /// Pieces of blobs.
    Blob,
    /// Requests about an upload for the node that owns it.
    Upload,
    /// Bytes of an upload for the node that will be asked for a copy.
    Ahead,
    /// "This start of mine is here."
    Hello,
    /// The keys of secrets, between full nodes.
    Secrets,
    /// Nothing; it makes the link resend what was lost while a call waits.
    Ping,
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

impl Protocol {
    /// All, each at the place that `index` says.
    pub const ALL: [Self; 10] = [
        Self::Raft,
        Self::Metadata,
        Self::Join,
        Self::Copy,
        Self::Blob,
        Self::Upload,
        Self::Ahead,
        Self::Hello,
        Self::Secrets,
        Self::Ping,
    ];

    /// The name that streams are negotiated by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raft => "/shoal/raft/1",
            Self::Metadata => "/shoal/metadata/1",
            Self::Join => "/shoal/join/1",
            Self::Copy => "/shoal/copy/1",
            Self::Blob => "/shoal/blob/1",
            Self::Upload => "/shoal/upload/1",
            Self::Ahead => "/shoal/ahead/1",
            Self::Hello => "/shoal/hello/1",
            Self::Secrets => "/shoal/secrets/1",
            Self::Ping => "/shoal/ping/1",
        }
    }

    /// Where its streams run.
    pub fn link(self) -> Link {
        match self {
            Self::Raft
            | Self::Metadata
            | Self::Join
            | Self::Copy
            | Self::Hello
            | Self::Secrets
            | Self::Ping => Link::Control,
            Self::Blob | Self::Upload | Self::Ahead => Link::Bulk,
        }
    }

    /// Longest message in bytes; on bulk, longest header frame.
    pub fn frame_limit(self) -> usize {
        match self {
            Self::Raft | Self::Metadata => 16 * MIB,
            Self::Join | Self::Secrets => 16 * KIB,
            // With the places of many nodes.
            Self::Hello => 256 * KIB,
            Self::Ping => KIB,
            // With the piece list of blobs up to 8 GiB.
            Self::Copy => MIB + 16 * KIB,
            Self::Blob | Self::Upload | Self::Ahead => 64 * KIB,
        }
    }

    /// Who may open it.
    pub fn callers(self) -> Callers {
        match self {
            Self::Join => Callers::Anyone,
            _ => Callers::Members,
        }
    }

    /// Most uses at once towards one peer; the peer lets in twice as many, since it may still work for
    /// callers that gave up.
    pub fn at_once(self) -> usize {
        match self {
            Self::Raft => 64,
            Self::Metadata => 256,
            Self::Join | Self::Hello | Self::Secrets => 4,
            Self::Ping => 8,
            Self::Copy => 64,
            Self::Blob => 64,
            Self::Upload | Self::Ahead => 32,
        }
    }

    /// After this long a handler of a call is dropped and its caller, if still there, refused.
    pub fn handling(self) -> Duration {
        match self {
            Self::Raft | Self::Metadata | Self::Join | Self::Hello | Self::Secrets | Self::Ping => {
                Duration::from_secs(60)
            }
            // Fetches and syncs a blob of any size.
            Self::Copy => Duration::from_secs(60 * 60),
            // Bytes flow as long as they make progress.
            Self::Blob | Self::Upload | Self::Ahead => Duration::MAX,
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl AsRef<str> for Protocol {
    fn as_ref(&self) -> &str {
        self.name()
    }
}

/// A set of protocols: a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Protocols(u16);

const _: () = assert!(Protocol::ALL.len() <= u16::BITS as usize);

impl Protocols {
    pub(crate) fn one(protocol: Protocol) -> Self {
        Self(1 << protocol.index())
    }

    pub(crate) fn all_of(link: Link) -> Self {
        let ours = Protocol::ALL.into_iter().filter(|protocol| protocol.link() == link);
        Self(ours.map(|protocol| Self::one(protocol).0).sum())
    }

    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> u16 {
        self.0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Iterator for Protocols {
    type Item = Protocol;

    fn next(&mut self) -> Option<Protocol> {
        let next = *Protocol::ALL.get(self.0.trailing_zeros() as usize)?;
        self.0 &= self.0 - 1;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_back_what_was_put_in() {
        let control: Vec<_> = Protocols::all_of(Link::Control).collect();
        use Protocol::{Copy, Hello, Join, Metadata, Ping, Raft, Secrets};
        assert_eq!(control, [Raft, Metadata, Join, Copy, Hello, Secrets, Ping]);
        assert_eq!(Protocols::all_of(Link::Bulk).count(), 3);
        assert_eq!(Protocols::default().next(), None);
        for protocol in Protocol::ALL {
            assert_eq!(Protocols::one(protocol).collect::<Vec<_>>(), [protocol]);
            assert_eq!(Protocol::ALL[protocol.index()], protocol);
        }
    }
}
