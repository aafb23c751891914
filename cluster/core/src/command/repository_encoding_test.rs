//! Every command about repositories and registries survives the log and keeps its bytes.

use std::collections::BTreeSet;

use proptest::prelude::*;
use prost::Message;
use proto::settings::{
    DocumentId, Encryption, KmsKey, MutabilityMode, ResourceTagKey, ResourceTagValue, TagFilter,
};

use super::*;
use crate::command::{Batch, Command, Response};
use crate::level::Levels;

fn any_registry() -> impl Strategy<Value = RegistryId> {
    ("[0-9]{12}", "[a-z][a-z0-9]{0,8}").prop_map(|(account, region)| RegistryId {
        account: account.parse().unwrap(),
        region: region.parse().unwrap(),
    })
}

fn any_repository() -> impl Strategy<Value = RepositoryId> {
    (any_registry(), "[a-z]{1,8}(/[a-z]{1,8}){0,3}")
        .prop_map(|(registry, name)| RepositoryId { registry, name: name.parse().unwrap() })
}

fn any_mutability() -> impl Strategy<Value = Mutability> {
    let filter = "[a-zA-Z0-9._*-]{1,128}".prop_map(|text| text.parse::<TagFilter>().unwrap());
    let mode = prop::sample::select(vec![MutabilityMode::Mutable, MutabilityMode::Immutable]);
    (mode, prop::collection::vec(filter, 0..=5))
        .prop_map(|(mode, exclusions)| Mutability::new(mode, exclusions).unwrap())
}

fn any_tags() -> impl Strategy<Value = BTreeMap<ResourceTagKey, ResourceTagValue>> {
    let key = "\\PC{1,128}".prop_map(|text| text.parse().unwrap());
    let value = "\\PC{0,256}".prop_map(|text| text.parse().unwrap());
    prop::collection::btree_map(key, value, 0..60)
}

fn any_settings() -> impl Strategy<Value = RepositorySettings> {
    let key = prop::option::of("[a-z:/]{1,2048}".prop_map(|text| text.parse::<KmsKey>().unwrap()));
    let encryption = prop_oneof![
        Just(Encryption::Aes256),
        key.clone().prop_map(Encryption::Kms),
        key.prop_map(Encryption::KmsDsse)
    ];
    (any_mutability(), any::<bool>(), encryption, any_tags()).prop_map(
        |(mutability, scans_on_push, encryption, tags)| RepositorySettings {
            mutability,
            scans_on_push,
            encryption,
            tags,
        },
    )
}

fn any_create() -> impl Strategy<Value = RepositoryCommand> {
    let kind = prop::sample::select(RepositoryDocument::ALL.to_vec());
    let documents = prop::collection::btree_map(kind, any::<String>(), 0..=2);
    (any_repository(), any_settings(), documents, any::<u32>()).prop_map(
        |(repository, settings, documents, most)| {
            RepositoryCommand::Create(CreateRepository { repository, settings, documents, most })
        },
    )
}

fn any_registry_document() -> impl Strategy<Value = RepositoryCommand> {
    use DocumentCondition::{Any, Create, Replace};
    let which = || {
        let id = "[a-zA-Z:/.-]{0,256}".prop_map(|text| text.parse::<DocumentId>().unwrap());
        (any_registry(), prop::sample::select(RegistryDocument::ALL.to_vec()), id)
    };
    let condition = prop::sample::select(vec![Create, Replace, Any]);
    prop_oneof![
        (which(), any::<(String, u32)>(), condition).prop_map(
            |((registry, kind, id), (text, most), condition)| {
                let put = PutRegistryDocument { registry, kind, id, text, condition, most };
                RepositoryCommand::PutRegistryDocument(put)
            }
        ),
        which().prop_map(|(registry, kind, id)| RepositoryCommand::DeleteRegistryDocument {
            registry,
            kind,
            id
        }),
    ]
}

pub(in crate::command) fn any_repository_command() -> impl Strategy<Value = RepositoryCommand> {
    use RepositoryCommand as C;
    let kind = || prop::sample::select(RepositoryDocument::ALL.to_vec());
    prop_oneof![
        any_create(),
        (any_repository(), any_mutability())
            .prop_map(|(repository, mutability)| C::SetMutability { repository, mutability }),
        (any_repository(), any::<bool>())
            .prop_map(|(repository, scans_on_push)| C::SetScanOnPush { repository, scans_on_push }),
        (any_repository(), any_tags()).prop_map(|(repository, tags)| C::Tag { repository, tags }),
        (any_repository(), any_tags())
            .prop_map(|(repository, tags)| C::Untag { repository, keys: tags.into_keys().collect() }),
        (any_repository(), kind(), any::<String>()).prop_map(|(repository, kind, text)| C::SetDocument {
            repository,
            kind,
            text
        }),
        (any_repository(), kind()).prop_map(|(repository, kind)| C::DeleteDocument { repository, kind }),
        (any_repository(), any::<u32>()).prop_map(|(repository, limit)| C::Delete { repository, limit }),
        (any_repository(), any::<u32>()).prop_map(|(repository, limit)| C::Clear { repository, limit }),
        any_registry_document(),
    ]
}

fn batch(commands: Vec<RepositoryCommand>) -> Batch {
    let commands = commands.into_iter().map(|command| Command::Repository(Box::new(command))).collect();
    Batch { time_ms: 2_000_000_000_000, commands }
}

proptest! {
    #[test]
    fn commands_about_repositories_survive_the_log(
        commands in prop::collection::vec(any_repository_command(), 1..5)
    ) {
        let batch = batch(commands);
        prop_assert_eq!(Batch::decode(&batch.encode()).unwrap(), batch);
    }
}

/// One of each kind, with every field in use.
fn one_of_each() -> Vec<RepositoryCommand> {
    use RepositoryCommand as C;
    let registry = RegistryId { account: "000000000001".parse().unwrap(), region: "home".parse().unwrap() };
    let repository = RepositoryId { registry: registry.clone(), name: "team/app".parse().unwrap() };
    let mutability =
        Mutability::new(MutabilityMode::Immutable, vec!["dev-*".parse().unwrap(), "latest".parse().unwrap()])
            .unwrap();
    let tags = BTreeMap::from([("env".parse().unwrap(), "prod".parse().unwrap())]);
    let id = || repository.clone();
    let settings = |encryption| RepositorySettings {
        mutability: mutability.clone(),
        scans_on_push: true,
        encryption,
        tags: tags.clone(),
    };
    let documents = || {
        let text = |kind, text: &str| (kind, text.to_owned());
        BTreeMap::from([
            text(RepositoryDocument::Policy, "{}"),
            text(RepositoryDocument::LifecyclePolicy, "{ }"),
        ])
    };
    let create = |encryption| {
        let (settings, documents) = (settings(encryption), documents());
        C::Create(CreateRepository { repository: id(), settings, documents, most: 100_000 })
    };
    let key = Some("alias/a".parse().unwrap());
    let mut commands = vec![
        create(Encryption::Aes256),
        create(Encryption::Kms(key.clone())),
        create(Encryption::KmsDsse(key)),
        C::SetMutability { repository: id(), mutability: mutability.clone() },
        C::SetScanOnPush { repository: id(), scans_on_push: true },
        C::Tag { repository: id(), tags: tags.clone() },
        C::Untag { repository: id(), keys: tags.keys().cloned().collect() },
        C::SetDocument { repository: id(), kind: RepositoryDocument::LifecyclePolicy, text: "{}".to_owned() },
        C::DeleteDocument { repository: id(), kind: RepositoryDocument::Policy },
        C::Delete { repository: id(), limit: 1000 },
        C::Clear { repository: id(), limit: 100 },
    ];
    let conditions = [DocumentCondition::Create, DocumentCondition::Replace, DocumentCondition::Any];
    for (kind, condition) in RegistryDocument::ALL.into_iter().zip(conditions.into_iter().cycle()) {
        let id: DocumentId = "prod/".parse().unwrap();
        let put = PutRegistryDocument {
            registry: registry.clone(),
            kind,
            id: id.clone(),
            text: "{}".to_owned(),
            condition,
            most: 50,
        };
        commands.push(C::PutRegistryDocument(put));
        commands.push(C::DeleteRegistryDocument { registry: registry.clone(), kind, id });
    }
    commands
}

/// Bytes of this version; they must be readable for as long as version 5 is.
#[test]
fn a_batch_of_version_5_is_read() {
    let expected = batch(one_of_each());
    let fixture = include_bytes!("batch-v5.bin");
    assert_eq!(expected.encode(), fixture, "the bytes of version 5 have changed");
    assert_eq!(Batch::decode(fixture).unwrap(), expected);
}

#[test]
fn commands_about_repositories_are_of_level_5() {
    for command in one_of_each() {
        assert_eq!(Command::Repository(Box::new(command.clone())).level(), 5);
        let bytes = batch(vec![command]).encode();
        let refused = Batch::decode_as(Levels { oldest: 2, newest: 4 }, &bytes);
        assert!(matches!(refused, Err(DecodeError::UnknownVersion { found: 5, newest: 4 })));
    }
}

#[test]
fn a_kind_or_value_of_a_later_release_is_refused() {
    let decode = |change: &dyn Fn(&mut wire::RepositoryCommand)| {
        let mut command = to_wire(&one_of_each()[0]);
        change(&mut command);
        let commands = vec![wire::Command { kind: Some(wire::command::Kind::Repository(command)) }];
        Batch::decode(&wire::Batch { version: 5, time_ms: 1, commands }.encode_to_vec())
    };
    assert!(decode(&|_| {}).is_ok());
    assert!(matches!(decode(&|command| command.kind = None), Err(DecodeError::UnknownCommand)));
    let of_kind = |kind: Kind| decode(&|command| command.kind = Some(kind.clone()));
    for number in [0, 3] {
        let refused = of_kind(Kind::DeleteDocument(number));
        assert!(matches!(refused, Err(DecodeError::Field("kind of document"))));
    }
    for number in [0, 9, 257] {
        let delete = wire::DeleteRegistryDocument { kind: number, id: String::new() };
        let refused = of_kind(Kind::DeleteRegistryDocument(delete));
        assert!(matches!(refused, Err(DecodeError::Field("kind of document"))));
    }
    let put = wire::PutRegistryDocument { kind: 1, condition: 4, ..Default::default() };
    assert!(matches!(of_kind(Kind::PutRegistryDocument(put)), Err(DecodeError::Field("condition"))));
    let exclusions = vec!["*".to_owned(); 6];
    let set = Kind::SetMutability(wire::TagMutability { is_immutable: true, exclusions });
    assert!(matches!(of_kind(set), Err(DecodeError::Field("mutability"))));
    let with_create = |change: &dyn Fn(&mut wire::CreateRepository)| {
        decode(&|command| {
            if let Some(Kind::Create(create)) = &mut command.kind {
                change(create);
            }
        })
    };
    let twice = with_create(&|create| create.documents.push(create.documents[0].clone()));
    assert!(matches!(twice, Err(DecodeError::Field("document"))));
    let encryption = Some(wire::Encryption { kind: 3, kms_key: None });
    let later = with_create(&|create| {
        create.settings.get_or_insert_default().encryption = encryption.clone();
    });
    assert!(matches!(later, Err(DecodeError::Field("encryption"))));
}

#[test]
fn answers_survive_the_way_to_another_node() {
    let refusals = RepositoryRefusal::ALL.map(Response::RepositoryRefused);
    let numbers: BTreeSet<Vec<u8>> = refusals.each_ref().map(Response::encode).into();
    assert_eq!(numbers.len(), refusals.len());
    let others = [
        Response::TagImmutable { tag: "v1".parse().unwrap() },
        Response::RepositoryChanged { created_ms: 1 },
        Response::RepositoryCleared { is_done: true },
        Response::RepositoryCleared { is_done: false },
        Response::DocumentStored { created_ms: 1, changed_ms: 2 },
    ];
    for answer in refusals.into_iter().chain(others) {
        assert_eq!(Response::decode(&answer.encode()), Some(answer));
    }
}
