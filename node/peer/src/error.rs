//! Why something with peers did not work, in terms of what the caller can do.

use std::io;
use std::net::SocketAddr;

use libp2p::core::upgrade::NegotiationError;

use crate::frame::{FrameError, Refusal};

/// Why this node cannot talk to others at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The 32 bytes are no secret of ed25519.
    #[error("the node's key is not an ed25519 secret")]
    Key,
    /// No certificate could be made from the key.
    #[error("the node's key cannot be used for TLS")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The port is taken, for UDP or TCP, or the address is not this machine's.
    #[error("cannot listen for peers on {address}, UDP and TCP")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Why a call or stream did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection: surely not delivered. Another node may know more, or the same one a moment later.
    #[error("the peer cannot be reached")]
    Unreachable,
    /// The connection broke with the call under way: it may have been handled.
    #[error("the connection to the peer broke")]
    Interrupted,
    /// The time given is over: the call may have been handled, or still be.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// The key is not in this node's membership: nothing was sent.
    #[error("the peer is not a member of the cluster")]
    NotMember,
    /// The peer does not answer this: this node is not in its membership, or its handler had no answer.
    #[error("the peer refuses")]
    Refused,
    /// The peer does not know the protocol: it runs another release, or is still starting.
    #[error("the peer does not speak this protocol")]
    Unsupported,
    /// The message or its answer is longer than the protocol's frames.
    #[error("the message is too long")]
    TooLarge,
    /// Too many calls wait, here or there: surely not handled.
    #[error("too many calls at once")]
    Overloaded,
    /// This node or the peer is stopping: surely not handled.
    #[error("the node is stopping")]
    Stopped,
}

impl From<FrameError> for CallError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Refused(Refusal::Refused) => Self::Refused,
            FrameError::Refused(Refusal::Overloaded) => Self::Overloaded,
            FrameError::Refused(Refusal::Stopping) => Self::Stopped,
            FrameError::Refused(Refusal::TooLarge) | FrameError::TooLarge { .. } => Self::TooLarge,
            // The protocol is agreed on with the first bytes that come back.
            FrameError::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<NegotiationError>()) => {
                Self::Unsupported
            }
            FrameError::Io(_) => Self::Interrupted,
        }
    }
}
