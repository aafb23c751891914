//! Referrers: the manifests of a repository that name another as their subject.

use proto::digest::Digest;

use super::page::{Page, page};
use super::{StateResult, decode, inconsistent};
use crate::key::{self, RepositoryId};
use crate::record::ReferrerRecord;
use crate::view::View;

/// The next referrers of `subject` after `after`, ordered by digest; only those of `artifact_type` if one
/// is given (the filter applies before the page is cut).
///
/// # Errors
/// The state could not be read.
pub fn referrers<V: View>(
    view: &V,
    id: &RepositoryId,
    subject: &Digest,
    artifact_type: Option<&str>,
    after: Option<&Digest>,
    limit: usize,
) -> StateResult<Page<(Digest, ReferrerRecord)>, V> {
    let prefix = key::referrers(id, subject);
    let after = after.map(Digest::to_bytes);
    page(view, &prefix, after.as_deref(), limit, |rest, value| {
        let key = || [&prefix, rest].concat();
        let digest = Digest::from_bytes(rest).ok_or_else(|| inconsistent(key(), "no digest"))?;
        let record: ReferrerRecord = decode(&key(), value)?;
        let wanted = artifact_type.is_none_or(|wanted| record.artifact_type.as_deref() == Some(wanted));
        Ok(wanted.then_some((digest, record)))
    })
}
