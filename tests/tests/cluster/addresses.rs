//! Nodes that come back at other addresses than the ones they are known by.

use std::thread;

use tests::Server;
use tests::cluster::{Cluster, PATIENCE, id_of, move_away, operate};
use tests::content::{sha256, unique_bytes};
use tests::wait_until;

use crate::alone;

/// Starts all at once: none is ready before a majority is.
fn start_all<'a>(nodes: impl IntoIterator<Item = &'a mut Server>) {
    thread::scope(|scope| {
        for node in nodes {
            scope.spawn(move || node.restart());
        }
    });
}

/// Kills whoever leads until the node at `place` does: who follows is a matter of chance.
pub(crate) fn lead(cluster: &mut Cluster, place: usize) {
    for _ in 0..30 {
        let leader = cluster.leader();
        if leader == place {
            return;
        }
        let id = id_of(&cluster.nodes[leader]);
        cluster.nodes[leader].kill9();
        cluster.wait_for_status("another leader", |status| {
            let other = status["leader"].as_str().filter(|other| Some(*other) != id.as_deref());
            other.map(|_| ()).ok_or_else(|| status.to_string())
        });
        cluster.nodes[leader].restart();
    }
    panic!("node {place} never led");
}

/// Waits until all nodes say where `node` is.
fn wait_until_known(cluster: &Cluster, node: &Server, place: &str) {
    let id = id_of(node).expect("an id");
    for asked in &cluster.nodes {
        wait_until("the new address to be known", PATIENCE, || {
            let shown = operate(asked, &["node", "show", &id, "-o", "json"]);
            let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
            shown["addresses"] == serde_json::json!([place])
        });
    }
}

/// Soon: just after a start another node's links may still rest.
pub(crate) fn writes_go_on(node: &Server) {
    let bytes = unique_bytes(1000);
    let path = format!("/v2/team/after/blobs/uploads/?digest={}", sha256(&bytes));
    wait_until("a write", PATIENCE, || node.root().post(&path).body(bytes.clone()).send().status == 201);
}

#[test]
fn all_nodes_move_at_once_and_find_each_other_by_what_one_is_told() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let image = cluster.nodes[0].root().push_image("team/moved", "v1");
    for told in [2, 0] {
        for node in &mut cluster.nodes {
            node.stop();
        }
        let places: Vec<String> = cluster.nodes.iter_mut().map(move_away).collect();
        let others = places.iter().enumerate().filter(|(place, _)| *place != told);
        let others: Vec<&str> = others.map(|(_, place)| place.as_str()).collect();
        let usual = cluster.nodes[told].options_mut().arguments.clone();
        cluster.nodes[told].options_mut().arguments.extend(["--peers".to_owned(), others.join(",")]);
        start_all(&mut cluster.nodes);
        for (node, place) in cluster.nodes.iter().zip(&places) {
            wait_until_known(&cluster, node, place);
            let path = format!("/v2/team/moved/blobs/{}", sha256(&image.layer));
            let answer = node.root().get(path).send();
            answer.assert_status(200);
            assert_eq!(answer.body, image.layer);
        }
        // From now on they know.
        cluster.nodes[told].options_mut().arguments = usual;
        for node in &mut cluster.nodes {
            node.stop();
        }
        start_all(&mut cluster.nodes);
    }
    writes_go_on(&cluster.nodes[1]);
}

#[test]
fn two_of_three_move_at_once_and_are_found_through_the_third() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    for stays in [0, 1] {
        for node in &mut cluster.nodes {
            node.stop();
        }
        let moving = (0..3).filter(|place| *place != stays);
        let places: Vec<_> = moving.map(|place| (place, move_away(&mut cluster.nodes[place]))).collect();
        start_all(&mut cluster.nodes);
        for (node, place) in &places {
            wait_until_known(&cluster, &cluster.nodes[*node], place);
        }
    }
    writes_go_on(&cluster.nodes[2]);
}

/// A learner stands for no election, so it asks nobody by itself; the leader looks for it where it was.
#[test]
fn a_learner_that_was_away_while_the_leader_changed_comes_back_at_a_new_address() {
    let _alone = alone();
    let mut cluster = Cluster::start(4);
    let listed = cluster.operate(&["node", "list", "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("a document");
    let nodes = listed["nodes"].as_array().expect("nodes");
    let learner = nodes.iter().find(|node| node["role"] == "learner").expect("a learner");
    let learner = learner["id"].as_str().expect("an id");
    let learner = cluster.nodes.iter().position(|node| id_of(node).as_deref() == Some(learner));
    let mut learner = cluster.nodes.remove(learner.expect("one of ours"));
    learner.stop();
    let leader = cluster.leader();
    lead(&mut cluster, (leader + 1) % 3);
    let place = move_away(&mut learner);
    learner.restart();
    wait_until_known(&cluster, &learner, &place);
    writes_go_on(&learner);
}

#[test]
fn a_node_comes_back_at_a_new_address_to_a_leader_that_joined_while_it_was_away() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let mut away = cluster.nodes.pop().expect("a node");
    let id = id_of(&away).expect("an id");
    away.stop();
    cluster.join();
    let joined = id_of(&cluster.nodes[2]).expect("an id");
    for arguments in [["node", "pin", "--never", id.as_str()].as_slice(), &["node", "pin", joined.as_str()]] {
        wait_until("the vote to be pinned", PATIENCE, || cluster.operate(arguments).status.success());
    }
    wait_until("it to vote", PATIENCE, || {
        let shown = cluster.operate(&["node", "show", &joined, "-o", "json"]);
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
        shown["role"] == "voter"
    });
    lead(&mut cluster, 2);
    let place = move_away(&mut away);
    away.restart();
    wait_until_known(&cluster, &away, &place);
    writes_go_on(&away);
}
