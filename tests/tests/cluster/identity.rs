//! One key, one node: disks that were wiped, copied or put back, and tokens of other clusters.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tests::Server;
use tests::cluster::{Cluster, PATIENCE, operate};
use tests::content::{sha256, unique_bytes};
use tests::process::Daemon;
use tests::server::binary;
use tests::wait::wait_for;
use tests::wait_until;

use crate::addresses::{lead, writes_go_on};
use crate::alone;
use crate::backup::serve;

fn id_of(node: &Server) -> String {
    let status = operate(node, &["status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("a document");
    status["node"].as_str().expect("an id").to_owned()
}

fn copy_dir(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(done.success());
}

fn all_copies(cluster: &mut Cluster) {
    cluster.wait_for_status("all copies to be made", |status| {
        let is_done = status["blobs_under_copied"] == 0 && status["copies_wanted"] == 3;
        if is_done { Ok(()) } else { Err(status.to_string()) }
    });
}

/// Files of blobs, without their piece lists.
fn copies_in(data: &Path) -> usize {
    let mut find = Command::new("find");
    find.arg(data.join("blobs/blobs")).args(["-type", "f", "!", "-name", "*.pieces"]);
    let listed = find.output().expect("find runs");
    String::from_utf8_lossy(&listed.stdout).lines().count()
}

/// Promise 19: of two processes with one identity one goes on, and the other says why it ends.
#[test]
fn a_copied_data_directory_that_runs_twice_ends_one_of_the_two() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    cluster.nodes[2].stop();
    let dir = tempfile::tempdir().expect("a directory");
    let copy = dir.path().join("data");
    copy_dir(&cluster.nodes[2].data_dir(), &copy);
    let later = dir.path().join("later");
    copy_dir(&copy, &later);
    // On the very directory it is the lock that refuses.
    cluster.nodes[2].restart();
    let locked = serve(&cluster.nodes[2].data_dir(), &[]).assert_failure();
    assert!(locked.stderr.contains("in use by another shoal process"), "{}", locked.stderr);
    // The copy missed a start.
    let ended = serve(&copy, &["--zone", "c"]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.said());
    assert!(ended.stderr.contains("copied and runs elsewhere"), "{}", ended.stderr);
    assert!(cluster.nodes[2].is_running(), "the one that was there goes on");
    let again = serve(&copy, &["--zone", "c"]).assert_failure();
    assert!(again.stderr.contains("is out of date"), "{}", again.stderr);
    later_copy_takes_over(&mut cluster.nodes[2], &later, dir.path());
    writes_go_on(&cluster.nodes[0]);
}

/// A copy that was started more often goes on, and the process that was there ends.
fn later_copy_takes_over(node: &mut Server, copy: &Path, dir: &Path) {
    fs::write(copy.join("starts"), "50\n").expect("written");
    let mut command = Command::new(binary());
    command.arg("serve").arg("--data-dir").arg(copy).args(["--listen", "127.0.0.1:0", "--zone", "c"]);
    command.args(["--peer-listen", "127.0.0.1:0"]);
    let mut later = Daemon::spawn(&mut command, &dir.join("output"), &dir.join("log")).expect("started");
    wait_for("the older process to end", PATIENCE, || {
        if node.is_running() { Err(later.tail()) } else { Ok(()) }
    });
    assert_eq!(node.stop().code(), Some(1));
    assert!(node.log().contains("copied and runs elsewhere"));
    let again = node.try_restart().expect_err("refused");
    assert!(format!("{again:#}").contains("is out of date"), "{again:#}");
    assert!(matches!(later.ended(), Ok(None)), "the later one goes on");
    later.kill();
}

/// The log goes from the leader to the others, so only what others heard tells it that it runs twice.
#[test]
fn a_copy_of_the_leaders_data_directory_ends_one_of_the_two_as_well() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    cluster.nodes[leader].stop();
    let dir = tempfile::tempdir().expect("a directory");
    let copy = dir.path().join("data");
    copy_dir(&cluster.nodes[leader].data_dir(), &copy);
    cluster.nodes[leader].restart();
    lead(&mut cluster, leader);
    later_copy_takes_over(&mut cluster.nodes[leader], &copy, dir.path());
    writes_go_on(&cluster.nodes[(leader + 1) % 3]);
}

/// E8: the node keeps its identity, its blobs are gone. 1 GiB by SHOAL_TEST_FULL=1.
#[test]
fn a_node_whose_blobs_were_wiped_gets_them_again_from_the_others() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let size = if tests::registry::is_full_run() { 1 << 30 } else { 16 << 20 };
    let contents: Vec<Vec<u8>> = (0..8).map(|_| unique_bytes(size / 8)).collect();
    for bytes in &contents {
        cluster.nodes[0].root().push_blob("team/wiped", bytes);
    }
    all_copies(&mut cluster);
    let data = cluster.nodes[2].data_dir();
    assert_eq!(copies_in(&data), contents.len());
    cluster.nodes[2].stop();
    fs::remove_dir_all(data.join("blobs")).expect("removed");
    let began = Instant::now();
    cluster.nodes[2].restart();
    // Not lost again by a start between.
    wait_until("the cluster to be told", PATIENCE, || !data.join("new-disk").exists());
    wait_until("the copies to be made again", PATIENCE, || copies_in(&data) == contents.len());
    println!("    E8: {} MiB copied again {:?} after the start", size >> 20, began.elapsed());
    all_copies(&mut cluster);
    cluster.nodes[0].kill9();
    cluster.nodes[1].kill9();
    // From its own disk: nobody else is there.
    for bytes in &contents {
        let answer = cluster.nodes[2].root().get(format!("/v2/team/wiped/blobs/{}", sha256(bytes))).send();
        answer.assert_status(200);
        assert_eq!(&answer.body, bytes);
    }
}

/// E8: the whole directory is gone, so is the identity.
#[test]
fn a_node_that_lost_its_directory_joins_as_another_one() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let bytes = unique_bytes(1 << 20);
    cluster.nodes[0].root().push_blob("team/replaced", &bytes);
    let old = id_of(&cluster.nodes[2]);
    let mut dead = cluster.nodes.pop().expect("a node");
    dead.kill9();
    fs::remove_dir_all(dead.data_dir()).expect("removed");
    cluster.join();
    let removed = cluster.operate(&["node", "remove", &old, "--force"]);
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    all_copies(&mut cluster);
    let listed = cluster.operate(&["node", "list"]);
    assert!(!String::from_utf8_lossy(&listed.stdout).contains(&old));
    let answer = cluster.nodes[2].root().get(format!("/v2/team/replaced/blobs/{}", sha256(&bytes))).send();
    assert_eq!(answer.body, bytes);
}

#[test]
fn a_node_of_one_cluster_is_not_taken_by_another() {
    let _alone = alone();
    let (mut ours, mut theirs) = (Cluster::start(1), Cluster::start(1));
    let token = theirs.token(&[]);
    ours.nodes[0].stop();
    let refused = serve(&ours.nodes[0].data_dir(), &["--join", &token]).assert_failure();
    assert!(refused.stderr.contains("belongs to another cluster"), "{}", refused.stderr);
    // It is not harmed by it.
    ours.nodes[0].restart();
    ours.nodes[0].root().push_image("team/still", "v1");
    assert_eq!(String::from_utf8_lossy(&theirs.operate(&["node", "list"]).stdout).lines().count(), 2);
}
