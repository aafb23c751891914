//! Releases of different ages in one cluster: what all of them know.
//!
//! A *level* is a version of log entries, and so of what commands can do. Each node's record says which levels its
//! release speaks. The cluster's level is the newest that all nodes speak: a command of a later one is refused
//! before it is in the log, where it would stop the nodes that do not know it, and at apply.

use crate::record::NodeRecord;

/// Of the first release with several nodes. Level 1 was release 0.1, whose one node has no record.
pub const FIRST: u32 = 2;
/// The newest that this release speaks: 3 has changes of the layout, 4 accounts and principals, 5 what Amazon ECR's API
/// does to repositories and images.
pub const NEWEST: u32 = 5;
/// Since which tags may be immutable.
pub const REPOSITORY_SETTINGS: u32 = 5;

/// What a release speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Levels {
    /// It does not work in a cluster of an earlier level.
    pub oldest: u32,
    /// It reads entries up to this one.
    pub newest: u32,
}

impl Levels {
    /// Of this release.
    pub const OWN: Self = Self { oldest: FIRST, newest: NEWEST };

    /// Of a release that did not say.
    pub const UNSAID: Self = Self { oldest: FIRST, newest: FIRST };

    /// From two numbers of which 0 was not said; `None`: they make no sense.
    pub fn from_numbers(oldest: u32, newest: u32) -> Option<Self> {
        let said = |number: u32| if number == 0 { FIRST } else { number };
        let levels = Self { oldest: said(oldest), newest: said(newest) };
        (levels.oldest <= levels.newest).then_some(levels)
    }

    /// As two numbers, 0 for what need not be said: so the bytes of the first level stay what they were.
    pub(crate) fn to_numbers(self) -> (u32, u32) {
        let number = |level: u32| if level == FIRST { 0 } else { level };
        (number(self.oldest), number(self.newest))
    }
}

impl std::fmt::Display for Levels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "levels {} to {}", self.oldest, self.newest)
    }
}

/// The level of a cluster of these nodes: the newest that all of them speak; [`FIRST`] of none.
pub fn feature_level<'a>(nodes: impl IntoIterator<Item = &'a NodeRecord>) -> u32 {
    nodes.into_iter().map(|node| node.levels.newest).min().unwrap_or(FIRST)
}

/// Whether a node of these levels works beside `others`: all of them have a level in common.
pub fn fits<'a>(levels: Levels, others: impl IntoIterator<Item = &'a NodeRecord>) -> bool {
    let common = others.into_iter().fold(levels, |common, other| Levels {
        oldest: common.oldest.max(other.levels.oldest),
        newest: common.newest.min(other.levels.newest),
    });
    common.oldest <= common.newest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::node::{
        AddNode, Admission, ChangeLayout, CreateJoinToken, Disk, NodeCommand, NodePlace, Removal, UpdateNode,
    };
    use crate::command::{Batch, Command, Response};
    use crate::record::NodeKind;
    use crate::state;
    use crate::view::MemoryView;
    use proto::identity::{NodeId, PeerKey};

    fn id(number: u8) -> NodeId {
        NodeId::new(number.into()).unwrap()
    }

    fn levels(oldest: u32, newest: u32) -> Levels {
        Levels { oldest, newest }
    }

    fn place(levels: Levels) -> NodePlace {
        let zone = "a".parse().unwrap();
        NodePlace { addresses: Vec::new(), zone, capacity_bytes: 1, release: "v".to_owned(), levels }
    }

    fn apply(view: &mut MemoryView, command: NodeCommand) -> Response {
        let commands = vec![Command::Node(Box::new(command))];
        state::apply(view, 1, Batch { time_ms: 1, commands }).unwrap().remove(0)
    }

    fn add(view: &mut MemoryView, number: u8, levels: Levels) -> Response {
        let (token, secret_hash) = ([number; 16], [number; 32]);
        let create = CreateJoinToken { token, secret_hash, expires_ms: 9, kind: NodeKind::Full };
        apply(view, NodeCommand::CreateToken(create));
        let is_first = state::node::nodes(view).unwrap().is_empty();
        let admission = if is_first { Admission::Founder } else { Admission::Token { token, secret_hash } };
        let public_key = PeerKey::new([number; 32]);
        let (region, incarnation) = ("r".parse().unwrap(), 1);
        let place = place(levels);
        apply(
            view,
            NodeCommand::Add(AddNode { node: id(number), public_key, region, place, incarnation, admission }),
        )
    }

    fn update(view: &mut MemoryView, number: u8, levels: Levels) -> Response {
        let (node, place) = (id(number), place(levels));
        apply(view, NodeCommand::Update(UpdateNode { node, place, incarnation: 2, disk: Disk::Kept }))
    }

    fn change(view: &mut MemoryView) -> Response {
        let version = state::node::layout(view).unwrap().unwrap_or_default().version;
        apply(view, NodeCommand::ChangeLayout(ChangeLayout { version, changes: Vec::new() }))
    }

    #[test]
    fn a_command_waits_until_all_nodes_know_it_and_those_that_went_do_not_count() {
        let mut view = MemoryView::default();
        for number in 1..=3 {
            assert_eq!(add(&mut view, number, levels(2, 2)), Response::NodeAdded { node: id(number) });
        }
        assert_eq!(update(&mut view, 1, levels(2, 3)), Response::NodeUpdated);
        let held_back = Response::NotYet { needed: 3, level: 2 };
        assert_eq!(change(&mut view), held_back);
        assert_eq!(update(&mut view, 2, levels(2, 4)), Response::NodeUpdated);
        assert_eq!(change(&mut view), held_back);
        apply(&mut view, NodeCommand::Remove { node: id(3), removal: Removal::Forced });
        assert_eq!(state::node::level(&view).unwrap(), 3);
        assert_ne!(change(&mut view), held_back);
        // Back to the release before.
        assert_eq!(update(&mut view, 2, levels(1, 2)), Response::NodeUpdated);
        assert_eq!(change(&mut view), held_back);
    }

    #[test]
    fn a_node_that_is_too_old_or_too_new_is_refused_and_its_token_stays() {
        let mut view = MemoryView::default();
        add(&mut view, 1, levels(3, 4));
        for wrong in [levels(1, 2), levels(2, 3), levels(5, 6)] {
            assert_eq!(add(&mut view, 2, wrong), Response::LevelRefused { level: 4 }, "{wrong}");
        }
        assert_eq!(add(&mut view, 2, levels(4, 5)), Response::NodeAdded { node: id(2) });
        // It was there before: what it does not know is held back, as long as there is anything in common.
        assert_eq!(update(&mut view, 2, levels(1, 3)), Response::NodeUpdated);
        assert_eq!(state::node::level(&view).unwrap(), 3);
        for wrong in [levels(1, 2), levels(5, 6)] {
            assert_eq!(update(&mut view, 2, wrong), Response::LevelRefused { level: 4 }, "{wrong}");
        }
        // Alone a node may be whatever it is.
        apply(&mut view, NodeCommand::Remove { node: id(2), removal: Removal::Forced });
        assert_eq!(update(&mut view, 1, levels(8, 9)), Response::NodeUpdated);
    }

    #[test]
    fn levels_that_make_no_sense_are_no_levels() {
        assert_eq!(Levels::from_numbers(4, 3), None);
        assert_eq!(Levels::from_numbers(0, 0), Some(Levels::UNSAID));
        for levels in [levels(1, 3), levels(2, 2), levels(3, 7)] {
            let (oldest, newest) = levels.to_numbers();
            assert_eq!(Levels::from_numbers(oldest, newest), Some(levels));
        }
    }
}
