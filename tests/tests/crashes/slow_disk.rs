//! E7: the disk of one node becomes slow while clients push through the others: a follower's, then the leader's,
//! which gives up leading.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use tests::Server;
use tests::cgroup::{Controller, Group};
use tests::cluster::PATIENCE;
use tests::load::{REPOSITORY, Tally, push_image};
use tests::volume::Kind;
use tests::wait::wait_until;

use crate::rig::{NODES, Rig, VOLUME_MIB};
use crate::{alone, report, size, spread};

const PUSHERS: usize = 4;
/// Bytes a second.
const SLOW: u64 = 2 << 20;
/// Nearly none.
const HANGING: u64 = 4 << 10;

#[test]
fn a_slow_disk_at_one_node_slows_others_little_and_makes_a_leader_give_up() {
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
    for rate in [SLOW, HANGING] {
        slow_leader(&mut rig, rate, time);
    }
    let verdict = rig.assert_kept(&Tally::default());
    report("E7", &verdict.to_string());
}

/// Slows the leader's disk. One that hangs must cost it the leadership.
fn slow_leader(rig: &mut Rig, rate: u64, time: Duration) {
    wait_until("all nodes to take pushes", PATIENCE, || {
        (0..NODES).all(|place| {
            push_image(&rig.cluster.nodes[place].root(), REPOSITORY, &rig.journal, false).is_ok()
        })
    });
    let leader = rig.cluster.leader();
    let others = [(leader + 1) % NODES, (leader + 2) % NODES];
    let (throttle, began) = (Throttle::of(&rig.cluster.nodes[leader], rate), Instant::now());
    let went_on = Mutex::new(None);
    let pushed = thread::scope(|scope| {
        if rate == HANGING {
            scope.spawn(|| {
                let client = rig.cluster.nodes[others[0]].root();
                // What was asked for at the beginning may still be carried by what the disk has in hand.
                thread::sleep(Duration::from_secs(1));
                wait_until("writes to go on without the leader's disk", PATIENCE, || {
                    push_image(&client, REPOSITORY, &rig.journal, false).is_ok()
                });
                *went_on.lock().unwrap_or_else(PoisonError::into_inner) = Some(began.elapsed());
            });
        }
        push_for(rig, others, time)
    });
    let went_on = went_on.into_inner().unwrap_or_else(PoisonError::into_inner);
    drop(throttle);
    let gave_up = rig.cluster.leader() != leader;
    report(
        "E7",
        &format!(
            "leader's disk at {} KiB/s: another one leads: {gave_up}; pushed within {went_on:.2?} of its hanging; pushes {}",
            rate >> 10,
            spread(&pushed)
        ),
    );
    assert!(gave_up || rate == SLOW, "a leader whose disk hangs gives up");
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
        let (major, minor) = (device >> 8 & 0xfff, device & 0xff);
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
