//! Repositories that a push makes.

use proto::name::RepositoryName;

use super::Exchange;
use super::error::{Code, OciError};
use crate::registry::creation::NotCreated;

/// As a template says, if the repository is not there; the push makes one that no template is meant for.
pub(super) async fn create_repository(
    exchange: &Exchange<'_>,
    name: &RepositoryName,
) -> Result<(), OciError> {
    let created = exchange.api.registry.create_on_push(&exchange.repository(name)).await?;
    created.map_err(|refusal| match refusal {
        NotCreated::NoTemplate => {
            let message = "the repository does not exist, and no template lets a push create it";
            OciError::new(Code::NameUnknown, message)
        }
        NotCreated::Limit => OciError::new(Code::Denied, "the registry has as many repositories as it may"),
    })
}
