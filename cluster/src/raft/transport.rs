//! How bytes get to another member: the trait that the node implements, and its form without a type
//! parameter.
//!
//! Knows nothing of what is in the bytes. Whom to trust is the implementation's business: `Metadata::answer`
//! is told who asks.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use proto::identity::NodeId;
use tokio::time::Instant;

use super::hearing::Hearing;

/// Most bytes of a request and of a reply.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// A node as the group knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub node: NodeId,
    /// Where: the text of a `proto::identity::PeerAddress`; opaque here.
    pub address: String,
}

/// What a request is for. Each may travel on its own protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Raft's own traffic.
    Raft,
    /// Proposals, read indices and status for the leader.
    Metadata,
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The request surely did not reach the node.
    #[error("the node cannot be reached")]
    Unreachable,
    /// The request may have been carried out.
    #[error("no reply")]
    NoReply,
}

/// Carries requests to other members.
pub trait Transport: Clone + Send + Sync + 'static {
    /// Sends `request` to `to` and returns its reply, within `patience`. Dropping the future is safe; the
    /// request may be carried out all the same. It is carried out at most once: a proposal that came twice would
    /// be two.
    ///
    /// # Errors
    /// See [`TransportError`].
    fn call(
        &self,
        to: &Member,
        service: Service,
        request: Vec<u8>,
        patience: Duration,
    ) -> impl Future<Output = Result<Vec<u8>, TransportError>> + Send;
}

/// Reaches nobody: for a group of one.
#[derive(Clone, Copy, Debug)]
pub struct NoPeers;

impl Transport for NoPeers {
    async fn call(&self, _: &Member, _: Service, _: Vec<u8>, _: Duration) -> Result<Vec<u8>, TransportError> {
        Err(TransportError::Unreachable)
    }
}

type Reply<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, TransportError>> + Send + 'a>>;

trait Erased: Send + Sync {
    fn call<'a>(
        &'a self,
        to: &'a Member,
        service: Service,
        request: Vec<u8>,
        patience: Duration,
    ) -> Reply<'a>;
}

impl<T: Transport> Erased for T {
    fn call<'a>(
        &'a self,
        to: &'a Member,
        service: Service,
        request: Vec<u8>,
        patience: Duration,
    ) -> Reply<'a> {
        Box::pin(Transport::call(self, to, service, request, patience))
    }
}

/// Any [`Transport`], and who answers over it.
#[derive(Clone)]
pub(crate) struct Link {
    transport: Arc<dyn Erased>,
    pub(super) hearing: Hearing,
}

impl Link {
    pub(crate) fn new(transport: impl Transport) -> Self {
        Self { transport: Arc::new(transport), hearing: Hearing::default() }
    }

    /// As [`Transport::call`]; `patience` holds whatever the implementation does.
    pub(crate) async fn call(
        &self,
        to: &Member,
        service: Service,
        request: Vec<u8>,
        patience: Duration,
    ) -> Result<Vec<u8>, TransportError> {
        let call = self.transport.call(to, service, request, patience);
        let reply = tokio::time::timeout(patience, call).await.unwrap_or(Err(TransportError::NoReply))?;
        self.hearing.heard(to.node.get(), Instant::now());
        Ok(reply)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}
