//! E17: nodes come and go, votes are given and taken and nodes are killed, one change after the other, under load.

use std::collections::BTreeMap;
use std::time::Duration;

use tests::cluster::{PATIENCE, operate};
use tests::register_load::{RegisterLoad, RegisterOptions};
use tests::wait::wait_until;

use crate::dice::Dice;
use crate::partitions::{check, summary};
use crate::rig::Rig;
use crate::{alone, report, size};

/// Nodes that stay; clients are at these.
const STAYING: usize = 3;

#[test]
fn members_that_come_go_and_change_votes_lose_nothing() {
    let _alone = alone();
    let changes = size(10, 500);
    let mut rig = Rig::start(STAYING, STAYING as u64);
    let options = RegisterOptions { rest: Duration::from_millis(size(0, 10)), ..RegisterOptions::default() };
    let load = RegisterLoad::start(&rig.clients(), options);
    let watch = rig.watch_terms();
    let (mut dice, mut made, mut guest) = (Dice::new("E17"), BTreeMap::new(), None);
    for change in 0..changes {
        let node = match guest {
            Some(guest) if dice.roll(2) == 0 => guest,
            _ => dice.roll(STAYING),
        };
        let asked = dice.roll(STAYING);
        let id = rig.ids()[node].clone();
        let mut tell = |arguments: &[&str]| {
            let answer = operate(&rig.cluster.nodes[asked], arguments);
            // What would leave no quorum, or finds no leader just now, is refused.
            let what = if answer.status.success() { "made" } else { "refused" };
            *made.entry(format!("{} {what}", arguments[..2].join(" "))).or_insert(0) += 1;
        };
        match change % 5 {
            0 => guest = come_or_go(&mut rig, guest),
            1 => tell(&["node", "pin", &id]),
            2 => tell(&["node", "pin", "--never", &id]),
            3 => tell(&["node", "unpin", &id]),
            _ => {
                rig.cluster.nodes[node].kill9();
                rig.cluster.nodes[node].restart();
            }
        }
    }
    settle(&mut rig, guest);
    let history = load.stop();
    let terms = watch.stop().len();
    report(
        "E17",
        &format!(
            "{changes} changes ({made:?}, the rest joins, leaves and kills); {terms} terms with one leader each; {}",
            summary(&history)
        ),
    );
    check(&history);
    assert!(made.keys().any(|change| change == "node pin made"), "{made:?}");
    rig.assert_no_panics();
}

/// Lets a fourth node join, or drains and removes the one that has; the one that is there now.
fn come_or_go(rig: &mut Rig, guest: Option<usize>) -> Option<usize> {
    let Some(guest) = guest else { return Some(rig.join()) };
    let id = rig.ids()[guest].clone();
    wait_until("the node to be drained and removed", PATIENCE, || {
        // Each again: either may find no leader, and a node that is pinned to vote gives up its vote first.
        operate(&rig.cluster.nodes[0], &["node", "unpin", &id]);
        operate(&rig.cluster.nodes[0], &["node", "drain", &id]);
        operate(&rig.cluster.nodes[0], &["node", "remove", &id]).status.success() || !is_listed(rig, &id)
    });
    rig.cluster.nodes[guest].kill9();
    None
}

fn is_listed(rig: &Rig, id: &str) -> bool {
    let listed = operate(&rig.cluster.nodes[0], &["node", "list"]);
    !listed.status.success() || String::from_utf8_lossy(&listed.stdout).contains(id)
}

/// Takes all pins back, and waits until the staying nodes agree and three nodes vote.
fn settle(rig: &mut Rig, guest: Option<usize>) {
    for node in (0..STAYING).chain(guest) {
        let id = rig.ids()[node].clone();
        wait_until("pins to be taken back", PATIENCE, || {
            operate(&rig.cluster.nodes[0], &["node", "unpin", &id]).status.success()
        });
    }
    rig.cluster.wait_for_voters(STAYING as u64);
    for node in 0..STAYING {
        rig.leader(node);
    }
}
