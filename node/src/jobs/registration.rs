//! Tells the cluster, once at each start, where this node is and what it runs; and ends the process when a
//! later start of the same node is known, since two must not speak for one (consistency promise 19).

use std::time::Duration;

use cluster::Metadata;
use cluster_core::command::node::{Disk, NodePlace, UpdateNode};
use cluster_core::command::{Command, NodeCommand, Response};
use cluster_core::state;
use proto::identity::NodeId;
use tokio_util::sync::CancellationToken;

/// Between two tries, and between two looks for a later start.
const PAUSE: Duration = Duration::from_secs(2);

/// See the module.
pub(crate) struct Registration {
    pub(crate) metadata: Metadata,
    pub(crate) node: NodeId,
    pub(crate) place: NodePlace,
    pub(crate) incarnation: u64,
    pub(crate) disk: Disk,
}

impl Registration {
    /// Works until `stop`, or cancels it when this node must not go on. Dropping it loses nothing.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut is_told = false;
        loop {
            if !is_told {
                is_told = self.tell(&stop).await;
            } else if self.is_superseded() {
                give_way(&stop);
            }
            if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                return;
            }
        }
    }

    /// True once the cluster knows.
    async fn tell(&self, stop: &CancellationToken) -> bool {
        let update = UpdateNode {
            node: self.node,
            place: self.place.clone(),
            incarnation: self.incarnation,
            disk: self.disk,
        };
        match self.metadata.propose(Command::Node(Box::new(NodeCommand::Update(update)))).await {
            Ok(Response::NodeUpdated) => true,
            Ok(Response::StaleIncarnation { .. }) => {
                give_way(stop);
                true
            }
            Ok(Response::NotFound) => {
                tracing::error!(
                    "this node was removed from the cluster: start it anew with an empty data directory"
                );
                stop.cancel();
                true
            }
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, "the cluster was not told of this start yet");
                false
            }
        }
    }

    fn is_superseded(&self) -> bool {
        let reader = self.metadata.local().ok();
        let record = reader.and_then(|reader| state::node::node(&reader, self.node).ok()).flatten();
        record.is_some_and(|record| record.incarnation > self.incarnation)
    }
}

fn give_way(stop: &CancellationToken) {
    tracing::error!(
        "a later start of this node is known: its data directory was copied or restored and runs elsewhere too; \
         this process ends"
    );
    stop.cancel();
}
