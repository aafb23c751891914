//! The operator's commands against real nodes: replace, pin, plan and apply a layout, tokens, completions.

use std::process::Output;

use tests::cluster::{Cluster, PATIENCE, id_of, operate};
use tests::content::sha256;
use tests::registry::Image;
use tests::server::binary;
use tests::{Server, ServerOptions, wait_until};

use crate::alone;

fn out(answer: &Output) -> String {
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    String::from_utf8_lossy(&answer.stdout).into_owned()
}

fn json(cluster: &mut Cluster, arguments: &[&str]) -> serde_json::Value {
    let answer = cluster.operate(&[arguments, &["--output", "json"]].concat());
    serde_json::from_str(&out(&answer)).expect("a document")
}

/// Refused with exit code 1 and these words.
fn assert_refused(answer: &Output, words: &str) {
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert_eq!(answer.status.code(), Some(1), "{said}");
    assert!(said.contains(words), "{said}");
}

fn wait_for_copies(cluster: &mut Cluster) {
    cluster.wait_for_status("all copies to be made", |status| {
        let done = status["blobs_under_copied"] == 0 && status["is_recounting"] == false;
        if done { Ok(()) } else { Err(status.to_string()) }
    });
}

fn assert_pulls(node: &Server, images: &[Image]) {
    for image in images {
        let path = format!("/v2/{}/blobs/{}", image.repository, sha256(&image.layer));
        wait_until("a layer to be served", PATIENCE, || {
            let answer = node.root().get(&path).send();
            answer.status == 200 && answer.body == image.layer
        });
    }
}

#[test]
fn a_node_takes_over_from_a_living_one_and_from_a_dead_one() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let images: Vec<_> = (0..5).map(|_| cluster.nodes[1].root().push_image("team/kept", "v1")).collect();
    wait_for_copies(&mut cluster);
    cluster.join();
    let [first, second, third, fourth] =
        [0, 1, 2, 3].map(|place| id_of(&cluster.nodes[place]).expect("an id"));
    let wrong = "ffffffffffffffff";
    assert_refused(&cluster.operate(&["node", "replace", &first, &first]), "itself");
    assert_refused(&cluster.operate(&["node", "replace", wrong, &fourth]), "no such node");
    assert_refused(&cluster.operate(&["node", "replace", &third, wrong]), "no such node");
    // Alive: it lets go of its copies itself.
    let replaced = cluster.operate(&["node", "replace", &third, &fourth, "--timeout", "5m"]);
    println!("{}{}", String::from_utf8_lossy(&replaced.stderr), out(&replaced));
    let listed = out(&cluster.operate(&["node", "list"]));
    assert!(!listed.contains(&third) && listed.contains(&fourth), "{listed}");
    cluster.nodes[2].kill9();
    assert_refused(&cluster.operate(&["node", "replace", &third, &fourth]), "no such node");
    // Dead: its copies are made from the others' first.
    cluster.join();
    let fifth = id_of(&cluster.nodes[4]).expect("an id");
    cluster.nodes[1].kill9();
    let replaced = cluster.operate(&["node", "replace", &second, &fifth, "--timeout", "5m"]);
    println!("{}{}", String::from_utf8_lossy(&replaced.stderr), out(&replaced));
    let status = json(&mut cluster, &["status"]);
    let figures = (&status["voters"], &status["voters_well"], &status["blobs_under_copied"]);
    assert_eq!(figures, (&3.into(), &3.into(), &0.into()), "{status}");
    println!("{}", out(&cluster.operate(&["status"])));
    for place in [0, 3, 4] {
        assert_pulls(&cluster.nodes[place], &images);
    }
}

#[test]
fn a_layout_is_made_as_planned_or_not_at_all() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    cluster.join();
    (0..5).for_each(|_| drop(cluster.nodes[0].root().push_image("team/moved", "v1")));
    wait_for_copies(&mut cluster);
    let id = id_of(&cluster.nodes[3]).expect("an id");
    let plan = json(&mut cluster, &["layout", "plan", "--drain", &id]);
    println!("{}", out(&cluster.operate(&["layout", "plan", "--drain", &id])));
    assert_eq!(plan["blobs"], 10, "{plan}");
    assert_eq!(plan["is_complete"], true);
    let traffic = plan["nodes"].as_array().expect("nodes");
    let given =
        traffic.iter().find(|node| node["node"] == id.as_str()).map(|node| node["copies_out"].clone());
    assert_eq!(
        given.unwrap_or(0.into()),
        plan["moved_blobs"],
        "each of its copies is made elsewhere: {plan}"
    );
    let version = plan["version"].to_string();
    // The world changes: another node's weight.
    let other = id_of(&cluster.nodes[1]).expect("an id");
    let weighed = ["--node", &other, "--capacity", "2TiB"];
    json(&mut cluster, &[&["layout", "apply", "--version", &version][..], &weighed].concat());
    let stale = cluster.operate(&["layout", "apply", "--version", &version, "--drain", &id]);
    assert_refused(&stale, "plan again");
    let shown = out(&cluster.operate(&["node", "show", &other]));
    assert!(shown.contains("counted as 2.0 TiB"), "{shown}");
    // Asked twice, and after a restart of the node, which tells its volume's size anew.
    let again = json(&mut cluster, &[&["layout", "apply", "--version", &version][..], &weighed].concat());
    assert!(again["version"].as_u64() > plan["version"].as_u64(), "{again}");
    let plan = json(&mut cluster, &["layout", "plan", "--drain", &id]);
    let version = plan["version"].to_string();
    json(&mut cluster, &["layout", "apply", "--version", &version, "--drain", &id]);
    wait_until("the node to have let go", PATIENCE, || {
        json(&mut cluster, &["node", "show", &id])["copies"] == 0
    });
    wait_for_copies(&mut cluster);
    let all: Vec<String> = cluster.nodes.iter().map(|node| id_of(node).expect("an id")).collect();
    let nobody: Vec<&str> = all.iter().flat_map(|id| ["--drain", id]).collect();
    assert_refused(&cluster.operate(&[&["layout", "plan"], &nobody[..]].concat()), "no node would be left");
    assert_refused(&cluster.operate(&["layout", "plan", "--drain", "ffff"]), "no such node");
    assert_refused(&cluster.operate(&["layout", "plan", "--drain", &id, "--drain", &id]), "twice");
    assert_eq!(cluster.operate(&["layout", "plan"]).status.code(), Some(2));
}

#[test]
fn votes_are_pinned_and_what_would_end_the_cluster_is_refused() {
    let _alone = alone();
    let mut cluster = Cluster::start(1);
    let only = id_of(&cluster.nodes[0]).expect("an id");
    assert_refused(&cluster.operate(&["node", "pin", &only, "--never"]), "only voter");
    assert_refused(&cluster.operate(&["node", "drain", &only]), "no other node");
    assert_refused(&cluster.operate(&["node", "remove", &only]), "only voter");
    assert_refused(&cluster.operate(&["node", "remove", "--force", &only]), "only voter");
    let edge = cluster.join_edge(&[]);
    let edge = id_of(&edge).expect("an id");
    assert_refused(&cluster.operate(&["node", "pin", &edge]), "never votes");
    assert_refused(&cluster.operate(&["node", "drain", &edge]), "no copies");
    assert_refused(&cluster.operate(&["node", "replace", &only, &edge]), "edge");
    assert_refused(&cluster.operate(&["layout", "plan", "--node", &edge, "--capacity", "1GiB"]), "edge");
    assert_refused(&cluster.operate(&["node", "pin", "ffff"]), "no such node");
    assert_refused(&cluster.operate(&["node", "unpin", "../status"]), "no such node");
    cluster.join();
    cluster.wait_for_status("two voters", |status| {
        if status["voters"] == 2 { Ok(()) } else { Err(status.to_string()) }
    });
    let second = id_of(&cluster.nodes[1]).expect("an id");
    for _ in 0..2 {
        let shown = out(&cluster.operate(&["node", "pin", "--never", &second]));
        assert!(shown.contains("never a voter"), "{shown}");
    }
    cluster.wait_for_status("one voter", |status| {
        if status["voters"] == 1 { Ok(()) } else { Err(status.to_string()) }
    });
    out(&cluster.operate(&["node", "unpin", &second]));
    let two = |status: &serde_json::Value| {
        if status["voters"] == 2 { Ok(()) } else { Err(status.to_string()) }
    };
    cluster.wait_for_status("two voters again", two);
    // Whoever leads goes on until another one does, and votes again once it may.
    let leads = cluster.leader();
    let leader = id_of(&cluster.nodes[leads]).expect("an id");
    out(&cluster.operate(&["node", "pin", "--never", &leader]));
    cluster.wait_for_status("the other one alone", |status| {
        let is_other = status["leader"].as_str().is_some_and(|other| other != leader);
        if status["voters"] == 1 && is_other { Ok(()) } else { Err(status.to_string()) }
    });
    out(&cluster.operate(&["node", "unpin", &leader]));
    cluster.wait_for_status("two voters at the end", two);
}

#[test]
fn tokens_are_listed_without_secrets_and_revoked() {
    let _alone = alone();
    let mut cluster = Cluster::start(1);
    let token = json(&mut cluster, &["token", "create", "--edge"]);
    let (id, text) = (token["id"].as_str().expect("an id"), token["token"].as_str().expect("a token"));
    let listed = out(&cluster.operate(&["token", "list"]));
    assert!(listed.contains(id) && listed.contains("edge") && listed.contains("open"), "{listed}");
    assert!(!listed.contains(text), "{listed}");
    out(&cluster.operate(&["token", "revoke", id]));
    assert_refused(&cluster.operate(&["token", "revoke", id]), "no such token");
    assert_refused(&cluster.operate(&["token", "revoke", "zz"]), "no such token");
    let arguments = vec!["--join".to_owned(), text.to_owned()];
    let refused = Server::try_start(ServerOptions { arguments, ..ServerOptions::default() });
    assert!(refused.is_err(), "it joined with a revoked token");
    let used = cluster.token(&[]);
    let arguments = vec!["--join".to_owned(), used];
    let node = Server::start(ServerOptions { arguments, ..ServerOptions::default() });
    let listed = out(&cluster.operate(&["token", "list"]));
    assert!(listed.contains(&format!("used by {}", id_of(&node).expect("an id"))), "{listed}");
    assert!(!listed.contains(id), "{listed}");
}

#[test]
fn completions_and_exit_codes_are_there_without_a_node() {
    let run = |arguments: &[&str]| {
        std::process::Command::new(binary())
            .args(arguments)
            .env("SHOAL_PASSWORD", "x")
            .output()
            .expect("shoal")
    };
    for shell in ["bash", "zsh", "fish"] {
        let script = out(&run(&["completions", shell]));
        assert!(script.contains("replace") && script.contains("stale-tags"), "{shell}");
    }
    assert!(out(&run(&["--help"])).contains("Exit codes: 0 done"));
    assert_eq!(run(&["completions", "cmd"]).status.code(), Some(2));
    assert_eq!(run(&["status", "--url", "http://127.0.0.1:1"]).status.code(), Some(3));
    assert_eq!(run(&["layout", "plan", "--node", "a", "--capacity", "much"]).status.code(), Some(2));
}

#[test]
fn status_shows_every_node_and_what_may_fail() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    for place in 0..3 {
        let shown = operate(&cluster.nodes[place], &["status", "--output", "json"]);
        let status: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("a document");
        assert_eq!((&status["voters_well"], &status["zone_spare"]), (&3.into(), &true.into()), "{status}");
        let nodes = status["nodes"].as_array().expect("nodes");
        assert_eq!(nodes.iter().filter(|node| node["lag_entries"].is_u64()).count(), 3, "{status}");
        assert_eq!(nodes.iter().filter(|node| node["role"] == "leader").count(), 1, "{status}");
    }
    let dead = id_of(&cluster.nodes[2]).expect("an id");
    cluster.nodes[2].kill9();
    cluster.wait_for_status("the dead node to be seen", |status| {
        let well = (&status["voters_well"], &status["zone_spare"], &status["quorum"]);
        if well == (&2.into(), &false.into(), &true.into()) { Ok(()) } else { Err(status.to_string()) }
    });
    let shown = out(&cluster.operate(&["status"]));
    let line = shown.lines().find(|line| line.starts_with(&dead)).expect("its line");
    assert!(line.contains("no answer") && shown.contains("none may fail"), "{shown}");
    println!("{shown}");
}
