//! Records written by release 0.1 stay readable, and what is none is an error.

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;
use proto::digest::Algorithm;
use proto::identity::{NodeId, PeerKey};
use proto::settings::{Encryption, Mutability, MutabilityMode};

use super::super::{
    AccessKeyRecord, AccountRecord, DocumentRecord, EntityHead, GroupRecord, Hidden, JoinTokenRecord,
    KeyState, LayoutRecord, NodeKind, NodeRecord, NodeState, Owner, PolicyRecord, RepositoryRecord,
    RepositorySettings, RevokedCountRecord, RevokedRecord, RobotTokenRecord, RoleRecord, Sealed, UserRecord,
    VoterPin,
};
use super::*;
use crate::level::Levels;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Holds the record against the bytes that version 1 has for it.
fn check<R: Record + PartialEq + Debug>(record: &R, stored: &str) {
    assert_eq!(hex(&record.encode()), stored, "{record:?}");
    assert_eq!(R::decode(&record.encode()).unwrap(), *record);
}

#[test]
fn records_of_version_1_keep_their_bytes() {
    let digest = Digest::of(Algorithm::Sha256, b"{}");
    let registry = RegistryId { account: "000000000001".parse().unwrap(), region: "home".parse().unwrap() };
    check(
        &ClusterRecord { cluster_id: [1; 16], registry },
        "010a1001010101010101010101010101010101120c3030303030303030303030311a04686f6d65",
    );
    check(&LogTimeRecord { time_ms: 300 }, "0108ac02");
    check(&RootRecord { password_hash: "h".into() }, "010a0168");
    check(
        &NodeKeyRecord { public_key: [2; 32] },
        "010a200202020202020202020202020202020202020202020202020202020202020202",
    );
    check(&RepositoryRecord::new(300), "0108ac02");
    let media_type = "m".to_owned();
    let tag = TagRecord { digest, media_type: media_type.clone(), size: 2, pushed_ms: 3, updated_index: 4 };
    check(&tag, "010a210144136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a12016d180220032804");
    let manifest = ManifestRecord {
        media_type: media_type.clone(),
        size: 2,
        pushed_ms: 3,
        blobs: vec![digest],
        children: vec![digest],
        subject: Some(digest),
        artifact_type: Some("t".into()),
    };
    check(
        &manifest,
        "010a016d1002180322210144136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a2a210144136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a32210144136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a3a0174",
    );
    let generation = UploadId::new(NodeId::new(1).unwrap(), 2);
    let blob = BlobRecord {
        size: 2,
        generation,
        pieces_root: [3; 32],
        links: 1,
        lease_until_ms: 5,
        created_ms: 6,
        copies: Vec::new(),
    };
    let stored = "01080212180000000000000001000000000000000000000000000000021a200303030303030303030303030303030303030303030303030303030303030303200128053006";
    assert_eq!(BlobRecord::decode(&bytes(stored)).unwrap(), blob, "a blob of release 0.1");
    // Since version 2 it names its copies; release 0.1 must not read it and leave them out.
    let blob = BlobRecord { copies: vec![NodeId::new(1).unwrap(), NodeId::new(300).unwrap()], ..blob };
    check(&blob, &format!("02{}3a0301ac02", &stored[2..]));
    assert!(matches!(BlobRecord::decode(&[3, 8, 1]), Err(RecordError::UnknownVersion(3))));
    check(&LinkRecord { references: 1 }, "010801");
    let annotations = BTreeMap::from([("k".into(), "v".into())]);
    check(
        &ReferrerRecord { media_type, size: 2, artifact_type: None, annotations },
        "010a016d100222060a016b120176",
    );
}

#[test]
fn records_of_nodes_keep_their_bytes() {
    let node = NodeRecord {
        public_key: PeerKey::new([2; 32]),
        addresses: vec!["a:1".parse().unwrap()],
        region: "r".parse().unwrap(),
        zone: "z".parse().unwrap(),
        capacity_bytes: 3,
        assigned_bytes: 0,
        kind: NodeKind::Full,
        state: NodeState::Draining,
        incarnation: 4,
        disk_incarnation: 3,
        pin: Some(VoterPin::Never),
        joined_ms: 5,
        release: "v".into(),
        levels: Levels::UNSAID,
    };
    let old = "010a2002020202020202020202020202020202020202020202020202020202020202021203613a311a017222017a2803300138024004480350025805620176";
    assert_eq!(NodeRecord::decode(&bytes(old)).unwrap(), node, "of version 1");
    let node = NodeRecord { assigned_bytes: 6, ..node };
    let old = "020a2002020202020202020202020202020202020202020202020202020202020202021203613a311a017222017a28033001380240044803500258056201766806";
    assert_eq!(NodeRecord::decode(&bytes(old)).unwrap(), node, "of version 2");
    let node = NodeRecord { levels: Levels { oldest: 3, newest: 5 }, ..node };
    check(
        &node,
        "030a2002020202020202020202020202020202020202020202020202020202020202021203613a311a017222017a2803300138024004480350025805620176680670037805",
    );
    let token = JoinTokenRecord {
        secret_hash: [2; 32],
        expires_ms: 3,
        kind: NodeKind::Edge,
        used_by: NodeId::new(4),
        created_ms: 5,
    };
    check(&token, "010a2002020202020202020202020202020202020202020202020202020202020202021003180220042805");
    check(&LayoutRecord { version: 1, homes: 2, zones: 3, recount_from: Some(vec![]) }, "010801100218032200");
}

#[test]
fn records_of_principals_keep_their_bytes() {
    let account = AccountRecord {
        name: "a".into(),
        created_ms: 1,
        tokens_valid_from_index: 2,
        users: 3,
        groups: 4,
        roles: 5,
        robot_tokens: 6,
    };
    check(&account, "010a0161100118022003280430053806");
    let name: proto::arn::EntityName = "t/A".parse().unwrap();
    let head =
        EntityHead { name: name.clone(), created_ms: 1, changed_index: 2, policies: 3, policy_bytes: 4 };
    let user = UserRecord {
        head: head.clone(),
        password_hash: Some(Hidden("h".into())),
        tokens_valid_from_index: 5,
        groups: vec!["g".parse().unwrap(), "t/h".parse().unwrap()],
    };
    check(&user, "010a0d0a03742f41100118022003280412016818052201672203742f68");
    check(
        &UserRecord { password_hash: None, ..user },
        "010a0d0a03742f41100118022003280418052201672203742f68",
    );
    check(&GroupRecord { head: head.clone() }, "010a0d0a03742f411001180220032804");
    let role =
        RoleRecord { head, trust_policy: "{}".into(), max_session_seconds: 900, tokens_valid_from_index: 5 };
    check(&role, "010a0d0a03742f41100118022003280412027b7d1884072005");
    check(&PolicyRecord { text: "{}".into() }, "010a027b7d");
    let account: AccountId = "000000000001".parse().unwrap();
    let key = AccessKeyRecord {
        owner: Owner::User(account.clone(), name),
        sealed: Sealed { bytes: Hidden(vec![7, 8]), by: 1 },
        state: KeyState::Active,
        created_ms: 2,
    };
    check(&key, "010a0c3030303030303030303030311203742f411a020708200128013002");
    let token = RobotTokenRecord {
        owner: Owner::Root(account),
        name: "ci".into(),
        secret_hash: Hidden([2; 32]),
        policy: Some("{}".into()),
        expires_ms: Some(3),
        created_ms: 4,
    };
    check(
        &token,
        "010a0c3030303030303030303030311a026369222002020202020202020202020202020202020202020202020202020202020202022a027b7d30033804",
    );
    check(
        &RobotTokenRecord { policy: None, expires_ms: None, ..token },
        "010a0c3030303030303030303030311a026369222002020202020202020202020202020202020202020202020202020202020202023804",
    );
    check(&RevokedRecord { until_ms: 300 }, "0108ac02");
    check(&RevokedCountRecord { count: 1 }, "010801");
}

#[test]
fn what_is_set_of_a_repository_keeps_its_bytes_and_takes_version_2() {
    let record = RepositoryRecord::new(300);
    let settings = RepositorySettings {
        mutability: Mutability::new(MutabilityMode::Immutable, vec!["a*".parse().unwrap()]).unwrap(),
        scans_on_push: true,
        encryption: Encryption::KmsDsse(Some("k".parse().unwrap())),
        tags: BTreeMap::from([("e".parse().unwrap(), "p".parse().unwrap())]),
    };
    let set =
        RepositoryRecord { settings, policy_index: Some(5), lifecycle_index: Some(6), ..record.clone() };
    check(&set, "0208ac0210011a02612a2001280232016b3a060a016512017040054806");
    let with = |change: &dyn Fn(&mut RepositoryRecord)| {
        let mut record = record.clone();
        change(&mut record);
        record
    };
    for set in [
        with(&|record| record.settings.mutability = set.settings.mutability.clone()),
        with(&|record| record.settings.scans_on_push = true),
        with(&|record| record.settings.encryption = Encryption::Kms(None)),
        with(&|record| record.settings.tags = set.settings.tags.clone()),
        with(&|record| record.policy_index = Some(1)),
        with(&|record| record.lifecycle_index = Some(1)),
    ] {
        assert_eq!(set.encode()[0], 2, "{set:?}");
        assert_eq!(RepositoryRecord::decode(&set.encode()).unwrap(), set);
    }
    // AES256 has no key.
    assert!(matches!(RepositoryRecord::decode(&[2, 50, 1, b'k']), Err(RecordError::Field("encryption"))));
    assert!(matches!(RepositoryRecord::decode(&[2, 26, 1, b'/']), Err(RecordError::Field("mutability"))));
    let document = DocumentRecord { text: "{}".into(), created_ms: 1, changed_ms: 2, changed_index: 3 };
    check(&document, "010a027b7d100118022003");
}

#[test]
fn another_version_is_refused() {
    assert!(matches!(LinkRecord::decode(&[]), Err(RecordError::Empty)));
    assert!(matches!(LinkRecord::decode(&[2, 8, 1]), Err(RecordError::UnknownVersion(2))));
    assert!(matches!(LinkRecord::decode(&[1, 255]), Err(RecordError::NotAMessage(_))));
    assert!(matches!(TagRecord::decode(&[1]), Err(RecordError::Field("digest"))));
}

proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(bytes: Vec<u8>) {
        let message = [&[1], bytes.as_slice()].concat();
        let _ = ClusterRecord::decode(&message);
        let _ = NodeKeyRecord::decode(&message);
        let _ = TagRecord::decode(&message);
        let _ = ManifestRecord::decode(&message);
        let _ = BlobRecord::decode(&message);
        let _ = NodeRecord::decode(&message);
        let _ = JoinTokenRecord::decode(&message);
        let _ = UserRecord::decode(&message);
        let _ = RoleRecord::decode(&message);
        let _ = AccessKeyRecord::decode(&message);
        let _ = RobotTokenRecord::decode(&message);
        let _ = LayoutRecord::decode(&message);
        let _ = RepositoryRecord::decode(&message);
        let _ = ReferrerRecord::decode(&bytes);
    }
}
