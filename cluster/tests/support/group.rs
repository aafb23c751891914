//! Several nodes in one process, over a network that can be cut, delayed and made to lose.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster::{Member, Metadata, MetadataConfig, Role, Service, Start, Transport, TransportError};
use cluster_core::level::Levels;
use proto::identity::NodeId;
use tempfile::TempDir;

use super::{node, until};

/// What all nodes share.
#[derive(Default)]
struct State {
    nodes: BTreeMap<u64, Metadata>,
    /// From, to: nothing passes.
    cut: BTreeSet<(u64, u64)>,
    delay: Duration,
    /// Of the service Raft: one in so many requests is lost.
    lose: Option<u64>,
    sent: u64,
    /// Requests above this size are lost once so many of them have passed.
    large: Option<(usize, u64)>,
    large_seen: u64,
    large_lost: u64,
}

#[derive(Clone, Default)]
pub(crate) struct Net(Arc<Mutex<State>>);

impl Net {
    pub(crate) fn cut(&self, from: u64, to: u64) {
        self.0.lock().unwrap().cut.insert((from, to));
    }

    pub(crate) fn isolate(&self, one: u64, others: &[u64]) {
        for other in others.iter().filter(|other| **other != one) {
            self.cut(one, *other);
            self.cut(*other, one);
        }
    }

    pub(crate) fn heal(&self) {
        self.0.lock().unwrap().cut.clear();
    }

    pub(crate) fn delay(&self, delay: Duration) {
        self.0.lock().unwrap().delay = delay;
    }

    pub(crate) fn lose(&self, one_in: Option<u64>) {
        self.0.lock().unwrap().lose = one_in;
    }

    /// From now on each second request of at least `size` bytes is lost.
    pub(crate) fn lose_large(&self, size: usize) {
        self.0.lock().unwrap().large = Some((size, 2));
    }

    pub(crate) fn large_lost(&self) -> u64 {
        self.0.lock().unwrap().large_lost
    }

    fn passes(&self, from: u64, to: u64) -> bool {
        !self.0.lock().unwrap().cut.contains(&(from, to))
    }
}

#[derive(Clone)]
pub(crate) struct Wire {
    net: Net,
    from: NodeId,
}

impl Transport for Wire {
    async fn call(
        &self,
        to: &Member,
        service: Service,
        request: Vec<u8>,
        _patience: Duration,
    ) -> Result<Vec<u8>, TransportError> {
        let (from, to) = (self.from.get(), to.node.get());
        let (target, delay, is_lost) = {
            let mut state = self.net.0.lock().unwrap();
            state.sent += 1;
            let mut is_lost = service == Service::Raft
                && state.lose.is_some_and(|one_in| state.sent.is_multiple_of(one_in));
            if let Some((size, every)) = state.large
                && request.len() >= size
            {
                state.large_seen += 1;
                if state.large_seen.is_multiple_of(every) {
                    state.large_lost += 1;
                    is_lost = true;
                }
            }
            (state.nodes.get(&to).cloned(), state.delay, is_lost)
        };
        let Some(target) = target else { return Err(TransportError::Unreachable) };
        if is_lost {
            return Err(TransportError::NoReply);
        }
        tokio::time::sleep(delay).await;
        if !self.net.passes(from, to) {
            return std::future::pending().await;
        }
        let reply = target.answer(service, self.from, &request).await;
        drop(target);
        tokio::time::sleep(delay).await;
        if !self.net.passes(to, from) {
            return std::future::pending().await;
        }
        Ok(reply)
    }
}

pub(crate) struct Cluster {
    pub(crate) net: Net,
    pub(crate) nodes: BTreeMap<u64, Metadata>,
    dirs: BTreeMap<u64, TempDir>,
    /// Small, so that snapshots are needed.
    pub(crate) short_log: bool,
    /// What the release of a node speaks from its next start on, if not all that ours does.
    pub(crate) levels: BTreeMap<u64, Levels>,
}

impl Cluster {
    /// A group of `voters` nodes, with ids from 1 on.
    pub(crate) async fn of(voters: u64) -> Self {
        Self::build(voters, false).await
    }

    pub(crate) async fn build(voters: u64, short_log: bool) -> Self {
        Self::of_releases(voters, short_log, BTreeMap::new()).await
    }

    /// As [`Cluster::of`], with other releases.
    pub(crate) async fn of_releases(voters: u64, short_log: bool, levels: BTreeMap<u64, Levels>) -> Self {
        let (net, nodes, dirs) = (Net::default(), BTreeMap::new(), BTreeMap::new());
        let mut cluster = Self { net, nodes, dirs, short_log, levels };
        cluster.start(1, Start::Found).await;
        for id in 2..=voters {
            cluster.join(id).await;
        }
        cluster.caught_up().await;
        let all = (1..=voters).map(node).collect();
        cluster.set_voters(all).await;
        cluster.caught_up().await;
        cluster
    }

    /// Makes exactly these vote, once the leader has seen that they are up to date.
    pub(crate) async fn set_voters(&self, voters: BTreeSet<NodeId>) {
        super::until_async("the voters to be changed", || async {
            self.leader().apply_voters(voters.clone()).await.is_ok()
        })
        .await;
    }

    fn config(&self, id: u64, dir: &Path) -> MetadataConfig {
        let config = MetadataConfig::new(dir, node(id));
        let (entries_per_snapshot, entries_kept) = if self.short_log { (50, 10) } else { (1000, 4000) };
        MetadataConfig {
            reserve_bytes: Some(0),
            address: format!("node-{id}"),
            entries_per_snapshot,
            entries_kept,
            levels: self.levels.get(&id).copied().unwrap_or(Levels::OWN),
            ..config
        }
    }

    pub(crate) async fn start(&mut self, id: u64, start: Start) {
        let dir = self.dirs.entry(id).or_insert_with(|| TempDir::new().unwrap()).path().to_owned();
        let wire = Wire { net: self.net.clone(), from: node(id) };
        let config = self.config(id, &dir);
        let started = std::time::Instant::now();
        let metadata = loop {
            match Metadata::open(config.clone(), wire.clone(), start).await {
                Ok(metadata) => break metadata,
                // The files of the one before are closed when the last request to it ends.
                Err(error) if started.elapsed() > Duration::from_secs(10) => panic!("{error:?}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        self.net.0.lock().unwrap().nodes.insert(id, metadata.clone());
        self.nodes.insert(id, metadata);
    }

    /// Starts an empty node and makes it a learner.
    pub(crate) async fn join(&mut self, id: u64) {
        self.start(id, Start::Join).await;
        let member = Member { node: node(id), address: format!("node-{id}") };
        self.leader().add_learner(member).await.unwrap();
    }

    /// Without any goodbye.
    pub(crate) async fn kill(&mut self, id: u64) {
        let others: Vec<_> = self.nodes.keys().copied().collect();
        self.net.isolate(id, &others);
        self.net.0.lock().unwrap().nodes.remove(&id);
        let metadata = self.nodes.remove(&id).unwrap();
        metadata.shutdown(Duration::from_secs(10)).await;
        let mut state = self.net.0.lock().unwrap();
        state.cut.retain(|(from, to)| *from != id && *to != id);
    }

    pub(crate) async fn stop(&mut self, id: u64) {
        let metadata = self.nodes.remove(&id).unwrap();
        assert!(metadata.shutdown(Duration::from_secs(10)).await);
        self.net.0.lock().unwrap().nodes.remove(&id);
    }

    pub(crate) fn leader_id(&self) -> Option<u64> {
        let leads = |(id, metadata): (&u64, &Metadata)| {
            let status = metadata.status();
            (status.role == Role::Leader && status.ready).then_some((status.term, *id))
        };
        self.nodes.iter().filter_map(leads).max().map(|(_, id)| id)
    }

    pub(crate) fn leader(&self) -> Metadata {
        self.nodes[&self.leader_id().unwrap()].clone()
    }

    pub(crate) fn followers(&self) -> Vec<u64> {
        let leader = self.leader_id().unwrap();
        self.nodes.keys().copied().filter(|id| *id != leader).collect()
    }

    pub(crate) async fn led(&self) {
        until("a leader that all know", || {
            let Some(leader) = self.leader_id() else { return false };
            self.nodes.values().all(|metadata| metadata.status().leader == Some(leader))
        })
        .await;
    }

    /// Waits until all have applied what the leader has.
    pub(crate) async fn caught_up(&self) {
        until("all are equal", || {
            let Some(leader) = self.leader_id() else { return false };
            let last = self.nodes[&leader].status().last_log_index;
            self.nodes.values().all(|metadata| metadata.status().applied_index == last)
        })
        .await;
    }
}
