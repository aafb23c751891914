//! Whom peers are: the keys in the group's membership, and before a node is in it, those of its join token.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cluster::Metadata;
use peer::{Members, PeerAddress};
use proto::identity::NodeId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::auth::node_key::node_of;

/// Addresses of the other nodes, always those of now. Clones share it.
#[derive(Clone)]
pub(crate) struct Directory {
    node: NodeId,
    known: watch::Receiver<Arc<BTreeMap<NodeId, PeerAddress>>>,
}

/// The end that says who is known.
pub(crate) struct Announcer {
    keys: watch::Sender<Members>,
    addresses: watch::Sender<Arc<BTreeMap<NodeId, PeerAddress>>>,
}

/// A directory of nobody, what keeps it true, and the keys for [`peer::Peers::start`].
pub(crate) fn directory(node: NodeId) -> (Directory, Announcer, watch::Receiver<Members>) {
    let (keys, known_keys) = watch::channel(Members::default());
    let (addresses, known) = watch::channel(Arc::default());
    (Directory { node, known }, Announcer { keys, addresses }, known_keys)
}

impl Directory {
    /// Where `node` is, if it is a member.
    pub(crate) fn address(&self, node: NodeId) -> Option<PeerAddress> {
        self.known.borrow().get(&node).cloned()
    }

    /// All members.
    pub(crate) fn nodes(&self) -> BTreeSet<NodeId> {
        self.known.borrow().keys().copied().collect()
    }

    /// This node.
    pub(crate) fn this_node(&self) -> NodeId {
        self.node
    }
}

impl Announcer {
    /// Says that these are the members.
    pub(crate) fn set(&self, members: impl IntoIterator<Item = PeerAddress>) {
        let named = |address: PeerAddress| Some((node_of(address.key().as_bytes())?, address));
        let addresses: BTreeMap<_, _> = members.into_iter().filter_map(named).collect();
        self.keys.send_replace(addresses.values().map(PeerAddress::key).collect());
        self.addresses.send_replace(Arc::new(addresses));
    }

    /// Says who the group's members are now. None, of a node that waits to be added, leaves what is known.
    pub(crate) fn announce(&self, metadata: &Metadata) {
        let present = metadata.members().borrow().clone();
        let addresses: Vec<PeerAddress> =
            present.members.values().filter_map(|member| member.address.parse().ok()).collect();
        if !addresses.is_empty() {
            self.set(addresses);
        }
    }

    /// Follows the group's membership until `stop`.
    pub(crate) async fn follow(self, metadata: Metadata, stop: CancellationToken) {
        let mut members = metadata.members();
        loop {
            members.mark_unchanged();
            self.announce(&metadata);
            match stop.run_until_cancelled(members.changed()).await {
                Some(Ok(())) => {}
                Some(Err(_)) | None => return,
            }
        }
    }
}
