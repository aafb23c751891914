//! Whom peers are and where: the keys in the group's membership, and before a node is in it, those of its join
//! token. Beside the places that the membership names, those where nodes said that they are (`hello`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cluster::Metadata;
use cluster_core::state;
use peer::{Members, PeerAddress};
use proto::identity::{MAX_HOSTS, NodeId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::auth::node_key::node_of;

/// For so long a node that the membership does not have is one because a member said so: as long as it takes a
/// node that was away to catch up with the log, which then decides.
const TOLD: Duration = Duration::from_secs(60);

/// Addresses of the other nodes, always those of now. Clones share it.
#[derive(Clone)]
pub(crate) struct Directory {
    node: NodeId,
    known: watch::Receiver<Arc<BTreeMap<NodeId, PeerAddress>>>,
}

/// A start of a node, and where it was then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// Of the start.
    pub(crate) incarnation: u64,
    /// The node's key and places.
    pub(crate) address: PeerAddress,
}

/// The end that says who is known. Clones share it.
#[derive(Clone)]
pub(crate) struct Announcer(Arc<Inner>);

struct Inner {
    keys: watch::Sender<Members>,
    addresses: watch::Sender<Arc<BTreeMap<NodeId, PeerAddress>>>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    members: BTreeMap<NodeId, PeerAddress>,
    /// The latest start of each node that was heard of, and when that was.
    sighted: BTreeMap<NodeId, (Sighting, Instant)>,
}

/// A directory of nobody, what keeps it true, and the keys for [`peer::Peers::start`].
pub(crate) fn directory(node: NodeId) -> (Directory, Announcer, watch::Receiver<Members>) {
    let (keys, known_keys) = watch::channel(Members::default());
    let (addresses, known) = watch::channel(Arc::default());
    let inner = Inner { keys, addresses, known: Mutex::default() };
    (Directory { node, known }, Announcer(Arc::new(inner)), known_keys)
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

impl Known {
    /// Whether it is news.
    fn note(&mut self, sighting: Sighting) -> bool {
        let Some(node) = node_of(sighting.address.key().as_bytes()) else { return false };
        let is_news =
            self.sighted.get(&node).is_none_or(|(held, _)| held.incarnation <= sighting.incarnation);
        if is_news {
            self.sighted.insert(node, (sighting, Instant::now()));
        }
        is_news
    }

    /// The members with all places where they may be, those that were heard of first.
    fn addresses(&self, now: Instant) -> BTreeMap<NodeId, PeerAddress> {
        let mut all = self.members.clone();
        for (node, (sighting, heard)) in &self.sighted {
            let address = match self.members.get(node) {
                Some(member) => joined(&sighting.address, member),
                None if now.duration_since(*heard) < TOLD => sighting.address.clone(),
                None => continue,
            };
            all.insert(*node, address);
        }
        all
    }
}

/// Both addresses of one key in one; the first ones' places come first, and the last ones beyond the bound fall.
fn joined(first: &PeerAddress, second: &PeerAddress) -> PeerAddress {
    let mut hosts = first.hosts().to_vec();
    hosts.extend(second.hosts().iter().filter(|host| !first.hosts().contains(host)).cloned());
    hosts.truncate(MAX_HOSTS);
    PeerAddress::new(first.key(), hosts).unwrap_or_else(|_| first.clone())
}

impl Announcer {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change under the lock is a whole one.
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells peers and directory; whoever's word is too old falls out.
    pub(crate) fn publish(&self) {
        let addresses = Arc::new(self.known().addresses(Instant::now()));
        let keys: Members = addresses.values().map(PeerAddress::key).collect();
        self.0.keys.send_if_modified(|present| {
            let is_new = *present != keys;
            *present = keys;
            is_new
        });
        self.0.addresses.send_if_modified(|present| {
            let is_new = *present != addresses;
            *present = addresses;
            is_new
        });
    }

    /// Says that these are the members.
    pub(crate) fn set(&self, members: impl IntoIterator<Item = PeerAddress>) {
        let named = |address: PeerAddress| Some((node_of(address.key().as_bytes())?, address));
        self.known().members = members.into_iter().filter_map(named).collect();
        self.publish();
    }

    /// A start was heard of, from the node itself, from a member or from a record. An older one is no news.
    pub(crate) fn heard(&self, sighting: Sighting) {
        if self.known().note(sighting) {
            self.publish();
        }
    }

    /// The latest start of `node` that was heard of.
    pub(crate) fn sighting(&self, node: NodeId) -> Option<Sighting> {
        self.known().sighted.get(&node).map(|(sighting, _)| sighting.clone())
    }

    /// Says who the group's members are now, and where their records have them: the membership follows a record
    /// only while somebody leads, so of nodes that stopped in between it says where they were before. No member,
    /// of a node that waits to be added, leaves what is known.
    pub(crate) fn announce(&self, metadata: &Metadata) {
        let present = metadata.members().borrow().clone();
        let addresses: Vec<PeerAddress> =
            present.members.values().filter_map(|member| member.address.parse().ok()).collect();
        if addresses.is_empty() {
            return;
        }
        // A state that cannot be read stops this node elsewhere.
        let records = metadata.local().ok().and_then(|reader| state::node::nodes(&reader).ok());
        {
            let mut known = self.known();
            for (_, record) in records.unwrap_or_default() {
                if let Some(address) = record.address() {
                    known.note(Sighting { incarnation: record.incarnation, address });
                }
            }
        }
        self.set(addresses);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn address(key: char, hosts: &str) -> PeerAddress {
        format!("{}@{hosts}", key.to_string().repeat(64)).parse().expect("an address")
    }

    fn sighting(incarnation: u64, address: PeerAddress) -> Sighting {
        Sighting { incarnation, address }
    }

    #[test]
    fn a_member_is_where_it_was_last_heard_of_or_where_the_membership_says() {
        let this = NodeId::new(1).expect("a node");
        let (directory, announcer, keys) = directory(this);
        let old = address('1', "a:1");
        let node = node_of(old.key().as_bytes()).expect("a node");
        announcer.set([old]);
        announcer.heard(sighting(2, address('1', "b:1,a:1")));
        announcer.heard(sighting(1, address('1', "c:1")));
        assert_eq!(directory.address(node), Some(address('1', "b:1,a:1")));
        assert!(keys.borrow().contains(&address('1', "a:1").key()));
        assert_eq!(announcer.sighting(node), Some(sighting(2, address('1', "b:1,a:1"))));
    }

    #[test]
    fn who_is_no_member_is_known_for_a_while_because_a_member_told_of_it() {
        let told = address('2', "d:1");
        let node = node_of(told.key().as_bytes()).expect("a node");
        let now = Instant::now();
        let mut known = Known::default();
        known.sighted.insert(node, (sighting(1, told.clone()), now));
        assert_eq!(known.addresses(now).get(&node), Some(&told));
        assert!(known.addresses(now + TOLD).is_empty());
        known.members.insert(node, told);
        assert!(known.addresses(now + TOLD).contains_key(&node));
    }
}
