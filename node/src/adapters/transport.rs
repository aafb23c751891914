//! Raft's messages and the metadata's calls over peers.

use std::time::Duration;

use cluster::{Member, Metadata, Service, Transport, TransportError};
use peer::{CallError, PeerAddress, Peers, Protocol};

use super::members::Directory;
use crate::auth::node_key::node_of;

/// Carries what the metadata sends.
#[derive(Clone)]
pub(crate) struct PeerTransport {
    pub(crate) peers: Peers,
    pub(crate) directory: Directory,
}

impl Transport for PeerTransport {
    async fn call(
        &self,
        to: &Member,
        service: Service,
        request: Vec<u8>,
        patience: Duration,
    ) -> Result<Vec<u8>, TransportError> {
        // The directory knows more places; one that it does not know is about to become a member.
        let known = self.directory.address(to.node);
        // A member whose address does not parse was written by a newer release.
        let address: Option<PeerAddress> = known.or_else(|| to.address.parse().ok());
        let address = address.ok_or(TransportError::Unreachable)?;
        self.peers.call(&address, protocol(service), request, patience).await.map_err(|error| match error {
            CallError::Interrupted | CallError::TimedOut => TransportError::NoReply,
            _ => TransportError::Unreachable,
        })
    }
}

/// Answers other members' messages from now on.
pub(crate) fn serve(peers: &Peers, metadata: &Metadata) {
    for service in [Service::Raft, Service::Metadata] {
        let metadata = metadata.clone();
        peers.serve(protocol(service), move |key, request| {
            let metadata = metadata.clone();
            async move {
                let from = node_of(key.as_bytes())?;
                Some(metadata.answer(service, from, &request).await)
            }
        });
    }
}

fn protocol(service: Service) -> Protocol {
    match service {
        Service::Raft => Protocol::Raft,
        Service::Metadata => Protocol::Metadata,
    }
}
