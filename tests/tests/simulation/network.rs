//! The network between the nodes of a run: delays, so reorders; loses, repeats, and can be cut one way.
//!
//! Nothing passes from or to a node that has no power, and nothing of a node's former life.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster::{Member, Service, Transport, TransportError};
use prost::Message;
use proto::identity::NodeId;
use proto::wire::raft as wire;

use super::world::World;

/// A connection over which nothing comes for so long is given up, as by the crate `peer`: a message is lost only
/// with its connection.
const SILENCE: Duration = Duration::from_secs(2);

/// What the network does to messages, for now.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    /// Nothing passes from, to.
    pub(crate) cut: BTreeSet<(u64, u64)>,
    /// So many in a thousand are lost.
    pub(crate) loss: u64,
    /// So many in a thousand come twice.
    pub(crate) twice: u64,
    /// Longest way, milliseconds.
    pub(crate) delay: u64,
    pub(crate) carried: u64,
    pub(crate) lost: u64,
}

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network(Arc<Mutex<Weather>>);

impl Network {
    pub(crate) fn weather(&self) -> MutexGuard<'_, Weather> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn isolate(&self, one: u64, others: &[u64]) {
        for other in others.iter().filter(|other| **other != one) {
            self.weather().cut.extend([(one, *other), (*other, one)]);
        }
    }

    /// Fair again.
    pub(crate) fn clear(&self) {
        let mut weather = self.weather();
        weather.cut.clear();
        (weather.loss, weather.twice, weather.delay) = (0, 0, 2);
    }
}

/// One node's way to the others, in one of its lives.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) world: Arc<World>,
    pub(crate) from: u64,
    pub(crate) life: u64,
}

impl World {
    /// How long one message takes; `None`: it is lost.
    fn way(&self, from: u64, to: u64) -> Option<Duration> {
        let mut weather = self.network.weather();
        weather.carried += 1;
        if weather.cut.contains(&(from, to)) || self.random.chance(weather.loss) {
            weather.lost += 1;
            return None;
        }
        Some(self.random.millis(weather.delay))
    }

    /// Carries one message; whether it arrived. Both must live as they did.
    pub(crate) async fn carry(&self, from: (u64, u64), to: (u64, u64)) -> bool {
        let Some(way) = self.way(from.0, to.0) else { return false };
        tokio::time::sleep(way).await;
        let is_cut = self.network.weather().cut.contains(&(from.0, to.0));
        !is_cut && self.lives(from) && self.lives(to)
    }
}

/// Nobody says anything any more.
async fn silence() -> Result<Vec<u8>, TransportError> {
    tokio::time::sleep(SILENCE).await;
    Err(TransportError::NoReply)
}

impl Transport for Wire {
    async fn call(
        &self,
        to: &Member,
        service: Service,
        request: Vec<u8>,
        _patience: Duration,
    ) -> Result<Vec<u8>, TransportError> {
        let world = &self.world;
        let from = (self.from, self.life);
        world.note(&[1, self.from, to.node.get(), request.len() as u64]);
        let Some((life, target)) = world.life_of(to.node.get()) else {
            // A closed port says so, a dead machine does not.
            if world.random.chance(500) {
                return Err(TransportError::Unreachable);
            }
            return silence().await;
        };
        let to = (to.node.get(), life);
        if !world.carry(from, to).await {
            return silence().await;
        }
        let sender = NodeId::new(self.from).ok_or(TransportError::Unreachable)?;
        // Raft stands that, a proposal does not (`Transport::call`).
        let is_twice = service == Service::Raft && world.random.chance(world.network.weather().twice);
        if is_twice {
            let (target, request, late) = (target.clone(), request.clone(), world.random.millis(500));
            let world = Arc::clone(world);
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                if world.lives(to) {
                    target.answer(service, sender, &request).await;
                }
            });
        }
        // What arrived is carried out, whether or not anybody still waits.
        let answering = tokio::spawn(async move { target.answer(service, sender, &request).await });
        let reply = answering.await.map_err(|_| TransportError::NoReply)?;
        if !world.carry(to, from).await {
            return silence().await;
        }
        world.note(&[2, self.from, to.0, reply.len() as u64]);
        world.count("snapshots installed", u64::from(service == Service::Raft && has_installed(&reply)));
        Ok(reply)
    }
}

/// Whether the reply says that a snapshot took the place of the state.
fn has_installed(reply: &[u8]) -> bool {
    let kind = wire::RaftReply::decode(reply).ok().and_then(|reply| reply.kind);
    matches!(kind, Some(wire::raft_reply::Kind::SnapshotChunk(reply)) if reply.installed)
}
