//! The nodes of one run and the machine they run on: who lives, what each one's disks hold, what time it is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster::simulation::{self, File, Machine};
use cluster::{Metadata, MetadataConfig, Start};
use cluster_core::command::Receipt;
use proto::digest::Digest;
use proto::identity::NodeId;
use proto::upload::UploadId;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Mutant;
use super::disk::Disk;
use super::homes;
use super::network::{Network, Wire};
use super::random::Random;

/// 2026-01-01.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// The blobs on one node's disk: files under their final names, and whether each is synced.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) files: BTreeMap<(Digest, UploadId), bool>,
}

/// One node through all of its lives.
pub(crate) struct Node {
    /// Rises with every start and every end.
    pub(crate) life: u64,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) disk: Disk,
    pub(crate) blobs: Files,
    pub(crate) incarnation: u64,
    /// Whether the blobs were lost and nobody has been told.
    pub(crate) is_emptied: bool,
    /// Added to the clock, milliseconds.
    clock_ms: u64,
    jobs: JoinSet<()>,
}

/// What happened, in numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

/// One run.
pub(crate) struct World {
    pub(crate) random: Arc<Random>,
    pub(crate) network: Network,
    pub(crate) mutant: Option<Mutant>,
    /// Entries between two snapshots, and kept behind one.
    pub(crate) log: (u64, u64),
    nodes: Mutex<BTreeMap<u64, Node>>,
    started: Instant,
    root: PathBuf,
    trace: Mutex<u64>,
    is_traced: bool,
    figures: Mutex<Figures>,
    violations: Mutex<Vec<String>>,
    /// Longest time that a disk takes, milliseconds.
    pub(crate) slowness: Mutex<u64>,
    /// Nodes whose blobs were lost.
    pub(crate) lost_disks: Mutex<BTreeSet<u64>>,
    /// By client: nodes with a staged copy whose upload pauses just now.
    pub(crate) staged: Mutex<BTreeMap<u64, Vec<u64>>>,
    /// An index that was applied somewhere when something was acknowledged or removed.
    pub(crate) reached: Mutex<u64>,
    /// Generations whose drop was acknowledged.
    pub(crate) dropped: Mutex<BTreeSet<(Digest, UploadId)>>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

pub(crate) fn node_id(node: u64) -> NodeId {
    NodeId::new(node).expect("nodes count from 1")
}

struct Here(Arc<World>);

impl Machine for Here {
    fn clock_ms(&self, node: NodeId) -> u64 {
        self.0.clock_ms(node.get())
    }

    fn random(&self) -> u64 {
        self.0.random.next()
    }

    fn delay(&self) -> Duration {
        let slowness = *lock(&self.0.slowness);
        self.0.random.millis(slowness)
    }

    fn file(&self, path: &Path) -> Arc<dyn File> {
        let (node, name) = self.0.place_of(path);
        self.0.nodes()[&node].disk.file(&name)
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        let (node, name) = self.0.place_of(dir);
        self.0.nodes()[&node].disk.names(&name)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (node, name) = self.0.place_of(path);
        self.0.nodes()[&node].disk.remove(&name)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// Nobody lives yet. Replaces the machine of this thread.
    pub(crate) fn new(seed: u64, mutant: Option<Mutant>, root: &Path) -> Arc<Self> {
        let random = Arc::new(Random::new(seed));
        let log = random.pick(&[(1000, 4000), (40, 10), (15, 3)]);
        let world = Arc::new(Self {
            random,
            network: Network::default(),
            mutant,
            log,
            nodes: Mutex::default(),
            started: Instant::now(),
            root: root.to_owned(),
            trace: Mutex::new(seed),
            is_traced: std::env::var_os("SHOAL_SIM_TRACE").is_some(),
            figures: Mutex::default(),
            violations: Mutex::default(),
            slowness: Mutex::new(1),
            lost_disks: Mutex::default(),
            dropped: Mutex::default(),
            staged: Mutex::default(),
            reached: Mutex::default(),
        });
        simulation::install(Some(Rc::new(Here(Arc::clone(&world)))));
        world
    }

    /// The node that a path belongs to, and the rest of it.
    fn place_of(&self, path: &Path) -> (u64, String) {
        let below = path.strip_prefix(&self.root).expect("below the root");
        let mut parts = below.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let node = parts.next().and_then(|name| name.parse().ok());
        (node.expect("a directory is named by its node"), parts.collect::<Vec<_>>().join("/"))
    }

    pub(crate) fn nodes(&self) -> MutexGuard<'_, BTreeMap<u64, Node>> {
        lock(&self.nodes)
    }

    /// Makes what happened part of the run's trace.
    pub(crate) fn note(&self, what: &[u64]) {
        let mut trace = lock(&self.trace);
        for word in what.iter().chain([&self.elapsed_us()]) {
            *trace = (trace.rotate_left(5) ^ word).wrapping_mul(0x0517_cc1b_7272_20a9);
        }
        if self.is_traced {
            eprintln!("{} {what:?}", self.elapsed_us());
        }
    }

    /// For whoever repeats a seed to see what happens.
    pub(crate) fn tell(&self, what: std::fmt::Arguments<'_>) {
        if self.is_traced {
            eprintln!("{} {what}", self.elapsed_us());
        }
    }

    pub(crate) fn trace(&self) -> u64 {
        *lock(&self.trace)
    }

    pub(crate) fn elapsed_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    pub(crate) fn count(&self, what: &'static str, by: u64) {
        *lock(&self.figures).counts.entry(what).or_default() += by;
    }

    pub(crate) fn figures(&self) -> Figures {
        lock(&self.figures).clone()
    }

    pub(crate) fn violated(&self, invariant: &str, what: impl std::fmt::Display) {
        let at = self.elapsed_us() / 1000;
        lock(&self.violations).push(format!("{invariant} at {at} ms: {what}"));
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        lock(&self.violations).clone()
    }

    pub(crate) fn clock_ms(&self, node: u64) -> u64 {
        let offset = self.nodes().get(&node).map_or(0, |node| node.clock_ms);
        EPOCH_MS + self.elapsed_us() / 1000 + offset
    }

    /// `by` may be more than the clock was ahead: then it goes back to the true time.
    pub(crate) fn jump_clock(&self, node: u64, by: i64) {
        if let Some(node) = self.nodes().get_mut(&node) {
            node.clock_ms = node.clock_ms.saturating_add_signed(by);
        }
    }

    /// Sets a clock that is behind `time_ms` to it.
    pub(crate) fn advance_clock(&self, node: u64, time_ms: u64) {
        let now_ms = self.clock_ms(node);
        if let Some(node) = self.nodes().get_mut(&node) {
            node.clock_ms += time_ms.saturating_sub(now_ms);
        }
    }

    /// Whether the node still lives that life.
    pub(crate) fn lives(&self, (node, life): (u64, u64)) -> bool {
        self.nodes().get(&node).is_some_and(|node| node.life == life && node.disk.is_on())
    }

    /// Its present life.
    pub(crate) fn life_of(&self, node: u64) -> Option<(u64, Metadata)> {
        let nodes = self.nodes();
        let node = nodes.get(&node).filter(|node| node.disk.is_on())?;
        Some((node.life, node.metadata.clone()?))
    }

    /// Of a node that has lived.
    pub(crate) fn disk(&self, node: u64) -> Disk {
        self.nodes()[&node].disk.clone()
    }

    pub(crate) fn metadata(&self, node: u64) -> Option<Metadata> {
        self.life_of(node).map(|(_, metadata)| metadata)
    }

    /// What was applied somewhere by now has shown outside: an answer may tell of an entry that the node which
    /// gives it has not applied yet.
    pub(crate) fn shown(&self) {
        let applied = |node| self.metadata(node).map(|metadata| metadata.status().applied_index);
        let most = self.up().into_iter().filter_map(applied).max().unwrap_or_default();
        let mut reached = lock(&self.reached);
        *reached = (*reached).max(most);
    }

    /// Everybody there ever was and that is not removed.
    pub(crate) fn all(&self) -> Vec<u64> {
        self.nodes().keys().copied().collect()
    }

    pub(crate) fn up(&self) -> Vec<u64> {
        self.nodes().iter().filter(|(_, node)| node.metadata.is_some()).map(|(id, _)| *id).collect()
    }

    pub(crate) fn receipt(&self, node: u64) -> Receipt {
        let incarnation = self.nodes().get(&node).map_or(0, |node| node.incarnation);
        Receipt { node: node_id(node), incarnation }
    }

    /// Starts a node, for the first time or again. `false`: it could not open what is on its disk.
    pub(crate) async fn start(self: &Arc<Self>, id: u64, start: Start) -> bool {
        let life = {
            let lies = self.mutant == Some(Mutant::AckBeforeSync);
            let mut nodes = self.nodes();
            let node = nodes.entry(id).or_insert_with(|| Node {
                life: 0,
                metadata: None,
                disk: Disk::new(Arc::clone(&self.random), lies),
                blobs: Files::default(),
                incarnation: 0,
                is_emptied: false,
                clock_ms: self.random.below(3000),
                jobs: JoinSet::new(),
            });
            node.life += 1;
            node.incarnation += 1;
            node.disk.power_on();
            node.life
        };
        self.note(&[3, id, life]);
        let config = MetadataConfig {
            reserve_bytes: Some(0),
            address: format!("node-{id}"),
            cache_bytes: 1 << 20,
            entries_per_snapshot: self.log.0,
            entries_kept: self.log.1,
            ..MetadataConfig::new(self.root.join(id.to_string()), node_id(id))
        };
        let wire = Wire { world: Arc::clone(self), from: id, life };
        let metadata = match Metadata::open(config, wire, start).await {
            Ok(metadata) => metadata,
            Err(error) => {
                if self.lives((id, life)) {
                    self.violated("E5", format!("node {id} does not open: {error:?}"));
                }
                return false;
            }
        };
        let mut nodes = self.nodes();
        let node = nodes.get_mut(&id).expect("it was entered above");
        node.metadata = Some(metadata.clone());
        homes::spawn_jobs(self, id, life, &metadata, &mut node.jobs);
        true
    }

    /// Ends a node as a power cut does.
    pub(crate) fn crash(self: &Arc<Self>, id: u64) {
        let mut nodes = self.nodes();
        let Some(node) = nodes.get_mut(&id) else { return };
        let Some(metadata) = node.metadata.take() else { return };
        node.life += 1;
        node.disk.power_off();
        node.blobs.files.retain(|_, is_synced| *is_synced);
        node.jobs = JoinSet::new();
        drop(nodes);
        self.note(&[4, id]);
        self.count("crashes", 1);
        // Whatever is left of it has no disk and no network; this ends its tasks.
        tokio::spawn(async move { metadata.shutdown(Duration::from_secs(1)).await });
    }

    /// Ends a node for good, with goodbye.
    pub(crate) async fn retire(self: &Arc<Self>, id: u64) {
        let metadata = {
            let mut nodes = self.nodes();
            let Some(node) = nodes.get_mut(&id) else { return };
            node.jobs = JoinSet::new();
            node.metadata.take()
        };
        if let Some(metadata) = metadata {
            metadata.shutdown(Duration::from_secs(2)).await;
        }
        self.nodes().remove(&id);
        self.note(&[5, id]);
    }

    /// Gone are the blobs of a node that is down.
    pub(crate) fn lose_blobs(&self, id: u64) {
        if let Some(node) = self.nodes().get_mut(&id) {
            node.blobs = Files::default();
            node.is_emptied = true;
        }
        lock(&self.lost_disks).insert(id);
        self.count("disks lost", 1);
    }
}
