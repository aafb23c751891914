//! Mounts: a blob of another repository becomes one of this one (checklist §5).

use cluster::ReadError;
use cluster_core::access::Action;
use proto::digest::Digest;
use proto::name::RepositoryName;

use super::Exchange;
use super::error::OciError;
use super::query::Query;
use crate::auth::decider::Verdict;
use crate::registry::account_setting::AccountSettings;

/// Most repositories that one mount may name as sources.
pub(super) const MAX_SOURCES: usize = 16;

/// Whether it was mounted.
pub(super) async fn mount(
    exchange: &Exchange<'_>,
    name: &RepositoryName,
    digest: Digest,
    query: &Query<'_>,
) -> Result<bool, OciError> {
    let api = exchange.api;
    if !AccountSettings::read(&api.registry.metadata.local()?, &exchange.registry)
        .map_err(ReadError::from)?
        .mounts_blobs
    {
        return Ok(false);
    }
    let named: Vec<&str> = query.all("from").take(MAX_SOURCES).collect();
    let sources: Vec<RepositoryName> = if named.is_empty() {
        api.registry.repositories_with_blob(&exchange.registry, &digest, MAX_SOURCES).await?
    } else {
        // What is no name, or may not be read, is no source: the answer is a session (U42).
        named.iter().filter_map(|from| from.parse().ok()).collect()
    };
    let mut allowed = Vec::new();
    for from in sources {
        match exchange.may(Action::ReadBlob, Some(&from))? {
            Verdict::Allowed => allowed.push(from),
            Verdict::InsufficientScope if !named.is_empty() => {
                return Err(super::access::mount_challenge(exchange, name));
            }
            _ => {}
        }
    }
    Ok(api.registry.mount_blob(&exchange.repository(name), digest, allowed).await?)
}
