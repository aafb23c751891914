//! E2 and E3: the power of one node, or of all at the same moment, goes while clients push; what was acknowledged
//! before is there afterwards. The control runs the same nodes with every sync left out and must lose something.

use std::fs;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tests::Server;
use tests::files::{check_files, check_files_since};
use tests::journal::random_time;
use tests::load::Tally;
use tests::volume::{Kind, PowerSwitch, Volume};
use tests::wait_until;

use crate::rig::{NODES, Rig, VOLUME_MIB, any_node};
use crate::{alone, report, size, spread};

/// E3: the power goes so soon after an answer.
const SOON: Duration = Duration::from_millis(50);
/// Rounds in which the control must lose something.
const CONTROL_ROUNDS: usize = 3;
/// Makes fsync and its kin do nothing.
const NO_SYNC: &str = "libeatmydata.so";
/// Answers that come so soon after a cut may rest on what the node without power said while it went; the kernel may
/// call durable what the cut overtakes.
const ECHO: Duration = Duration::from_millis(500);
/// A file may be written this long before it gets its final name.
const SLACK: Duration = Duration::from_secs(60);
/// E2: ten times the figure of the table, which is printed.
const REJOIN: Duration = Duration::from_secs(100);

#[test]
fn nothing_acknowledged_is_lost_when_all_nodes_lose_power_on_ext4() {
    let _alone = alone();
    lose_power(Kind::Ext4, size(2, 100));
}

#[test]
fn nothing_acknowledged_is_lost_when_all_nodes_lose_power_on_xfs() {
    let _alone = alone();
    lose_power(Kind::Xfs, size(2, 100));
}

#[test]
fn the_control_without_syncs_loses_something_when_all_nodes_lose_power() {
    let _alone = alone();
    lose_without_syncs(Kind::Ext4);
    if tests::registry::is_full_run() {
        lose_without_syncs(Kind::Xfs);
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_one_node_loses_power() {
    let _alone = alone();
    let cuts = size(2, 200);
    let mut rig = Rig::on(Kind::Ext4, [VOLUME_MIB; NODES]);
    let load = rig.load(4, 4);
    let (mut late, mut rejoined, mut files) = (0, Vec::new(), 0);
    // What a node has not written since its last cut was looked at then, and is once more at the end.
    let mut looked_at = [SystemTime::UNIX_EPOCH; NODES];
    for _ in 0..cuts {
        let victim = any_node();
        let switch = rig.volumes[victim].power_switch();
        thread::sleep(random_time(Duration::from_millis(300), Duration::from_millis(1200)));
        let off = switch.press();
        rig.cluster.nodes[victim].kill9();
        remount(&rig.volumes[victim]);
        files += check_files_since(&rig.cluster.nodes[victim].data_dir(), looked_at[victim]);
        looked_at[victim] = SystemTime::now() - SLACK;
        let began = Instant::now();
        rig.cluster.nodes[victim].restart();
        rejoined.push(began.elapsed());
        wait_until("the echo of the cut to fade", ECHO, || off.elapsed() >= ECHO);
        late += rig.journal.forget_within(off, off + ECHO);
    }
    let tally = load.stop();
    // What the load read before it was forgotten is not judged: the last check is.
    let verdict = rig.assert_kept(&Tally::default());
    files += rig.cluster.nodes.iter().map(|node| check_files(&node.data_dir())).sum::<usize>();
    report(
        "E2",
        &format!(
            "{cuts} cuts of one of three, {} images, {late} answers too near to a cut to count, {files} files looked at and whole; rejoined {}; {verdict}; {} strange answers under load",
            tally.pushed,
            spread(&rejoined),
            tally.broken.len(),
        ),
    );
    assert!(rejoined.iter().all(|time| *time <= REJOIN), "{rejoined:?}");
}

/// One cut of all nodes.
struct Cut {
    /// Images acknowledged before.
    pushed: u64,
    /// Promises that came too late to count.
    late: usize,
    /// Whether the newest promise that counts was younger than [`SOON`].
    was_soon: bool,
}

fn lose_power(kind: Kind, rounds: usize) {
    let mut rig = Rig::on(kind, [VOLUME_MIB; NODES]);
    let (mut pushed, mut late, mut soon, mut starts) = (0, 0, 0, Vec::new());
    for round in 0..rounds {
        let checked = rig.journal.len();
        let cut = cut_all(&mut rig);
        pushed += cut.pushed;
        late += cut.late;
        soon += usize::from(cut.was_soon);
        match rig.restart_all() {
            Ok(times) => starts.extend(times),
            Err(error) => panic!("round {round} on {kind:?}: {error:#}"),
        }
        // What was promised earlier was checked earlier, and is once more at the end.
        let verdict = rig.verdict(checked);
        assert!(verdict.is_whole(), "round {round} on {kind:?}: {verdict}\n{}", rig.complaints());
    }
    let verdict = rig.assert_kept(&Tally::default());
    let files: usize = rig.cluster.nodes.iter().map(|node| check_files(&node.data_dir())).sum();
    report(
        "E3",
        &format!(
            "{kind:?}: {rounds} cuts of all three, {soon} of them within {SOON:?} of an answer, {pushed} images, {late} answers too late to count, {files} files whole; ready {}; {verdict}",
            spread(&starts),
        ),
    );
    assert!(soon > 0, "no cut came soon after an answer");
}

/// Pushes for a while, cuts the power of all volumes right behind an answer, ends the nodes and mounts the volumes
/// again.
fn cut_all(rig: &mut Rig) -> Cut {
    let load = rig.load(4, 1);
    let switches: Vec<PowerSwitch> = rig.volumes.iter().map(Volume::power_switch).collect();
    let before = rig.journal.len();
    thread::sleep(random_time(Duration::from_millis(600), Duration::from_millis(1400)));
    let base = rig.journal.len();
    let last = rig.journal.all().last().map(|promise| promise.acked);
    // Behind an answer, when the least time is left to write it out.
    let limit = tests::cluster::PATIENCE;
    let deadline = Instant::now() + limit;
    while rig.journal.len() == base && Instant::now() < deadline {
        thread::yield_now();
    }
    assert!(
        rig.journal.len() > base,
        "nothing is acknowledged any more since {last:?}\n{}",
        rig.complaints()
    );
    // All at once: the first to go decides what counts.
    let off = thread::scope(|scope| {
        let presses: Vec<_> = switches.into_iter().map(|switch| scope.spawn(|| switch.press())).collect();
        let moments = presses.into_iter().map(|press| press.join().expect("a switch"));
        moments.min().expect("a switch")
    });
    rig.cluster.nodes.iter_mut().for_each(Server::kill9);
    let tally = load.stop();
    assert_eq!(tally.broken, Vec::<String>::new(), "while the power was on");
    let late = rig.journal.forget_within(off, Instant::now());
    let newest = rig.journal.all().last().map(|promise| off.saturating_duration_since(promise.acked));
    assert!(rig.journal.len() > before, "nothing was acknowledged before the cut");
    rig.volumes.iter().for_each(remount);
    Cut { pushed: tally.pushed, late, was_soon: newest.is_some_and(|age| age <= SOON) }
}

fn remount(volume: &Volume) {
    volume.unmount();
    volume.mount();
}

fn lose_without_syncs(kind: Kind) {
    // With syncs until the cluster stands: the control has to lose pushes, not the first start.
    let mut rig = Rig::on(kind, [VOLUME_MIB; NODES]);
    for node in &mut rig.cluster.nodes {
        node.stop();
        node.options_mut().environment.push(("LD_PRELOAD".to_owned(), NO_SYNC.to_owned()));
    }
    if let Err(error) = rig.restart_all() {
        panic!("the control does not start: {error:#}");
    }
    for round in 1..=CONTROL_ROUNDS {
        for node in &rig.cluster.nodes {
            let maps = fs::read_to_string(format!("/proc/{}/maps", node.pid())).unwrap_or_default();
            assert!(maps.contains(NO_SYNC), "the control is not without syncs: is eatmydata installed?");
        }
        cut_all(&mut rig);
        // One node alone tells enough where it does not start at all.
        let verdict = rig.restart_all().map(|_| rig.verdict(0));
        let failure = match verdict {
            Ok(verdict) if verdict.is_whole() => continue,
            Ok(verdict) => verdict.to_string(),
            Err(error) => format!("{error:#}"),
        };
        let failure: String = failure.chars().take(200).collect();
        return report("E3 control", &format!("{kind:?}: fails in round {round} as it must: {failure}"));
    }
    panic!("the control lost nothing in {CONTROL_ROUNDS} rounds on {kind:?}: the power cuts test nothing");
}
