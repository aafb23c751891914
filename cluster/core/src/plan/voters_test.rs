//! Golden scripts: a cluster in one line each, and what is planned for it.

use proptest::prelude::*;

use super::*;

const GRACE_MS: u64 = 30_000;

/// `1a` a node in zone a that is caught up; then any of: `V` votes, `-` behind, `x` away for long, `~` away for
/// a moment, `E` edge, `D` draining, `L` lost, `+` pinned to vote, `!` pinned not to.
fn cluster(script: &str) -> Vec<Standing> {
    script.split_whitespace().map(standing).collect()
}

fn standing(word: &str) -> Standing {
    let digits = word.chars().take_while(char::is_ascii_digit).count();
    let mut flags = word[digits..].chars();
    let zone = flags.next().unwrap().to_string().parse().unwrap();
    let mut standing = Standing {
        node: NodeId::new(word[..digits].parse().unwrap()).unwrap(),
        place: ("home".parse().unwrap(), zone),
        kind: NodeKind::Full,
        state: NodeState::Active,
        pin: None,
        vote: Vote::CaughtUp,
        away_ms: 0,
    };
    for flag in flags {
        match flag {
            'V' => standing.vote = Vote::Voter,
            '-' => standing.vote = Vote::Behind,
            'x' => standing.away_ms = GRACE_MS + 1,
            '~' => standing.away_ms = GRACE_MS,
            'E' => standing.kind = NodeKind::Edge,
            'D' => standing.state = NodeState::Draining,
            'L' => standing.state = NodeState::Lost,
            '+' => standing.pin = Some(VoterPin::Always),
            '!' => standing.pin = Some(VoterPin::Never),
            other => panic!("{other}"),
        }
    }
    standing
}

fn told(plan: &Plan) -> String {
    match plan {
        Plan::Keep => "keep".to_owned(),
        Plan::Promote { node, reason } => format!("+{node} {reason:?}"),
        Plan::Demote { node, reason } => format!("-{node} {reason:?}"),
        Plan::Replace { demote, promote, reason } => format!("-{demote} +{promote} {reason:?}"),
    }
}

/// Carries plans out until nothing changes; all of them.
fn settle(mut nodes: Vec<Standing>) -> (Vec<Plan>, Vec<Standing>) {
    let mut plans = Vec::new();
    loop {
        let plan = choose(&nodes, GRACE_MS);
        let (out, into) = match &plan {
            Plan::Keep => return (plans, nodes),
            Plan::Promote { node, .. } => (None, Some(*node)),
            Plan::Demote { node, .. } => (Some(*node), None),
            Plan::Replace { demote, promote, .. } => (Some(*demote), Some(*promote)),
        };
        for node in &mut nodes {
            if Some(node.node) == out {
                node.vote = Vote::CaughtUp;
            }
            if Some(node.node) == into {
                node.vote = Vote::Voter;
            }
        }
        plans.push(plan);
        assert!(plans.len() < 20, "it does not come to rest: {plans:?}");
    }
}

#[test]
fn each_situation_has_its_plan() {
    for (script, plan) in [
        // Sizes.
        ("1aV", "keep"),
        ("1aV 2b", "+2 MoreNodes"),
        ("1aV 2b-", "keep"),
        ("1aV 2bV", "keep"),
        ("1aV 2bx", "keep"),
        ("1aV 2bV 3c", "+3 MoreNodes"),
        ("1aV 2bV 3cV 4d", "keep"),
        ("1aV 2bV 3cV 4d 5e", "+4 MoreNodes"),
        ("1aV 2bV 3cV 4d 5e-", "keep"),
        ("1aV 2bV 3cV 4dV 5e 6f", "+5 MoreNodes"),
        // Health: a moment is nothing, a voter that stays away is replaced, in one change.
        ("1aV 2bV 3cV~ 4d", "keep"),
        ("1aV 2bV 3cVx 4d", "-3 +4 Away"),
        ("1aV 2bV 3cVx 4d~", "keep"),
        ("1aV 2bV 3cVx", "keep"),
        ("1aV 2bVx", "keep"),
        ("1aV 2bV 3cV 4dVx 5eV", "keep"),
        ("1aV 2bV 3cV 4dVx 5eVx", "-4 Away"),
        ("1aV 2bV 3cV 5eVx", "-5 Away"),
        // Who must not vote.
        ("1aV 2bV 3cVD", "-3 NotToVote"),
        ("1aV 2bV 3cVD 4c", "-3 +4 NotToVote"),
        ("1aV 2bV 3cVL 4d", "-3 +4 NotToVote"),
        ("1aV 2bE 3cE", "keep"),
        ("1aVD 2b-", "keep"),
        // Pins.
        ("1aV 2bV 3cV 4d+", "-3 +4 Pinned"),
        ("1aV 2bV! 3cV 4d", "-2 +4 Pinned"),
        ("1aV 2b!", "keep"),
        ("1aV+ 2aV+ 3aV+ 4b", "keep"),
        ("1aV 2bV 3cV 4dx+", "keep"),
        // Zones.
        ("1aV 2aV 3aV 4b", "-3 +4 Zones"),
        ("1aV 2aV 3bV 4b", "keep"),
        ("1aV 2aV 3bV 4c-", "keep"),
    ] {
        assert_eq!(told(&choose(&cluster(script), GRACE_MS)), plan, "{script}");
    }
}

fn any_cluster() -> impl Strategy<Value = Vec<Standing>> {
    let flags = "[abcd](V|-)?(x|~)?(E|D|L)?(\\+|!)?";
    prop::collection::vec(flags, 1..9).prop_map(|nodes| {
        (1..)
            .zip(&nodes)
            .map(|(number, flags): (u64, &String)| standing(&format!("{number}{flags}")))
            .collect()
    })
}

proptest! {
    #[test]
    fn it_comes_to_rest_with_voters_that_may_vote(nodes in any_cluster()) {
        let (_, settled) = settle(nodes.clone());
        let voters: Vec<_> = settled.iter().filter(|node| node.vote == Vote::Voter).collect();
        if nodes.iter().any(|node| node.may_vote() && (node.vote == Vote::Voter || node.away_ms == 0)) {
            prop_assert!(matches!(voters.len(), 1 | 2 | 3 | 5));
            prop_assert!(voters.iter().all(|node| node.may_vote()));
        } else {
            prop_assert_eq!(settled, nodes);
        }
    }

    #[test]
    fn the_order_of_the_facts_does_not_matter(mut nodes in any_cluster()) {
        let plan = choose(&nodes, GRACE_MS);
        nodes.reverse();
        prop_assert_eq!(choose(&nodes, GRACE_MS), plan);
    }

    #[test]
    fn a_voter_that_is_well_goes_only_for_a_better_group(nodes in any_cluster()) {
        if let Plan::Demote { node, .. } = choose(&nodes, GRACE_MS) {
            let leaving = nodes.iter().find(|standing| standing.node == node).unwrap();
            let voters = nodes.iter().filter(|node| node.vote == Vote::Voter).count();
            prop_assert!(!leaving.may_vote() || voters > 3 || !leaving.is_well(GRACE_MS), "{nodes:?}");
        }
    }
}
