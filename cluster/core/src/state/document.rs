//! Documents of repositories and registries: texts that their proposer validated.
//!
//! Which version of its documents a repository has stands in its record too, which is read anyway.

use proto::identity::RegistryId;
use proto::settings::DocumentId;

use super::page::{Page, has_at_least, page};
use super::repository::{self, refused};
use super::{Moment, StateResult, decode, inconsistent, read, write};
use crate::command::repository::{DocumentCondition, MAX_DOCUMENT, PutRegistryDocument};
use crate::command::{RepositoryRefusal, Response};
use crate::key::{self, RepositoryId};
use crate::record::{DocumentRecord, RegistryDocument, RepositoryDocument};
use crate::view::{View, ViewMut};

pub(super) fn is_too_long(text: &str) -> bool {
    text.len() > MAX_DOCUMENT
}

/// One that was not there before.
pub(super) fn new(moment: Moment, text: String) -> DocumentRecord {
    let (created_ms, changed_ms) = (moment.now_ms, moment.now_ms);
    DocumentRecord { text, created_ms, changed_ms, changed_index: moment.index }
}

/// What becomes of `before` with this text; `None`: it has it already, so who asks again changes nothing.
fn changed(before: Option<&DocumentRecord>, moment: Moment, text: String) -> Option<DocumentRecord> {
    match before {
        None => Some(new(moment, text)),
        Some(before) if before.text == text => None,
        Some(before) => Some(DocumentRecord { created_ms: before.created_ms, ..new(moment, text) }),
    }
}

/// Of a repository.
pub(super) fn set<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    id: &RepositoryId,
    kind: RepositoryDocument,
    text: String,
) -> StateResult<Response, V> {
    let Some(mut record) = repository::repository(view, id)? else {
        return Ok(refused(RepositoryRefusal::NotFound));
    };
    if is_too_long(&text) {
        return Ok(refused(RepositoryRefusal::DocumentTooLong));
    }
    let before = repository::document(view, id, kind)?;
    if let Some(after) = changed(before.as_ref(), moment, text) {
        *record.document_index_mut(kind) = Some(moment.index);
        write(view, key::repository_document(id, kind), &after);
        write(view, key::repository(id), &record);
    }
    Ok(Response::RepositoryChanged { created_ms: record.created_ms })
}

/// Of a repository.
pub(super) fn unset<V: ViewMut>(
    view: &mut V,
    id: &RepositoryId,
    kind: RepositoryDocument,
) -> StateResult<Response, V> {
    let Some(mut record) = repository::repository(view, id)? else {
        return Ok(refused(RepositoryRefusal::NotFound));
    };
    if record.document_index_mut(kind).take().is_none() {
        return Ok(refused(RepositoryRefusal::DocumentNotFound));
    }
    view.delete(key::repository_document(id, kind));
    write(view, key::repository(id), &record);
    Ok(Response::RepositoryChanged { created_ms: record.created_ms })
}

/// Of a registry.
pub(super) fn put<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    put: PutRegistryDocument,
) -> StateResult<Response, V> {
    if is_too_long(&put.text) {
        return Ok(refused(RepositoryRefusal::DocumentTooLong));
    }
    let before = document(view, &put.registry, put.kind, &put.id)?;
    match (put.condition, &before) {
        (DocumentCondition::Create, Some(_)) => return Ok(refused(RepositoryRefusal::DocumentExists)),
        (DocumentCondition::Replace, None) => return Ok(refused(RepositoryRefusal::DocumentNotFound)),
        _ => {}
    }
    let of_kind = key::registry_documents(&put.registry, put.kind);
    if before.is_none() && has_at_least(view, &of_kind, put.most)? {
        return Ok(refused(RepositoryRefusal::Limit));
    }
    let after = changed(before.as_ref(), moment, put.text);
    if let Some(after) = &after {
        write(view, key::registry_document(&put.registry, put.kind, &put.id), after);
    }
    let times = |record: &DocumentRecord| (record.created_ms, record.changed_ms);
    let (created_ms, changed_ms) = after.or(before).as_ref().map_or((0, 0), times);
    Ok(Response::DocumentStored { created_ms, changed_ms })
}

/// Of a registry.
pub(super) fn delete<V: ViewMut>(
    view: &mut V,
    registry: &RegistryId,
    kind: RegistryDocument,
    id: &DocumentId,
) -> StateResult<Response, V> {
    if document(view, registry, kind, id)?.is_none() {
        return Ok(refused(RepositoryRefusal::DocumentNotFound));
    }
    view.delete(key::registry_document(registry, kind, id));
    Ok(Response::Deleted)
}

/// A document of a registry.
///
/// # Errors
/// The state could not be read.
pub fn document<V: View>(
    view: &V,
    registry: &RegistryId,
    kind: RegistryDocument,
    id: &DocumentId,
) -> StateResult<Option<DocumentRecord>, V> {
    read(view, &key::registry_document(registry, kind, id))
}

/// The next documents of a kind after `after`, in the byte order of their ids.
///
/// # Errors
/// The state could not be read.
pub fn documents<V: View>(
    view: &V,
    registry: &RegistryId,
    kind: RegistryDocument,
    after: Option<&DocumentId>,
    limit: usize,
) -> StateResult<Page<(DocumentId, DocumentRecord)>, V> {
    let prefix = key::registry_documents(registry, kind);
    let after = after.map(|id| id.as_str().as_bytes());
    page(view, &prefix, after, limit, |rest, value| {
        let key = || [&prefix, rest].concat();
        let id = std::str::from_utf8(rest).ok().and_then(|text| text.parse().ok());
        let id = id.ok_or_else(|| inconsistent(key(), "no id of a document"))?;
        Ok(Some((id, decode(&key(), value)?)))
    })
}
