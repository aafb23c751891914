//! Nodes: who belongs to the cluster, how they come in and go.

use proto::identity::{MAX_HOSTS, NodeId};

use super::layout::{Counting, layout_changed, may_be_home};
pub use super::layout::{homes, homes_after, layout};
use super::page::page;
use super::{Moment, StateError, StateResult, copies, decode, inconsistent, layout, read, token, write};
use crate::command::node::{AddNode, Admission, Disk, NodeCommand, NodePlace, Removal, UpdateNode};
use crate::command::{Response, TokenRefusal};
use crate::key;
use crate::level::{self, Levels};
use crate::record::{MAX_RELEASE, NodeKeyRecord, NodeKind, NodeRecord, NodeState, VoterPin};
use crate::view::{View, ViewMut};

pub(super) fn apply<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    command: NodeCommand,
) -> StateResult<Response, V> {
    match command {
        NodeCommand::CreateToken(create) => token::create(view, moment, &create),
        NodeCommand::RevokeToken { token } => token::revoke(view, &token),
        NodeCommand::Add(add) => self::add(view, moment, add),
        NodeCommand::Update(update) => self::update(view, update),
        NodeCommand::SetState { node, state } => set_state(view, node, state),
        NodeCommand::PinVoter { node, pin } => pin_voter(view, node, pin),
        NodeCommand::ChangeLayout(change) => layout::change(view, &change),
        NodeCommand::Remove { node, removal } => remove(view, node, removal),
    }
}

fn add<V: ViewMut>(view: &mut V, moment: Moment, add: AddNode) -> StateResult<Response, V> {
    let all = nodes(view)?;
    let taken = all.iter().find(|(node, record)| *node == add.node || record.public_key == add.public_key);
    let is_same =
        taken.is_some_and(|(node, record)| *node == add.node && record.public_key == add.public_key);
    let kind = match &add.admission {
        Admission::Founder if is_same => return Ok(Response::NodeAdded { node: add.node }),
        Admission::Founder => match all.first() {
            Some((node, _)) => return Ok(Response::NodeExists { node: *node }),
            None => NodeKind::Full,
        },
        Admission::Token { token, secret_hash } => {
            let Some(mut record) = token::shown(view, token, secret_hash)? else {
                return Ok(Response::TokenRefused(TokenRefusal::Unknown));
            };
            match record.used_by {
                Some(node) if node == add.node && is_same => return Ok(Response::NodeAdded { node }),
                Some(_) => return Ok(Response::TokenRefused(TokenRefusal::Used)),
                None if moment.now_ms > record.expires_ms => {
                    return Ok(Response::TokenRefused(TokenRefusal::Expired));
                }
                None => {}
            }
            if let Some((node, _)) = taken {
                return Ok(Response::NodeExists { node: *node });
            }
            if let Some(refused) = unfit(add.place.levels, add.node, &all, Entry::New) {
                return Ok(refused);
            }
            record.used_by = Some(add.node);
            write(view, key::join_token(token), &record);
            record.kind
        }
    };
    let place = bounded(add.place);
    let record = NodeRecord {
        public_key: add.public_key,
        addresses: place.addresses,
        region: add.region,
        zone: place.zone,
        capacity_bytes: place.capacity_bytes,
        assigned_bytes: 0,
        kind,
        state: NodeState::Active,
        incarnation: add.incarnation,
        disk_incarnation: add.incarnation,
        pin: None,
        joined_ms: moment.now_ms,
        release: place.release,
        levels: place.levels,
    };
    write(view, key::node(add.node), &record);
    write(view, key::node_key(add.node), &NodeKeyRecord { public_key: *add.public_key.as_bytes() });
    layout_changed(view, Counting::AsBefore)?;
    Ok(Response::NodeAdded { node: add.node })
}

/// How a node comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// For the first time: it will get all that is in the log.
    New,
    /// It started again, with an earlier release perhaps: what the cluster does then is what that speaks.
    Known,
}

/// The answer to a node whose release does not go with those of the others.
fn unfit(levels: Levels, id: NodeId, all: &[(NodeId, NodeRecord)], entry: Entry) -> Option<Response> {
    let others = || all.iter().filter(|(node, _)| *node != id).map(|(_, record)| record);
    others().next()?;
    let level = level::feature_level(others());
    let is_old = entry == Entry::New && levels.newest < level;
    (is_old || !level::fits(levels, others())).then_some(Response::LevelRefused { level })
}

/// What a record can hold of it.
fn bounded(mut place: NodePlace) -> NodePlace {
    place.addresses.truncate(MAX_HOSTS);
    place.release = place.release.chars().take(MAX_RELEASE).collect();
    place
}

fn update<V: ViewMut>(view: &mut V, update: UpdateNode) -> StateResult<Response, V> {
    let Some(mut record) = node(view, update.node)? else {
        return Ok(Response::NotFound);
    };
    if update.incarnation < record.incarnation {
        return Ok(Response::StaleIncarnation { recorded: record.incarnation });
    }
    let all = nodes(view)?;
    if let Some(refused) = unfit(update.place.levels, update.node, &all, Entry::Known) {
        return Ok(refused);
    }
    let place = bounded(update.place);
    let is_placed_otherwise = place.zone != record.zone || place.capacity_bytes != record.capacity_bytes;
    record.incarnation = update.incarnation;
    record.addresses = place.addresses;
    record.zone = place.zone;
    record.capacity_bytes = place.capacity_bytes;
    record.release = place.release;
    record.levels = place.levels;
    // Asked twice, it must not void what was confirmed in between.
    if update.disk == Disk::Empty && record.disk_incarnation < update.incarnation {
        record.disk_incarnation = update.incarnation;
        copies::void(view, update.node)?;
    }
    write(view, key::node(update.node), &record);
    if is_placed_otherwise {
        layout_changed(view, Counting::AsBefore)?;
    }
    Ok(Response::NodeUpdated)
}

fn set_state<V: ViewMut>(view: &mut V, id: NodeId, state: NodeState) -> StateResult<Response, V> {
    let Some(mut record) = node(view, id)? else {
        return Ok(Response::NotFound);
    };
    if record.state != state {
        record.state = state;
        write(view, key::node(id), &record);
        layout_changed(view, Counting::Changed)?;
    }
    Ok(Response::NodeUpdated)
}

fn pin_voter<V: ViewMut>(view: &mut V, id: NodeId, pin: Option<VoterPin>) -> StateResult<Response, V> {
    let Some(mut record) = node(view, id)? else {
        return Ok(Response::NotFound);
    };
    record.pin = pin;
    write(view, key::node(id), &record);
    Ok(Response::NodeUpdated)
}

fn remove<V: ViewMut>(view: &mut V, id: NodeId, removal: Removal) -> StateResult<Response, V> {
    if node(view, id)?.is_none() {
        return Ok(Response::NotFound);
    }
    if removal == Removal::Drained {
        let is_home = |(node, record): &(NodeId, NodeRecord)| *node != id && may_be_home(record);
        if !nodes(view)?.iter().any(is_home) {
            return Ok(Response::StillNeeded { example: None });
        }
        // A drained node has let go of every copy, which it may only when there are enough without it.
        if let Some(example) = copies::of_node(view, id, None, 1)?.items.first() {
            return Ok(Response::StillNeeded { example: Some(*example) });
        }
    }
    copies::void(view, id)?;
    view.delete(key::node(id));
    view.delete(key::node_key(id));
    // Its copies are void, which has its own way out of the records.
    layout_changed(view, Counting::AsBefore)?;
    Ok(Response::NodeRemoved)
}

/// One node.
///
/// # Errors
/// The state could not be read.
pub fn node<V: View>(view: &V, node: NodeId) -> StateResult<Option<NodeRecord>, V> {
    read(view, &key::node(node))
}

/// The level of the cluster: see [`level::feature_level`].
///
/// # Errors
/// The state could not be read.
pub fn level<V: View>(view: &V) -> StateResult<u32, V> {
    Ok(level::feature_level(nodes(view)?.iter().map(|(_, record)| record)))
}

/// All nodes, ordered by id.
///
/// # Errors
/// The state could not be read.
pub fn nodes<V: View>(view: &V) -> StateResult<Vec<(NodeId, NodeRecord)>, V> {
    let all = page(view, key::NODES, None, usize::MAX, |rest, value| {
        Ok(Some((id(key::NODES, rest)?, decode(&[key::NODES, rest].concat(), value)?)))
    })?;
    Ok(all.items)
}

/// The node in the rest of a key.
pub(super) fn id<E: std::error::Error>(prefix: &[u8], rest: &[u8]) -> Result<NodeId, StateError<E>> {
    let node = rest.try_into().ok().and_then(|bytes| NodeId::new(u64::from_be_bytes(bytes)));
    node.ok_or_else(|| inconsistent([prefix, rest].concat(), "no node id"))
}
