//! Raft's own values to and from bytes: one version byte, then the message of `proto/wire/raft.proto`.

use std::collections::BTreeMap;
use std::path::Path;

use openraft::{
    BasicNode, CommittedLeaderId, Entry, EntryPayload, LogId, Membership, StoredMembership, Vote,
};
use prost::Message;
use proto::wire::raft as wire;
use wire::entry::Payload;

use super::StorageError;
use crate::raft::{EncodedBatch, TypeConfig};

const VERSION: u8 = 1;

/// A value of Raft with a stored form.
pub(crate) trait Stored: Sized {
    type Wire: Message + Default;

    fn to_wire(&self) -> Self::Wire;
    /// `None`: it makes no sense.
    fn from_wire(wire: Self::Wire) -> Option<Self>;

    fn encode(&self) -> Vec<u8> {
        let wire = self.to_wire();
        let mut out = Vec::with_capacity(wire.encoded_len() + 16);
        out.push(VERSION);
        // A vector has room for all.
        let _ = wire.encode(&mut out);
        out
    }

    /// `path` and `key` are for the error.
    fn decode(path: &Path, key: &[u8], value: &[u8]) -> Result<Self, StorageError> {
        let damaged = || StorageError::Damaged { path: path.to_owned(), key: key.to_vec() };
        match value.split_first() {
            Some((&VERSION, message)) => {
                Self::Wire::decode(message).ok().and_then(Self::from_wire).ok_or_else(damaged)
            }
            Some((&version, _)) => {
                Err(StorageError::UnknownVersion { path: path.to_owned(), key: key.to_vec(), version })
            }
            None => Err(damaged()),
        }
    }
}

impl Stored for Vote<u64> {
    type Wire = wire::Vote;

    fn to_wire(&self) -> wire::Vote {
        wire::Vote { term: self.leader_id.term, node: self.leader_id.node_id, committed: self.committed }
    }

    fn from_wire(wire: wire::Vote) -> Option<Self> {
        let mut vote = Self::new(wire.term, wire.node);
        vote.committed = wire.committed;
        Some(vote)
    }
}

impl Stored for LogId<u64> {
    type Wire = wire::LogId;

    fn to_wire(&self) -> wire::LogId {
        wire::LogId { term: self.leader_id.term, node: self.leader_id.node_id, index: self.index }
    }

    fn from_wire(wire: wire::LogId) -> Option<Self> {
        Some(Self::new(CommittedLeaderId::new(wire.term, wire.node), wire.index))
    }
}

impl Stored for Entry<TypeConfig> {
    type Wire = wire::Entry;

    fn to_wire(&self) -> wire::Entry {
        let payload = match &self.payload {
            EntryPayload::Blank => Payload::Blank(wire::Blank {}),
            EntryPayload::Normal(batch) => Payload::Batch(batch.0.clone()),
            EntryPayload::Membership(membership) => Payload::Membership(membership_to_wire(membership)),
        };
        wire::Entry { log_id: Some(self.log_id.to_wire()), payload: Some(payload) }
    }

    fn from_wire(wire: wire::Entry) -> Option<Self> {
        let payload = match wire.payload? {
            Payload::Blank(wire::Blank {}) => EntryPayload::Blank,
            Payload::Batch(batch) => EntryPayload::Normal(EncodedBatch(batch)),
            Payload::Membership(membership) => EntryPayload::Membership(membership_from_wire(membership)?),
        };
        Some(Self { log_id: LogId::from_wire(wire.log_id?)?, payload })
    }
}

impl Stored for StoredMembership<u64, BasicNode> {
    type Wire = wire::StoredMembership;

    fn to_wire(&self) -> wire::StoredMembership {
        wire::StoredMembership {
            log_id: self.log_id().as_ref().map(Stored::to_wire),
            membership: Some(membership_to_wire(self.membership())),
        }
    }

    fn from_wire(wire: wire::StoredMembership) -> Option<Self> {
        let log_id = match wire.log_id {
            Some(log_id) => Some(LogId::from_wire(log_id)?),
            None => None,
        };
        Some(Self::new(log_id, membership_from_wire(wire.membership?)?))
    }
}

fn membership_to_wire(membership: &Membership<u64, BasicNode>) -> wire::Membership {
    let voters =
        |nodes: &std::collections::BTreeSet<u64>| wire::VoterSet { nodes: nodes.iter().copied().collect() };
    let member =
        |(node, basic): (&u64, &BasicNode)| wire::Member { node: *node, address: basic.addr.clone() };
    wire::Membership {
        configs: membership.get_joint_config().iter().map(voters).collect(),
        members: membership.nodes().map(member).collect(),
    }
}

fn membership_from_wire(wire: wire::Membership) -> Option<Membership<u64, BasicNode>> {
    let members: BTreeMap<u64, BasicNode> =
        wire.members.into_iter().map(|member| (member.node, BasicNode { addr: member.address })).collect();
    let configs: Vec<_> = wire.configs.into_iter().map(|set| set.nodes.into_iter().collect()).collect();
    Some(Membership::new(configs, members))
}
