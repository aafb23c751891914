//! Commands about repositories and registries, and how they are refused, to and from their messages
//! (`proto/wire/repository.proto`).

use std::collections::BTreeMap;

use proto::identity::RegistryId;
use proto::settings::Mutability;
use proto::wire::command as wire;
use proto::wire::peer::RepositoryRefusal as WireRefusal;
use wire::repository_command::Kind;

use super::encoding::{DecodeError, text, texts};
use super::repository::{
    CreateRepository, DocumentCondition, PutRegistryDocument, RepositoryCommand, RepositoryRefusal,
};
use crate::key::RepositoryId;
use crate::record::repository::{
    encryption_from_numbers, encryption_to_numbers, mutability_from_texts, mutability_to_texts,
    tags_from_texts, tags_to_texts,
};
use crate::record::{RegistryDocument, RepositoryDocument, RepositorySettings};

pub(super) fn to_wire(command: &RepositoryCommand) -> wire::RepositoryCommand {
    use RepositoryCommand as C;
    match command {
        C::Create(create) => of(&create.repository, Kind::Create(create_to_wire(create))),
        C::SetMutability { repository, mutability } => {
            of(repository, Kind::SetMutability(mutability_to_wire(mutability)))
        }
        C::SetScanOnPush { repository, scans_on_push } => {
            of(repository, Kind::SetScanOnPush(wire::SetScanOnPush { scans: *scans_on_push }))
        }
        C::Tag { repository, tags } => {
            of(repository, Kind::Tag(wire::ResourceTags { tags: tags_to_texts(tags) }))
        }
        C::Untag { repository, keys } => {
            let keys = keys.iter().map(ToString::to_string).collect();
            of(repository, Kind::Untag(wire::UntagRepository { keys }))
        }
        C::SetDocument { repository, kind, text } => {
            of(repository, Kind::SetDocument(document_to_wire(*kind, text)))
        }
        C::DeleteDocument { repository, kind } => of(repository, Kind::DeleteDocument(kind.number().into())),
        C::Delete { repository, limit } => of(repository, Kind::Delete(*limit)),
        C::Clear { repository, limit } => of(repository, Kind::Clear(*limit)),
        C::PutRegistryDocument(put) => {
            let put_document = wire::PutRegistryDocument {
                kind: put.kind.number().into(),
                id: put.id.to_string(),
                text: put.text.clone(),
                condition: match put.condition {
                    DocumentCondition::Create => 1,
                    DocumentCondition::Replace => 2,
                    DocumentCondition::Any => 3,
                },
                most: put.most,
            };
            of_registry(&put.registry, Kind::PutRegistryDocument(put_document))
        }
        C::DeleteRegistryDocument { registry, kind, id } => {
            let delete = wire::DeleteRegistryDocument { kind: kind.number().into(), id: id.to_string() };
            of_registry(registry, Kind::DeleteRegistryDocument(delete))
        }
    }
}

fn of(id: &RepositoryId, kind: Kind) -> wire::RepositoryCommand {
    wire::RepositoryCommand { repository: id.name.to_string(), ..of_registry(&id.registry, kind) }
}

fn of_registry(registry: &RegistryId, kind: Kind) -> wire::RepositoryCommand {
    wire::RepositoryCommand {
        account: registry.account.to_string(),
        region: registry.region.to_string(),
        repository: String::new(),
        kind: Some(kind),
    }
}

fn create_to_wire(create: &CreateRepository) -> wire::CreateRepository {
    let settings = &create.settings;
    let (kind, kms_key) = encryption_to_numbers(&settings.encryption);
    wire::CreateRepository {
        settings: Some(wire::RepositorySettings {
            mutability: Some(mutability_to_wire(&settings.mutability)),
            scans_on_push: settings.scans_on_push,
            encryption: Some(wire::Encryption { kind, kms_key }),
            tags: tags_to_texts(&settings.tags),
        }),
        documents: create.documents.iter().map(|(kind, text)| document_to_wire(*kind, text)).collect(),
        most: create.most,
    }
}

fn mutability_to_wire(mutability: &Mutability) -> wire::TagMutability {
    let (is_immutable, exclusions) = mutability_to_texts(mutability);
    wire::TagMutability { is_immutable, exclusions }
}

fn document_to_wire(kind: RepositoryDocument, text: &str) -> wire::RepositoryText {
    wire::RepositoryText { kind: kind.number().into(), text: text.to_owned() }
}

pub(super) fn from_wire(command: wire::RepositoryCommand) -> Result<RepositoryCommand, DecodeError> {
    use RepositoryCommand as C;
    let registry =
        RegistryId { account: text(&command.account, "account")?, region: text(&command.region, "region")? };
    let kind = match command.kind.ok_or(DecodeError::UnknownCommand)? {
        Kind::PutRegistryDocument(put) => return put_from_wire(registry, put),
        Kind::DeleteRegistryDocument(delete) => {
            let (kind, id) = (registry_document(delete.kind)?, text(&delete.id, "document id")?);
            return Ok(C::DeleteRegistryDocument { registry, kind, id });
        }
        kind => kind,
    };
    let repository = RepositoryId { registry, name: text(&command.repository, "repository name")? };
    Ok(match kind {
        Kind::Create(create) => create_from_wire(repository, create)?,
        Kind::SetMutability(set) => C::SetMutability { repository, mutability: mutability(&set)? },
        Kind::SetScanOnPush(set) => C::SetScanOnPush { repository, scans_on_push: set.scans },
        Kind::Tag(tag) => C::Tag {
            repository,
            tags: tags_from_texts(&tag.tags).map_err(|_| DecodeError::Field("resource tag"))?,
        },
        Kind::Untag(untag) => {
            C::Untag { repository, keys: texts(&untag.keys, "resource tag")?.into_iter().collect() }
        }
        Kind::SetDocument(set) => {
            C::SetDocument { repository, kind: repository_document(set.kind)?, text: set.text }
        }
        Kind::DeleteDocument(kind) => C::DeleteDocument { repository, kind: repository_document(kind)? },
        Kind::Delete(limit) => C::Delete { repository, limit },
        Kind::Clear(limit) => C::Clear { repository, limit },
        Kind::PutRegistryDocument(_) | Kind::DeleteRegistryDocument(_) => {
            return Err(DecodeError::UnknownCommand);
        }
    })
}

fn put_from_wire(
    registry: RegistryId,
    put: wire::PutRegistryDocument,
) -> Result<RepositoryCommand, DecodeError> {
    Ok(RepositoryCommand::PutRegistryDocument(PutRegistryDocument {
        registry,
        kind: registry_document(put.kind)?,
        id: text(&put.id, "document id")?,
        text: put.text,
        condition: match put.condition {
            1 => DocumentCondition::Create,
            2 => DocumentCondition::Replace,
            3 => DocumentCondition::Any,
            _ => return Err(DecodeError::Field("condition")),
        },
        most: put.most,
    }))
}

fn create_from_wire(
    repository: RepositoryId,
    create: wire::CreateRepository,
) -> Result<RepositoryCommand, DecodeError> {
    let settings = create.settings.ok_or(DecodeError::Field("settings"))?;
    let encryption = settings.encryption.ok_or(DecodeError::Field("encryption"))?;
    let settings = RepositorySettings {
        mutability: mutability(&settings.mutability.ok_or(DecodeError::Field("mutability"))?)?,
        scans_on_push: settings.scans_on_push,
        encryption: encryption_from_numbers(encryption.kind, encryption.kms_key.as_deref())
            .map_err(DecodeError::Field)?,
        tags: tags_from_texts(&settings.tags).map_err(|_| DecodeError::Field("resource tag"))?,
    };
    let mut documents = BTreeMap::new();
    for document in create.documents {
        if documents.insert(repository_document(document.kind)?, document.text).is_some() {
            return Err(DecodeError::Field("document"));
        }
    }
    let most = create.most;
    Ok(RepositoryCommand::Create(CreateRepository { repository, settings, documents, most }))
}

fn mutability(wire: &wire::TagMutability) -> Result<Mutability, DecodeError> {
    mutability_from_texts(wire.is_immutable, &wire.exclusions).map_err(|_| DecodeError::Field("mutability"))
}

fn repository_document(number: u32) -> Result<RepositoryDocument, DecodeError> {
    RepositoryDocument::from_number(number).ok_or(DecodeError::Field("kind of document"))
}

fn registry_document(number: u32) -> Result<RegistryDocument, DecodeError> {
    RegistryDocument::from_number(number).ok_or(DecodeError::Field("kind of document"))
}

pub(super) fn refusal_to_wire(refusal: RepositoryRefusal) -> i32 {
    match refusal {
        RepositoryRefusal::Exists => WireRefusal::RepositoryExists,
        RepositoryRefusal::NotFound => WireRefusal::RepositoryNotFound,
        RepositoryRefusal::NotEmpty => WireRefusal::RepositoryNotEmpty,
        RepositoryRefusal::Limit => WireRefusal::RepositoryLimit,
        RepositoryRefusal::TooManyTags => WireRefusal::TooManyResourceTags,
        RepositoryRefusal::DocumentTooLong => WireRefusal::DocumentTooLong,
        RepositoryRefusal::DocumentExists => WireRefusal::DocumentExists,
        RepositoryRefusal::DocumentNotFound => WireRefusal::DocumentNotFound,
    }
    .into()
}

pub(super) fn refusal_from_wire(number: i32) -> Option<RepositoryRefusal> {
    RepositoryRefusal::ALL.into_iter().find(|refusal| refusal_to_wire(*refusal) == number)
}

#[cfg(test)]
#[path = "repository_encoding_test.rs"]
pub(super) mod tests;
