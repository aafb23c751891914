//! One node among others: what it does about a blob, and that all together come to rest with every copy in
//! its place.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proto::digest::Algorithm;

use super::*;

const NO_LIMITS: Limits = Limits { fetches: usize::MAX, bytes: u64::MAX, commands: usize::MAX };

fn node(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

fn digest(number: u32) -> Digest {
    Digest::of(Algorithm::Sha256, &number.to_be_bytes())
}

fn candidates(nodes: &[u64]) -> Vec<Candidate> {
    let zone = |id: u64| ["a", "b", "c", "d"][id as usize % 4].parse().unwrap();
    nodes.iter().map(|id| Candidate { node: node(*id), zone: zone(*id), weight: 1 }).collect()
}

fn generation() -> UploadId {
    UploadId::new(node(1), 7)
}

fn record(copies: &[u64]) -> BlobRecord {
    BlobRecord {
        size: 10,
        generation: generation(),
        pieces_root: [3; 32],
        links: 1,
        lease_until_ms: 0,
        created_ms: 0,
        copies: copies.iter().map(|id| node(*id)).collect(),
    }
}

struct Case {
    node: u64,
    homes: &'static [u64],
    copies: &'static [u64],
    file: bool,
}

fn plan(case: &Case) -> Plan {
    let (candidates, blobs) = (candidates(case.homes), [(digest(1), record(case.copies))]);
    let reachable = [1, 2, 3].map(node).into();
    let files = if case.file { BTreeSet::from([(digest(1), generation())]) } else { BTreeSet::new() };
    let facts = Facts {
        node: node(case.node),
        candidates: &candidates,
        reachable: &reachable,
        now_ms: 1,
        blobs: &blobs,
        files: &files,
    };
    next(&facts, NO_LIMITS)
}

/// Node, homes, recorded copies, whether the node has the file, and what it should do.
type Row = (u64, &'static [u64], &'static [u64], bool, Option<(Action, Reason)>);

#[test]
fn each_situation_has_its_step() {
    let fetch = |from: &[u64]| Action::Fetch {
        size: 10,
        pieces_root: [3; 32],
        from: from.iter().map(|id| node(*id)).collect(),
    };
    let homes = placement::homes(&digest(1), &candidates(&[1, 2, 3]), 3);
    let release = Action::Release { to: homes };
    let cases: [Row; 11] = [
        (1, &[1, 2, 3], &[1, 2, 3], true, None),
        (1, &[1, 2, 3], &[2, 3], false, Some((fetch(&[2, 3]), Reason::HomeWithoutCopy))),
        (1, &[1, 2, 3], &[2, 3, 9], false, Some((fetch(&[2, 3]), Reason::HomeWithoutCopy))),
        (1, &[1, 2, 3], &[2, 3], true, Some((Action::Confirm, Reason::HomeNotNamed))),
        (1, &[1, 2, 3], &[1, 2], false, Some((Action::ReportLost, Reason::FileMissing))),
        (4, &[1, 2, 3], &[1, 2, 4], false, Some((Action::ReportLost, Reason::FileMissing))),
        // Drained, or moved away: its copy stays until every home has its own.
        (4, &[1, 2, 3], &[1, 2, 4], true, None),
        (4, &[1, 2, 3], &[1, 2, 3, 4], true, Some((release.clone(), Reason::NotAHome))),
        // A cached copy counts when it is needed.
        (4, &[1, 2, 3], &[1, 2], true, Some((Action::Confirm, Reason::TooFewCopies))),
        (4, &[1, 2, 3], &[1, 2, 3], true, None),
        (4, &[], &[4], true, None),
    ];
    for (id, homes, copies, file, expected) in cases {
        let plan = plan(&Case { node: id, homes, copies, file });
        let found = plan.steps.first().map(|step| (step.action.clone(), step.reason));
        assert_eq!(found, expected, "node {id}, homes {homes:?}, copies {copies:?}, file {file}");
    }
}

#[test]
fn a_blob_that_nobody_reachable_has_is_named() {
    let plan = plan(&Case { node: 1, homes: &[1, 2], copies: &[9], file: false });
    assert_eq!((plan.steps, plan.without_source), (Vec::new(), vec![digest(1)]));
}

#[test]
fn what_will_be_dropped_and_other_generations_are_let_alone() {
    let candidates = candidates(&[1]);
    let unused = BlobRecord { links: 0, ..record(&[2]) };
    let leased = BlobRecord { links: 0, lease_until_ms: 1, ..record(&[2]) };
    let blobs = [(digest(1), unused), (digest(2), leased)];
    let files = BTreeSet::from([(digest(2), UploadId::new(node(1), 8))]);
    let reachable = BTreeSet::from([node(2)]);
    let facts = Facts {
        node: node(1),
        candidates: &candidates,
        reachable: &reachable,
        now_ms: 1,
        blobs: &blobs,
        files: &files,
    };
    let plan = next(&facts, NO_LIMITS);
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(plan.steps[0].digest, digest(2));
    assert!(matches!(plan.steps[0].action, Action::Fetch { .. }));
}

#[test]
fn limits_hold_and_the_barest_blobs_come_first() {
    let candidates = candidates(&[1, 2, 3]);
    let blobs: Vec<_> =
        (0..9).map(|number| (digest(number), record(if number == 5 { &[2] } else { &[2, 3] }))).collect();
    let reachable = BTreeSet::from([node(2), node(3)]);
    let facts = Facts {
        node: node(1),
        candidates: &candidates,
        reachable: &reachable,
        now_ms: 1,
        blobs: &blobs,
        files: &BTreeSet::new(),
    };
    for (fetches, bytes, expected) in [(4, u64::MAX, 4), (9, 35, 3), (9, 5, 1), (0, 5, 0), (9, 90, 9)] {
        let plan = next(&facts, Limits { fetches, bytes, commands: 9 });
        assert_eq!((plan.steps.len(), plan.is_cut), (expected, expected < 9));
        assert!(plan.steps.first().is_none_or(|step| step.digest == digest(5)));
    }
    let files = blobs.iter().map(|(digest, record)| (*digest, record.generation)).collect();
    let plan = next(&Facts { files: &files, ..facts }, Limits { commands: 2, ..NO_LIMITS });
    assert_eq!((plan.steps.len(), plan.is_cut), (2, true));
}

proptest! {
    /// Every node carries its plan out; releases are judged as apply does: only with enough copies left.
    #[test]
    fn all_together_come_to_rest_with_each_copy_in_its_place(
        homes in prop::collection::btree_set(1u64..7, 1..6),
        on in prop::collection::btree_set(1u64..9, 1..6),
        named in prop::collection::btree_set(1u64..9, 1..6),
    ) {
        let candidates = candidates(&homes.iter().copied().collect::<Vec<_>>());
        let everyone: BTreeSet<NodeId> = (1..9).map(node).collect();
        // At least one copy is there and known.
        let witness = *on.first().unwrap();
        let named: Vec<u64> = named.into_iter().chain([witness]).collect::<BTreeSet<_>>().into_iter().collect();
        let mut blob = record(&named);
        let mut files: BTreeMap<NodeId, bool> = everyone.iter().map(|id| (*id, on.contains(&id.get()))).collect();
        for _round in 0..4 {
            for id in &everyone {
                let blobs = [(digest(1), blob.clone())];
                let own = if files[id] { BTreeSet::from([(digest(1), generation())]) } else { BTreeSet::new() };
                let facts = Facts {
                    node: *id, candidates: &candidates, reachable: &everyone, now_ms: 1, blobs: &blobs, files: &own,
                };
                let mut copies: BTreeSet<NodeId> = blob.copies.iter().copied().collect();
                for step in next(&facts, NO_LIMITS).steps {
                    match step.action {
                        Action::Fetch { from, .. } if from.iter().any(|from| files[from]) => {
                            files.insert(*id, true);
                            copies.insert(*id);
                        }
                        Action::Fetch { .. } => {}
                        Action::Confirm => drop(copies.insert(*id)),
                        Action::ReportLost => drop(copies.remove(id)),
                        Action::Release { to } if !to.iter().all(|home| files[home]) => {}
                        Action::Release { .. } => {
                            copies.remove(id);
                            files.insert(*id, false);
                        }
                    }
                    prop_assert!(files.values().any(|file| *file), "the last copy went");
                }
                blob.copies = copies.into_iter().collect();
            }
        }
        let mut expected = placement::homes(&digest(1), &candidates, REPLICAS as usize);
        expected.sort();
        prop_assert_eq!(blob.copies, expected);
    }
}
