//! E1 and E37: processes are killed at any moment and started again, one by one under load, and all together.

use std::thread;
use std::time::{Duration, Instant};

use tests::journal::random_time;

use crate::rig::{Rig, any_node};
use crate::{alone, report, size, spread};

/// E37: ten times the figure of the table, which is printed.
const WRITABLE: Duration = Duration::from_secs(50);

#[test]
fn nothing_acknowledged_is_lost_when_nodes_are_killed_one_by_one_under_load() {
    let _alone = alone();
    let kills = size(5, 500);
    let mut rig = Rig::new();
    let load = rig.load(4, 4);
    let mut starts = Vec::new();
    for _ in 0..kills {
        thread::sleep(random_time(Duration::from_millis(100), Duration::from_millis(900)));
        let node = &mut rig.cluster.nodes[any_node()];
        node.kill9();
        let began = Instant::now();
        node.restart();
        starts.push(began.elapsed());
    }
    let tally = load.stop();
    let verdict = rig.assert_kept(&tally);
    report(
        "E1",
        &format!(
            "{kills} kills of one of three, {} images pushed, {} pushes cut, {} pulls, {} without an answer anywhere; then {verdict}; ready again {}",
            tally.pushed,
            tally.push_failures,
            tally.pulled,
            tally.pull_failures,
            spread(&starts),
        ),
    );
    assert!(tally.pushed as usize >= kills, "too little was pushed for the kills to hit anything");
}

#[test]
fn nodes_that_are_killed_together_take_writes_soon_after_the_last_start() {
    let _alone = alone();
    let kills = size(2, 100);
    let mut rig = Rig::new();
    let mut writable = Vec::new();
    for round in 0..kills {
        let (checked, load) = (rig.journal.len(), rig.load(4, 2));
        thread::sleep(random_time(Duration::from_millis(200), Duration::from_millis(900)));
        rig.cluster.nodes.iter_mut().for_each(tests::Server::kill9);
        assert_eq!(load.stop().broken, Vec::<String>::new());
        let began = Instant::now();
        if let Err(error) = rig.restart_all() {
            panic!("round {round}: {error:#}");
        }
        rig.wait_until_writable(any_node());
        writable.push(began.elapsed());
        let verdict = rig.verdict(checked);
        assert!(verdict.is_whole(), "round {round}: {verdict}\n{}", rig.complaints());
    }
    let verdict = rig.assert_kept(&tests::load::Tally::default());
    report(
        "E37",
        &format!("{kills} kills of all three; writable after the start {}; {verdict}", spread(&writable)),
    );
    assert!(writable.iter().all(|time| *time <= WRITABLE), "{writable:?}");
}
