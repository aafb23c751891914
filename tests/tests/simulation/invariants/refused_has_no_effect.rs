//! I8: nothing of a request that was refused.

use cluster::StateReader;
use cluster_core::state;

use crate::client::{Shared, repository};
use crate::world::{World, lock};

pub(crate) fn check(world: &World, known: &Shared, reader: &StateReader) {
    for (repo, digest) in &lock(known).refused {
        if !matches!(state::manifest::manifest(reader, &repository(*repo), digest), Ok(None)) {
            world.violated("I8", format!("the refused manifest {digest} is there"));
        }
    }
}
