//! The layout: what follows from all nodes together, and how a person changes where blobs are placed.
//!
//! A change of what a blob should have, or of what counts, starts a new count of copies (`copies`).

use std::collections::BTreeSet;

use proto::identity::{NodeId, Region, Zone};

use super::node::nodes;
use super::{StateResult, cluster, read, write};
use crate::command::Response;
use crate::command::node::{ChangeLayout, PlacementChange};
use crate::key;
use crate::record::{LayoutRecord, NodeKind, NodeRecord, NodeState};
use crate::view::{View, ViewMut};

pub(super) fn change<V: ViewMut>(view: &mut V, change: &ChangeLayout) -> StateResult<Response, V> {
    let before = nodes(view)?;
    let Some(after) = changed(&before, &change.changes) else {
        return Ok(Response::NotFound);
    };
    // Asked twice.
    if before == after {
        return Ok(Response::NodeUpdated);
    }
    let version = layout(view)?.map_or(0, |layout| layout.version);
    if version != change.version {
        return Ok(Response::LayoutChanged { version });
    }
    if !after.iter().any(|(_, record)| may_be_home(record)) {
        return Ok(Response::StillNeeded { example: None });
    }
    let mut counting = Counting::AsBefore;
    for ((id, new), (_, old)) in after.iter().zip(&before).filter(|(new, old)| new != old) {
        if new.state != old.state {
            counting = Counting::Changed;
        }
        write(view, key::node(*id), new);
    }
    layout_changed(view, counting)?;
    Ok(Response::NodeUpdated)
}

/// The nodes as the changes would make them; `None` if one of these is of no node.
fn changed(nodes: &[(NodeId, NodeRecord)], changes: &[PlacementChange]) -> Option<Vec<(NodeId, NodeRecord)>> {
    let mut after = nodes.to_vec();
    for change in changes {
        let (_, record) = after.iter_mut().find(|(node, _)| *node == change.node)?;
        record.state = change.state.unwrap_or(record.state);
        record.assigned_bytes = change.assigned_bytes.unwrap_or(record.assigned_bytes);
    }
    Some(after)
}

/// Whether blobs may be placed on the node, its region aside.
pub(super) fn may_be_home(record: &NodeRecord) -> bool {
    record.kind == NodeKind::Full && record.state == NodeState::Active
}

/// Whether copies that exist count otherwise than before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Counting {
    /// As before.
    AsBefore,
    /// Otherwise.
    Changed,
}

/// Takes stock of all nodes, and starts the count of copies anew if its outcome may be another one.
pub(super) fn layout_changed<V: ViewMut>(view: &mut V, counting: Counting) -> StateResult<(), V> {
    let before = layout(view)?;
    let homes = homes(view)?;
    let zones: BTreeSet<(&Region, &Zone)> =
        homes.iter().map(|(_, record)| (&record.region, &record.zone)).collect();
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let mut record = LayoutRecord {
        version: before.as_ref().map_or(0, |before| before.version).saturating_add(1),
        homes: count(homes.len()),
        zones: count(zones.len()),
        recount_from: Some(Vec::new()),
    };
    // The first layout finds blobs of release 0.1, which were never counted.
    if let Some(before) = before
        && counting == Counting::AsBefore
        && before.wanted() == record.wanted()
    {
        record.recount_from = before.recount_from;
    }
    write(view, key::LAYOUT.to_vec(), &record);
    Ok(())
}

/// Nodes that blobs are placed on: active full nodes of the region of the cluster's default registry; of all
/// regions if there is none in that one. Other regions get copies by replication rules.
///
/// # Errors
/// The state could not be read.
pub fn homes<V: View>(view: &V) -> StateResult<Vec<(NodeId, NodeRecord)>, V> {
    homes_among(view, nodes(view)?)
}

/// As [`homes`], as the changes would make them; `None` if one of these is of no node.
///
/// # Errors
/// The state could not be read.
pub fn homes_after<V: View>(
    view: &V,
    changes: &[PlacementChange],
) -> StateResult<Option<Vec<(NodeId, NodeRecord)>>, V> {
    changed(&nodes(view)?, changes).map(|after| homes_among(view, after)).transpose()
}

fn homes_among<V: View>(
    view: &V,
    mut homes: Vec<(NodeId, NodeRecord)>,
) -> StateResult<Vec<(NodeId, NodeRecord)>, V> {
    homes.retain(|(_, record)| may_be_home(record));
    let region = cluster::cluster(view)?.map(|cluster| cluster.registry.region);
    if homes.iter().any(|(_, record)| Some(&record.region) == region.as_ref()) {
        homes.retain(|(_, record)| Some(&record.region) == region.as_ref());
    }
    Ok(homes)
}

/// What follows from all nodes; `None` before the first has a record.
///
/// # Errors
/// The state could not be read.
pub fn layout<V: View>(view: &V) -> StateResult<Option<LayoutRecord>, V> {
    read(view, key::LAYOUT)
}
