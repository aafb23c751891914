//! Documents of a registry: what operations store as JSON and give back as they got it.

use cluster_core::command::repository::{
    DocumentCondition, PutRegistryDocument, RepositoryCommand, RepositoryRefusal,
};
use cluster_core::command::{Command, Response};
use cluster_core::record::{DocumentRecord, RegistryDocument};
use cluster_core::state;
use proto::ecr::{Failure, Output};
use proto::settings::DocumentId;
use serde_json::{Map, Value};

use super::call::Call;
use super::{unmade, unread};

/// Items of a page if the request does not say.
const PAGE: i64 = 100;

/// A document that was stored.
pub(super) struct Stored {
    /// As it was given.
    pub(super) members: Map<String, Value>,
    pub(super) created_ms: u64,
    pub(super) changed_ms: u64,
}

impl Stored {
    /// As an answer's members.
    pub(super) fn output(&self) -> Output {
        self.members.iter().fold(Output::new(), |output, (name, value)| output.with(name, value.clone()))
    }
}

/// Which one: its kind, and its name among those of the kind.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) kind: RegistryDocument,
    pub(super) id: DocumentId,
}

impl Key {
    /// Of a kind of which a registry has one.
    pub(super) fn only(kind: RegistryDocument) -> Self {
        Self { kind, id: DocumentId::only() }
    }

    /// The one that `member` names.
    pub(super) fn named(call: &Call<'_>, kind: RegistryDocument, member: &str) -> Result<Self, Failure> {
        Ok(Self { kind, id: call.input.parse(member)? })
    }
}

/// Stores `members`; how the caller told it to is refused in the caller's words.
pub(super) async fn put(
    call: &Call<'_>,
    key: &Key,
    members: Value,
    condition: DocumentCondition,
    most: u32,
) -> Result<Result<Stored, RepositoryRefusal>, Failure> {
    let Value::Object(members) = members else { return Err(Failure::server()) };
    let text = Value::Object(members.clone()).to_string();
    let put = put_text(call, key, text, condition, most).await?;
    Ok(put.map(|(created_ms, changed_ms)| Stored { members, created_ms, changed_ms }))
}

/// Stores a text as it is; when it was made and changed, milliseconds.
pub(super) async fn put_text(
    call: &Call<'_>,
    key: &Key,
    text: String,
    condition: DocumentCondition,
    most: u32,
) -> Result<Result<(u64, u64), RepositoryRefusal>, Failure> {
    let (registry, Key { kind, id }) = (call.registry.clone(), key.clone());
    let put = PutRegistryDocument { registry, kind, id, text, condition, most };
    match propose(call, RepositoryCommand::PutRegistryDocument(put)).await? {
        Response::DocumentStored { created_ms, changed_ms } => Ok(Ok((created_ms, changed_ms))),
        Response::RepositoryRefused(refusal) => Ok(Err(refusal)),
        _ => Err(Failure::server()),
    }
}

/// Deletes a document; what it was, or `None` if there was none.
pub(super) async fn delete(call: &Call<'_>, key: &Key) -> Result<Option<Stored>, Failure> {
    let stored = get(call, key).await?;
    Ok(if remove(call, key).await? { stored } else { None })
}

/// Deletes a document; whether there was one.
pub(super) async fn remove(call: &Call<'_>, key: &Key) -> Result<bool, Failure> {
    let (registry, Key { kind, id }) = (call.registry.clone(), key.clone());
    match propose(call, RepositoryCommand::DeleteRegistryDocument { registry, kind, id }).await? {
        Response::Deleted => Ok(true),
        Response::RepositoryRefused(RepositoryRefusal::DocumentNotFound) => Ok(false),
        _ => Err(Failure::server()),
    }
}

async fn propose(call: &Call<'_>, command: RepositoryCommand) -> Result<Response, Failure> {
    let proposed = call.use_cases().metadata.propose(Command::Repository(Box::new(command))).await;
    proposed.map_err(|error| unmade(error.into()))
}

/// A document as it is now.
pub(super) async fn get(call: &Call<'_>, key: &Key) -> Result<Option<Stored>, Failure> {
    record(call, key).await?.map(read).transpose()
}

/// The same as it is stored.
pub(super) async fn record(call: &Call<'_>, key: &Key) -> Result<Option<DocumentRecord>, Failure> {
    let reader = call.use_cases().metadata.read().await.map_err(unread)?;
    let found = state::document::document(&reader, &call.registry, key.kind, &key.id);
    found.map_err(|error| unread(error.into()))
}

fn read(record: DocumentRecord) -> Result<Stored, Failure> {
    match serde_json::from_str(&record.text) {
        Ok(Value::Object(members)) => {
            Ok(Stored { members, created_ms: record.created_ms, changed_ms: record.changed_ms })
        }
        _ => Err(Failure::server()),
    }
}

/// A page of the documents of a kind by name, and the token of the next one.
pub(super) async fn page(
    call: &Call<'_>,
    kind: RegistryDocument,
) -> Result<(Vec<(DocumentId, Stored)>, Option<String>), Failure> {
    let pages = call.pages(&[]);
    let after = call.input.text_if("nextToken").map(|text| pages.open(text)).transpose()?;
    let after: Option<DocumentId> = after
        .map(|text| text.parse())
        .transpose()
        .map_err(|error| Failure::invalid_parameter("nextToken", error))?;
    let reader = call.use_cases().metadata.read().await.map_err(unread)?;
    let page = state::document::documents(&reader, &call.registry, kind, after.as_ref(), call.limit(PAGE));
    let page = page.map_err(|error| unread(error.into()))?;
    let next = page.more.then(|| page.items.last().map(|(last, _)| pages.seal(last.as_str()))).flatten();
    let items: Result<Vec<_>, Failure> =
        page.items.into_iter().map(|(id, record)| Ok((id, read(record)?))).collect();
    Ok((items?, next))
}
