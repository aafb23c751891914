//! How much one peer may use of one protocol, in each direction.
//!
//! Every (peer, protocol) has its own slots, so that no peer takes another's and no protocol another's:
//! a thousand forwarded commands leave Raft's slots to the same peer free.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use proto::identity::PeerKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::members::Members;
use crate::nudge::Pace;
use crate::protocol::Protocol;

/// Frames up to this length in bytes are read without asking; longer ones need their length in the budget.
const FREE: usize = 64 * 1024;
/// Unit of the budget in bytes.
const UNIT: usize = 1024;
/// Longest frames that one lane holds at once, in each direction.
const LONGEST_FRAMES: usize = 4;

/// One protocol with one peer.
pub(crate) struct Lane {
    /// Uses that this node began.
    pub(crate) outgoing: Arc<Semaphore>,
    /// Uses that this node would like to begin and that find no slot.
    pub(crate) waiting: Semaphore,
    /// Uses that the peer began.
    pub(crate) incoming: Arc<Semaphore>,
    /// Budgets for the frames that come in, as requests and as answers: neither can hold up the other.
    pub(crate) requests: Budget,
    pub(crate) answers: Budget,
}

impl Lane {
    fn new(protocol: Protocol, waiting: usize) -> Self {
        let at_once = protocol.at_once();
        let budget = || Budget::new(protocol.frame_limit() * LONGEST_FRAMES);
        Self {
            outgoing: Arc::new(Semaphore::new(at_once)),
            waiting: Semaphore::new(waiting),
            incoming: Arc::new(Semaphore::new(at_once * 2)),
            requests: budget(),
            answers: budget(),
        }
    }
}

/// Bytes that may be held at once. A frame takes all it needs before it is read, so two halves never wait
/// for each other.
pub(crate) struct Budget(Arc<Semaphore>);

impl Budget {
    fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / UNIT)))
    }

    /// Waits until a frame of this length fits; the bytes are free again when the permit is dropped. Safe
    /// to drop.
    pub(crate) async fn take(&self, length: usize) -> Option<OwnedSemaphorePermit> {
        if length <= FREE {
            return None;
        }
        let units = u32::try_from(length.div_ceil(UNIT)).unwrap_or(u32::MAX);
        self.0.clone().acquire_many_owned(units).await.ok()
    }
}

/// All protocols with one peer.
pub(crate) struct PeerLanes {
    lanes: [Lane; Protocol::ALL.len()],
    /// Of what keeps its connection talking.
    pub(crate) pace: Pace,
}

impl PeerLanes {
    fn new(waiting: usize) -> Self {
        let lanes = Protocol::ALL.map(|protocol| Lane::new(protocol, waiting));
        Self { lanes, pace: Pace::default() }
    }

    pub(crate) fn of(&self, protocol: Protocol) -> &Lane {
        &self.lanes[protocol.index()]
    }
}

/// All peers.
pub(crate) struct Lanes {
    peers: Mutex<HashMap<PeerKey, Arc<PeerLanes>>>,
    /// Strangers share.
    strangers: Arc<PeerLanes>,
    waiting: usize,
}

impl Lanes {
    /// With this many waiting calls per protocol and peer.
    pub(crate) fn new(waiting: usize) -> Self {
        Self { peers: Mutex::default(), strangers: Arc::new(PeerLanes::new(waiting)), waiting }
    }

    /// Those of this peer.
    pub(crate) fn of(&self, key: PeerKey, members: &Members) -> Arc<PeerLanes> {
        if !members.contains(&key) {
            return self.strangers.clone();
        }
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lanes) = peers.get(&key) {
            return lanes.clone();
        }
        // Members come and go; lanes in use stay with whoever uses them.
        peers.retain(|other, _| members.contains(other));
        let lanes = Arc::new(PeerLanes::new(self.waiting));
        peers.insert(key, lanes.clone());
        lanes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_have_lanes_of_their_own_and_strangers_share() {
        let key = |byte| PeerKey::new([byte; 32]);
        let members: Members = [key(1), key(2)].into_iter().collect();
        let lanes = Lanes::new(1);
        assert!(Arc::ptr_eq(&lanes.of(key(1), &members), &lanes.of(key(1), &members)));
        assert!(!Arc::ptr_eq(&lanes.of(key(1), &members), &lanes.of(key(2), &members)));
        assert!(Arc::ptr_eq(&lanes.of(key(3), &members), &lanes.of(key(4), &members)));
        let fewer: Members = [key(2), key(5)].into_iter().collect();
        lanes.of(key(5), &fewer);
        assert_eq!(lanes.peers.lock().expect("not poisoned").len(), 2, "of members only");
    }

    #[tokio::test]
    async fn long_frames_wait_for_each_other_and_short_ones_do_not() {
        let budget = Budget::new(2 * FREE);
        let long = budget.take(2 * FREE).await.expect("fits");
        assert!(budget.take(FREE).await.is_none(), "short frames need nothing");
        let next = budget.take(FREE + 1);
        tokio::pin!(next);
        assert!(futures::poll!(next.as_mut()).is_pending());
        drop(long);
        assert!(next.await.is_some());
    }
}
