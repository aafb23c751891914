//! I24: after a failed sync nothing of that file is synced, so nothing acknowledged, before the node is restarted.

use crate::world::World;

pub(crate) fn check(world: &World) {
    for (id, node) in world.nodes().iter() {
        if let Some(file) = node.disk.retried() {
            world.violated("I24", format!("node {id} synced {file} again after a failure"));
        }
    }
}
