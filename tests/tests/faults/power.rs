//! E2 and E3: the power goes while clients push; what was acknowledged before is there afterwards. The control
//! runs the same node with every sync left out and must lose something, or the test proves nothing.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tests::files::check_files;
use tests::journal::{Journal, random_time};
use tests::load::{Load, LoadOptions};

use crate::kill::tail;
use crate::node::{Node, PATIENCE, Place, Refusal};
use crate::{alone, report, size};
use tests::volume::{Kind, Volume};

/// Sparse: only what is written takes room. xfs wants 300 at least.
const VOLUME_MIB: u64 = 16 << 10;
/// Rounds in which the control must lose something.
const CONTROL_ROUNDS: usize = 3;
/// Makes fsync and its kin do nothing.
const NO_SYNC: &str = "libeatmydata.so";

#[test]
fn nothing_acknowledged_is_lost_in_a_power_cut_on_ext4() {
    let _alone = alone();
    lose_power(Kind::Ext4, size(3, 100));
}

#[test]
fn nothing_acknowledged_is_lost_in_a_power_cut_on_xfs() {
    let _alone = alone();
    lose_power(Kind::Xfs, size(3, 100));
}

#[test]
fn the_control_without_syncs_loses_something_on_ext4() {
    let _alone = alone();
    lose_without_syncs(Kind::Ext4);
}

#[test]
fn the_control_without_syncs_loses_something_on_xfs() {
    let _alone = alone();
    lose_without_syncs(Kind::Xfs);
}

fn lose_power(kind: Kind, rounds: usize) {
    let volume = Volume::new(kind, VOLUME_MIB);
    let place = Place::at(&volume.path().join("data"));
    let journal = Arc::new(Journal::default());
    let mut node = place.start();
    let (mut pushed, mut late, mut slowest) = (0, 0, Duration::ZERO);
    for round in 0..rounds {
        let checked = journal.len();
        let (acked, unsure) = cut(&volume, &place, node, &journal);
        pushed += acked;
        late += unsure;
        let began = Instant::now();
        node = place.start();
        slowest = slowest.max(began.elapsed());
        // What was promised earlier was checked earlier, and is once more at the end.
        let verdict = journal.verify_from(checked, &place.root(), 2);
        assert!(verdict.is_whole(), "round {round} on {kind:?}: {verdict}\n{}", tail(&node));
    }
    journal.verify_all(&place.root(), 2).assert_whole(|| tail(&node));
    let files = check_files(&place.data);
    report(
        "E2/E3",
        &format!(
            "{kind:?}: {rounds} cuts, {pushed} images, {} promises kept, {late} answers too late to count, {files} files whole, ready after {slowest:?} at most",
            journal.len(),
        ),
    );
    assert!(!journal.is_empty(), "nothing was promised before a cut");
    assert!(!node.log().contains("panicked"), "{}", tail(&node));
}

#[test]
fn a_first_start_that_loses_power_leaves_nothing_that_stops_the_next_one() {
    let _alone = alone();
    let rounds = size(4, 100);
    let volume = Volume::new(Kind::Ext4, VOLUME_MIB);
    for round in 0..rounds {
        let place = Place::at(&volume.path().join(format!("data{round}")));
        let switch = volume.power_switch();
        let mut starting = place.command();
        let mut starting = starting.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("setpriv");
        thread::sleep(random_time(Duration::ZERO, Duration::from_millis(300)));
        switch.press();
        let _ = starting.kill();
        let _ = starting.wait();
        volume.unmount();
        volume.mount();
        let node = place.start();
        place.root().push_blob("first/start", b"hello");
        assert!(!node.log().contains("panicked"), "{}", tail(&node));
    }
    report("E2", &format!("{rounds} first starts without power: the second start works"));
}

/// Pushes for a while, cuts the power, takes the volume from the node and mounts it again. Returns images pushed,
/// and promises that came too late to count.
fn cut(volume: &Volume, place: &Place, node: Node, journal: &Arc<Journal>) -> (u64, usize) {
    let options = LoadOptions { pushers: 4, pullers: 1, large_manifests: true };
    let load = Load::start(&place.root(), options, journal);
    let switch = volume.power_switch();
    let before = journal.len();
    thread::sleep(random_time(Duration::from_millis(600), Duration::from_millis(1400)));
    let deadline = Instant::now() + PATIENCE;
    let base = journal.len();
    // Right behind an answer, when the least time is left to write it out.
    while journal.len() == base && Instant::now() < deadline {
        thread::yield_now();
    }
    let off = switch.press();
    node.kill();
    let tally = load.stop();
    assert_eq!(tally.broken, Vec::<String>::new(), "while the power was on");
    let late = journal.forget_since(off);
    assert!(journal.len() > before, "nothing was acknowledged before the cut");
    volume.unmount();
    volume.mount();
    (tally.pushed, late)
}

fn lose_without_syncs(kind: Kind) {
    let volume = Volume::new(kind, VOLUME_MIB);
    let mut place = Place::at(&volume.path().join("data"));
    // With syncs up to here: the control has to lose pushes, not the first start.
    place.start().stop();
    place.environment.push(("LD_PRELOAD", NO_SYNC.to_owned()));
    let journal = Arc::new(Journal::default());
    for round in 1..=CONTROL_ROUNDS {
        let node = match place.try_start() {
            Ok(node) => node,
            Err(Refusal { text, .. }) => return report_control(kind, round, &text),
        };
        assert!(is_preloaded(&node), "the control is not without syncs: is eatmydata installed?");
        cut(&volume, &place, node, &journal);
        match place.try_start() {
            Ok(node) => {
                let verdict = journal.verify_all(&place.root(), 2);
                if !verdict.is_whole() {
                    return report_control(kind, round, &verdict.to_string());
                }
                node.kill();
            }
            Err(Refusal { text, .. }) => return report_control(kind, round, &text),
        }
    }
    panic!("the control lost nothing in {CONTROL_ROUNDS} rounds on {kind:?}: the power cuts test nothing");
}

fn report_control(kind: Kind, round: usize, what: &str) {
    let what: String = what.chars().take(160).collect();
    report("E3 control", &format!("{kind:?}: fails in round {round} as it must: {}", what.trim()));
}

fn is_preloaded(node: &Node) -> bool {
    fs::read_to_string(format!("/proc/{}/maps", node.pid())).is_ok_and(|maps| maps.contains(NO_SYNC))
}
