//! What goes wrong in a run: which faults, how often, and what each does.

use std::sync::Arc;

use cluster::Role;
use cluster_core::command::{Command, NodeCommand};
use cluster_core::record::NodeState;

use super::invariants::liveness;
use super::random::Random;
use super::run::Driver;
use super::world::{lock, node_id};

/// How long faults come, milliseconds.
const FAULTS_MS: u64 = 12_000;

/// What can go wrong, or come about.
#[derive(Clone, Copy)]
enum Fault {
    Crash,
    CrashLeader,
    CrashAll,
    /// The power goes at a write or sync.
    CutAtWrite,
    FailingSync,
    Isolate,
    OneWay,
    /// All can reach each other again.
    Mend,
    /// The clock of one node jumps.
    Clock,
    /// Hours pass at once, for all.
    Hours,
    /// Of disks.
    Slowness,
    /// Of the network.
    Weather,
    LostBlobs,
    Join,
    Drain,
}

/// How often each comes in a run that has all of them.
const FAULTS: [(Fault, usize); 14] = [
    (Fault::Crash, 2),
    (Fault::CrashLeader, 1),
    (Fault::CrashAll, 1),
    (Fault::CutAtWrite, 3),
    (Fault::FailingSync, 1),
    (Fault::Isolate, 1),
    (Fault::OneWay, 1),
    (Fault::Clock, 2),
    (Fault::Hours, 1),
    (Fault::Slowness, 1),
    (Fault::Weather, 1),
    (Fault::LostBlobs, 1),
    (Fault::Join, 1),
    (Fault::Drain, 1),
];

/// The faults of one run: some kinds only, so that those come often and together, which a run with all of them
/// hardly ever shows (Groce et al., "Swarm Testing", ISSTA 2012).
fn kinds(random: &Random) -> Vec<Fault> {
    let share = random.pick(&[1000, 500, 250]);
    let some = FAULTS.into_iter().filter(|_| random.chance(share));
    let mut kinds: Vec<Fault> = some.flat_map(|(fault, often)| std::iter::repeat_n(fault, often)).collect();
    kinds.extend([Fault::Mend, Fault::Mend]);
    kinds
}

impl Driver {
    pub(crate) async fn faults(&mut self) {
        let world = Arc::clone(&self.world);
        let random = Arc::clone(&world.random);
        {
            let mut weather = world.network.weather();
            weather.loss = random.pick(&[0, 0, 10, 50, 150]);
            weather.twice = random.pick(&[0, 20, 100]);
            weather.delay = random.pick(&[1, 5, 20, 80]);
        }
        *lock(&world.slowness) = random.pick(&[1, 2, 10, 40]);
        let kinds = kinds(&random);
        let between_us = random.pick(&[300_000, 1_500_000, 1_500_000, 3_000_000]);
        let until = world.elapsed_us() + FAULTS_MS * 1000;
        let mut next = world.elapsed_us();
        while world.elapsed_us() < until && self.is_right() {
            if world.elapsed_us() >= next {
                let kind = random.pick(&kinds);
                self.fault(kind).await;
                next = world.elapsed_us() + random.below(between_us);
            }
            self.step().await;
        }
    }

    async fn fault(&mut self, kind: Fault) {
        let world = Arc::clone(&self.world);
        let random = Arc::clone(&world.random);
        let (all, up) = (world.all(), world.up());
        if up.is_empty() {
            return;
        }
        let one = random.pick(&up);
        world.note(&[7, kind as u64, one]);
        match kind {
            Fault::Crash => self.down(one),
            Fault::CrashLeader => {
                let leads = |node: &&u64| {
                    world.metadata(**node).is_some_and(|metadata| metadata.status().role == Role::Leader)
                };
                if let Some(leader) = up.iter().find(leads) {
                    self.down(*leader);
                }
            }
            Fault::CrashAll if random.chance(300) => {
                world.count("power cuts of all", 1);
                up.iter().for_each(|node| self.down(*node));
            }
            Fault::CutAtWrite => world.disk(one).cut_soon(random.below(60)),
            Fault::FailingSync => {
                world.count("failing syncs", 1);
                world.disk(one).fail_next_sync();
            }
            Fault::Isolate => world.network.isolate(one, &all),
            Fault::OneWay => drop(world.network.weather().cut.insert((one, random.pick(&all)))),
            Fault::Mend => world.network.weather().cut.clear(),
            Fault::Clock => {
                let staged: Vec<u64> = lock(&world.staged).values().flatten().copied().collect();
                let (one, seconds) = if staged.is_empty() {
                    (one, random.pick(&[1, 60, 3_600, 90_000, 400 * 86_400, -1, -3_600, -90_000]))
                } else {
                    // Where it could do harm: beside a staged copy, past its time.
                    (random.pick(&staged), random.pick(&[7_300, 90_000]))
                };
                world.count("clock jumps", 1);
                world.jump_clock(one, seconds * 1000);
            }
            Fault::Hours => {
                let hours = random.pick(&[2, 25, 25]);
                all.iter().for_each(|node| world.jump_clock(*node, hours * 3_600_000));
            }
            Fault::Slowness => *lock(&world.slowness) = random.pick(&[1, 5, 40, 200]),
            Fault::Weather => {
                let mut weather = world.network.weather();
                weather.delay = random.pick(&[1, 10, 80, 300]);
                weather.loss = random.pick(&[0, 20, 200]);
            }
            Fault::LostBlobs if lock(&world.lost_disks).is_empty() => {
                self.down(one);
                world.lose_blobs(one);
            }
            Fault::Join if self.next_node < 6 => drop(self.join().await),
            Fault::Drain => self.drain(one).await,
            Fault::CrashAll | Fault::LostBlobs | Fault::Join => {}
        }
    }

    /// Takes one node out of service, once in a run.
    async fn drain(&mut self, id: u64) {
        if self.removing.is_some() || self.world.all().len() < 4 {
            return;
        }
        let Some(leader) = liveness::leader(&self.world) else { return };
        let state = NodeCommand::SetState { node: node_id(id), state: NodeState::Draining };
        if leader.propose(Command::Node(Box::new(state))).await.is_ok() {
            self.removing = Some(id);
        }
    }
}
