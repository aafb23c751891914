//! Every command survives the log, and what is not ours is refused.

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message;
use proto::digest::Algorithm;

use super::*;
use crate::command::node::{
    AddNode, Admission, ChangeLayout, CreateJoinToken, Disk, NodePlace, PlacementChange, Removal, UpdateNode,
};
use crate::command::{ConfirmCopies, Receipt, Response, TokenRefusal};
use crate::record::{NodeKind, NodeState, VoterPin};
use proto::identity::PeerKey;

pub(in crate::command) fn any_repository() -> impl Strategy<Value = RepositoryId> {
    ("[0-9]{12}", "[a-z][a-z0-9]{0,8}", "[a-z]{1,8}(/[a-z]{1,8}){0,3}").prop_map(|(account, region, name)| {
        let registry = RegistryId { account: account.parse().unwrap(), region: region.parse().unwrap() };
        RepositoryId { registry, name: name.parse().unwrap() }
    })
}

pub(in crate::command) fn any_digest() -> impl Strategy<Value = Digest> {
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

pub(in crate::command) fn any_put() -> impl Strategy<Value = PutManifest> {
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

fn any_node() -> impl Strategy<Value = NodeId> {
    (1u64..).prop_map(|node| NodeId::new(node).unwrap())
}

fn any_place() -> impl Strategy<Value = NodePlace> {
    let hosts = prop::collection::vec("[a-z]{1,9}:[1-9][0-9]{0,3}", 0..3);
    (hosts, "[a-z]{1,9}", any::<u64>(), any::<String>(), (1u32..9, 0u32..9)).prop_map(
        |(addresses, zone, capacity_bytes, release, (oldest, more))| NodePlace {
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            zone: zone.parse().unwrap(),
            capacity_bytes,
            release,
            levels: Levels { oldest, newest: oldest + more },
        },
    )
}

fn any_admission() -> impl Strategy<Value = Admission> {
    prop_oneof![
        Just(Admission::Founder),
        any::<([u8; 16], [u8; 32])>()
            .prop_map(|(token, secret_hash)| Admission::Token { token, secret_hash }),
    ]
}

fn any_node_command() -> impl Strategy<Value = NodeCommand> {
    let kind = prop::sample::select(vec![NodeKind::Full, NodeKind::Edge]);
    let state = prop::sample::select(vec![NodeState::Active, NodeState::Draining, NodeState::Lost]);
    let pin = prop::sample::select(vec![None, Some(VoterPin::Always), Some(VoterPin::Never)]);
    let removal = prop::sample::select(vec![Removal::Drained, Removal::Forced]);
    let disk = prop::sample::select(vec![Disk::Kept, Disk::Empty]);
    prop_oneof![
        (any::<([u8; 16], [u8; 32], u64)>(), kind).prop_map(|((token, secret_hash, expires_ms), kind)| {
            NodeCommand::CreateToken(CreateJoinToken { token, secret_hash, expires_ms, kind })
        }),
        any::<[u8; 16]>().prop_map(|token| NodeCommand::RevokeToken { token }),
        (any_node(), any::<([u8; 32], u64)>(), any_place(), any_admission()).prop_map(
            |(node, (key, incarnation), place, admission)| {
                let (public_key, region) = (PeerKey::new(key), "home".parse().unwrap());
                NodeCommand::Add(AddNode { node, public_key, region, place, incarnation, admission })
            }
        ),
        (any_node(), any_place(), any::<u64>(), disk).prop_map(|(node, place, incarnation, disk)| {
            NodeCommand::Update(UpdateNode { node, place, incarnation, disk })
        }),
        (any_node(), state.clone()).prop_map(|(node, state)| NodeCommand::SetState { node, state }),
        (any::<u64>(), any_node(), any::<Option<u64>>(), prop::option::of(state.clone())).prop_map(
            |(version, node, assigned_bytes, state)| {
                let changes = vec![PlacementChange { node, state, assigned_bytes }];
                NodeCommand::ChangeLayout(ChangeLayout { version, changes })
            }
        ),
        (any_node(), pin).prop_map(|(node, pin)| NodeCommand::PinVoter { node, pin }),
        (any_node(), removal).prop_map(|(node, removal)| NodeCommand::Remove { node, removal }),
    ]
}

fn any_confirm() -> impl Strategy<Value = ConfirmCopies> {
    let nodes = || prop::collection::vec(any_node(), 0..3);
    let receipt = (any_node(), any::<u64>()).prop_map(|(node, incarnation)| Receipt { node, incarnation });
    (any_digest(), any_generation(), prop::collection::vec(receipt, 0..3), nodes(), nodes()).prop_map(
        |(digest, generation, added, lost, released)| ConfirmCopies {
            digest,
            generation,
            added,
            lost,
            released,
        },
    )
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        any_node_command().prop_map(|command| Command::Node(Box::new(command))),
        any_confirm().prop_map(Command::ConfirmCopies),
        principal_encoding::tests::any_principal().prop_map(|command| Command::Principal(Box::new(command))),
        image_encoding::tests::any_image().prop_map(|command| Command::Image(Box::new(command))),
        repository_encoding::tests::any_repository_command()
            .prop_map(|command| Command::Repository(Box::new(command))),
        any::<u32>().prop_map(|limit| Command::RecountCopies { limit }),
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
                    copies: vec![Receipt { node: generation.node(), incarnation: size }],
                    required_copies: 2,
                    required_zones: 1,
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
    let newer = wire::Batch { version: level::NEWEST + 1, time_ms: 1, commands: Vec::new() }.encode_to_vec();
    assert!(matches!(Batch::decode(&newer), Err(DecodeError::UnknownVersion { .. })));
    assert!(matches!(Batch::decode(&[]), Err(DecodeError::UnknownVersion { found: 0, .. })));
    let version = level::NEWEST;
    let unknown = wire::Batch { version, time_ms: 1, commands: vec![wire::Command { kind: None }] };
    assert!(matches!(Batch::decode(&unknown.encode_to_vec()), Err(DecodeError::UnknownCommand)));
    // Field 1000 of Command: a kind that does not exist yet.
    let mut future_kind = wire::Batch { version, time_ms: 1, commands: Vec::new() }.encode_to_vec();
    future_kind.extend_from_slice(&[26, 3, 0xc2, 0x3e, 0]);
    assert!(matches!(Batch::decode(&future_kind), Err(DecodeError::UnknownCommand)));
}

#[test]
fn answers_survive_the_way_to_another_node() {
    let digest = Digest::of(Algorithm::Sha256, b"{}");
    let registry = RegistryId { account: "000000000001".parse().unwrap(), region: "home".parse().unwrap() };
    let node = NodeId::new(7).unwrap();
    let answers = [
        Response::ClusterInitialized,
        Response::AlreadyInitialized { cluster_id: [1; 16], registry },
        Response::NodeKeyRegistered,
        Response::BlobLinked { generation: UploadId::new(node, 2) },
        Response::StagingExpired,
        Response::Mounted { size: 0 },
        Response::NotMounted,
        Response::LeaseRenewed { until_ms: 3 },
        Response::Unlinked,
        Response::InUse,
        Response::Dropped,
        Response::Kept,
        Response::ManifestStored { created: true, index: 4 },
        Response::MissingBlobs(vec![digest]),
        Response::SizeMismatch(vec![(digest, 5)]),
        Response::ConditionFailed { current: None },
        Response::ConditionFailed { current: Some(digest) },
        Response::Deleted,
        Response::NotFound,
        Response::JoinTokenCreated,
        Response::Revoked,
        Response::NodeAdded { node },
        Response::TokenRefused(TokenRefusal::Unknown),
        Response::TokenRefused(TokenRefusal::Expired),
        Response::TokenRefused(TokenRefusal::Used),
        Response::NodeExists { node },
        Response::StaleIncarnation { recorded: 6 },
        Response::NodeUpdated,
        Response::NodeRemoved,
        Response::StillNeeded { example: None },
        Response::StillNeeded { example: Some(digest) },
        Response::CopiesConfirmed { copies: vec![node] },
        Response::TooFewCopies { copies: 1, zones: 1 },
        Response::VoidReceipts(vec![node]),
        Response::LayoutChanged { version: 8 },
        Response::Recounted { is_done: true },
    ];
    for answer in answers {
        assert_eq!(Response::decode(&answer.encode()), Some(answer));
    }
    assert_eq!(Response::decode(&[]), None);
}

/// What version 1 has no words for is read as nothing.
#[test]
fn a_commit_of_version_1_names_no_copies() {
    let commit = wire::CommitBlob {
        repository: Some(repository_to_wire(&RepositoryId {
            registry: RegistryId {
                account: "000000000001".parse().unwrap(),
                region: "home".parse().unwrap(),
            },
            name: "a".parse().unwrap(),
        })),
        digest: Digest::of(Algorithm::Sha256, b"{}").to_bytes(),
        generation: UploadId::new(NodeId::new(1).unwrap(), 2).to_bytes().to_vec(),
        pieces_root: vec![3; 32],
        ..wire::CommitBlob::default()
    };
    let commands = vec![wire::Command { kind: Some(Kind::CommitBlob(commit)) }];
    let batch = wire::Batch { version: 1, time_ms: 1, commands }.encode_to_vec();
    let Command::CommitBlob(read) = Batch::decode(&batch).unwrap().commands.remove(0) else { panic!() };
    assert_eq!((read.copies, read.required_copies, read.required_zones), (Vec::new(), 0, 0));
}

/// So that a release that speaks the first level only reads all that a newer one writes for it.
#[test]
fn a_batch_has_the_version_of_its_newest_command() {
    let renew = Command::RenewLease { digest: Digest::of(Algorithm::Sha256, b"{}") };
    let change = NodeCommand::ChangeLayout(ChangeLayout { version: 1, changes: Vec::new() });
    let change = Command::Node(Box::new(change));
    let old = Levels { oldest: 2, newest: 2 };
    for (commands, version) in [(vec![], 2), (vec![renew.clone()], 2), (vec![renew, change], 3)] {
        let batch = Batch { time_ms: 1, commands };
        let bytes = batch.encode();
        assert_eq!(wire::Batch::decode(bytes.as_slice()).unwrap().version, version);
        match Batch::decode_as(old, &bytes) {
            Ok(read) => assert_eq!((read, version), (batch, 2)),
            Err(error) => {
                assert!(matches!(error, DecodeError::UnknownVersion { found: 3, newest: 2 }), "{error}");
                assert_eq!(Batch::decode(&bytes).unwrap(), batch);
            }
        }
    }
}

/// Bytes of this version; as `a_batch_of_version_1_is_read`.
#[test]
fn a_batch_of_version_2_is_read() {
    let node = NodeId::new(7).unwrap();
    let digest = Digest::of(Algorithm::Sha256, b"{}");
    let registry = RegistryId { account: "000000000001".parse().unwrap(), region: "home".parse().unwrap() };
    let generation = UploadId::new(node, 2);
    let place = NodePlace {
        addresses: vec!["node-7.example:5001".parse().unwrap(), "[2001:db8::7]:5001".parse().unwrap()],
        zone: "a".parse().unwrap(),
        capacity_bytes: 1 << 40,
        release: "0.2.0".to_owned(),
        levels: Levels::UNSAID,
    };
    let add = AddNode {
        node,
        public_key: PeerKey::new([9; 32]),
        region: "home".parse().unwrap(),
        place: place.clone(),
        incarnation: 1 << 32,
        admission: Admission::Token { token: [1; 16], secret_hash: [2; 32] },
    };
    let token = CreateJoinToken { token: [1; 16], secret_hash: [2; 32], expires_ms: 3, kind: NodeKind::Edge };
    let of_node = |command| Command::Node(Box::new(command));
    let receipt = Receipt { node, incarnation: 1 << 32 };
    let commands = vec![
        of_node(NodeCommand::CreateToken(token)),
        of_node(NodeCommand::Add(add)),
        of_node(NodeCommand::Update(UpdateNode { node, place, incarnation: 2 << 32, disk: Disk::Empty })),
        of_node(NodeCommand::SetState { node, state: NodeState::Lost }),
        of_node(NodeCommand::PinVoter { node, pin: Some(VoterPin::Never) }),
        of_node(NodeCommand::Remove { node, removal: Removal::Forced }),
        of_node(NodeCommand::RevokeToken { token: [1; 16] }),
        Command::CommitBlob(CommitBlob {
            repository: RepositoryId { registry, name: "team/app".parse().unwrap() },
            digest,
            size: 2,
            generation,
            pieces_root: [3; 32],
            staging_deadline_ms: 4,
            copies: vec![receipt],
            required_copies: 2,
            required_zones: 2,
        }),
        Command::ConfirmCopies(ConfirmCopies {
            digest,
            generation,
            added: vec![receipt],
            lost: vec![NodeId::new(8).unwrap()],
            released: vec![NodeId::new(9).unwrap()],
        }),
        Command::RecountCopies { limit: 1000 },
    ];
    let expected = Batch { time_ms: 1_800_000_000_000, commands };
    let fixture = include_bytes!("batch-v2.bin");
    assert_eq!(expected.encode(), fixture, "the bytes of version 2 have changed");
    assert_eq!(Batch::decode(fixture).unwrap(), expected);
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
