//! A small cluster for the tests of principals: it runs commands, and recounts after each of them.

use std::collections::{BTreeMap, BTreeSet};

use proto::arn::EntityName;
use proto::credential::{AccessKeyId, PolicyName};
use proto::identity::{AccountId, NodeId, PeerKey, RegistryId};

use super::super::super::apply as apply_batch;
use super::super::identity;
use crate::access::policy::Caller;
use crate::command::node::{AddNode, Admission, NodeCommand, NodePlace};
use crate::command::principal::*;
use crate::command::{Batch, Command, InitCluster, PrincipalRefusal, Response};
use crate::level::Levels;
use crate::record::{
    AccessKeyRecord, AccountRecord, Entity, EntityKind, GroupRecord, Hidden, Owner, PolicyRecord, Record,
    RevokedCountRecord, RevokedRecord, RobotTokenRecord, RoleRecord, Sealed, UserRecord,
};
use crate::view::MemoryView;

pub(super) const DONE: Response = Response::PrincipalChanged;

pub(super) fn refused(refusal: PrincipalRefusal) -> Response {
    Response::PrincipalRefused(refusal)
}

pub(super) fn default_account() -> AccountId {
    "000000000001".parse().unwrap()
}

pub(super) fn other_account() -> AccountId {
    "000000000002".parse().unwrap()
}

pub(super) fn name(text: &str) -> EntityName {
    text.parse().unwrap()
}

pub(super) fn policy_name(text: &str) -> PolicyName {
    text.parse().unwrap()
}

pub(super) fn key_id(number: u8) -> AccessKeyId {
    format!("AKIA{}", char::from(b'A' + number).to_string().repeat(16)).parse().unwrap()
}

pub(super) fn root() -> Owner {
    Owner::Root(default_account())
}

pub(super) fn user(text: &str) -> Owner {
    Owner::User(default_account(), name(text))
}

pub(super) fn entity(kind: EntityKind, text: &str) -> Entity {
    Entity { account: default_account(), kind, name: name(text) }
}

pub(super) fn create_user(text: &str, password: Option<&str>) -> PrincipalCommand {
    let password_hash = password.map(|hash| Hidden(hash.to_owned()));
    PrincipalCommand::CreateUser(CreateUser { account: default_account(), name: name(text), password_hash })
}

pub(super) fn create_group(text: &str) -> PrincipalCommand {
    PrincipalCommand::CreateGroup { account: default_account(), name: name(text) }
}

pub(super) fn create_role(text: &str, trust_policy: &str, max_session_seconds: u32) -> PrincipalCommand {
    let (account, name, trust_policy) = (default_account(), name(text), trust_policy.to_owned());
    PrincipalCommand::CreateRole(CreateRole { account, name, trust_policy, max_session_seconds })
}

pub(super) fn membership(user: &str, group: &str, membership: Membership) -> PrincipalCommand {
    let (account, user, group) = (default_account(), name(user), name(group));
    PrincipalCommand::SetMembership(SetMembership { account, user, group, membership })
}

pub(super) fn put_policy(entity: Entity, policy: &str, text: &str) -> PrincipalCommand {
    PrincipalCommand::PutPolicy { entity, name: policy_name(policy), text: text.to_owned() }
}

pub(super) fn create_key(number: u8, owner: Owner, secret: u8) -> PrincipalCommand {
    let sealed = Sealed { bytes: Hidden(vec![secret]), by: 1 };
    PrincipalCommand::CreateAccessKey(CreateAccessKey { id: key_id(number), owner, sealed })
}

pub(super) fn create_token(number: u8, owner: Owner, expires_ms: Option<u64>) -> PrincipalCommand {
    PrincipalCommand::CreateRobotToken(CreateRobotToken {
        id: [number; 16],
        owner,
        name: "ci".to_owned(),
        secret_hash: Hidden([number; 32]),
        policy: None,
        expires_ms,
    })
}

pub(super) fn delete(entity: Entity, deletion: Deletion) -> PrincipalCommand {
    PrincipalCommand::Delete { entity, deletion }
}

/// A cluster of one node of this release, whose entries are numbered.
pub(super) struct World {
    pub(super) view: MemoryView,
    pub(super) index: u64,
    pub(super) now_ms: u64,
}

impl World {
    pub(super) fn new() -> Self {
        Self::of_levels(Levels::OWN)
    }

    pub(super) fn of_levels(levels: Levels) -> Self {
        let mut world = Self { view: MemoryView::default(), index: 0, now_ms: 1000 };
        let registry = RegistryId { account: default_account(), region: "home".parse().unwrap() };
        let init = InitCluster { cluster_id: [1; 16], registry, root_password_hash: "$root".to_owned() };
        world.apply(Command::InitCluster(init));
        let zone = "a".parse().unwrap();
        let place =
            NodePlace { addresses: Vec::new(), zone, capacity_bytes: 1, release: "v".to_owned(), levels };
        let add = AddNode {
            node: NodeId::new(1).unwrap(),
            public_key: PeerKey::new([1; 32]),
            region: "home".parse().unwrap(),
            place,
            incarnation: 1,
            admission: Admission::Founder,
        };
        world.apply(Command::Node(Box::new(NodeCommand::Add(add))));
        world
    }

    pub(super) fn apply(&mut self, command: Command) -> Response {
        self.index += 1;
        let batch = Batch { time_ms: self.now_ms, commands: vec![command] };
        apply_batch(&mut self.view, self.index, batch).unwrap().remove(0)
    }

    /// Also recounts, and checks that a refused command changed nothing.
    pub(super) fn run(&mut self, command: PrincipalCommand) -> Response {
        let response = self.run_fast(command.clone());
        check(&self.view);
        // Whoever does not hear the answer asks again, and hears the same of what makes or sets something.
        if response == DONE && !takes_away(&command) {
            let after = self.view.clone();
            assert_eq!(self.run_fast(command.clone()), DONE, "asked again: {command:?}");
            assert_eq!(self.view, after, "asked again: {command:?}");
        }
        response
    }

    pub(super) fn run_fast(&mut self, command: PrincipalCommand) -> Response {
        let before = self.view.clone();
        self.index += 1;
        let commands = vec![Command::Principal(Box::new(command.clone()))];
        let batch = Batch { time_ms: self.now_ms, commands };
        let response = apply_batch(&mut self.view, self.index, batch).unwrap().remove(0);
        if response != DONE {
            let mut expected = before;
            let nothing = Batch { time_ms: self.now_ms, commands: Vec::new() };
            apply_batch(&mut expected, self.index, nothing).unwrap();
            assert_eq!(
                self.view, expected,
                "{command:?} was refused with {response:?} and changed something"
            );
        }
        response
    }

    pub(super) fn done(&mut self, command: PrincipalCommand) {
        assert_eq!(self.run(command.clone()), DONE, "{command:?}");
    }

    pub(super) fn refused(&mut self, command: PrincipalCommand, refusal: PrincipalRefusal) {
        assert_eq!(self.run(command.clone()), refused(refusal), "{command:?}");
    }

    pub(super) fn identity(&self, caller: &Caller) -> Option<identity::Identity> {
        identity::identity(&self.view, caller).unwrap()
    }

    pub(super) fn version(&self, caller: &Caller) -> u64 {
        self.identity(caller).unwrap().version()
    }
}

/// Asked again, it takes away what came in between, too.
fn takes_away(command: &PrincipalCommand) -> bool {
    use PrincipalCommand as C;
    match command {
        C::Delete { .. }
        | C::DeletePolicy { .. }
        | C::DeleteAccessKey { .. }
        | C::RevokeRobotToken { .. } => true,
        C::SetLogin(set) => set.tokens == Tokens::Void,
        C::UpdateRole(update) => update.tokens == Tokens::Void,
        _ => false,
    }
}

/// All pairs whose key begins with `kind`, without that byte.
pub(super) fn of_kind(view: &MemoryView, kind: u8) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let pairs = view.iter().filter(|(key, _)| key[0] == kind);
    pairs.map(|(key, value)| (key[1..].to_vec(), value.to_vec())).collect()
}

fn keys_of_kind(view: &MemoryView, kind: u8) -> BTreeSet<Vec<u8>> {
    of_kind(view, kind).into_keys().collect()
}

fn owned(owner: &Owner, id: &[u8]) -> Vec<u8> {
    let user = owner.user().map(EntityName::unique_name).unwrap_or_default();
    [owner.account().as_str().as_bytes(), user.as_bytes(), b"\0", id].concat()
}

/// Recounts everything that is kept twice.
pub(super) fn check(view: &MemoryView) {
    let mut policies: BTreeMap<Vec<u8>, (u32, u32)> = BTreeMap::new();
    for (key, value) in of_kind(view, b'P') {
        let end = key.iter().position(|byte| *byte == 0).unwrap();
        let (count, bytes) = policies.entry(key[..end].to_vec()).or_default();
        *count += 1;
        *bytes += PolicyRecord::decode(&value).unwrap().text.len() as u32;
    }
    let mut counts: BTreeMap<(Vec<u8>, u8), u32> = BTreeMap::new();
    let mut members = BTreeSet::new();
    for kind in *b"UGR" {
        for (key, value) in of_kind(view, kind) {
            let (account, unique_name) = key.split_at(12);
            let head = match kind {
                b'U' => {
                    let record = UserRecord::decode(&value).unwrap();
                    assert!(record.groups.is_sorted(), "{record:?}");
                    for group in &record.groups {
                        let group = group.unique_name();
                        members.insert([account, group.as_bytes(), b"\0", unique_name].concat());
                        assert!(of_kind(view, b'G').contains_key(&[account, group.as_bytes()].concat()));
                    }
                    record.head
                }
                b'G' => GroupRecord::decode(&value).unwrap().head,
                _ => RoleRecord::decode(&value).unwrap().head,
            };
            assert_eq!(head.name.unique_name().as_bytes(), unique_name);
            let found = policies.remove(&[account, &[kind], unique_name].concat()).unwrap_or_default();
            assert_eq!((head.policies, head.policy_bytes), found, "{head:?}");
            *counts.entry((account.to_vec(), kind)).or_default() += 1;
        }
    }
    assert!(policies.is_empty(), "policies of nobody: {policies:?}");
    assert_eq!(keys_of_kind(view, b'g'), members);
    let (mut keys, mut tokens) = (BTreeSet::new(), BTreeSet::new());
    for (key, value) in of_kind(view, b'K') {
        keys.insert(owned(&AccessKeyRecord::decode(&value).unwrap().owner, &key));
    }
    for (key, value) in of_kind(view, b'S') {
        let owner = RobotTokenRecord::decode(&value).unwrap().owner;
        tokens.insert(owned(&owner, &key));
        *counts.entry((owner.account().as_str().as_bytes().to_vec(), b'S')).or_default() += 1;
    }
    assert_eq!(keys_of_kind(view, b'A'), keys);
    assert_eq!(keys_of_kind(view, b'O'), tokens);
    for (key, value) in of_kind(view, b'a') {
        let record = AccountRecord::decode(&value).unwrap();
        for (kind, count) in
            [(b'U', record.users), (b'G', record.groups), (b'R', record.roles), (b'S', record.robot_tokens)]
        {
            assert_eq!(count, counts.remove(&(key.clone(), kind)).unwrap_or(0), "{}", char::from(kind));
        }
    }
    assert!(counts.is_empty(), "counted in no account: {counts:?}");
    let revoked = of_kind(view, b'x').into_iter().filter(|(key, _)| !key.is_empty());
    let revoked: BTreeSet<Vec<u8>> = revoked
        .map(|(id, value)| {
            let until_ms = RevokedRecord::decode(&value).unwrap().until_ms;
            [until_ms.to_be_bytes().as_slice(), &id].concat()
        })
        .collect();
    assert_eq!(keys_of_kind(view, b'X'), revoked);
    if let Some(count) = of_kind(view, b'x').get(b"".as_slice()) {
        let count = RevokedCountRecord::decode(count).unwrap().count;
        assert_eq!(count as usize, revoked.len());
    }
}
