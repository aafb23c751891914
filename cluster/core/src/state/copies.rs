//! Copies of blobs: which nodes have one that was confirmed, and which blobs have too few that count.
//!
//! A copy counts if its node has a record, is full and active, and its copies are not void. A blob wants
//! [`LayoutRecord::wanted`] of them; those that have fewer stand in an index of their own, which every entry
//! keeps right for the blobs that it changes. When the layout changes, what a blob wants and what counts may
//! change for all of them at once, which no single entry can write. So the layout then says from where on
//! the index is not certain, and `recount` moves that on by a bounded number of blobs an entry. Copies of a
//! node that is gone, or came back with an empty disk, are void from that entry on and taken out of the
//! records by the same command; until then the node can get no new ones.

use std::collections::BTreeSet;

use proto::digest::Digest;
use proto::identity::NodeId;

use super::page::{Page, page};
use super::{StateError, StateResult, blob, decode, inconsistent, node, write};
use crate::command::node::{ConfirmCopies, Receipt};
use crate::command::{CommitBlob, Response};
use crate::key;
use crate::record::{BlobRecord, LayoutRecord, NodeState};
use crate::view::{View, ViewMut};

/// Most blobs that one entry counts again.
pub const MAX_RECOUNT: usize = 4096;

/// Receipts that hold, and how many zones their nodes are in.
struct Judged {
    nodes: BTreeSet<NodeId>,
    zones: usize,
    void: Vec<NodeId>,
}

/// A receipt holds if its node may keep copies, and wrote the copy on the disk that it has now (R7).
fn judge<V: View>(view: &V, receipts: &[Receipt]) -> StateResult<Judged, V> {
    let mut judged = Judged { nodes: BTreeSet::new(), zones: 0, void: Vec::new() };
    let mut zones = BTreeSet::new();
    for receipt in receipts {
        let record = node::node(view, receipt.node)?.filter(|record| {
            record.keeps_copies()
                && (record.disk_incarnation..=record.incarnation).contains(&receipt.incarnation)
        });
        match record {
            Some(record) if !is_void(view, receipt.node)? => {
                zones.insert((record.region, record.zone));
                judged.nodes.insert(receipt.node);
            }
            _ => judged.void.push(receipt.node),
        }
    }
    judged.zones = zones.len();
    Ok(judged)
}

/// The nodes whose receipts a commit may record, or why it is refused. Nothing is asked for before the
/// first node has a record, as in logs of release 0.1.
pub(super) fn of_commit<V: View>(
    view: &V,
    commit: &CommitBlob,
) -> StateResult<Result<BTreeSet<NodeId>, Response>, V> {
    let Some(layout) = node::layout(view)? else {
        return Ok(Ok(BTreeSet::new()));
    };
    let judged = judge(view, &commit.copies)?;
    if judged.nodes.is_empty() {
        return Ok(Err(Response::VoidReceipts(judged.void)));
    }
    let copies = u32::try_from(judged.nodes.len()).unwrap_or(u32::MAX);
    let zones = u32::try_from(judged.zones).unwrap_or(u32::MAX);
    // More than there is cannot be had: a layout that shrank since must not refuse for ever.
    let is_enough = copies >= commit.required_copies.min(layout.homes)
        && zones >= commit.required_zones.min(layout.zones);
    Ok(if is_enough { Ok(judged.nodes) } else { Err(Response::TooFewCopies { copies, zones }) })
}

pub(super) fn confirm<V: ViewMut>(view: &mut V, confirm: &ConfirmCopies) -> StateResult<Response, V> {
    let Some(mut record) = blob::blob(view, &confirm.digest)? else {
        return Ok(Response::Kept);
    };
    if record.generation != confirm.generation {
        return Ok(Response::Kept);
    }
    let mut copies: BTreeSet<NodeId> = record.copies.iter().copied().collect();
    copies.retain(|node| !confirm.lost.contains(node));
    copies.extend(judge(view, &confirm.added)?.nodes);
    let layout = node::layout(view)?.unwrap_or_default();
    for node in &confirm.released {
        let rest: BTreeSet<NodeId> = copies.iter().copied().filter(|other| other != node).collect();
        let without = count(view, &rest)?;
        if without.copies >= layout.wanted() && without.zones >= layout.wanted_zones() {
            copies = rest;
        }
    }
    set(view, &confirm.digest, &mut record, &copies)?;
    write(view, key::blob(&confirm.digest), &record);
    Ok(Response::CopiesConfirmed { copies: record.copies })
}

/// Gives `record`, which the caller writes, these copies; keeps the indices right.
pub(super) fn set<V: ViewMut>(
    view: &mut V,
    digest: &Digest,
    record: &mut BlobRecord,
    copies: &BTreeSet<NodeId>,
) -> StateResult<(), V> {
    for gone in record.copies.iter().filter(|node| !copies.contains(node)) {
        view.delete(key::copy(*gone, digest));
    }
    for new in copies.iter().filter(|node| !record.copies.contains(node)) {
        view.put(key::copy(*new, digest), Vec::new());
    }
    record.copies = copies.iter().copied().collect();
    let Some(layout) = node::layout(view)? else { return Ok(()) };
    let key = key::under_copied(digest);
    let is_under = count(view, copies)?.copies < layout.wanted();
    let is_marked = view.get(&key).map_err(StateError::View)?.is_some();
    match (is_under, is_marked) {
        (true, false) => view.put(key, Vec::new()),
        (false, true) => view.delete(key),
        _ => {}
    }
    Ok(())
}

/// Before the blob's record goes.
pub(super) fn forget(view: &mut impl ViewMut, digest: &Digest, record: &BlobRecord) {
    record.copies.iter().for_each(|node| view.delete(key::copy(*node, digest)));
    view.delete(key::under_copied(digest));
}

/// Copies that count, and the zones they are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Number of copies.
    pub copies: u32,
    /// Number of zones.
    pub zones: u32,
}

/// How many of these copies count.
///
/// # Errors
/// The state could not be read.
pub fn count<'a, V: View>(view: &V, copies: impl IntoIterator<Item = &'a NodeId>) -> StateResult<Counted, V> {
    let mut zones = BTreeSet::new();
    let mut counted = Counted { copies: 0, zones: 0 };
    for id in copies {
        let Some(record) = node::node(view, *id)? else { continue };
        if record.keeps_copies() && record.state == NodeState::Active && !is_void(view, *id)? {
            counted.copies = counted.copies.saturating_add(1);
            zones.insert((record.region, record.zone));
        }
    }
    counted.zones = u32::try_from(zones.len()).unwrap_or(u32::MAX);
    Ok(counted)
}

fn is_void<V: View>(view: &V, node: NodeId) -> StateResult<bool, V> {
    Ok(view.get(&key::void(node)).map_err(StateError::View)?.is_some())
}

/// From now on no copy that was confirmed for the node counts.
pub(super) fn void<V: ViewMut>(view: &mut V, node: NodeId) -> StateResult<(), V> {
    if !of_node(view, node, None, 1)?.items.is_empty() {
        view.put(key::void(node), Vec::new());
    }
    Ok(())
}

/// Looks at up to `limit` blobs: void copies first, then what the layout may have changed.
pub(super) fn recount<V: ViewMut>(view: &mut V, limit: u32) -> StateResult<Response, V> {
    let limit = usize::try_from(limit).unwrap_or(MAX_RECOUNT).clamp(1, MAX_RECOUNT);
    let voids = page(view, key::VOIDS, None, 1, |rest, _| node::id(key::VOIDS, rest).map(Some))?;
    if let Some(node) = voids.items.first() {
        take_void(view, *node, limit)?;
    } else if let Some(mut layout) = node::layout(view)?
        && let Some(from) = layout.recount_from.take()
    {
        layout.recount_from = count_again(view, &from, limit)?;
        write(view, key::LAYOUT.to_vec(), &layout);
    }
    Ok(Response::Recounted { is_done: !is_recounting(view)? })
}

/// Takes void copies of a node out of the records.
fn take_void<V: ViewMut>(view: &mut V, node: NodeId, limit: usize) -> StateResult<(), V> {
    let found = of_node(view, node, None, limit)?;
    for digest in &found.items {
        let Some(mut record) = blob::blob(view, digest)? else {
            return Err(inconsistent(key::copy(node, digest), "a copy of a blob without a record"));
        };
        let copies = record.copies.iter().copied().filter(|copy| *copy != node).collect();
        set(view, digest, &mut record, &copies)?;
        write(view, key::blob(digest), &record);
    }
    if !found.more {
        view.delete(key::void(node));
    }
    Ok(())
}

/// Counts blobs after `from` again; where to go on, if more follow.
fn count_again<V: ViewMut>(view: &mut V, from: &[u8], limit: usize) -> StateResult<Option<Vec<u8>>, V> {
    let after = (!from.is_empty()).then_some(from);
    let found = page(view, key::BLOBS, after, limit, |rest, value| {
        let key = [key::BLOBS, rest].concat();
        let record: BlobRecord = decode(&key, value)?;
        Ok(Some((digest(key::BLOBS, rest)?, record)))
    })?;
    let mut last = None;
    for (digest, mut record) in found.items {
        let copies = record.copies.iter().copied().collect();
        set(view, &digest, &mut record, &copies)?;
        last = Some(digest.to_bytes());
    }
    Ok(last.filter(|_| found.more))
}

fn digest<E: std::error::Error>(prefix: &[u8], rest: &[u8]) -> Result<Digest, StateError<E>> {
    Digest::from_bytes(rest).ok_or_else(|| inconsistent([prefix, rest].concat(), "no digest"))
}

/// Whether [`under_copied`] may still miss blobs, or show too many, since nodes changed.
///
/// # Errors
/// The state could not be read.
pub fn is_recounting<V: View>(view: &V) -> StateResult<bool, V> {
    let voids = page(view, key::VOIDS, None, 1, |_, _| Ok(Some(())))?;
    let layout: Option<LayoutRecord> = node::layout(view)?;
    Ok(!voids.items.is_empty() || layout.is_some_and(|layout| layout.recount_from.is_some()))
}

/// The next blobs after `after` that have fewer copies than wanted, in the order of their bytes.
///
/// # Errors
/// The state could not be read.
pub fn under_copied<V: View>(view: &V, after: Option<&Digest>, limit: usize) -> StateResult<Page<Digest>, V> {
    digests(view, key::UNDER_COPIED, after, limit)
}

/// The next blobs after `after` that are linked and of which no copy is left anywhere, as far as was told, in the
/// order of their bytes. Reads all that have fewer copies than wanted.
///
/// # Errors
/// The state could not be read.
pub fn without_copy<V: View>(
    view: &V,
    after: Option<&Digest>,
    limit: usize,
) -> StateResult<Page<(Digest, BlobRecord)>, V> {
    let after = after.map(Digest::to_bytes);
    page(view, key::UNDER_COPIED, after.as_deref(), limit, |rest, _| {
        let digest = digest(key::UNDER_COPIED, rest)?;
        let record = blob::blob(view, &digest)?;
        Ok(record
            .filter(|record| record.copies.is_empty() && record.links > 0)
            .map(|record| (digest, record)))
    })
}

/// The next blobs after `after` whose record names a copy on this node.
///
/// # Errors
/// The state could not be read.
pub fn of_node<V: View>(
    view: &V,
    node: NodeId,
    after: Option<&Digest>,
    limit: usize,
) -> StateResult<Page<Digest>, V> {
    digests(view, &key::copies(node), after, limit)
}

fn digests<V: View>(
    view: &V,
    prefix: &[u8],
    after: Option<&Digest>,
    limit: usize,
) -> StateResult<Page<Digest>, V> {
    let after = after.map(Digest::to_bytes);
    page(view, prefix, after.as_deref(), limit, |rest, _| digest(prefix, rest).map(Some))
}

#[cfg(test)]
#[path = "copies_test.rs"]
mod tests;
