//! Tells the cluster now and then which images this node gave to somebody.

use std::time::Duration;

use cluster::Metadata;
use tokio_util::sync::CancellationToken;

use crate::registry;
use crate::telemetry::log::chain;

/// Between two tellings.
const PERIOD: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Pulls {
    noted: registry::Pulls,
    metadata: Metadata,
}

impl Pulls {
    /// Nothing runs before [`Pulls::run`].
    pub(crate) fn new(noted: registry::Pulls, metadata: Metadata) -> Self {
        Self { noted, metadata }
    }

    /// Works until `stop`, and tells once more then. Dropping it loses the times of some pulls.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut goes_on = true;
        while goes_on {
            goes_on = stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some();
            if let Err(error) = self.noted.tell(&self.metadata).await {
                tracing::debug!(reason = %chain(&error), "pulls not recorded");
            }
        }
    }
}
