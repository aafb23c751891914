//! One run: a cluster is founded, clients work while faults come, the faults end, all must come right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Role, Start};
use cluster_core::command::node::{AddNode, Admission, CreateJoinToken, Removal};
use cluster_core::command::{Command, InitCluster, NodeCommand, Response};
use cluster_core::record::NodeKind;
use cluster_core::state;
use proto::identity::{PeerKey, RegistryId};
use tokio::task::JoinSet;

use super::Mutant;
use super::client::{Client, Shared, repository};
use super::homes::place_of;
use super::invariants::{Invariants, acked_writes_stay, bytes_are_reclaimed, copies_are_there, liveness};
use super::world::{World, lock, node_id};

/// Between two looks at the nodes.
const STEP: Duration = Duration::from_millis(40);
const CLIENTS: u64 = 3;

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) trace: u64,
    pub(crate) violations: Vec<String>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

/// Runs one seed to its end, or to its first violation.
pub(crate) fn run(seed: u64, mutant: Option<Mutant>) -> Ended {
    let memory = std::path::Path::new("/dev/shm");
    let root = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let root = root.expect("a directory can be made");
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // Else the runtime draws by itself whom of several waiters it wakes first, and no run repeats exactly.
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime can be made");
    let ended = runtime.block_on(async {
        let world = World::new(seed, mutant, root.path());
        let driver = Driver {
            known: Shared::default(),
            invariants: Invariants::default(),
            clients: JoinSet::new(),
            waiting: BTreeMap::new(),
            next_node: 0,
            is_joining: false,
            removing: None,
            world: Arc::clone(&world),
        };
        driver.drive().await;
        Ended { trace: world.trace(), violations: world.violations(), counts: world.figures().counts }
    });
    drop(runtime);
    cluster::simulation::install(None);
    ended
}

pub(crate) struct Driver {
    pub(crate) world: Arc<World>,
    known: Shared,
    invariants: Invariants,
    clients: JoinSet<()>,
    /// Nodes that are down, and when they start again, in microseconds of the run.
    waiting: BTreeMap<u64, u64>,
    pub(crate) next_node: u64,
    /// Whether a node has asked to join and was not answered: it may be a member already.
    is_joining: bool,
    /// The node that is being drained.
    pub(crate) removing: Option<u64>,
}

impl Driver {
    pub(crate) fn is_right(&self) -> bool {
        self.world.violations().is_empty()
    }

    async fn drive(mut self) {
        let nodes = self.world.random.pick(&[3, 3, 3, 4, 5]);
        if self.found(nodes).await {
            self.faults().await;
            if self.is_right() {
                self.heal().await;
            }
        }
        self.clients.shutdown().await;
        for node in self.world.all() {
            if let Some((syncs, torn)) = self.world.nodes().get(&node).map(|node| node.disk.figures()) {
                self.world.count("syncs", syncs);
                self.world.count("writes torn", torn);
            }
            self.world.crash(node);
        }
        let (carried, lost) = {
            let weather = self.world.network.weather();
            (weather.carried, weather.lost)
        };
        self.world.count("messages", carried);
        self.world.count("messages lost", lost);
        self.world.count("entries", self.invariants.applied());
        self.world.count("simulated ms", self.world.elapsed_us() / 1000);
        // Lets what is left of the nodes end.
        tokio::time::sleep(Duration::from_secs(5)).await;
    }

    /// Founds the cluster and lets the others join, with the network fair.
    async fn found(&mut self, nodes: u64) -> bool {
        let world = Arc::clone(&self.world);
        world.network.clear();
        world.start(1, Start::Found).await;
        self.next_node = 1;
        let registry: RegistryId = repository(0).registry;
        let init = InitCluster { cluster_id: [7; 16], registry, root_password_hash: String::new() };
        let Some(first) = world.metadata(1) else { return false };
        let named = first.propose(Command::InitCluster(init)).await;
        let added = first.propose(add(1, Admission::Founder)).await;
        if !matches!((&named, &added), (Ok(_), Ok(Response::NodeAdded { .. }))) {
            world.violated("I25", format!("no cluster was founded: {named:?}, {added:?}"));
            return false;
        }
        for _ in 1..nodes {
            if !self.join().await {
                world.violated("I25", "a node could not join before any fault");
                return false;
            }
        }
        let voters = if nodes < 5 { 3 } else { 5 };
        let joined = liveness::until(&world, "all vote that should", Duration::from_secs(20), async || {
            let leader = liveness::leader(&world);
            leader.is_some_and(|leader| leader.status().voters.len() == voters)
        });
        if !joined.await {
            return false;
        }
        for number in 0..CLIENTS {
            let client = Client {
                world: Arc::clone(&world),
                known: Arc::clone(&self.known),
                number,
                serial: 0,
                tag: 0,
                pushed: Vec::new(),
            };
            self.clients.spawn(client.run());
        }
        true
    }

    /// One more node, by a token. `false`: not yet; the same node asks again the next time.
    pub(crate) async fn join(&mut self) -> bool {
        let id = self.next_node + 1;
        let token = [id as u8; 16];
        let create =
            CreateJoinToken { token, secret_hash: [9; 32], expires_ms: u64::MAX, kind: NodeKind::Full };
        let create = Command::Node(Box::new(NodeCommand::CreateToken(create)));
        let Some(leader) = liveness::leader(&self.world) else { return false };
        if leader.propose(create).await.is_err() {
            return false;
        }
        self.is_joining = true;
        let added = leader.propose(add(id, Admission::Token { token, secret_hash: [9; 32] })).await;
        if !matches!(added, Ok(Response::NodeAdded { .. })) {
            return false;
        }
        (self.next_node, self.is_joining) = (id, false);
        self.world.count("joins", 1);
        self.world.start(id, Start::Join).await;
        true
    }

    /// A moment passes; who lost power goes down, who waits long enough starts.
    pub(crate) async fn step(&mut self) {
        tokio::time::sleep(STEP).await;
        let world = Arc::clone(&self.world);
        for id in world.up() {
            let is_dead = world.nodes().get(&id).is_some_and(|node| !node.disk.is_on());
            if is_dead {
                world.count("power cuts at a write", 1);
                self.down(id);
            }
            let is_broken = world.nodes().get(&id).is_some_and(|node| node.disk.has_failed());
            let has_stopped =
                world.metadata(id).is_some_and(|metadata| metadata.status().role == Role::Stopped);
            if is_broken && has_stopped && world.random.chance(50) {
                // The process ends when its storage fails, and is started again.
                self.down(id);
            }
        }
        let now = world.elapsed_us();
        let due: Vec<u64> = self.waiting.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        for id in due {
            self.waiting.remove(&id);
            if !world.start(id, Start::Resume).await {
                self.waiting.insert(id, now + 500_000);
            }
        }
        self.invariants.check(&world, &self.known);
    }

    pub(crate) fn down(&mut self, id: u64) {
        self.world.crash(id);
        let most = self.world.random.pick(&[1_000_000, 4_000_000, 10_000_000]);
        let wait = self.world.random.below(most);
        self.waiting.insert(id, self.world.elapsed_us() + wait);
    }

    async fn heal(&mut self) {
        let world = Arc::clone(&self.world);
        world.network.clear();
        *lock(&world.slowness) = 1;
        for node in world.nodes().values() {
            node.disk.calm();
        }
        let broken: Vec<u64> =
            world.nodes().iter().filter(|(_, node)| node.disk.has_failed()).map(|(id, _)| *id).collect();
        broken.into_iter().for_each(|id| world.crash(id));
        self.waiting.clear();
        for id in world.all() {
            if world.metadata(id).is_none() {
                world.crash(id);
                if !world.start(id, Start::Resume).await {
                    return;
                }
            }
        }
        if !liveness::writes(&world).await {
            return;
        }
        if self.is_joining {
            let joined = liveness::until(&world, "who asked to join joins", liveness::LEADER, async || {
                self.join().await
            });
            if !joined.await {
                return;
            }
        }
        // Clients go on for a moment: everything is possible again.
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.clients.shutdown().await;
        if !self.removed().await || !self.converged().await {
            return;
        }
        self.reclaimed().await;
    }

    /// The drained node lets its copies go and leaves.
    async fn removed(&mut self) -> bool {
        let Some(id) = self.removing else { return true };
        let world = Arc::clone(&self.world);
        let remove =
            || Command::Node(Box::new(NodeCommand::Remove { node: node_id(id), removal: Removal::Drained }));
        let mut last = None;
        let gone = liveness::until(&world, "the drained node leaves", liveness::CONVERGED, async || {
            let Some(leader) = liveness::leader(&world) else { return false };
            let answer = leader.propose(remove()).await;
            let is_gone = matches!(answer, Ok(Response::NodeRemoved | Response::NotFound));
            last = Some(answer);
            is_gone
        });
        if !gone.await {
            world.violated("I25", format!("node {id} stays: {last:?}"));
            return false;
        }
        let away =
            liveness::until(&world, "the removed node is no member", liveness::CONVERGED, async || {
                let leader = liveness::leader(&world);
                leader.is_some_and(|leader| !leader.members().borrow().members.contains_key(&node_id(id)))
            });
        let is_away = away.await;
        world.retire(id).await;
        world.count("nodes removed", 1);
        is_away
    }

    async fn converged(&mut self) -> bool {
        let world = Arc::clone(&self.world);
        let equal = liveness::until(&world, "all nodes have applied all", liveness::CONVERGED, async || {
            let Some(leader) = liveness::leader(&world) else { return false };
            let last = leader.status().last_log_index;
            let all = world.all().into_iter().map(|node| world.metadata(node));
            all.into_iter().all(|node| node.is_some_and(|node| node.status().applied_index >= last))
        });
        if !equal.await {
            return false;
        }
        let mut last = None;
        let copied =
            liveness::until(&world, "all blobs have their copies", liveness::CONVERGED, async || {
                let Some(leader) = liveness::leader(&world) else { return false };
                last = leader.local().ok().and_then(|reader| copies_are_there::short(&world, &reader));
                last.is_none()
            });
        if !copied.await {
            world.violated("I9", last.unwrap_or_default());
            return false;
        }
        // Their disks are whole again.
        lock(&world.lost_disks).clear();
        self.invariants.check(&world, &self.known);
        if let Some(reader) = liveness::leader(&world).and_then(|leader| leader.local().ok()) {
            acked_writes_stay::check(&world, &self.known, &reader);
        }
        self.is_right()
    }

    /// So many pass in log time, which a clock that was far ahead may have taken with it.
    fn hours(&self, hours: u64) {
        let reader = liveness::leader(&self.world).and_then(|leader| leader.local().ok());
        let now_ms = reader.and_then(|reader| state::log_time(&reader).ok()).unwrap_or(0);
        for id in self.world.all() {
            self.world.advance_clock(id, now_ms + hours * 3_600_000);
        }
    }

    /// Staging and leases end; nothing that nobody needs may be left.
    async fn reclaimed(&mut self) {
        let world = Arc::clone(&self.world);
        for _ in 0..2 {
            self.hours(30);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let mut last = None;
        let gone = liveness::until(&world, "unused bytes are gone", liveness::CONVERGED, async || {
            self.hours(1);
            let Some(reader) = liveness::leader(&world).and_then(|leader| leader.local().ok()) else {
                return false;
            };
            last = bytes_are_reclaimed::left(&world, &reader);
            last.is_none()
        });
        if !gone.await {
            world.violated("I17", last.unwrap_or_default());
        }
        self.invariants.check(&world, &self.known);
    }
}

fn add(id: u64, admission: Admission) -> Command {
    let add = AddNode {
        node: node_id(id),
        public_key: PeerKey::new([id as u8; 32]),
        region: "home".parse().expect("a label"),
        place: place_of(id),
        incarnation: 0,
        admission,
    };
    Command::Node(Box::new(NodeCommand::Add(add)))
}
