//! I7: every acknowledged push is there at the end, unless somebody has begun to undo it.

use cluster::StateReader;
use cluster_core::state;

use crate::client::{Shared, repository};
use crate::world::{World, lock};

pub(crate) fn check(world: &World, known: &Shared, reader: &StateReader) {
    for (repo, digest) in &lock(known).acked {
        let found = state::manifest::manifest_content(reader, &repository(*repo), digest);
        if !matches!(found, Ok(Some(_))) {
            world.violated("I7", format!("the acknowledged manifest {digest} is gone: {found:?}"));
        }
    }
}
