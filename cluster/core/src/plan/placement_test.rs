//! Homes are the same everywhere, spread over zones, in proportion, and move little.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proto::digest::Algorithm;

use super::*;

fn digest(number: u32) -> Digest {
    Digest::of(Algorithm::Sha256, &number.to_be_bytes())
}

fn candidate(node: u64, zone: &str, weight: u64) -> Candidate {
    Candidate { node: NodeId::new(node).unwrap(), zone: zone.parse().unwrap(), weight }
}

fn numbers(homes: &[NodeId]) -> Vec<u64> {
    homes.iter().map(|node| node.get()).collect()
}

/// If this fails, blobs of clusters that exist would move.
#[test]
fn homes_never_change_between_releases() {
    let nodes: Vec<_> =
        (1..=6).map(|node| candidate(node, ["a", "b", "c"][node as usize % 3], node * 100)).collect();
    let homes: Vec<_> = (0..6).map(|number| numbers(&super::homes(&digest(number), &nodes, 3))).collect();
    assert_eq!(homes, GOLDEN);
    assert_eq!(mix(1), 0x910a_2dec_8902_5cc1);
}

const GOLDEN: [[u64; 3]; 6] = [[4, 6, 5], [4, 5, 3], [6, 5, 1], [4, 6, 5], [6, 4, 5], [4, 5, 3]];

#[test]
fn logarithms_are_right_to_the_last_bits() {
    assert_eq!(negative_log2(u64::MAX), 0);
    assert_eq!(negative_log2((1 << 63) - 1), 1 << FRACTION_BITS);
    assert_eq!(negative_log2(0), 64 << FRACTION_BITS);
    let mut before = u64::MAX;
    for step in 0..10_000u64 {
        let drawn = step * 1_844_674_407_370_955 + 12_345;
        let exact = 64.0 - ((drawn as f64) + 1.0).log2();
        let ours = negative_log2(drawn) as f64 / (1u64 << FRACTION_BITS) as f64;
        assert!((exact - ours).abs() < 1e-10, "{drawn}: {exact} {ours}");
        assert!(negative_log2(drawn) <= before, "it falls as the number rises");
        before = negative_log2(drawn);
    }
}

#[test]
fn shares_are_proportional_to_weights() {
    let nodes = [
        candidate(11, "a", 1000),
        candidate(12, "b", 2000),
        candidate(13, "c", 3000),
        candidate(14, "d", 4000),
    ];
    let mut shares: BTreeMap<u64, u32> = BTreeMap::new();
    for number in 0..100_000 {
        *shares.entry(homes(&digest(number), &nodes, 1)[0].get()).or_default() += 1;
    }
    for (node, weight) in [(11, 10_000i64), (12, 20_000), (13, 30_000), (14, 40_000)] {
        let share = i64::from(shares[&node]);
        assert!((share - weight).abs() * 100 < weight * 3, "node {node} has {share} of {weight}");
    }
}

#[test]
fn equal_nodes_in_equal_zones_get_equal_shares_of_all_copies() {
    let nodes: Vec<_> =
        (1..=9).map(|node| candidate(node * 77, ["a", "b", "c"][node as usize % 3], 1000)).collect();
    let mut shares: BTreeMap<u64, i64> = BTreeMap::new();
    for number in 0..30_000 {
        homes(&digest(number), &nodes, 3).iter().for_each(|node| *shares.entry(node.get()).or_default() += 1);
    }
    assert!(shares.values().all(|share| (share - 10_000).abs() < 300), "{shares:?}");
}

fn any_nodes() -> impl Strategy<Value = Vec<Candidate>> {
    prop::collection::btree_map(1u64.., (0usize..5, 0u64..1 << 40), 1..12).prop_map(|nodes| {
        let zones = ["a", "b", "c", "d", "e"];
        nodes.into_iter().map(|(node, (zone, weight))| candidate(node, zones[zone], weight)).collect()
    })
}

proptest! {
    #[test]
    fn copies_are_on_distinct_nodes_in_as_many_zones_as_there_are(
        nodes in any_nodes(), number: u32, replicas in 0usize..6
    ) {
        let homes = homes(&digest(number), &nodes, replicas);
        prop_assert_eq!(homes.len(), replicas.min(nodes.len()));
        prop_assert_eq!(homes.iter().collect::<BTreeSet<_>>().len(), homes.len());
        let all: BTreeSet<_> = nodes.iter().map(|node| &node.zone).collect();
        let used: BTreeSet<_> =
            nodes.iter().filter(|node| homes.contains(&node.node)).map(|node| &node.zone).collect();
        prop_assert_eq!(used.len(), replicas.min(all.len()));
    }

    #[test]
    fn the_order_of_the_nodes_does_not_matter(mut nodes in any_nodes(), number: u32, by in 0usize..12) {
        let before = homes(&digest(number), &nodes, 3);
        let by = by % nodes.len();
        nodes.rotate_left(by);
        prop_assert_eq!(&homes(&digest(number), &nodes, 3), &before);
        nodes.reverse();
        prop_assert_eq!(&homes(&digest(number), &nodes, 3), &before);
    }

    #[test]
    fn a_node_that_goes_moves_only_its_own_copies(
        nodes in any_nodes(), number: u32, at: prop::sample::Index
    ) {
        let before: BTreeSet<_> = homes(&digest(number), &nodes, 3).into_iter().collect();
        let mut fewer = nodes.clone();
        let gone = fewer.remove(at.index(nodes.len())).node;
        let after: BTreeSet<_> = homes(&digest(number), &fewer, 3).into_iter().collect();
        if before.contains(&gone) {
            prop_assert!(before.difference(&after).all(|node| *node == gone), "{before:?} {after:?}");
            prop_assert!(after.difference(&before).count() <= 1);
        } else {
            prop_assert_eq!(before, after);
        }
    }
}
