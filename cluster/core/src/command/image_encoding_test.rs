//! Every command about images survives the log and keeps its bytes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message;
use proto::digest::Algorithm;
use proto::identity::RegistryId;

use super::super::encoding::tests::{any_digest, any_put, any_repository};
use super::*;
use crate::command::{Batch, Command, PutManifest, Response};
use crate::level::Levels;

fn any_tag() -> impl Strategy<Value = Tag> {
    "[a-z]{1,128}".prop_map(|text| text.parse().unwrap())
}

fn any_pull() -> impl Strategy<Value = Pull> {
    (any_repository(), any_digest(), any::<u64>()).prop_map(|(repository, digest, at_ms)| Pull {
        repository,
        digest,
        at_ms,
    })
}

pub(in crate::command) fn any_image() -> impl Strategy<Value = ImageCommand> {
    let dialect = prop::sample::select(vec![Dialect::Oci, Dialect::Ecr]);
    let target = prop::sample::select(vec![StorageClass::Active, StorageClass::Archived]);
    let from = prop::sample::select(vec![IndexFrom::Last, IndexFrom::Start]);
    let name = prop_oneof![
        any_digest().prop_map(ImageName::Digest),
        any_tag().prop_map(ImageName::Tag),
        (any_digest(), any_tag()).prop_map(|(digest, tag)| ImageName::TagOf(digest, tag)),
    ];
    prop_oneof![
        (any_put(), dialect)
            .prop_map(|(manifest, dialect)| ImageCommand::Put(PutImage { manifest, dialect })),
        (any_repository(), name).prop_map(|(repository, image)| ImageCommand::Delete { repository, image }),
        (any_repository(), any_digest())
            .prop_map(|(repository, digest)| ImageCommand::DeleteManifest { repository, digest }),
        (any_repository(), any_digest(), target).prop_map(|(repository, digest, target)| {
            ImageCommand::SetStorageClass { repository, digest, target }
        }),
        prop::collection::vec(any_pull(), 0..3).prop_map(ImageCommand::RecordPulls),
        (from, any::<u32>()).prop_map(|(from, limit)| ImageCommand::Index { from, limit }),
    ]
}

fn batch(commands: Vec<ImageCommand>) -> Batch {
    let commands = commands.into_iter().map(|command| Command::Image(Box::new(command))).collect();
    Batch { time_ms: 2_000_000_000_000, commands }
}

proptest! {
    #[test]
    fn commands_about_images_survive_the_log(commands in prop::collection::vec(any_image(), 1..5)) {
        let batch = batch(commands);
        prop_assert_eq!(Batch::decode(&batch.encode()).unwrap(), batch);
    }
}

fn digest_of(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

fn repository_id() -> RepositoryId {
    let registry = RegistryId { account: "000000000001".parse().unwrap(), region: "home".parse().unwrap() };
    RepositoryId { registry, name: "team/app".parse().unwrap() }
}

fn manifest() -> PutManifest {
    PutManifest {
        repository: repository_id(),
        digest: digest_of(b"{}"),
        media_type: "m".to_owned(),
        content: b"{}".to_vec(),
        blobs: vec![(digest_of(b"x"), 1)],
        children: vec![digest_of(b"y")],
        subject: None,
        artifact_type: None,
        annotations: BTreeMap::new(),
        tags: vec!["v1".parse().unwrap()],
        condition: None,
    }
}

/// One of each kind, with every field in use.
fn one_of_each() -> Vec<ImageCommand> {
    use ImageCommand as C;
    let (repository, digest) = (repository_id, digest_of(b"{}"));
    let tag = || "v1".parse().unwrap();
    let delete = |image| C::Delete { repository: repository(), image };
    let set = |target| C::SetStorageClass { repository: repository(), digest, target };
    vec![
        C::Put(PutImage { manifest: manifest(), dialect: Dialect::Ecr }),
        C::Put(PutImage { manifest: manifest(), dialect: Dialect::Oci }),
        delete(ImageName::Digest(digest)),
        delete(ImageName::Tag(tag())),
        delete(ImageName::TagOf(digest, tag())),
        C::DeleteManifest { repository: repository(), digest },
        set(StorageClass::Active),
        set(StorageClass::Archived),
        C::RecordPulls(vec![Pull { repository: repository(), digest, at_ms: 3 }]),
        C::Index { from: IndexFrom::Last, limit: 4 },
        C::Index { from: IndexFrom::Start, limit: 5 },
    ]
}

/// Bytes of this version; they must be readable for as long as version 5 is.
#[test]
fn a_batch_of_images_of_version_5_is_read() {
    let expected = batch(one_of_each());
    let fixture = include_bytes!("image-v5.bin");
    assert_eq!(expected.encode(), fixture, "the bytes of version 5 have changed");
    assert_eq!(Batch::decode(fixture).unwrap(), expected);
}

#[test]
fn commands_about_images_are_of_level_5() {
    for command in one_of_each() {
        assert_eq!(Command::Image(Box::new(command.clone())).level(), 5);
        let bytes = batch(vec![command]).encode();
        let refused = Batch::decode_as(Levels { oldest: 2, newest: 4 }, &bytes);
        assert!(matches!(refused, Err(DecodeError::UnknownVersion { found: 5, newest: 4 })));
    }
}

#[test]
fn from_level_5_on_puts_and_deletes_are_those_that_keep_rows_and_the_rest_stays() {
    let (repository, digest) = (repository_id(), digest_of(b"{}"));
    let of_images = |command| Command::Image(Box::new(command));
    let delete_tag = Command::DeleteTag { repository: repository.clone(), tag: "v1".parse().unwrap() };
    let pairs = [
        (
            Command::PutManifest(Box::new(manifest())),
            of_images(ImageCommand::Put(PutImage { manifest: manifest(), dialect: Dialect::Oci })),
        ),
        (
            Command::DeleteManifest { repository: repository.clone(), digest },
            of_images(ImageCommand::DeleteManifest { repository, digest }),
        ),
        (delete_tag.clone(), delete_tag),
        (Command::RenewLease { digest }, Command::RenewLease { digest }),
    ];
    for (before, after) in pairs {
        assert_eq!(before.clone().at_level(4), before);
        assert_eq!(before.at_level(5), after);
        assert_eq!(after.clone().at_level(6), after);
    }
}

#[test]
fn a_kind_or_value_that_makes_no_sense_is_refused() {
    let decode = |kind| {
        let command = wire::ImageCommand { kind };
        let commands = vec![wire::Command { kind: Some(wire::command::Kind::Image(command)) }];
        Batch::decode(&wire::Batch { version: 5, time_ms: 1, commands }.encode_to_vec())
    };
    assert!(matches!(decode(None), Err(DecodeError::UnknownCommand)));
    let repository = Some(repository_to_wire(&repository_id()));
    let nameless = wire::DeleteImage { repository: repository.clone(), digest: None, tag: None };
    assert!(matches!(decode(Some(Kind::Delete(nameless))), Err(DecodeError::Field("image"))));
    for target in [0, 9] {
        let digest = digest_of(b"{}").to_bytes();
        let set = wire::SetStorageClass { repository: repository.clone(), digest, target };
        let refused = decode(Some(Kind::SetStorageClass(set)));
        assert!(matches!(refused, Err(DecodeError::Field("storage class"))), "{target}");
    }
    let empty = wire::PutImage { manifest: None, is_of_ecr: true };
    assert!(matches!(decode(Some(Kind::Put(empty))), Err(DecodeError::Field("manifest"))));
}

#[test]
fn answers_about_images_survive_the_way_to_another_node() {
    let digest = digest_of(b"{}");
    let refusals = [
        ImageRefusal::NoRepository,
        ImageRefusal::AlreadyThere,
        ImageRefusal::MissingChildren(vec![digest, digest_of(b"x")]),
        ImageRefusal::NotFound,
        ImageRefusal::TagDoesNotMatchDigest,
        ImageRefusal::ReferencedByIndex(digest),
        ImageRefusal::IndexNotArchived(digest),
    ];
    let answers = [
        Response::ImagesDeleted(vec![(digest, None), (digest, Some("v1".parse().unwrap()))]),
        Response::ImageChanged,
        Response::ImagesIndexed { is_done: false },
        Response::ImagesIndexed { is_done: true },
    ];
    for answer in refusals.into_iter().map(Response::ImageRefused).chain(answers) {
        assert_eq!(Response::decode(&answer.encode()), Some(answer));
    }
}
