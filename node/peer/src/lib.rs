//! This node among others: encrypted streams to them, and the exchange of blobs.
//!
//! The only crate that names libp2p. Knows peers by their public keys and addresses; never knows what the
//! replicated state says, nor what a client may read.
//!
//! # How it works
//!
//! A node has one ed25519 key and one port number. On UDP it speaks QUIC ([`Link::Control`]): calls, one
//! stream each, one frame there and one back. On TCP it speaks TLS and yamux ([`Link::Bulk`]): streams of
//! bytes. So Raft's heartbeats never wait behind blob bytes. Each link is one swarm in one task that
//! dials on demand; callers reach connections without passing through it.
//!
//! # Goals and non-goals
//!
//! Only members are answered and dialled; [`Protocol::Join`] may come from anyone. Whatever others can make
//! this node hold is bounded ([`Limits`], [`Protocol`]); a slow or silent peer uses up its own slots only.
//! A broken connection is noticed and made anew, but no call is ever repeated: what is safe to repeat is
//! known to the caller, and [`CallError`] tells what surely was not handled. No discovery, no gossip, no
//! relaying.

mod error;
pub mod exchange;
pub mod frame;
mod identity;
mod inbound;
mod lanes;
mod link;
mod members;
mod metrics;
mod notice;
mod nudge;
mod peers;
mod place;
mod protocol;
mod settings;
mod stream;
mod transport;

pub use error::{CallError, StartError};
pub use members::Members;
pub use metrics::{Counter, LinkMetrics, Metrics, ProtocolMetrics};
pub use peers::Peers;
pub use proto::identity::{HostPort, PeerAddress, PeerKey};
pub use protocol::{Callers, Link, Protocol};
pub use settings::{Limits, Settings};
pub use stream::ByteStream;
