//! Every command survives the log, and what is not ours is refused.

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message;
use proto::digest::Algorithm;

use super::*;

fn any_repository() -> impl Strategy<Value = RepositoryId> {
    ("[0-9]{12}", "[a-z][a-z0-9]{0,8}", "[a-z]{1,8}(/[a-z]{1,8}){0,3}").prop_map(|(account, region, name)| {
        let registry = RegistryId { account: account.parse().unwrap(), region: region.parse().unwrap() };
        RepositoryId { registry, name: name.parse().unwrap() }
    })
}

fn any_digest() -> impl Strategy<Value = Digest> {
    (any::<u8>(), any::<bool>()).prop_map(|(content, wide)| {
        Digest::of(if wide { Algorithm::Sha512 } else { Algorithm::Sha256 }, &[content])
    })
}

fn any_generation() -> impl Strategy<Value = UploadId> {
    (1u64.., any::<u128>()).prop_map(|(node, random)| UploadId::new(NodeId::new(node).unwrap(), random))
}

fn any_condition() -> impl Strategy<Value = Option<Condition>> {
    prop_oneof![
        Just(None),
        Just(Some(Condition::IfMatchAny)),
        Just(Some(Condition::IfNoneMatchAny)),
        prop::collection::vec(any_digest(), 0..3).prop_map(|wanted| Some(Condition::IfMatch(wanted))),
    ]
}

fn any_put() -> impl Strategy<Value = PutManifest> {
    let digests = || prop::collection::vec(any_digest(), 0..3);
    let what = (any_repository(), any_digest(), any::<String>(), any::<Vec<u8>>());
    let needs = (
        prop::collection::vec((any_digest(), any::<u64>()), 0..3),
        digests(),
        prop::option::of(any_digest()),
    );
    let shows = (
        prop::option::of(any::<String>()),
        prop::collection::btree_map(any::<String>(), any::<String>(), 0..3),
    );
    let names = (prop::collection::vec("[a-z]{1,9}", 0..3), any_condition());
    (what, needs, shows, names).prop_map(|(what, needs, shows, names)| PutManifest {
        repository: what.0,
        digest: what.1,
        media_type: what.2,
        content: what.3,
        blobs: needs.0,
        children: needs.1,
        subject: needs.2,
        artifact_type: shows.0,
        annotations: shows.1,
        tags: names.0.iter().map(|tag| tag.parse().unwrap()).collect(),
        condition: names.1,
    })
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (any::<[u8; 16]>(), any_repository(), any::<String>()).prop_map(
            |(cluster_id, id, root_password_hash)| {
                Command::InitCluster(InitCluster { cluster_id, registry: id.registry, root_password_hash })
            }
        ),
        (1u64.., any::<[u8; 32]>()).prop_map(|(node, public_key)| {
            Command::RegisterNodeKey(RegisterNodeKey { node: NodeId::new(node).unwrap(), public_key })
        }),
        (any_repository(), any_digest(), any::<u64>(), any_generation(), any::<[u8; 32]>(), any::<u64>())
            .prop_map(|(repository, digest, size, generation, pieces_root, staging_deadline_ms)| {
                Command::CommitBlob(CommitBlob {
                    repository,
                    digest,
                    size,
                    generation,
                    pieces_root,
                    staging_deadline_ms,
                })
            }),
        (any_repository(), any_digest(), prop::collection::vec("[a-z]{1,9}", 0..3)).prop_map(
            |(repository, digest, from)| {
                let from = from.iter().map(|name| name.parse().unwrap()).collect();
                Command::MountBlob(MountBlob { repository, digest, from })
            }
        ),
        any_digest().prop_map(|digest| Command::RenewLease { digest }),
        (any_repository(), any_digest())
            .prop_map(|(repository, digest)| Command::UnlinkBlob { repository, digest }),
        (any_digest(), any_generation())
            .prop_map(|(digest, generation)| Command::DropBlob { digest, generation }),
        any_put().prop_map(|put| Command::PutManifest(Box::new(put))),
        (any_repository(), any_digest())
            .prop_map(|(repository, digest)| Command::DeleteManifest { repository, digest }),
        (any_repository(), "[a-z]{1,9}")
            .prop_map(|(repository, tag)| Command::DeleteTag { repository, tag: tag.parse().unwrap() }),
    ]
}

proptest! {
    #[test]
    fn batches_survive_the_log(time_ms: u64, commands in prop::collection::vec(any_command(), 0..5)) {
        let batch = Batch { time_ms, commands };
        prop_assert_eq!(Batch::decode(&batch.encode()).unwrap(), batch);
    }

    #[test]
    fn the_size_of_a_command_is_not_underestimated(command in any_command()) {
        let Command::PutManifest(_) = &command else { return Ok(()) };
        let batch = Batch { time_ms: 0, commands: vec![command.clone()] };
        prop_assert!(batch.encode().len() <= command.encoded_len() + 4096);
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes: Vec<u8>) {
        let _ = Batch::decode(&bytes);
    }

    #[test]
    fn a_cut_or_altered_batch_does_not_make_decoding_panic(
        command in any_command(), at: prop::sample::Index, byte: u8, cut: bool
    ) {
        let mut bytes = Batch { time_ms: 1, commands: vec![command] }.encode();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let _ = Batch::decode(&bytes);
    }
}

#[test]
fn another_version_or_kind_is_refused() {
    let newer = wire::Batch { version: VERSION + 1, time_ms: 1, commands: Vec::new() }.encode_to_vec();
    assert!(matches!(Batch::decode(&newer), Err(DecodeError::UnknownVersion(2))));
    assert!(matches!(Batch::decode(&[]), Err(DecodeError::UnknownVersion(0))));
    let unknown = wire::Batch { version: VERSION, time_ms: 1, commands: vec![wire::Command { kind: None }] };
    assert!(matches!(Batch::decode(&unknown.encode_to_vec()), Err(DecodeError::UnknownCommand)));
    // Field 1000 of Command: a kind that does not exist yet.
    let mut future_kind = wire::Batch { version: VERSION, time_ms: 1, commands: Vec::new() }.encode_to_vec();
    future_kind.extend_from_slice(&[26, 3, 0xc2, 0x3e, 0]);
    assert!(matches!(Batch::decode(&future_kind), Err(DecodeError::UnknownCommand)));
}

/// Bytes that release 0.1 wrote. They must be readable for as long as version 1 is.
#[test]
fn a_batch_of_version_1_is_read() {
    let registry = RegistryId { account: "000000000001".parse().unwrap(), region: "home".parse().unwrap() };
    let repository = RepositoryId { registry, name: "team/app".parse().unwrap() };
    let digest = Digest::of(Algorithm::Sha256, b"{}");
    let put = PutManifest {
        repository: repository.clone(),
        digest,
        media_type: "m".to_owned(),
        content: b"{}".to_vec(),
        blobs: vec![(digest, 2)],
        children: vec![digest],
        subject: Some(digest),
        artifact_type: Some("t".to_owned()),
        annotations: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        tags: vec!["v1".parse().unwrap()],
        condition: Some(Condition::IfMatch(vec![digest])),
    };
    let commands = vec![
        Command::PutManifest(Box::new(put)),
        Command::DropBlob { digest, generation: UploadId::new(NodeId::new(1).unwrap(), 2) },
        Command::DeleteTag { repository, tag: "v1".parse().unwrap() },
    ];
    let expected = Batch { time_ms: 1_700_000_000_000, commands };
    let fixture = include_bytes!("batch-v1.bin");
    assert_eq!(Batch::decode(fixture).unwrap(), expected);
}
