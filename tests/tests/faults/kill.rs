//! E1 and E37: the process is killed at any moment and started again at once, under load and idle.

use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tests::content::unique_bytes;
use tests::journal::{Journal, random_time};
use tests::load::{Load, LoadOptions, REPOSITORY, push_blob};

use crate::node::{Node, Place};
use crate::{alone, report, size};

/// E37: the node takes writes this soon after its start; a generous ceiling, as the table's last line says.
const WRITABLE: Duration = Duration::from_secs(5);

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed_under_load() {
    let _alone = alone();
    let kills = size(20, 300);
    let clients = size(4, 8);
    let place = Place::new();
    let journal = Arc::new(Journal::default());
    let mut node = place.start();
    let options = LoadOptions { pushers: clients, pullers: clients, large_manifests: true };
    let load = Load::start(&place.root(), options, &journal);
    let mut starts = Vec::new();
    for _ in 0..kills {
        thread::sleep(random_time(Duration::from_millis(100), Duration::from_millis(900)));
        node.kill();
        let began = Instant::now();
        node = place.start();
        starts.push(began.elapsed());
    }
    let tally = load.stop();
    let verdict = journal.verify_all(&place.root(), 2);
    starts.sort();
    report(
        "E1",
        &format!(
            "{kills} kills, {} images pushed, {} pushes cut, {} pulls, {} pulls cut; then {verdict}; ready after {:?} (median), {:?} (most)",
            tally.pushed,
            tally.push_failures,
            tally.pulled,
            tally.pull_failures,
            starts[starts.len() / 2],
            starts[starts.len() - 1],
        ),
    );
    assert_eq!(tally.broken, Vec::<String>::new(), "wrong or missing while under load");
    assert!(tally.pushed as usize >= kills, "too little was pushed for the kills to hit anything");
    verdict.assert_whole(|| tail(&node));
    assert!(!node.log().contains("panicked"), "{}", tail(&node));
}

#[test]
fn a_node_that_is_killed_again_and_again_takes_writes_soon_after_its_last_start() {
    let _alone = alone();
    let kills = size(5, 100);
    let place = Place::new();
    let journal = Arc::new(Journal::default());
    let mut node = place.start();
    let mut slowest = Duration::ZERO;
    for round in 0..kills {
        if round.is_multiple_of(2) {
            let options = LoadOptions { pushers: 2, pullers: 1, large_manifests: false };
            let load = Load::start(&place.root(), options, &journal);
            thread::sleep(random_time(Duration::from_millis(50), Duration::from_millis(300)));
            node.kill();
            assert_eq!(load.stop().broken, Vec::<String>::new());
        } else {
            node.kill();
            kill_while_it_starts(&place, random_time(Duration::ZERO, Duration::from_millis(200)));
        }
        let began = Instant::now();
        node = place.start();
        let bytes = unique_bytes(5000);
        let pushed = push_blob(&place.root(), REPOSITORY, &journal, &bytes);
        assert!(pushed.is_ok(), "not writable: {pushed:?}\n{}", tail(&node));
        slowest = slowest.max(began.elapsed());
    }
    let verdict = journal.verify_all(&place.root(), 2);
    report("E37", &format!("{kills} kills; writable at most {slowest:?} after the start; {verdict}"));
    verdict.assert_whole(|| tail(&node));
    assert!(slowest <= WRITABLE, "writable only after {slowest:?}");
}

#[test]
fn a_first_start_that_is_killed_leaves_nothing_that_stops_the_next_one() {
    let _alone = alone();
    let kills = size(16, 300);
    let began = Instant::now();
    Place::new().start().kill();
    let (whole_start, mut slowest) = (began.elapsed(), Duration::ZERO);
    for kill in 0..kills {
        let place = Place::new();
        kill_while_it_starts(&place, whole_start * kill as u32 / kills as u32);
        let began = Instant::now();
        let node = place.start();
        slowest = slowest.max(began.elapsed());
        place.root().push_blob("first/start", b"hello");
        assert!(!node.log().contains("panicked"), "{}", tail(&node));
    }
    report("E37", &format!("{kills} first starts killed; the second ready after {slowest:?} at most"));
}

fn kill_while_it_starts(place: &Place, after: Duration) {
    let mut command = place.command();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("setpriv");
    thread::sleep(after);
    let _ = child.kill();
    let _ = child.wait();
}

/// The end of the node's log, for a failure's message.
pub(crate) fn tail(node: &Node) -> String {
    let log = node.log();
    let lines: Vec<String> = log
        .lines()
        .filter(|line| !line.contains(" INFO "))
        .map(|line| line.chars().take(300).collect())
        .collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
