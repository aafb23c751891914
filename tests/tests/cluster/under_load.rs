//! Nodes come, go and are replaced, and a region is added, while clients push and pull: must show 5 of many nodes.
//! What the commands print is shown.

use std::sync::Arc;
use std::time::Duration;

use tests::Server;
use tests::cluster::{Cluster, PATIENCE, operate};
use tests::journal::Journal;
use tests::load::{Load, LoadOptions, Tally};
use tests::wait_until;

use crate::alone;

/// How long the load runs after each change, so that it meets what the change set off.
fn moment() -> Duration {
    Duration::from_secs(if tests::registry::is_full_run() { 30 } else { 1 })
}

/// Clients of every node.
struct Clients {
    journal: Arc<Journal>,
    loads: Vec<Load>,
}

impl Clients {
    fn start(nodes: &[Server]) -> Self {
        let journal = Arc::new(Journal::default());
        let options = LoadOptions { pushers: 1, pullers: 1, large_manifests: false };
        let loads = nodes.iter().map(|node| Load::start(&node.root(), options, &journal)).collect();
        Self { journal, loads }
    }

    /// The journal, and what all did together. Nothing may have been broken.
    fn stop(self) -> (Arc<Journal>, Tally) {
        let mut sum = Tally::default();
        for load in self.loads {
            let tally = load.stop();
            assert!(tally.broken.is_empty(), "{:?}", tally.broken);
            sum.pushed += tally.pushed;
            sum.pulled += tally.pulled;
            sum.push_failures += tally.push_failures;
            sum.pull_failures += tally.pull_failures;
        }
        (self.journal, sum)
    }
}

/// Runs an operator's command that must succeed, and shows what it prints.
#[expect(clippy::print_stdout, reason = "what operators see belongs to the output")]
fn show(node: &Server, arguments: &[&str]) -> String {
    let answer = operate(node, arguments);
    let said = String::from_utf8_lossy(&answer.stdout).into_owned();
    println!("$ shoal {}\n{said}{}", arguments.join(" "), String::from_utf8_lossy(&answer.stderr));
    assert!(answer.status.success(), "{}", answer.status);
    said
}

fn id_of(node: &Server) -> String {
    let status = operate(node, &["status", "--output", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("a document");
    status["node"].as_str().expect("an id").to_owned()
}

fn wait_for_copies(cluster: &mut Cluster) {
    cluster.wait_for_status("all copies to be made", |status| {
        if status["blobs_under_copied"] == 0 { Ok(()) } else { Err(status.to_string()) }
    });
}

#[test]
fn nodes_join_drain_leave_and_are_replaced_while_clients_push_and_pull() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let clients = Clients::start(&cluster.nodes);
    std::thread::sleep(moment());

    // One more.
    cluster.join();
    show(&cluster.nodes[0], &["node", "list"]);
    std::thread::sleep(moment());

    // One is drained and leaves; it goes on to serve until it is gone.
    let leaving = id_of(&cluster.nodes[3]);
    show(&cluster.nodes[0], &["node", "drain", &leaving]);
    wait_until("the drained node to be removable", PATIENCE, || {
        operate(&cluster.nodes[0], &["node", "remove", &leaving]).status.success()
    });
    show(&cluster.nodes[0], &["node", "list"]);
    cluster.nodes[3].kill9();
    std::thread::sleep(moment());

    // A region of its own.
    cluster.join_in("far");
    show(&cluster.nodes[0], &["node", "list"]);
    std::thread::sleep(moment());
    show(&cluster.nodes[0], &["status"]);

    let (journal, tally) = clients.stop();
    println!("    5: {tally:?}, {} promises", journal.len());
    assert!(tally.pushed > 0 && tally.pulled > 0, "{tally:?}");
    wait_for_copies(&mut cluster);
    for (place, node) in cluster.nodes.iter().enumerate().filter(|(place, _)| *place != 3) {
        journal.verify_all(&node.root(), 4).assert_whole(|| format!("node {place}\n{}", node.log()));
    }
}

#[test]
fn a_lost_node_is_replaced_while_clients_push_and_pull() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let clients = Clients::start(&cluster.nodes[..2]);
    std::thread::sleep(moment());
    let lost = id_of(&cluster.nodes[2]);
    cluster.nodes[2].kill9();
    cluster.join();
    std::thread::sleep(moment());
    // Its disk is gone, so nobody can wait for it.
    wait_until("the lost node to be removed", PATIENCE, || {
        operate(&cluster.nodes[0], &["node", "remove", &lost, "--force"]).status.success()
    });
    show(&cluster.nodes[0], &["node", "list"]);
    std::thread::sleep(moment());
    let (journal, tally) = clients.stop();
    println!("    5: {tally:?}, {} promises", journal.len());
    wait_for_copies(&mut cluster);
    cluster.wait_for_status("the new node to vote", |status| {
        if status["voters"] == 3 { Ok(()) } else { Err(status.to_string()) }
    });
    show(&cluster.nodes[0], &["status"]);
    for node in [0, 1, 3].map(|place| &cluster.nodes[place]) {
        journal.verify_all(&node.root(), 4).assert_whole(|| node.log());
    }
}
