//! I25: when faults have ended there is a leader within 10 s, writes are accepted, all nodes have applied all, all
//! blobs have their copies. Each stage has its own time, so that a failure says what did not come.

use std::sync::Arc;
use std::time::Duration;

use cluster::{Metadata, Role};

use crate::world::World;

/// How long each stage may take, simulated.
pub(crate) const LEADER: Duration = Duration::from_secs(10);
/// As [`LEADER`].
pub(crate) const CONVERGED: Duration = Duration::from_secs(40);

/// The ready leader with the highest term.
pub(crate) fn leader(world: &World) -> Option<Metadata> {
    let up = world.up().into_iter().filter_map(|node| world.metadata(node));
    let leads = up.filter(|metadata| metadata.status().role == Role::Leader && metadata.status().ready);
    leads.max_by_key(|metadata| metadata.status().term)
}

/// Waits for a leader that writes.
pub(crate) async fn writes(world: &Arc<World>) -> bool {
    until(world, "a leader that takes writes", LEADER, async || match leader(world) {
        Some(leader) => leader.tick().await.is_ok(),
        None => false,
    })
    .await
}

/// Waits for something to hold; a violation of I25 if it does not.
pub(crate) async fn until(
    world: &Arc<World>,
    what: &str,
    patience: Duration,
    mut holds: impl AsyncFnMut() -> bool,
) -> bool {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let held = tokio::time::timeout(patience, waiting).await.is_ok();
    if !held {
        world.violated("I25", format!("{what}: not within {} s after the faults", patience.as_secs()));
    }
    held
}
