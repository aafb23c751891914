//! Properties of a session, in simulated networks of honest and other nodes.

use proto::digest::Algorithm;

use super::sim_test::{Behaviour, Sim, id};
use super::*;
use crate::exchange::random::Random;

const MIB: u64 = 1024 * 1024;

/// Bytes a second of a gigabit link.
const GIGABIT: u64 = 125_000_000;

/// Bad holders of every kind.
fn bad(random: &mut Random) -> Behaviour {
    match random.below(7) {
        0 => Behaviour::Liar(1 + random.below(20)),
        1 => Behaviour::Staller(random.below(50)),
        2 => Behaviour::Silent,
        3 => Behaviour::Vanishing(random.below(300_000)),
        4 => Behaviour::Boaster,
        5 => Behaviour::Trickle,
        _ => Behaviour::Busy,
    }
}

fn class(random: &mut Random) -> Class {
    [Class::Site, Class::Region, Class::Wide][random.below(3) as usize]
}

#[test]
fn with_one_honest_holder_among_any_others_a_fetch_ends_done() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut sim = Sim::new(random.below(40 * MIB));
        for _ in 0..random.below(6) {
            let (behaviour, class) = (bad(&mut random), class(&mut random));
            sim.holder(behaviour, class, GIGABIT);
        }
        sim.holder(Behaviour::Honest, class(&mut random), GIGABIT / (1 + random.below(50)));
        let fetcher = sim.fetcher(GIGABIT, seed);
        if random.below(2) == 0 {
            sim.read(fetcher, 0..sim.cut.leaves());
        }
        sim.run();
        assert!(
            matches!(sim.nodes[fetcher].ended, Some((_, Ok(())))),
            "seed {seed}: {:?}",
            sim.nodes[fetcher].ended
        );
    }
}

#[test]
fn without_an_honest_holder_a_fetch_ends_with_a_reason() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut sim = Sim::new(2 * MIB + random.below(40 * MIB));
        for _ in 0..random.below(5) {
            // Neither may be enough to bring the whole blob.
            let behaviour = match bad(&mut random) {
                Behaviour::Liar(_) => Behaviour::Liar(1 + random.below(3)),
                Behaviour::Staller(_) => Behaviour::Staller(random.below(2)),
                Behaviour::Vanishing(_) => Behaviour::Vanishing(random.below(5000)),
                other => other,
            };
            sim.holder(behaviour, class(&mut random), GIGABIT);
        }
        let fetcher = sim.fetcher(GIGABIT, seed);
        sim.run();
        let (at, ended) = sim.nodes[fetcher].ended.expect("it ends");
        let failure = ended.expect_err("nobody could bring it");
        match failure {
            Failure::NoHolder { .. } => {}
            Failure::Starved => assert!(at >= 30_000_000, "seed {seed}"),
        }
        assert!(at < 300_000_000, "seed {seed}: {failure} after {at} µs");
    }
}

#[test]
fn slow_and_silent_holders_cost_two_seconds_and_liars_nothing() {
    for behaviour in [Behaviour::Staller(20), Behaviour::Silent, Behaviour::Trickle, Behaviour::Liar(5)] {
        let mut sim = Sim::new(64 * MIB);
        let bad = sim.holder(behaviour, Class::Site, GIGABIT);
        sim.holder(Behaviour::Honest, Class::Region, GIGABIT);
        let fetcher = sim.fetcher(GIGABIT, 1);
        sim.run();
        let (at, ended) = sim.nodes[fetcher].ended.expect("it ends");
        ended.expect("the honest one has it");
        let alone = 64 * MIB * 1_000_000 / GIGABIT;
        assert!(at < alone * 5 / 4 + 2_100_000, "{behaviour:?}: {at} µs");
        let reason = if matches!(behaviour, Behaviour::Liar(_)) { Reason::Wrong } else { Reason::Silent };
        // In the endgame a silent one may be overtaken before its two seconds are over.
        assert!(sim.nodes[fetcher].left.get(&id(bad)).is_none_or(|left| *left == reason), "{behaviour:?}");
        assert!(
            sim.nodes[fetcher].doubled <= 8,
            "{behaviour:?}: {} leaves twice",
            sim.nodes[fetcher].doubled
        );
    }
}

#[test]
fn a_small_blob_is_one_request_and_a_second_holder_helps_a_slow_first() {
    for size in [0, 1, 200_000, 1_000_000] {
        let mut sim = Sim::new(size);
        let first = sim.holder(Behaviour::Honest, Class::Site, GIGABIT);
        let second = sim.holder(Behaviour::Honest, Class::Region, GIGABIT);
        let fetcher = sim.fetcher(GIGABIT, 1);
        sim.run();
        assert!(matches!(sim.nodes[fetcher].ended, Some((at, Ok(()))) if at < 30_000));
        assert_eq!(sim.nodes[first].sent, sim.cut.leaves());
        assert_eq!(sim.nodes[second].sent, 0, "the nearest one is enough");

        let mut sim = Sim::new(size);
        sim.holder(Behaviour::Silent, Class::Site, GIGABIT);
        sim.holder(Behaviour::Honest, Class::Region, GIGABIT);
        let fetcher = sim.fetcher(GIGABIT, 1);
        sim.run();
        assert!(matches!(sim.nodes[fetcher].ended, Some((at, Ok(()))) if at < 400_000));
    }
}

#[test]
fn readers_get_their_next_leaves_first() {
    let mut sim = Sim::new(256 * MIB);
    sim.holder(Behaviour::Honest, Class::Region, GIGABIT);
    let mut session = Session::new(sim.cut, Leaves::none(sim.cut.leaves()), true, id(9), 1);
    session.on(Duration::ZERO, Fact::Reading(1, 500..sim.cut.leaves()));
    let found = Found { node: id(0), class: Class::Region, presumed: Presumed::Complete };
    let decisions = session.on(Duration::ZERO, Fact::Found(vec![found]));
    let asked = decisions.iter().find_map(|decision| match decision {
        Decision::Ask { what: What::Leaves(leaves), .. } => Some(leaves.clone()),
        _ => None,
    });
    assert_eq!(asked, Some(500..501));
}

/// All fetchers start at once with one holder; returns the time of the last one as a multiple of size/bandwidth, the
/// same of the median, and the bytes that the first holder sent as a multiple of the size.
fn swarm(nodes: u64, size: u64, rate: u64, readers: bool, seed: u64) -> (f64, f64, f64) {
    let mut sim = Sim::new(size);
    let first = sim.holder(Behaviour::Honest, Class::Region, rate);
    for node in 0..nodes {
        let fetcher = sim.fetcher(rate, seed * 1_000_000 + node);
        if readers {
            sim.read(fetcher, 0..sim.cut.leaves());
        }
    }
    sim.run();
    let mut times: Vec<f64> = sim.nodes[first + 1..]
        .iter()
        .map(|node| match node.ended {
            Some((at, Ok(()))) => at as f64 / 1e6 / (size as f64 / rate as f64),
            other => panic!("a fetch failed: {other:?}"),
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let per_leaf = |count: u64| count as f64 / (nodes * sim.cut.leaves()) as f64;
    println!(
        "a leaf took {:.2} questions and {:.2} asks, of which {:.2} were turned away",
        per_leaf(sim.polls),
        per_leaf(sim.asked),
        per_leaf(sim.turned_away)
    );
    (times[times.len() - 1], times[times.len() / 2], sim.sent_bytes(first) as f64 / size as f64)
}

/// 100 Mbit/s.
const FAST_ETHERNET: u64 = 12_500_000;

/// One of the seeds that `SHOAL_SEED` may replace.
fn seed() -> u64 {
    std::env::var("SHOAL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[test]
fn swarms_fetch_from_one_in_little_more_than_the_time_of_one() {
    // More take minutes: run with --config 'profile.test.package.peer.opt-level=3'. A thousand took 1.64.
    let full = std::env::var_os("SHOAL_TEST_FULL").is_some();
    for nodes in if full { [20, 100] } else { [5, 20] } {
        let began = std::time::Instant::now();
        let (last, median, from_first) = swarm(nodes, 200 * MIB, FAST_ETHERNET, false, seed());
        println!(
            "seed {}: {nodes} nodes, 200 MiB, 100 Mbit/s: last {last:.3}, median {median:.3} of size/bandwidth; first holder sent {from_first:.2} of the size; {:.1} s",
            seed(),
            began.elapsed().as_secs_f64()
        );
        assert!(last <= 1.25, "{nodes} nodes: {last:.3}");
    }
}

#[test]
fn twenty_nodes_fetch_from_one_in_little_more_than_the_time_of_one() {
    let (last, median, from_first) = swarm(20, 256 * MIB, GIGABIT, true, 1);
    println!(
        "last {last:.3}, median {median:.3} of size/bandwidth; first holder sent {from_first:.2} of the size"
    );
    assert!(last <= 1.35, "{last:.3}");
}

/// Three regions, links of `link` bytes a second into each, three holders in the first; `nodes` of each of the others
/// fetch at once, each a little after the one before. Returns bytes into each region as a multiple of the size, and the
/// time of the last one as a multiple of size/link.
fn regions(nodes: u64, size: u64, link: u64, latest: u64, seed: u64) -> (f64, f64) {
    let mut sim = Sim::new(size);
    sim.wide = vec![(link, 0, 0); 3];
    for _ in 0..3 {
        sim.holder(Behaviour::Honest, Class::Region, GIGABIT);
    }
    let mut random = Random::new(seed);
    for node in 0..2 * nodes {
        let begins = random.below(latest);
        let fetcher = sim.fetcher_of(1 + (node % 2) as usize, begins, GIGABIT, seed * 1_000_000 + node);
        sim.read(fetcher, 0..sim.cut.leaves());
    }
    sim.run();
    let failed = sim.nodes[3..].iter().find(|node| !matches!(node.ended, Some((_, Ok(())))));
    assert!(failed.is_none(), "a fetch failed");
    let last = sim.nodes.iter().filter_map(|node| node.ended).map(|(at, _)| at).max().expect("some");
    let crossed = sim.wide[1..].iter().map(|(_, _, bytes)| *bytes).max().expect("two");
    (crossed as f64 / size as f64, last as f64 / 1e6 / (size as f64 / link as f64))
}

/// 20 Mbit/s.
const SLOW: u64 = 2_500_000;

#[test]
fn a_blob_crosses_the_wide_area_about_once_a_region() {
    let full = std::env::var_os("SHOAL_TEST_FULL").is_some();
    let large = full.then_some((10, 256 * MIB, GIGABIT / 5));
    for (nodes, size, link) in [(3, 32 * MIB, SLOW), (10, 32 * MIB, SLOW)].into_iter().chain(large) {
        for latest in [20_000, 200_000] {
            let (crossed, last) = regions(nodes, size, link, latest, seed());
            println!(
                "seed {}: {nodes} nodes a region, begun within {latest} µs, {} MiB, {link} B/s: {crossed:.3} of the size crossed, last {last:.3} of size/link",
                seed(),
                size / MIB
            );
            assert!(crossed <= 1.1, "{nodes} nodes: {crossed:.3}");
            assert!(last <= 1.5, "{nodes} nodes: {last:.3}");
        }
    }
}

#[test]
fn a_neighbour_that_is_slow_with_its_share_is_helped() {
    let mut sim = Sim::new(128 * MIB);
    sim.wide = vec![(GIGABIT / 4, 0, 0); 2];
    sim.holder(Behaviour::Honest, Class::Region, GIGABIT);
    let fast = [0, 1].map(|seed| sim.fetcher_of(1, 0, GIGABIT, seed));
    // Alone, its share would take half a minute.
    sim.fetcher_of(1, 0, 1_500_000, 2);
    sim.run();
    for node in fast {
        assert!(
            matches!(sim.nodes[node].ended, Some((at, Ok(()))) if at < 15_000_000),
            "{:?}",
            sim.nodes[node].ended
        );
    }
}

#[test]
fn elections_agree_and_differ_by_blob() {
    let region: Vec<NodeId> = (0..50).map(id).collect();
    let backwards: Vec<NodeId> = region.iter().rev().copied().collect();
    let mut chosen = BTreeSet::new();
    for blob in 0..100_u8 {
        let digest = Digest::of(Algorithm::Sha256, &[blob]);
        let nodes = elected(&digest, &region, 2);
        assert_eq!(nodes, elected(&digest, &backwards, 2));
        assert_eq!(nodes.len(), 2);
        chosen.extend(nodes);
    }
    assert!(chosen.len() > 40, "all nodes get a share: {}", chosen.len());
    assert!(elected(&Digest::of(Algorithm::Sha256, b""), &[], 2).is_empty());
}
