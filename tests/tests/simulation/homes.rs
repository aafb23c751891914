//! What every node does for the blobs and the group beside agreement: a model of the jobs of the crate `node`
//! over a model of its disk, each decision by the production plan functions and judged by production apply.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cluster::{Member, Metadata, Role};
use cluster_core::command::node::{Disk as DiskFound, NodePlace, UpdateNode};
use cluster_core::command::{Command, ConfirmCopies, NodeCommand, Receipt, Response};
use cluster_core::level::Levels;
use cluster_core::plan::placement;
use cluster_core::plan::repair::{self, Action, Facts, Limits, Step};
use cluster_core::plan::voters::{self, Plan, Standing, Vote};
use cluster_core::record::BlobRecord;
use cluster_core::state;
use proto::digest::Digest;
use proto::identity::{NodeId, Zone};
use proto::upload::UploadId;
use tokio::task::JoinSet;

use super::Mutant;
use super::world::{World, lock, node_id};

/// As in `node`: how long after its staging began a copy may be committed, milliseconds.
pub(crate) const STAGING_MS: u64 = 60 * 60 * 1000;
const PAGE: usize = 256;
const LIMITS: Limits = Limits { fetches: 8, bytes: u64::MAX, commands: 32 };

/// Which blobs repair looks through.
#[derive(Clone, Copy)]
enum Set {
    UnderCopied,
    Own,
    All,
}

/// The jobs of one node in one life.
#[derive(Clone)]
struct Jobs {
    world: Arc<World>,
    id: u64,
    life: u64,
    metadata: Metadata,
}

/// Starts them; they end with `jobs`.
pub(crate) fn spawn_jobs(
    world: &Arc<World>,
    id: u64,
    life: u64,
    metadata: &Metadata,
    jobs: &mut JoinSet<()>,
) {
    let own = Jobs { world: Arc::clone(world), id, life, metadata: metadata.clone() };
    jobs.spawn(own.clone().register());
    jobs.spawn(own.clone().repair());
    jobs.spawn(own.clone().janitor());
    jobs.spawn(own.clone().collect());
    jobs.spawn(own.lead());
}

pub(crate) fn zone_of(id: u64) -> Zone {
    format!("z{}", id % 3).parse().expect("a label")
}

pub(crate) fn place_of(id: u64) -> NodePlace {
    let addresses = vec![format!("node-{id}:1").parse().expect("a host and a port")];
    NodePlace {
        addresses,
        zone: zone_of(id),
        capacity_bytes: 1 << 40,
        release: "simulated".to_owned(),
        levels: Levels::OWN,
    }
}

impl World {
    /// Brings a copy to node `to` from a node that has it: over the network, then synced. Whether it is there.
    pub(crate) async fn fetch(self: &Arc<Self>, from: u64, to: (u64, u64), copy: (Digest, UploadId)) -> bool {
        let Some((life, _)) = self.life_of(from) else { return false };
        let asked = self.carry(to, (from, life)).await;
        if !asked || !self.has(from, copy) || !self.carry((from, life), to).await {
            return false;
        }
        self.store(to, copy).await
    }

    pub(crate) fn has(&self, node: u64, copy: (Digest, UploadId)) -> bool {
        self.nodes().get(&node).is_some_and(|node| node.blobs.files.contains_key(&copy))
    }

    /// The files of blobs on a node's disk.
    pub(crate) fn files(&self, node: u64) -> BTreeSet<(Digest, UploadId)> {
        self.nodes().get(&node).map(|node| node.blobs.files.keys().copied().collect()).unwrap_or_default()
    }

    /// Writes and syncs a copy, then gives it its name; whether the node lived until then.
    pub(crate) async fn store(self: &Arc<Self>, on: (u64, u64), copy: (Digest, UploadId)) -> bool {
        let early = self.mutant == Some(Mutant::ReceiptBeforeSync);
        let slowness = *lock(&self.slowness);
        if !early {
            tokio::time::sleep(self.random.millis(4 * slowness)).await;
        }
        if !self.lives(on) {
            return false;
        }
        if let Some(node) = self.nodes().get_mut(&on.0) {
            node.blobs.files.entry(copy).or_insert(!early);
        }
        if early {
            let world = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(2)).await;
                if world.lives(on)
                    && let Some(node) = world.nodes().get_mut(&on.0)
                    && let Some(is_synced) = node.blobs.files.get_mut(&copy)
                {
                    *is_synced = true;
                }
            });
        }
        true
    }

    /// Takes a file away; no record may name it (I16).
    fn unlink(&self, id: u64, copy: (Digest, UploadId)) {
        if let Some(node) = self.nodes().get_mut(&id) {
            node.blobs.files.remove(&copy);
        }
        self.tell(format_args!("node {id} unlinks {copy:?}"));
        self.count("files unlinked", 1);
        self.shown();
        super::invariants::no_early_unlink::check(self, id, copy);
    }
}

impl Jobs {
    fn here(&self) -> (u64, u64) {
        (self.id, self.life)
    }

    fn own(&self) -> Receipt {
        self.world.receipt(self.id)
    }

    async fn pause(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis) + self.world.random.millis(millis / 4)).await;
    }

    /// Says once that this node has started, and with what disk.
    async fn register(self) {
        loop {
            let (incarnation, is_emptied) = {
                let nodes = self.world.nodes();
                let node = &nodes[&self.id];
                (node.incarnation, node.is_emptied)
            };
            let disk = if is_emptied { DiskFound::Empty } else { DiskFound::Kept };
            let update = UpdateNode { node: node_id(self.id), place: place_of(self.id), incarnation, disk };
            let told = self.metadata.propose(Command::Node(Box::new(NodeCommand::Update(update)))).await;
            self.world.tell(format_args!("node {} has registered as {incarnation}: {told:?}", self.id));
            if matches!(told, Ok(Response::NodeUpdated)) {
                if let Some(node) = self.world.nodes().get_mut(&self.id) {
                    node.is_emptied = false;
                }
                return;
            }
            self.pause(400).await;
        }
    }

    async fn repair(self) {
        for round in 0_u32.. {
            self.pause(500).await;
            // As in `node`, only more often.
            let set = match round % 6 {
                1 | 4 => Set::Own,
                5 => Set::All,
                _ => Set::UnderCopied,
            };
            let _ = self.look(set).await;
        }
    }

    /// `None`: the state could not be read.
    async fn look(&self, set: Set) -> Option<()> {
        let blobs = self.page(set)?;
        let (candidates, now_ms) = {
            let reader = self.metadata.local().ok()?;
            (placement::candidates(&state::node::homes(&reader).ok()?), state::log_time(&reader).ok()?)
        };
        let files = self.world.files(self.id);
        let reachable: BTreeSet<NodeId> = self.world.up().into_iter().map(node_id).collect();
        let node = node_id(self.id);
        let facts = Facts {
            node,
            candidates: &candidates,
            reachable: &reachable,
            now_ms,
            blobs: &blobs,
            files: &files,
        };
        let plan = repair::next(&facts, LIMITS);
        if !plan.without_source.is_empty() {
            self.world.tell(format_args!("node {} finds no source of {:?}", self.id, plan.without_source));
        }
        for step in plan.steps {
            self.world.tell(format_args!("node {} is to {step:?}", self.id));
            self.take(step).await;
        }
        Some(())
    }

    fn page(&self, set: Set) -> Option<Vec<(Digest, BlobRecord)>> {
        let reader = self.metadata.local().ok()?;
        let page = match set {
            Set::All => return Some(state::blob::blobs(&reader, None, PAGE).ok()?.items),
            Set::Own => state::copies::of_node(&reader, node_id(self.id), None, PAGE).ok()?,
            Set::UnderCopied => state::copies::under_copied(&reader, None, PAGE).ok()?,
        };
        let mut blobs = Vec::new();
        for digest in page.items {
            blobs.extend(state::blob::blob(&reader, &digest).ok()?.map(|record| (digest, record)));
        }
        Some(blobs)
    }

    async fn take(&self, step: Step) {
        let Step { digest, generation, action, .. } = step;
        let (added, lost) = match action {
            Action::Fetch { from, .. } => {
                let mut is_here = false;
                for source in from {
                    let copy = (digest, generation);
                    is_here = is_here || self.world.fetch(source.get(), self.here(), copy).await;
                }
                if !is_here {
                    return;
                }
                (vec![self.own()], Vec::new())
            }
            Action::Confirm => (vec![self.own()], Vec::new()),
            Action::ReportLost => (Vec::new(), vec![node_id(self.id)]),
            Action::Release { to } => return self.release((digest, generation), &to).await,
        };
        let confirm = ConfirmCopies { digest, generation, added, lost, released: Vec::new() };
        let confirmed = self.metadata.propose(Command::ConfirmCopies(confirm)).await;
        self.world.tell(format_args!("node {} has told of {digest}: {confirmed:?}", self.id));
        if confirmed.is_ok() {
            self.world.count("copies repaired", 1);
        }
    }

    async fn release(&self, copy: (Digest, UploadId), homes: &[NodeId]) {
        let (digest, generation) = copy;
        if self.world.mutant == Some(Mutant::ReleaseBeforeEntry) {
            self.world.unlink(self.id, copy);
        }
        for home in homes {
            let Some((life, _)) = self.world.life_of(home.get()) else { return };
            let home = (home.get(), life);
            let asked = self.world.carry(self.here(), home).await;
            if !asked || !self.world.has(home.0, copy) || !self.world.carry(home, self.here()).await {
                return;
            }
        }
        let released = vec![node_id(self.id)];
        let confirm = ConfirmCopies { digest, generation, added: Vec::new(), lost: Vec::new(), released };
        if self.metadata.propose(Command::ConfirmCopies(confirm)).await.is_err() {
            return;
        }
        let is_applied = self.metadata.read().await.is_ok();
        let Ok(reader) = self.metadata.local() else { return };
        let Ok(record) = state::blob::blob(&reader, &digest) else { return };
        let own = node_id(self.id);
        let is_named =
            record.is_some_and(|record| record.generation == generation && record.copies.contains(&own));
        if is_applied && !is_named && self.world.lives(self.here()) {
            self.world.count("copies released", 1);
            self.world.unlink(self.id, copy);
        }
    }

    /// Removes files that no record names, as `node`'s janitor does.
    async fn janitor(self) {
        let mut unnamed: BTreeMap<(Digest, UploadId), u64> = BTreeMap::new();
        loop {
            self.pause(700).await;
            let _ = self.metadata.tick().await;
            let files = self.world.files(self.id);
            let now = match self.world.mutant {
                Some(Mutant::JanitorByLocalClock) => self.world.clock_ms(self.id),
                _ => match self.metadata.applied_log_time() {
                    Ok(now) => now,
                    Err(_) => continue,
                },
            };
            let mut seen = BTreeMap::new();
            for (digest, generation) in files {
                let Ok(reader) = self.metadata.local() else { continue };
                let Ok(record) = state::blob::blob(&reader, &digest) else { continue };
                if record.is_some_and(|record| record.generation == generation) {
                    continue;
                }
                let first = unnamed.get(&(digest, generation)).copied().unwrap_or(now);
                if now <= first.saturating_add(STAGING_MS) {
                    seen.insert((digest, generation), first);
                } else {
                    self.world.unlink(self.id, (digest, generation));
                }
            }
            unnamed = seen;
        }
    }

    /// Proposes to forget blobs that nothing links: from facts that may be old when it is judged (R1).
    async fn collect(self) {
        loop {
            self.pause(800).await;
            let Ok(reader) = self.metadata.local() else { continue };
            let Ok(now) = state::log_time(&reader) else { continue };
            let Ok(page) = state::blob::blobs(&reader, None, PAGE) else { continue };
            drop(reader);
            let unused =
                page.items.into_iter().filter(|(_, record)| record.links == 0 && record.lease_until_ms < now);
            let unused: Vec<_> = unused.collect();
            if !unused.is_empty() {
                self.pause(1500).await;
            }
            for (digest, record) in unused {
                let generation = record.generation;
                let dropped = self.metadata.propose(Command::DropBlob { digest, generation }).await;
                if matches!(dropped, Ok(Response::Dropped)) {
                    self.world.count("blobs dropped", 1);
                    super::invariants::drop_once::dropped(&self.world, (digest, generation));
                }
            }
        }
    }

    /// The leader's care for members and voters, as `node`'s job of that name.
    async fn lead(self) {
        loop {
            self.pause(500).await;
            if self.metadata.status().role == Role::Leader {
                let _ = self.care().await;
            }
        }
    }

    async fn care(&self) -> Option<()> {
        let (nodes, is_recounting) = {
            let reader = self.metadata.local().ok()?;
            (state::node::nodes(&reader).ok()?, state::copies::is_recounting(&reader).ok()?)
        };
        if nodes.is_empty() {
            return None;
        }
        if is_recounting {
            self.metadata.propose(Command::RecountCopies { limit: 2 }).await.ok()?;
        }
        let members = self.metadata.members().borrow().members.clone();
        for (node, _) in &nodes {
            if !members.contains_key(node) {
                let member = Member { node: *node, address: format!("node-{}", node.get()) };
                self.metadata.add_learner(member).await.ok()?;
            }
        }
        for node in members.keys().filter(|node| nodes.iter().all(|(known, _)| known != *node)) {
            self.metadata.remove_member(*node).await.ok()?;
        }
        let status = self.metadata.status();
        let up = self.world.up();
        let standing = |(node, record): &(NodeId, _)| {
            let follower = status.followers.iter().find(|follower| follower.node == node.get());
            let is_behind =
                follower.is_none_or(|follower| follower.matching_index.is_none() || follower.lag > 100);
            let vote = match (status.voters.contains(&node.get()), is_behind) {
                (true, _) => Vote::Voter,
                (false, true) => Vote::Behind,
                (false, false) => Vote::CaughtUp,
            };
            let away_ms = if up.contains(&node.get()) { 0 } else { 10_000 };
            Standing::new(*node, record, vote, away_ms)
        };
        let standings: Vec<Standing> = nodes.iter().map(standing).collect();
        let mut voters: BTreeSet<NodeId> =
            standings.iter().filter(|one| one.vote == Vote::Voter).map(|one| one.node).collect();
        match voters::choose(&standings, 60_000) {
            Plan::Keep => return Some(()),
            Plan::Promote { node, .. } => drop(voters.insert(node)),
            Plan::Demote { node, .. } => drop(voters.remove(&node)),
            Plan::Replace { demote, promote, .. } => {
                voters.remove(&demote);
                voters.insert(promote);
            }
        }
        self.world.count("changes of voters", 1);
        self.metadata.apply_voters(voters).await.ok()
    }
}
