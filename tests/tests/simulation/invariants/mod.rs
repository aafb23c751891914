//! The invariants of `consistency.md` §6, one per file, and what they look at.
//!
//! Not here: I10, I11 and I14's bytes (no byte of a blob is simulated: the tests of `node/blobs` and of faults),
//! I20 and I23 (edges and policies), the histories of listings.

pub(crate) mod acked_writes_stay;
pub(crate) mod bytes_are_reclaimed;
pub(crate) mod copies_are_there;
pub(crate) mod drop_once;
pub(crate) mod equal_states;
pub(crate) mod leader_has_committed;
pub(crate) mod lease_holds;
pub(crate) mod liveness;
pub(crate) mod no_early_unlink;
pub(crate) mod no_second_sync;
pub(crate) mod nothing_falls;
pub(crate) mod one_entry_per_index;
pub(crate) mod one_leader_per_term;
pub(crate) mod records_agree;
pub(crate) mod refused_has_no_effect;
pub(crate) mod registers;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use cluster::{Metadata, Role, Status};
use cluster_core::view::View;
use prost::Message;
use proto::wire::raft::LogId;

use super::client::Shared;
use super::world::{World, lock};

/// One node at one moment.
pub(crate) struct Seen {
    pub(crate) node: u64,
    pub(crate) life: u64,
    pub(crate) status: Status,
    pub(crate) metadata: Metadata,
    /// The last entry that its state holds.
    pub(crate) applied: LogId,
    /// Of all keys and values of the state.
    pub(crate) hash: [u8; 32],
    /// Whether the state is another one than at the last look.
    pub(crate) is_new: bool,
}

/// All invariants that look at nodes.
#[derive(Default)]
pub(crate) struct Invariants {
    leaders: one_leader_per_term::OneLeaderPerTerm,
    entries: one_entry_per_index::OneEntryPerIndex,
    committed: leader_has_committed::LeaderHasCommitted,
    falls: nothing_falls::NothingFalls,
    states: equal_states::EqualStates,
    last: BTreeMap<u64, LogId>,
    hashes: BTreeMap<u64, [u8; 32]>,
}

impl Invariants {
    /// Looks at every node that is up.
    pub(crate) fn check(&mut self, world: &Arc<World>, known: &Shared) {
        let mut most: Option<Seen> = None;
        for node in world.up() {
            let Some(seen) = self.look(world, node) else { continue };
            self.leaders.check(world, &seen);
            self.entries.check(world, &seen);
            self.committed.check(world, &seen);
            self.falls.check(world, &seen);
            self.states.check(world, &seen);
            if most.as_ref().is_none_or(|most| most.applied.index < seen.applied.index) {
                most = Some(seen);
            }
        }
        no_second_sync::check(world);
        let reached = *lock(&world.reached);
        if let Some(most) = most.filter(|most| most.applied.index >= reached)
            && let Ok(reader) = most.metadata.local()
        {
            copies_are_there::check(world, &reader);
            if most.is_new {
                records_agree::check(world, known, &reader);
                refused_has_no_effect::check(world, known, &reader);
                lease_holds::check(world, known, &reader);
            }
        }
    }

    /// What was reached by anybody so far.
    pub(crate) fn applied(&self) -> u64 {
        self.entries.last()
    }

    fn look(&mut self, world: &Arc<World>, node: u64) -> Option<Seen> {
        let (life, metadata) = world.life_of(node)?;
        let status = metadata.status();
        let reader = metadata.local().ok()?;
        let applied = reader.get(b"\0applied").ok()?.and_then(|value| LogId::decode(value.get(1..)?).ok())?;
        let is_new = self.last.insert(node, applied) != Some(applied);
        if is_new {
            let mut hasher = blake3::Hasher::new();
            let mut add = |key: &[u8], value: &[u8]| {
                hasher.update(&(key.len() as u64).to_le_bytes()).update(key);
                hasher.update(&(value.len() as u64).to_le_bytes()).update(value);
                ControlFlow::Continue(())
            };
            reader.scan(b"\0", b"\xff", &mut add).ok()?;
            self.hashes.insert(node, *hasher.finalize().as_bytes());
        }
        let hash = self.hashes.get(&node).copied()?;
        world.note(&[6, node, status.term, applied.index, u64::from(status.role == Role::Leader)]);
        Some(Seen { node, life, status, metadata, applied, hash, is_new })
    }
}
