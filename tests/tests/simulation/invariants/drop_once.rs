//! I22: a blob's generation is dropped at most once, whoever proposes it and however often.

use proto::digest::Digest;
use proto::upload::UploadId;

use crate::world::{World, lock};

/// Called when `Dropped` was the answer.
pub(crate) fn dropped(world: &World, copy: (Digest, UploadId)) {
    if !lock(&world.dropped).insert(copy) {
        world.violated("I22", format!("{} was dropped twice", copy.0));
    }
}
