//! I17: when faults have ended, files that no record names go to none, and so do blobs that nothing links, within
//! two periods of collection after staging and lease are over.

use cluster::StateReader;
use cluster_core::state;

use crate::world::World;

/// What is left that should have gone.
pub(crate) fn left(world: &World, reader: &StateReader) -> Option<String> {
    let page = state::blob::blobs(reader, None, usize::MAX).ok()?;
    let unused = page.items.iter().find(|(_, record)| record.links == 0);
    if let Some((digest, record)) = unused {
        return Some(format!("the unused blob {digest}, {record:?}"));
    }
    let nodes = world.nodes();
    let files = nodes.iter().flat_map(|(id, node)| node.blobs.files.keys().map(move |file| (id, file)));
    for (id, (digest, generation)) in files {
        let record = page.items.iter().find(|(known, _)| known == digest);
        if record.is_none_or(|(_, record)| record.generation != *generation) {
            return Some(format!("a file of {digest} at node {id}"));
        }
    }
    None
}
