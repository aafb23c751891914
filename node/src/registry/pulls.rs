//! When images were last pulled: noted in memory by whoever serves a manifest, told to the cluster now and then.
//!
//! A crash loses what was noted since; so does a node that serves more than [`MAX_NOTED`] images between two tellings.
//! AWS promises the time of a pull within 24 hours (ECR specification §6.4), here it is within an hour.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use cluster::{Metadata, StorageError};
use cluster_core::access::Caller;
use cluster_core::command::Command;
use cluster_core::command::image::{self, ImageCommand, MAX_PULLS, Pull};
use cluster_core::key::RepositoryId;
use cluster_core::record::RegistryDocument;
use cluster_core::state::{self, StateError, StateResult};
use cluster_core::view::View;
use proto::digest::Digest;
use proto::identity::RegistryId;

use super::RegistryError;

/// Images that are noted at once.
const MAX_NOTED: usize = 10_000;
/// A recorded pull that is younger is not recorded again, milliseconds.
const FINE_ENOUGH_MS: u64 = 60 * 60 * 1000;

/// See the module. Clones share what is noted.
#[derive(Clone, Default)]
pub(crate) struct Pulls(Arc<Mutex<HashMap<(RepositoryId, Digest), u64>>>);

impl Pulls {
    /// The image was given to somebody now.
    pub(crate) fn note(&self, repository: &RepositoryId, digest: &Digest) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let image = (repository.clone(), *digest);
        if noted.len() < MAX_NOTED || noted.contains_key(&image) {
            noted.insert(image, now_ms);
        }
    }

    /// Tells the cluster what was noted. What could not be told is forgotten: the next pull is noted again.
    pub(crate) async fn tell(&self, metadata: &Metadata) -> Result<(), RegistryError> {
        let noted = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let pulls = {
            let reader = metadata.local()?;
            if state::node::level(&reader)? < image::LEVEL {
                return Ok(());
            }
            let mut pulls = Vec::new();
            for ((repository, digest), at_ms) in noted {
                let found = state::image::image(&reader, &repository, &digest)?;
                if found.is_some_and(|found| is_due(found.state.last_pull_ms, at_ms)) {
                    pulls.push(Pull { repository, digest, at_ms });
                }
            }
            Ok::<_, StateError<StorageError>>(pulls)
        }?;
        for pulls in pulls.chunks(MAX_PULLS) {
            let command = ImageCommand::RecordPulls(pulls.to_vec());
            metadata.propose(Command::Image(Box::new(command))).await?;
        }
        Ok(())
    }
}

/// Whether pulls of `caller` are not recorded (`RegisterPullTimeUpdateExclusion`): of a scanner, for one.
///
/// # Errors
/// The state could not be read.
pub(super) fn is_excluded<V: View>(view: &V, registry: &RegistryId, caller: &Caller) -> StateResult<bool, V> {
    let Some(id) = caller.principal().and_then(|arn| arn.to_string().parse().ok()) else { return Ok(false) };
    let found = state::document::document(view, registry, RegistryDocument::PullTimeExclusion, &id)?;
    Ok(found.is_some())
}

fn is_due(recorded_ms: Option<u64>, at_ms: u64) -> bool {
    recorded_ms.is_none_or(|recorded_ms| at_ms >= recorded_ms.saturating_add(FINE_ENOUGH_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_is_told_once_an_hour() {
        assert!(is_due(None, 0));
        assert!(!is_due(Some(1000), 1000 + FINE_ENOUGH_MS - 1));
        assert!(is_due(Some(1000), 1000 + FINE_ENOUGH_MS));
    }
}
