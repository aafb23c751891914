//! Repositories: created by the first push.

use proto::identity::RegistryId;
use proto::name::RepositoryName;

use super::page::{Page, page};
use super::{Moment, StateResult, inconsistent, read, write};
use crate::key::{self, RepositoryId};
use crate::record::RepositoryRecord;
use crate::view::{View, ViewMut};

pub(super) fn ensure<V: ViewMut>(view: &mut V, moment: Moment, id: &RepositoryId) -> StateResult<(), V> {
    if repository(view, id)?.is_none() {
        write(view, key::repository(id), &RepositoryRecord { created_ms: moment.now_ms });
    }
    Ok(())
}

/// The repository, if it exists.
///
/// # Errors
/// The state could not be read.
pub fn repository<V: View>(view: &V, id: &RepositoryId) -> StateResult<Option<RepositoryRecord>, V> {
    read(view, &key::repository(id))
}

/// The next names of a registry after `after`, which may be any text.
///
/// # Errors
/// The state could not be read.
pub fn repositories<V: View>(
    view: &V,
    registry: &RegistryId,
    after: Option<&str>,
    limit: usize,
) -> StateResult<Page<RepositoryName>, V> {
    let prefix = key::repositories(registry);
    page(view, &prefix, after.map(str::as_bytes), limit, |rest, _| {
        let name = std::str::from_utf8(rest).ok().and_then(|text| text.parse().ok());
        name.map(Some).ok_or_else(|| inconsistent([&prefix, rest].concat(), "no repository name"))
    })
}
