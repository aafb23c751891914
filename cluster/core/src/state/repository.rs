//! Repositories: created by hand or by the first push, and what is set of them.
//!
//! Their documents are in `document`, how they go in `removal`.

use proto::identity::RegistryId;
use proto::name::RepositoryName;
use proto::settings::MAX_RESOURCE_TAGS;

use super::page::{Page, has_at_least, page};
use super::{Moment, StateResult, document, inconsistent, read, removal, write};
use crate::command::repository::CreateRepository;
use crate::command::{RepositoryCommand, RepositoryRefusal, Response};
use crate::key::{self, RepositoryId};
use crate::record::{DocumentRecord, RepositoryDocument, RepositoryRecord, RepositorySettings};
use crate::view::{View, ViewMut};

pub(super) fn apply<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    command: RepositoryCommand,
) -> StateResult<Response, V> {
    use RepositoryCommand as C;
    match command {
        C::Create(create) => self::create(view, moment, create),
        C::SetMutability { repository, mutability } => {
            set(view, &repository, |settings| settings.mutability = mutability)
        }
        C::SetScanOnPush { repository, scans_on_push } => {
            set(view, &repository, |settings| settings.scans_on_push = scans_on_push)
        }
        C::Tag { repository, tags } => set(view, &repository, |settings| settings.tags.extend(tags)),
        C::Untag { repository, keys } => {
            set(view, &repository, |settings| settings.tags.retain(|key, _| !keys.contains(key)))
        }
        C::SetDocument { repository, kind, text } => document::set(view, moment, &repository, kind, text),
        C::DeleteDocument { repository, kind } => document::unset(view, &repository, kind),
        C::Delete { repository, limit } => removal::delete(view, &repository, limit),
        C::Clear { repository, limit } => removal::clear(view, &repository, limit),
        C::PutRegistryDocument(put) => document::put(view, moment, put),
        C::DeleteRegistryDocument { registry, kind, id } => document::delete(view, &registry, kind, &id),
    }
}

pub(super) fn refused(refusal: RepositoryRefusal) -> Response {
    Response::RepositoryRefused(refusal)
}

fn create<V: ViewMut>(view: &mut V, moment: Moment, create: CreateRepository) -> StateResult<Response, V> {
    let id = &create.repository;
    if repository(view, id)?.is_some() {
        return Ok(refused(RepositoryRefusal::Exists));
    }
    if create.settings.tags.len() > MAX_RESOURCE_TAGS {
        return Ok(refused(RepositoryRefusal::TooManyTags));
    }
    if create.documents.values().any(|text| document::is_too_long(text)) {
        return Ok(refused(RepositoryRefusal::DocumentTooLong));
    }
    if has_at_least(view, &key::repositories(&id.registry), create.most)? {
        return Ok(refused(RepositoryRefusal::Limit));
    }
    let created_ms = moment.now_ms;
    let mut record = RepositoryRecord { settings: create.settings, ..RepositoryRecord::new(created_ms) };
    for (kind, text) in create.documents {
        *record.document_index_mut(kind) = Some(moment.index);
        write(view, key::repository_document(id, kind), &document::new(moment, text));
    }
    write(view, key::repository(id), &record);
    Ok(Response::RepositoryChanged { created_ms })
}

/// Writes what `change` makes of the settings, if that is something else.
fn set<V: ViewMut>(
    view: &mut V,
    id: &RepositoryId,
    change: impl FnOnce(&mut RepositorySettings),
) -> StateResult<Response, V> {
    let Some(before) = repository(view, id)? else {
        return Ok(refused(RepositoryRefusal::NotFound));
    };
    let mut record = before.clone();
    change(&mut record.settings);
    if record.settings.tags.len() > MAX_RESOURCE_TAGS {
        return Ok(refused(RepositoryRefusal::TooManyTags));
    }
    if record != before {
        write(view, key::repository(id), &record);
    }
    Ok(Response::RepositoryChanged { created_ms: record.created_ms })
}

pub(super) fn ensure<V: ViewMut>(view: &mut V, moment: Moment, id: &RepositoryId) -> StateResult<(), V> {
    if repository(view, id)?.is_none() {
        write(view, key::repository(id), &RepositoryRecord::new(moment.now_ms));
    }
    Ok(())
}

/// The repository, if it exists: its settings, and which version of its documents it has
/// ([`RepositoryRecord::document_index`]).
///
/// # Errors
/// The state could not be read.
pub fn repository<V: View>(view: &V, id: &RepositoryId) -> StateResult<Option<RepositoryRecord>, V> {
    read(view, &key::repository(id))
}

/// A document of a repository.
///
/// # Errors
/// The state could not be read.
pub fn document<V: View>(
    view: &V,
    id: &RepositoryId,
    kind: RepositoryDocument,
) -> StateResult<Option<DocumentRecord>, V> {
    read(view, &key::repository_document(id, kind))
}

/// Whether the repository has no manifest; also true of one that does not exist.
///
/// # Errors
/// The state could not be read.
pub fn is_empty<V: View>(view: &V, id: &RepositoryId) -> StateResult<bool, V> {
    Ok(!has_at_least(view, &key::manifests(id), 1)?)
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

#[cfg(test)]
#[path = "repository_test.rs"]
mod tests;
