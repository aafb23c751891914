//! I15: a generation is not dropped while it is leased: after an acknowledged commit it is the recorded one as
//! long as log time has not passed the lease that the commit gave.

use cluster::StateReader;
use cluster_core::state;

use crate::client::Shared;
use crate::world::{World, lock};

pub(crate) fn check(world: &World, known: &Shared, reader: &StateReader) {
    let Ok(now) = state::log_time(reader) else { return };
    for (digest, (generation, until)) in &lock(known).leases {
        let Ok(record) = state::blob::blob(reader, digest) else { continue };
        if now <= *until && record.as_ref().map(|record| record.generation) != Some(*generation) {
            world.violated("I15", format!("{digest} is leased until {until}, at {now} it is {record:?}"));
        }
    }
}
