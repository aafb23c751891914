//! I9: a linked blob has the copies that its record names; at the end it has as many as there are homes, up to
//! the number wanted.

use cluster::StateReader;
use cluster_core::record::REPLICAS;
use cluster_core::state;

use crate::world::{World, lock};

/// At any time: every copy named is on its disk, unless that disk was lost.
pub(crate) fn check(world: &World, reader: &StateReader) {
    let Ok(page) = state::blob::blobs(reader, None, usize::MAX) else { return };
    let lost = lock(&world.lost_disks).clone();
    for (digest, record) in page.items.iter().filter(|(_, record)| record.links > 0) {
        let nodes = world.nodes();
        let is_there = |node: &u64| {
            nodes.get(node).is_some_and(|node| node.blobs.files.contains_key(&(*digest, record.generation)))
        };
        let named: Vec<u64> = record.copies.iter().map(|node| node.get()).collect();
        let absent =
            named.iter().find(|node| !is_there(node) && !lost.contains(node) && nodes.contains_key(node));
        if let Some(absent) = absent {
            world.violated("I9", format!("node {absent} is named for {digest} and does not have it"));
        }
        if !nodes.keys().any(is_there) {
            world.violated("I9", format!("nobody has the linked blob {digest}"));
        }
    }
}

/// Whether all linked blobs have all the copies that they should have.
pub(crate) fn are_complete(world: &World, reader: &StateReader) -> bool {
    let (Ok(page), Ok(homes)) = (state::blob::blobs(reader, None, usize::MAX), state::node::homes(reader))
    else {
        return false;
    };
    let wanted = homes.len().min(REPLICAS as usize);
    page.items.iter().filter(|(_, record)| record.links > 0).all(|(digest, record)| {
        let is_there = |node: u64| world.has(node, (*digest, record.generation));
        let there = homes.iter().filter(|(node, _)| is_there(node.get()) && record.copies.contains(node));
        there.count() >= wanted
    })
}
