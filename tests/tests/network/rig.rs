//! A cluster in a network of its own, and who leads it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::ServerOptions;
use tests::cluster::{Cluster, PATIENCE};
use tests::http::Client;
use tests::namespace::Namespace;
use tests::wait::{wait_for, wait_until};

/// Nodes that vote, at 127.0.0.11 and on.
pub(crate) struct Rig {
    // First: the nodes end before their network goes.
    pub(crate) cluster: Cluster,
    pub(crate) network: Namespace,
    /// What each node calls itself.
    ids: Vec<String>,
}

impl Rig {
    /// `count` nodes of which `voters` vote, all well.
    pub(crate) fn start(count: usize, voters: u64) -> Self {
        Self::start_with(count, voters, |_, _| {})
    }

    /// The same; `adapt` may change how each node is started.
    pub(crate) fn start_with(count: usize, voters: u64, adapt: impl Fn(usize, &mut ServerOptions)) -> Self {
        let network = Namespace::enter();
        let mut cluster = Cluster::start_apart(count, adapt);
        cluster.wait_for_voters(voters);
        let ids = cluster.nodes.iter().map(|node| {
            let status = status(&node.root()).expect("a status of a node that is well");
            status["node"].as_str().expect("its name").to_owned()
        });
        let ids = ids.collect();
        Self { cluster, network, ids }
    }

    pub(crate) fn count(&self) -> usize {
        self.cluster.nodes.len()
    }

    pub(crate) fn client(&self, node: usize) -> Client {
        self.cluster.nodes[node].root()
    }

    pub(crate) fn clients(&self) -> Vec<Client> {
        (0..self.count()).map(|node| self.client(node)).collect()
    }

    /// What each node calls itself.
    pub(crate) fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Lets an edge join: it follows, caches, and neither votes nor is a home.
    pub(crate) fn join_edge(&mut self) {
        self.join_with(&["--edge"]);
    }

    /// Lets a full node join; its place.
    pub(crate) fn join(&mut self) -> usize {
        self.join_with(&[])
    }

    fn join_with(&mut self, arguments: &[&str]) -> usize {
        let token = self.cluster.token(arguments);
        self.cluster.join_apart(&token);
        let place = self.cluster.nodes.len() - 1;
        let status = status(&self.client(place)).expect("a status of a node that is well");
        self.ids.push(status["node"].as_str().expect("its name").to_owned());
        place
    }

    /// Every node but this one.
    pub(crate) fn others(&self, node: usize) -> Vec<usize> {
        (0..self.count()).filter(|other| *other != node).collect()
    }

    /// Whom `asked` takes for the leader, once it has a quorum.
    pub(crate) fn leader(&self, asked: usize) -> usize {
        wait_for("a leader with a quorum", PATIENCE, || {
            let status = status(&self.client(asked)).ok_or("no answer")?;
            let leader = status["leader"].as_str().filter(|_| status["quorum"] == true);
            self.place(leader).ok_or("none")
        })
    }

    fn place(&self, leader: Option<&str>) -> Option<usize> {
        self.ids.iter().position(|id| Some(id.as_str()) == leader)
    }

    pub(crate) fn term(&self, asked: usize) -> u64 {
        status(&self.client(asked)).and_then(|status| status["term"].as_u64()).unwrap_or(0)
    }

    /// Waits until every node has a quorum and has applied what the first one has; returns how long that took.
    pub(crate) fn wait_until_equal(&self) -> Duration {
        let began = Instant::now();
        wait_until("all nodes to agree", PATIENCE, || {
            let told: Vec<Option<Value>> = self.clients().iter().map(status).collect();
            let of = |field: &str| -> BTreeSet<String> {
                let said =
                    told.iter().map(|status| status.as_ref().map_or(&Value::Null, |told| &told[field]));
                said.map(Value::to_string).collect()
            };
            of("quorum") == BTreeSet::from(["true".to_owned()])
                && of("leader").len() == 1
                && of("applied_index").len() == 1
        });
        began.elapsed()
    }

    /// Fails when a node panicked.
    pub(crate) fn assert_no_panics(&self) {
        for node in &self.cluster.nodes {
            let log = node.log();
            let panic = log.lines().find(|line| line.contains("panicked"));
            assert!(panic.is_none(), "{panic:?}");
        }
    }

    /// Watches who leads in which term, as all nodes tell it, until it is stopped.
    pub(crate) fn watch_terms(&self) -> TermWatch {
        let stop = Arc::new(AtomicBool::new(false));
        let watch = |client: Client| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let mut leaders = BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    if let Some(status) = status(&client) {
                        let leader = status["leader"].as_str().map(str::to_owned);
                        leaders.extend(status["term"].as_u64().zip(leader));
                    }
                    thread::sleep(Duration::from_millis(50));
                }
                leaders
            })
        };
        TermWatch { threads: self.clients().into_iter().map(watch).collect(), stop }
    }
}

/// The node's own word on the cluster.
pub(crate) fn status(client: &Client) -> Option<Value> {
    let answer = client.get("/api/v1/status").try_send().ok()?;
    (answer.status == 200).then(|| answer.json())
}

/// See [`Rig::watch_terms`].
pub(crate) struct TermWatch {
    threads: Vec<JoinHandle<BTreeSet<(u64, String)>>>,
    stop: Arc<AtomicBool>,
}

impl TermWatch {
    /// The terms with the leader of each.
    ///
    /// # Panics
    /// When one had two.
    pub(crate) fn stop(self) -> BTreeMap<u64, String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut leaders = BTreeMap::new();
        for thread in self.threads {
            for (term, leader) in thread.join().expect("a watcher") {
                let before = leaders.insert(term, leader.clone());
                assert!(
                    before.as_ref().is_none_or(|before| *before == leader),
                    "term {term} had two leaders: {before:?} and {leader}"
                );
            }
        }
        leaders
    }
}
