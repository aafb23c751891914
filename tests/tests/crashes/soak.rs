//! E36: mixed load for a while. Memory and descriptors stay where they are, and everything acknowledged is there.

use std::fs;
use std::time::{Duration, Instant};

use tests::{Server, wait_until};

use crate::rig::Rig;
use crate::{alone, report, size};

/// How long, in minutes, if not as the table says; a fraction is fine.
const MINUTES: &str = "SHOAL_TEST_SOAK_MINUTES";
/// Memory may grow so much an hour; asked of runs of half an hour and more.
const SLOPE: f64 = 10.0;
/// Descriptors more than in the middle of the run.
const MORE_DESCRIPTORS: usize = 200;

#[test]
fn memory_and_descriptors_stay_where_they_are_under_mixed_load() {
    let _alone = alone();
    let asked = std::env::var(MINUTES).ok().and_then(|text| text.parse::<f64>().ok());
    let length = Duration::from_secs_f64(asked.unwrap_or(size(1, 600) as f64 / 10.0) * 60.0);
    let mut rig = Rig::new();
    let load = rig.load(3, 3);
    let began = Instant::now();
    let mut samples = Vec::new();
    while began.elapsed() < length {
        samples.push((began.elapsed(), rig.cluster.nodes.iter().map(state_of).collect::<Vec<_>>()));
        let next = began.elapsed() + length / 40;
        wait_until("the next look", length, || began.elapsed() >= next);
    }
    let tally = load.stop();
    for place in 0..rig.cluster.nodes.len() {
        let of = |(at, states): &(Duration, Vec<(u64, usize)>)| (at.as_secs_f64() / 3600.0, states[place]);
        let settled: Vec<_> = samples.iter().skip(samples.len() / 4).map(of).collect();
        let slope = slope(settled.iter().map(|(hours, state)| (*hours, state.0 as f64 / f64::from(1 << 20))));
        let descriptors = |part: &[(f64, (u64, usize))]| part.iter().map(|(_, state)| state.1).max();
        let (early, late) = settled.split_at(settled.len() / 2);
        let (early, late) = (descriptors(early).unwrap_or(0), descriptors(late).unwrap_or(0));
        let memory = settled.last().map_or(0, |(_, state)| state.0 >> 20);
        report(
            "E36",
            &format!(
                "node {place}: {memory} MiB resident, {slope:+.1} MiB/h; descriptors {early} then {late}"
            ),
        );
        assert!(late <= early + MORE_DESCRIPTORS, "descriptors leak");
        assert!(length < Duration::from_secs(1800) || slope < SLOPE, "memory grows");
    }
    let verdict = rig.assert_kept(&tally);
    report(
        "E36",
        &format!(
            "{length:.0?} of mixed load: {} images pushed, {} failed, {} pulls, {} failed; {verdict}",
            tally.pushed, tally.push_failures, tally.pulled, tally.pull_failures
        ),
    );
    assert_eq!((tally.push_failures, tally.pull_failures), (0, 0), "nothing was done to the nodes");
}

/// Resident bytes and open descriptors.
fn state_of(node: &Server) -> (u64, usize) {
    let open = fs::read_dir(format!("/proc/{}/fd", node.pid())).map_or(0, Iterator::count);
    (node.usage().memory, open)
}

/// Of the straight line nearest to the points.
fn slope(points: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let count = points.clone().count().max(1) as f64;
    let (sum_x, sum_y) = points.clone().fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x, sum.1 + y));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (above, below) = points
        .fold((0.0, 0.0), |sum, (x, y)| (sum.0 + (x - mean_x) * (y - mean_y), sum.1 + (x - mean_x).powi(2)));
    if below > 0.0 { above / below } else { 0.0 }
}
