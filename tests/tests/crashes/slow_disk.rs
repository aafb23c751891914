//! E7: the disk of one node becomes slow while clients push through the others: a follower's, then the leader's,
//! which gives up leading.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tests::Server;
use tests::cgroup::{Controller, Group};
use tests::cluster::PATIENCE;
use tests::load::{REPOSITORY, Tally, push_image};
use tests::volume::Kind;
use tests::wait::try_wait_for;

use crate::rig::{NODES, Rig, VOLUME_MIB};
use crate::{alone, report, size, spread};

const PUSHERS: usize = 4;
/// Bytes a second.
const SLOW: u64 = 2 << 20;
/// Nearly none.
const HANGING: u64 = 4 << 10;

#[test]
fn a_slow_disk_at_one_node_stops_no_push_and_a_leader_whose_disk_hangs_gives_up() {
    let _alone = alone();
    if !Controller::BlockIo.is_there() {
        return report("E7", "left out: no cgroup v1 controller of block devices here");
    }
    let time = Duration::from_secs(size(4, 60) as u64);
    let mut rig = Rig::on(Kind::Ext4, [VOLUME_MIB; NODES]);
    let leader = rig.cluster.leader();
    let (slow, third) = ((leader + 1) % NODES, (leader + 2) % NODES);
    let base = push_for(&rig, [leader, third], time);
    let throttle = Throttle::of(&rig.cluster.nodes[slow], SLOW);
    let slowed = push_for(&rig, [leader, third], time);
    drop(throttle);
    assert!(!base.is_empty(), "pushes without any fault");
    let factor = percentile(&slowed, 99).as_secs_f64() / percentile(&base, 99).as_secs_f64();
    report(
        "E7",
        &format!(
            "pushes: {}; with a follower's disk at 2 MiB/s: {}; p99 is {factor:.1} times the base's",
            spread(&base),
            spread(&slowed)
        ),
    );
    assert!(!slowed.is_empty(), "a slow follower stops no push");
    slow_leader(&mut rig, time);
    hang_leader(&mut rig);
    let verdict = rig.assert_kept(&Tally::default());
    report("E7", &verdict.to_string());
}

/// The leader's disk is slow; whether it goes on to lead is told, and pushes go on.
fn slow_leader(rig: &mut Rig, time: Duration) {
    let (leader, others) = leader_and_others(rig);
    let throttle = Throttle::of(&rig.cluster.nodes[leader], SLOW);
    let pushed = push_for(rig, others, time);
    drop(throttle);
    let gave_up = rig.cluster.leader() != leader;
    report("E7", &format!("leader's disk at 2 MiB/s: it gave up: {gave_up}; pushes {}", spread(&pushed)));
    assert!(!pushed.is_empty(), "a slow leader stops no push");
}

/// The leader's disk hardly writes any more: another node leads, and writes go on there.
fn hang_leader(rig: &mut Rig) {
    let (leader, others) = leader_and_others(rig);
    let id = |place: usize| status(&rig.cluster.nodes[place])["node"].clone();
    let (was, began) = (id(leader), Instant::now());
    let throttle = Throttle::of(&rig.cluster.nodes[leader], HANGING);
    let is_over = AtomicBool::new(false);
    let gave_up = thread::scope(|scope| {
        // What is written keeps the disk waiting.
        for place in others {
            let (client, journal, is_over) = (rig.cluster.nodes[place].root(), &rig.journal, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let _ = push_image(&client, REPOSITORY, journal, false);
                }
            });
        }
        let found = try_wait_for("another leader", PATIENCE, || {
            let status = status(&rig.cluster.nodes[others[0]]);
            let is_other =
                status["quorum"] == true && status["leader"].is_string() && status["leader"] != was;
            if is_other { Ok(began.elapsed()) } else { Err(status["leader"].to_string()) }
        });
        is_over.store(true, Ordering::Relaxed);
        found
    });
    let gave_up = gave_up.expect("a leader whose disk hangs gives up");
    let written = rig.wait_until_writable(others[0]);
    drop(throttle);
    report(
        "E7",
        &format!(
            "leader's disk at 4 KiB/s: another one leads after {gave_up:.2?}, and takes a push in {written:.2?}"
        ),
    );
}

/// The leader and the other two, once all take pushes.
fn leader_and_others(rig: &mut Rig) -> (usize, [usize; 2]) {
    for place in 0..NODES {
        rig.wait_until_writable(place);
    }
    let leader = rig.cluster.leader();
    (leader, [(leader + 1) % NODES, (leader + 2) % NODES])
}

fn status(node: &Server) -> serde_json::Value {
    let answer = node.root().get("/api/v1/status").try_send();
    answer.map(|answer| answer.json()).unwrap_or_default()
}

/// Pushes through two nodes for a time; how long each push took that was acknowledged.
fn push_for(rig: &Rig, places: [usize; 2], time: Duration) -> Vec<Duration> {
    let (end, times) = (Instant::now() + time, Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for pusher in 0..PUSHERS {
            let (client, times) = (rig.cluster.nodes[places[pusher % 2]].root(), &times);
            scope.spawn(move || {
                while Instant::now() < end {
                    let began = Instant::now();
                    if push_image(&client, REPOSITORY, &rig.journal, false).is_ok() {
                        times.lock().unwrap_or_else(PoisonError::into_inner).push(began.elapsed());
                    }
                }
            });
        }
    });
    times.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn percentile(times: &[Duration], part: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times.get((times.len() * part / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// A bound on what a node writes to its volume; dropping it lifts it.
struct Throttle(Group);

impl Throttle {
    fn of(node: &Server, bytes_per_second: u64) -> Self {
        let device = fs::metadata(node.data_dir()).expect("a data directory").dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let group = Group::new(Controller::BlockIo);
        group
            .set("blkio.throttle.write_bps_device", &format!("{major}:{minor} {bytes_per_second}"))
            .expect("a bound on a device");
        group.take(node.pid());
        Self(group)
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        // What waits in the group goes on at once.
        let limits = self.0.get("blkio.throttle.write_bps_device");
        if let Some((device, _)) = limits.trim().split_once(' ') {
            let _ = self.0.set("blkio.throttle.write_bps_device", &format!("{device} 0"));
        }
    }
}
