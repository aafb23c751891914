//! I16: no file goes whose generation a record names for the node that has it.

use cluster_core::state;
use proto::digest::Digest;
use proto::upload::UploadId;

use crate::world::{World, lock, node_id};

/// Called when the file has gone.
pub(crate) fn check(world: &World, node: u64, (digest, generation): (Digest, UploadId)) {
    for up in world.up() {
        // A node that is behind may still name it.
        let Some(metadata) = world.metadata(up) else { continue };
        let (Ok(reader), applied) = (metadata.local(), metadata.status().applied_index) else { continue };
        if applied < *lock(&world.reached) {
            continue;
        }
        let Ok(Some(record)) = state::blob::blob(&reader, &digest) else { continue };
        if record.generation == generation && record.copies.contains(&node_id(node)) {
            world.violated("I16", format!("node {node} removed {digest}, for which it is named"));
        }
    }
}
