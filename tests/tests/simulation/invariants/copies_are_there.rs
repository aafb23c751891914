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

/// A linked blob that has fewer copies than it should have in the end.
pub(crate) fn short(world: &World, reader: &StateReader) -> Option<String> {
    let (Ok(page), Ok(homes)) = (state::blob::blobs(reader, None, usize::MAX), state::node::homes(reader))
    else {
        return Some("the state cannot be read".to_owned());
    };
    let wanted = homes.len().min(REPLICAS as usize);
    let short = page.items.iter().filter(|(_, record)| record.links > 0).find(|(digest, record)| {
        let is_there = |node: u64| world.has(node, (*digest, record.generation));
        let there = homes.iter().filter(|(node, _)| is_there(node.get()) && record.copies.contains(node));
        there.count() < wanted
    });
    let (digest, record) = short?;
    let files = |node: u64| world.files(node).into_iter().filter(|file| file.0 == *digest);
    let found: Vec<_> =
        world.all().into_iter().flat_map(|node| files(node).map(move |file| (node, file.1))).collect();
    let homes: Vec<_> =
        homes.iter().map(|(node, record)| (node, record.incarnation, record.disk_incarnation)).collect();
    Some(format!("{digest} is {record:?}; files {found:?}, homes {homes:?}"))
}
