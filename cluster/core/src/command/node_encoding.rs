//! Commands about nodes and copies to and from their messages.

use proto::identity::{NodeId, PeerKey};
use proto::wire::command as wire;
use wire::add_node::Admission as WireAdmission;
use wire::command::Kind;

use super::encoding::{DecodeError, array, digest, generation, text, texts};
use super::node::{
    AddNode, Admission, ChangeLayout, ConfirmCopies, CreateJoinToken, Disk, NodeCommand, NodePlace,
    PlacementChange, Receipt, Removal, UpdateNode,
};
use crate::level::Levels;
use crate::record::{NodeKind, NodeState, VoterPin};

pub(super) fn to_wire(command: &NodeCommand) -> Kind {
    match command {
        NodeCommand::CreateToken(create) => Kind::CreateJoinToken(wire::CreateJoinToken {
            token: create.token.to_vec(),
            secret_hash: create.secret_hash.to_vec(),
            expires_ms: create.expires_ms,
            kind: kind_to_wire(create.kind).into(),
        }),
        NodeCommand::RevokeToken { token } => {
            Kind::RevokeJoinToken(wire::RevokeJoinToken { token: token.to_vec() })
        }
        NodeCommand::Add(add) => Kind::AddNode(wire::AddNode {
            node: add.node.get(),
            public_key: add.public_key.as_bytes().to_vec(),
            place: Some(place_to_wire(&add.place)),
            region: add.region.to_string(),
            incarnation: add.incarnation,
            admission: Some(match &add.admission {
                Admission::Token { token, secret_hash } => WireAdmission::Token(wire::TokenAdmission {
                    token: token.to_vec(),
                    secret_hash: secret_hash.to_vec(),
                }),
                Admission::Founder => WireAdmission::Founder(wire::Founder {}),
            }),
        }),
        NodeCommand::Update(update) => Kind::UpdateNode(wire::UpdateNode {
            node: update.node.get(),
            place: Some(place_to_wire(&update.place)),
            incarnation: update.incarnation,
            disk_is_empty: update.disk == Disk::Empty,
        }),
        NodeCommand::SetState { node, state } => {
            Kind::SetNodeState(wire::SetNodeState { node: node.get(), state: state_to_wire(*state).into() })
        }
        NodeCommand::ChangeLayout(change) => Kind::ChangeLayout(wire::ChangeLayout {
            version: change.version,
            changes: change.changes.iter().map(placement_to_wire).collect(),
        }),
        NodeCommand::PinVoter { node, pin } => Kind::PinVoter(wire::PinVoter {
            node: node.get(),
            pin: match pin {
                None => wire::VoterPin::None,
                Some(VoterPin::Always) => wire::VoterPin::Always,
                Some(VoterPin::Never) => wire::VoterPin::Never,
            }
            .into(),
        }),
        NodeCommand::Remove { node, removal } => {
            Kind::RemoveNode(wire::RemoveNode { node: node.get(), forced: *removal == Removal::Forced })
        }
    }
}

pub(super) fn confirm_to_wire(confirm: &ConfirmCopies) -> Kind {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.get()).collect();
    Kind::ConfirmCopies(wire::ConfirmCopies {
        digest: confirm.digest.to_bytes(),
        generation: confirm.generation.to_bytes().to_vec(),
        added: receipts_to_wire(&confirm.added),
        lost: ids(&confirm.lost),
        released: ids(&confirm.released),
    })
}

pub(super) fn receipts_to_wire(receipts: &[Receipt]) -> Vec<wire::Receipt> {
    let receipt =
        |receipt: &Receipt| wire::Receipt { node: receipt.node.get(), incarnation: receipt.incarnation };
    receipts.iter().map(receipt).collect()
}

fn place_to_wire(place: &NodePlace) -> wire::NodePlace {
    let (oldest_level, newest_level) = place.levels.to_numbers();
    wire::NodePlace {
        addresses: place.addresses.iter().map(ToString::to_string).collect(),
        zone: place.zone.to_string(),
        capacity_bytes: place.capacity_bytes,
        release: place.release.clone(),
        oldest_level,
        newest_level,
    }
}

fn placement_to_wire(change: &PlacementChange) -> wire::PlacementChange {
    wire::PlacementChange {
        node: change.node.get(),
        state: change.state.map_or(wire::NodeState::Unspecified, state_to_wire).into(),
        assigned_bytes: change.assigned_bytes,
    }
}

fn state_to_wire(state: NodeState) -> wire::NodeState {
    match state {
        NodeState::Active => wire::NodeState::Active,
        NodeState::Draining => wire::NodeState::Draining,
        NodeState::Lost => wire::NodeState::Lost,
    }
}

fn kind_to_wire(kind: NodeKind) -> wire::NodeKind {
    match kind {
        NodeKind::Full => wire::NodeKind::Full,
        NodeKind::Edge => wire::NodeKind::Edge,
    }
}

pub(super) fn create_token(wire: wire::CreateJoinToken) -> Result<NodeCommand, DecodeError> {
    let kind = match wire.kind() {
        wire::NodeKind::Full => NodeKind::Full,
        wire::NodeKind::Edge => NodeKind::Edge,
        wire::NodeKind::Unspecified => return Err(DecodeError::Field("kind")),
    };
    Ok(NodeCommand::CreateToken(CreateJoinToken {
        token: array(wire.token, "token")?,
        secret_hash: array(wire.secret_hash, "secret hash")?,
        expires_ms: wire.expires_ms,
        kind,
    }))
}

pub(super) fn revoke_token(wire: wire::RevokeJoinToken) -> Result<NodeCommand, DecodeError> {
    Ok(NodeCommand::RevokeToken { token: array(wire.token, "token")? })
}

pub(super) fn add(wire: wire::AddNode) -> Result<NodeCommand, DecodeError> {
    Ok(NodeCommand::Add(AddNode {
        node: node(wire.node)?,
        public_key: PeerKey::new(array(wire.public_key, "public key")?),
        region: text(&wire.region, "region")?,
        place: place(wire.place)?,
        incarnation: wire.incarnation,
        admission: match wire.admission.ok_or(DecodeError::UnknownCommand)? {
            WireAdmission::Token(shown) => Admission::Token {
                token: array(shown.token, "token")?,
                secret_hash: array(shown.secret_hash, "secret hash")?,
            },
            WireAdmission::Founder(_) => Admission::Founder,
        },
    }))
}

pub(super) fn update(wire: wire::UpdateNode) -> Result<NodeCommand, DecodeError> {
    Ok(NodeCommand::Update(UpdateNode {
        node: node(wire.node)?,
        place: place(wire.place)?,
        incarnation: wire.incarnation,
        disk: if wire.disk_is_empty { Disk::Empty } else { Disk::Kept },
    }))
}

pub(super) fn set_state(wire: wire::SetNodeState) -> Result<NodeCommand, DecodeError> {
    let state = state(wire.state()).ok_or(DecodeError::Field("state"))?;
    Ok(NodeCommand::SetState { node: node(wire.node)?, state })
}

/// `None` for what is not said.
fn state(wire: wire::NodeState) -> Option<NodeState> {
    match wire {
        wire::NodeState::Active => Some(NodeState::Active),
        wire::NodeState::Draining => Some(NodeState::Draining),
        wire::NodeState::Lost => Some(NodeState::Lost),
        wire::NodeState::Unspecified => None,
    }
}

pub(super) fn change_layout(wire: wire::ChangeLayout) -> Result<NodeCommand, DecodeError> {
    let change = |change: wire::PlacementChange| {
        let state = state(change.state());
        Ok(PlacementChange { node: node(change.node)?, state, assigned_bytes: change.assigned_bytes })
    };
    let changes = wire.changes.into_iter().map(change).collect::<Result<_, DecodeError>>()?;
    Ok(NodeCommand::ChangeLayout(ChangeLayout { version: wire.version, changes }))
}

pub(super) fn pin_voter(wire: wire::PinVoter) -> Result<NodeCommand, DecodeError> {
    let pin = match wire::VoterPin::try_from(wire.pin) {
        Ok(wire::VoterPin::None) => None,
        Ok(wire::VoterPin::Always) => Some(VoterPin::Always),
        Ok(wire::VoterPin::Never) => Some(VoterPin::Never),
        Err(_) => return Err(DecodeError::Field("pin")),
    };
    Ok(NodeCommand::PinVoter { node: node(wire.node)?, pin })
}

pub(super) fn remove(wire: &wire::RemoveNode) -> Result<NodeCommand, DecodeError> {
    let removal = if wire.forced { Removal::Forced } else { Removal::Drained };
    Ok(NodeCommand::Remove { node: node(wire.node)?, removal })
}

pub(super) fn confirm(wire: &wire::ConfirmCopies) -> Result<ConfirmCopies, DecodeError> {
    Ok(ConfirmCopies {
        digest: digest(&wire.digest)?,
        generation: generation(&wire.generation)?,
        added: receipts(&wire.added)?,
        lost: nodes(&wire.lost)?,
        released: nodes(&wire.released)?,
    })
}

pub(super) fn receipts(wire: &[wire::Receipt]) -> Result<Vec<Receipt>, DecodeError> {
    let receipt =
        |wire: &wire::Receipt| Ok(Receipt { node: node(wire.node)?, incarnation: wire.incarnation });
    wire.iter().map(receipt).collect()
}

fn place(wire: Option<wire::NodePlace>) -> Result<NodePlace, DecodeError> {
    let wire = wire.ok_or(DecodeError::Field("place"))?;
    Ok(NodePlace {
        addresses: texts(&wire.addresses, "address")?,
        zone: text(&wire.zone, "zone")?,
        capacity_bytes: wire.capacity_bytes,
        release: wire.release,
        levels: Levels::from_numbers(wire.oldest_level, wire.newest_level)
            .ok_or(DecodeError::Field("level"))?,
    })
}

fn node(id: u64) -> Result<NodeId, DecodeError> {
    NodeId::new(id).ok_or(DecodeError::Field("node"))
}

fn nodes(ids: &[u64]) -> Result<Vec<NodeId>, DecodeError> {
    ids.iter().map(|id| node(*id)).collect()
}
