//! E4: one fsync fails on one node of three. That node acknowledges nothing more until it is started again, and
//! the others go on.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tests::Server;
use tests::content::{sha256, unique_bytes};
use tests::fsync::{FailingFsync, newest_log};
use tests::journal::Journal;
use tests::load::{REPOSITORY, Tally, push_blob, push_image};
use tests::registry::with_query;

use crate::rig::{NODES, Rig};
use crate::{alone, report, size, spread};

/// E4: ten times the figure of the table, which is printed.
const RESUMED: Duration = Duration::from_secs(50);
/// The state is synced with every 64th entry or so: so many pushes come to it for sure.
const UNTIL_SYNC: usize = 200;
/// Pushes through the node after the fault, all of which must fail.
const AFTER: usize = 4;

/// What fails.
#[derive(Clone, Copy, Debug)]
enum Victim {
    /// The Raft log of the node that leads.
    LeadersLog,
    /// The Raft log of another one.
    FollowersLog,
    /// The replicated state of a follower.
    State,
    /// The bytes of an upload at the node that takes it.
    Upload,
}

#[test]
fn after_a_failed_fsync_one_node_acknowledges_nothing_and_the_others_go_on() {
    let _alone = alone();
    let rounds = size(1, 25);
    let mut rig = Rig::new();
    for victim in [Victim::LeadersLog, Victim::FollowersLog, Victim::State, Victim::Upload] {
        let resumed: Vec<Duration> = (0..rounds).map(|_| fail_one_fsync(&mut rig, victim)).collect();
        report(
            "E4",
            &format!(
                "{victim:?}: {rounds} failed fsyncs, no acknowledgement by that node after one; writes through the others after {}",
                spread(&resumed),
            ),
        );
        assert!(resumed.iter().all(|time| *time <= RESUMED), "{resumed:?}");
    }
    let verdict = rig.assert_kept(&Tally::default());
    report("E4", &format!("all there after the restarts: {verdict}"));
}

/// Returns how long it took until both others acknowledged a push.
fn fail_one_fsync(rig: &mut Rig, victim: Victim) -> Duration {
    let leader = rig.cluster.leader();
    let place = if matches!(victim, Victim::LeadersLog) { leader } else { (leader + 1) % NODES };
    rig.wait_until_writable(place);
    let node = &rig.cluster.nodes[place];
    let (root, location) = (node.root(), node.root().start_upload(REPOSITORY));
    let bytes = unique_bytes(600 << 10);
    root.patch(&location).body(bytes.clone()).send().assert_status(202);
    let path = path_of(node, victim, &location);
    let fault = FailingFsync::of(node.pid(), &path, &node.file("strace"));
    if matches!(victim, Victim::Upload) {
        let close = with_query(&location, &format!("digest={}", sha256(&bytes)));
        root.put(close).send().assert_refused(&[503]);
    } else {
        // Pushes may be acknowledged up to the fault, which the others' pushes may bring about too.
        for _ in 0..UNTIL_SYNC {
            if fault.struck() || push_image(&root, REPOSITORY, &rig.journal, false).is_err() {
                break;
            }
        }
    }
    assert!(fault.struck(), "{victim:?}: no fsync of {} was asked for\n{}", path.display(), rig.complaints());
    assert_fenced(node);
    let resumed = (1..NODES).map(|step| rig.wait_until_writable((place + step) % NODES)).sum();
    // The disk would work again: nobody may ask it.
    drop(fault);
    assert_fenced(&rig.cluster.nodes[place]);
    rig.cluster.nodes[place].kill9();
    rig.cluster.nodes[place].restart();
    rig.wait_until_writable(place);
    resumed
}

fn path_of(node: &Server, victim: Victim, location: &str) -> PathBuf {
    let upload = location.split('?').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let data = node.data_dir();
    let path = match victim {
        Victim::LeadersLog | Victim::FollowersLog => newest_log(&data),
        Victim::State => data.join("metadata/state.db"),
        Victim::Upload => data.join(format!("blobs/uploads/{upload}.data")),
    };
    assert!(fs::exists(&path).is_ok_and(|found| found), "{} is not where it should be", path.display());
    path
}

/// The node is alive, says that it is not well, and acknowledges no blob.
fn assert_fenced(node: &Server) {
    let probe = |target: &str| node.anonymous().get(target).send().status;
    tests::wait_until("the node to say that it is not ready", Duration::from_secs(10), || {
        probe("/readyz") == 503
    });
    assert_eq!(probe("/healthz"), 200);
    for _ in 0..AFTER {
        let refused = push_blob(&node.root(), REPOSITORY, &Journal::default(), &unique_bytes(3000));
        let answer = refused.expect_err("acknowledged after a failed fsync").expect("an answer");
        answer.assert_refused(&[503]);
    }
}
