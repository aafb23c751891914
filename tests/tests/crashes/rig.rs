//! Three nodes with their volumes, the load on them, and the last check of every promise through every node.
//!
//! Owns nodes and volumes; the nodes end before their volumes are unmounted.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tests::cluster::{Cluster, PATIENCE};
use tests::http::Client;
use tests::journal::{Journal, Verdict, random};
use tests::load::{Load, LoadOptions, REPOSITORY, Tally, push_image};
use tests::volume::{Kind, Volume};
use tests::wait::try_wait_for;
use tests::{Server, wait_until};

/// Sparse: only what is written takes room. xfs wants 300 at least.
pub(crate) const VOLUME_MIB: u64 = 16 << 10;
/// Nodes of every rig.
pub(crate) const NODES: usize = 3;

/// A cluster under test.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) cluster: Cluster,
    // After the cluster: its processes end first.
    pub(crate) volumes: Vec<Volume>,
    pub(crate) journal: Arc<Journal>,
}

impl Rig {
    /// Nodes with their data below the temporary directory.
    pub(crate) fn new() -> Self {
        Self { cluster: Cluster::start(NODES), volumes: Vec::new(), journal: Arc::default() }
    }

    /// Nodes on volumes of their own, of so many MiB each.
    pub(crate) fn on(kind: Kind, mib: [u64; NODES]) -> Self {
        let volumes: Vec<Volume> = mib.iter().map(|mib| Volume::new(kind, *mib)).collect();
        Self::on_volumes(volumes)
    }

    /// Nodes on volumes that are there.
    pub(crate) fn on_volumes(volumes: Vec<Volume>) -> Self {
        let cluster = Cluster::start_with(NODES, |place, options| {
            options.data = Some(volumes[place].path().join("data"));
        });
        Self { cluster, volumes, journal: Arc::default() }
    }

    /// Clients of all nodes.
    pub(crate) fn clients(&self) -> Vec<Client> {
        self.cluster.nodes.iter().map(Server::root).collect()
    }

    /// Clients that push and pull through every node.
    pub(crate) fn load(&self, pushers: usize, pullers: usize) -> Load {
        let options = LoadOptions { pushers, pullers, large_manifests: true };
        Load::start_on(&self.clients(), options, &self.journal)
    }

    /// Starts all nodes again side by side, since each waits for others; how long each took until it was ready.
    pub(crate) fn restart_all(&mut self) -> anyhow::Result<Vec<Duration>> {
        thread::scope(|scope| {
            let start = |node| {
                scope.spawn(move || {
                    let began = Instant::now();
                    Server::try_restart(node).map(|()| began.elapsed())
                })
            };
            let starts: Vec<_> = self.cluster.nodes.iter_mut().map(start).collect();
            starts.into_iter().map(|start| start.join().expect("a start")).collect()
        })
    }

    /// Reads the promises, without the `first` oldest, through every node. What is lost or wrong counts at once; a
    /// node may ask for patience with the rest while it catches up.
    pub(crate) fn verdict(&self, first: usize) -> Verdict {
        let mut sum = Verdict::default();
        for client in self.clients() {
            let mut verdict = Verdict::default();
            let _ = try_wait_for("every promise to be readable", PATIENCE, || {
                verdict = self.journal.verify_from(first, &client, 2);
                let is_final = !verdict.lost.is_empty() || !verdict.wrong.is_empty() || verdict.is_whole();
                if is_final { Ok(()) } else { Err(verdict.to_string()) }
            });
            sum.checked += verdict.checked;
            sum.lost.extend(verdict.lost);
            sum.wrong.extend(verdict.wrong);
            sum.unavailable.extend(verdict.unavailable);
        }
        sum
    }

    /// Checks every promise through every node, that each blob has all its copies, and that nobody panicked.
    pub(crate) fn assert_kept(&mut self, tally: &Tally) -> Verdict {
        assert_eq!(tally.broken, Vec::<String>::new(), "wrong or missing while under load");
        let verdict = self.verdict(0);
        verdict.assert_whole(|| self.complaints());
        self.wait_for_copies();
        self.assert_calm();
        verdict
    }

    /// Waits until `shoal status` says that every blob is where it should be.
    pub(crate) fn wait_for_copies(&mut self) {
        self.cluster.wait_for_status("all copies to be made", |status| {
            if status["blobs_under_copied"] == 0 { Ok(()) } else { Err(status.to_string()) }
        });
    }

    /// Checks that no node panicked.
    pub(crate) fn assert_calm(&self) {
        for node in &self.cluster.nodes {
            assert!(!node.log().contains("panicked"), "{}", self.complaints());
        }
    }

    /// Waits until a push through node `place` is acknowledged; how long that took.
    pub(crate) fn wait_until_writable(&self, place: usize) -> Duration {
        let (began, client) = (Instant::now(), self.cluster.nodes[place].root());
        wait_until("a push to be acknowledged", PATIENCE, || {
            push_image(&client, REPOSITORY, &self.journal, false).is_ok()
        });
        began.elapsed()
    }

    /// The last warnings and errors of each node.
    pub(crate) fn complaints(&self) -> String {
        let tail = |(place, node): (usize, &Server)| {
            let log = node.log();
            let lines = log.lines().filter(|line| !line.contains(" INFO ") && !line.contains("\"INFO\""));
            let lines: Vec<String> = lines.map(|line| line.chars().take(300).collect()).collect();
            format!("node {place}:\n{}\n", lines[lines.len().saturating_sub(10)..].join("\n"))
        };
        self.cluster.nodes.iter().enumerate().map(tail).collect()
    }
}

/// One node by chance.
pub(crate) fn any_node() -> usize {
    random() as usize % NODES
}
