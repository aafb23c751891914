//! The connections of one link, as seen by callers, by the swarm's behaviour and by the event loop.
//!
//! Behind one mutex that is never held across an await; every operation is a few map steps.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use proto::identity::PeerKey;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::members::Members;
use crate::protocol::Protocol;

/// Requests for streams that wait in front of one connection.
const WAITING_OPENS: usize = 64;

/// Why a connection that stands gave no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoStream {
    Unsupported,
    TimedOut,
    Broken,
}

/// A stream, or why there is none.
pub(crate) type Opened = Result<libp2p::Stream, NoStream>;

/// "A stream for this protocol, please." Dropped unanswered, the connection is gone and nothing was sent.
pub(crate) struct Open {
    pub(crate) protocol: Protocol,
    pub(crate) reply: oneshot::Sender<Opened>,
}

/// What the connection's own task gets.
pub(crate) struct Seat {
    pub(crate) key: PeerKey,
    pub(crate) opens: mpsc::Receiver<Open>,
    /// Whether the connection stays when no stream uses it: members' do.
    pub(crate) stays: Arc<AtomicBool>,
}

struct Connection {
    id: ConnectionId,
    opens: mpsc::Sender<Open>,
    stays: Arc<AtomicBool>,
    since: Instant,
}

impl Connection {
    fn is_member(&self) -> bool {
        self.stays.load(Relaxed)
    }
}

/// All connections of one link, those of a peer in the order they came.
#[derive(Default)]
pub(crate) struct Table(Mutex<HashMap<PeerKey, Vec<Connection>>>);

/// How the key of a new connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Member,
    Stranger,
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, HashMap<PeerKey, Vec<Connection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection.
    pub(crate) fn add(&self, id: ConnectionId, key: PeerKey, standing: Standing) -> Seat {
        let (sender, opens) = mpsc::channel(WAITING_OPENS);
        let stays = Arc::new(AtomicBool::new(standing == Standing::Member));
        let connection = Connection { id, opens: sender, stays: stays.clone(), since: Instant::now() };
        self.lock().entry(key).or_default().push(connection);
        Seat { key, opens, stays }
    }

    /// A connection is closed.
    pub(crate) fn remove(&self, id: ConnectionId, key: &PeerKey) {
        let mut peers = self.lock();
        if let Some(connections) = peers.get_mut(key) {
            connections.retain(|connection| connection.id != id);
            if connections.is_empty() {
                peers.remove(key);
            }
        }
    }

    /// The way to the newest connection that still lives: after a peer came back, older ones may be dead
    /// without knowing it.
    pub(crate) fn newest(&self, key: &PeerKey) -> Option<mpsc::Sender<Open>> {
        let peers = self.lock();
        let connections = peers.get(key)?;
        connections.iter().rev().find(|one| !one.opens.is_closed()).map(|one| one.opens.clone())
    }

    /// Number of connections.
    pub(crate) fn len(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }

    /// Number of connections to keys that are not members.
    pub(crate) fn strangers(&self) -> usize {
        self.lock().values().flatten().filter(|connection| !connection.is_member()).count()
    }

    /// The oldest connections of this peer beyond `keep`.
    pub(crate) fn beyond(&self, key: &PeerKey, keep: usize) -> Vec<ConnectionId> {
        let peers = self.lock();
        let connections = peers.get(key).map_or(&[][..], Vec::as_slice);
        let over = connections.len().saturating_sub(keep);
        connections.iter().take(over).map(|connection| connection.id).collect()
    }

    /// The membership changed: strangers that are members now stay; returned are the connections of those
    /// that were members and are no longer, to be closed.
    pub(crate) fn judge(&self, members: &Members) -> Vec<ConnectionId> {
        let mut gone = Vec::new();
        for (key, connections) in self.lock().iter() {
            let member = members.contains(key);
            for connection in connections {
                let was = connection.stays.swap(member, Relaxed);
                if was && !member {
                    gone.push(connection.id);
                }
            }
        }
        gone
    }

    /// Connections of strangers that are older than `life`, to be closed.
    pub(crate) fn outstayed(&self, life: Duration) -> Vec<ConnectionId> {
        let peers = self.lock();
        let over = |one: &&Connection| !one.is_member() && one.since.elapsed() > life;
        peers.values().flatten().filter(over).map(|connection| connection.id).collect()
    }

    /// Has strangers' connections look whether they are idle: on QUIC the end of a stream does not wake them.
    pub(crate) fn nudge_strangers(&self) {
        for connection in self.lock().values().flatten().filter(|connection| !connection.is_member()) {
            // Nobody waits for this one, which the handler skips.
            let (reply, _) = oneshot::channel();
            let _ = connection.opens.try_send(Open { protocol: Protocol::Join, reply });
        }
    }

    /// All connections.
    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        self.lock().values().flatten().map(|connection| connection.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PeerKey {
        PeerKey::new([byte; 32])
    }

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    #[tokio::test]
    async fn the_newest_living_connection_is_used() {
        let table = Table::default();
        let mut old = table.add(id(1), key(1), Standing::Member);
        let new = table.add(id(2), key(1), Standing::Member);
        drop(new);
        let (reply, _answer) = oneshot::channel();
        let way = table.newest(&key(1)).expect("one lives");
        way.send(Open { protocol: Protocol::Raft, reply }).await.expect("taken");
        assert!(old.opens.recv().await.is_some());
        drop(old);
        assert!(table.newest(&key(1)).is_none(), "dead ones are not given out before they are removed");
        table.remove(id(1), &key(1));
        table.remove(id(2), &key(1));
        assert_eq!(table.len(), 0);
    }

    #[tokio::test]
    async fn a_change_of_membership_moves_connections_both_ways() {
        let table = Table::default();
        let _seats =
            [table.add(id(1), key(1), Standing::Member), table.add(id(2), key(2), Standing::Stranger)];
        assert_eq!(table.strangers(), 1);
        assert_eq!(table.judge(&[key(2)].into_iter().collect()), [id(1)]);
        assert_eq!(table.outstayed(Duration::ZERO), [id(1)]);
        assert_eq!(table.judge(&[key(2)].into_iter().collect()), [], "each is told once");
    }

    #[tokio::test]
    async fn the_oldest_are_beyond_the_bound() {
        let table = Table::default();
        let _seats: Vec<_> = (0..5).map(|number| table.add(id(number), key(1), Standing::Member)).collect();
        assert_eq!(table.beyond(&key(1), 3), [id(0), id(1)]);
        assert_eq!(table.beyond(&key(1), 5), []);
        assert_eq!(table.beyond(&key(2), 0), []);
    }
}
