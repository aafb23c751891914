//! A state with principals in it, for tests.

use cluster_core::access::{Caller, Resource};
use cluster_core::command::node::{AddNode, Admission, NodeCommand, NodePlace};
use cluster_core::command::principal::{
    CreateAccount, CreateRobotToken, CreateUser, Deletion, Membership, PrincipalCommand, SetMembership,
};
use cluster_core::command::{Batch, Command, InitCluster, Response};
use cluster_core::key::RepositoryId;
use cluster_core::level::Levels;
use cluster_core::record::{Entity, EntityKind, Hidden, Owner};
use cluster_core::state::apply;
use cluster_core::state::principal::robot_token::TokenId;
use cluster_core::view::MemoryView;
use proto::digest::{Algorithm, Digest};
use proto::identity::{AccountId, NodeId, PeerKey, RegistryId};

/// The default account, in texts of policies too.
pub(super) const DEFAULT: &str = "000000000001";
/// Another one.
pub(super) const OTHER: &str = "000000000002";

pub(super) fn account(text: &str) -> AccountId {
    text.parse().expect("an account")
}

pub(super) fn registry(of: &str) -> RegistryId {
    RegistryId { account: account(of), region: "home".parse().expect("a region") }
}

pub(super) fn repository(of: &str, name: &str) -> Resource {
    let name = name.parse().expect("a name");
    Resource::Repository(RepositoryId { registry: registry(of), name })
}

pub(super) fn user(of: &str, name: &str) -> Caller {
    Caller::User(account(of), name.parse().expect("a name"))
}

/// A policy of one statement.
pub(super) fn statement(effect: &str, action: &str, resource: &str) -> String {
    format!(r#"{{"Statement":{{"Effect":"{effect}","Action":"{action}","Resource":"{resource}"}}}}"#)
}

/// The state, and the log that makes it.
pub(super) struct World {
    pub(super) view: MemoryView,
    pub(super) now_ms: u64,
    pub(super) index: u64,
}

impl World {
    /// Two accounts without users.
    pub(super) fn new() -> Self {
        let mut world = Self { view: MemoryView::default(), now_ms: 1000, index: 0 };
        let password = "$root".to_owned();
        world.apply(Command::InitCluster(InitCluster {
            cluster_id: [1; 16],
            registry: registry(DEFAULT),
            root_password_hash: password.clone(),
        }));
        let place = NodePlace {
            addresses: Vec::new(),
            zone: "a".parse().expect("a zone"),
            capacity_bytes: 1,
            release: String::new(),
            levels: Levels::OWN,
        };
        world.apply(Command::Node(Box::new(NodeCommand::Add(AddNode {
            node: NodeId::new(1).expect("an id"),
            public_key: PeerKey::new([1; 32]),
            region: "home".parse().expect("a region"),
            place,
            incarnation: 1,
            admission: Admission::Founder,
        }))));
        world.run(PrincipalCommand::CreateAccount(CreateAccount {
            account: account(OTHER),
            name: "other".to_owned(),
            root_password_hash: Hidden(password),
        }));
        world
    }

    fn apply(&mut self, command: Command) -> Response {
        self.index += 1;
        let batch = Batch { time_ms: self.now_ms, commands: vec![command] };
        apply(&mut self.view, self.index, batch).expect("a readable state").remove(0)
    }

    pub(super) fn run(&mut self, command: PrincipalCommand) {
        let done = self.apply(Command::Principal(Box::new(command.clone())));
        assert_eq!(done, Response::PrincipalChanged, "{command:?}");
    }

    /// Moves log time on.
    pub(super) fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        let batch = Batch { time_ms: self.now_ms, commands: Vec::new() };
        apply(&mut self.view, self.index, batch).expect("a readable state");
    }

    pub(super) fn create_user(&mut self, of: &str, name: &str, password_hash: Option<&str>) {
        self.run(PrincipalCommand::CreateUser(CreateUser {
            account: account(of),
            name: name.parse().expect("a name"),
            password_hash: password_hash.map(|hash| Hidden(hash.to_owned())),
        }));
    }

    /// A group with this member.
    pub(super) fn create_group(&mut self, of: &str, name: &str, member: &str) {
        let (account, group) = (account(of), name.parse().expect("a name"));
        self.run(PrincipalCommand::CreateGroup { account, name: group });
        self.set_member(of, name, member, Membership::Member);
    }

    pub(super) fn set_member(&mut self, of: &str, group: &str, user: &str, membership: Membership) {
        let [user, group] = [user, group].map(|name| name.parse().expect("a name"));
        let account = account(of);
        self.run(PrincipalCommand::SetMembership(SetMembership { account, user, group, membership }));
    }

    pub(super) fn put_policy(&mut self, of: &str, kind: EntityKind, name: &str, text: &str) {
        let (entity, text) = (entity(of, kind, name), text.to_owned());
        self.run(PrincipalCommand::PutPolicy { entity, name: "p".parse().expect("a name"), text });
    }

    pub(super) fn delete(&mut self, of: &str, kind: EntityKind, name: &str) {
        let (entity, deletion) = (entity(of, kind, name), Deletion::Forced);
        self.run(PrincipalCommand::Delete { entity, deletion });
    }

    /// Its secret is 32 bytes of `number`.
    pub(super) fn create_robot(
        &mut self,
        number: u8,
        owner: Owner,
        policy: Option<&str>,
        expires_ms: Option<u64>,
    ) -> TokenId {
        let mut secret_hash = [0; 32];
        secret_hash.copy_from_slice(Digest::of(Algorithm::Sha256, &[number; 32]).hash());
        self.run(PrincipalCommand::CreateRobotToken(CreateRobotToken {
            id: [number; 16],
            owner,
            name: "ci".to_owned(),
            secret_hash: Hidden(secret_hash),
            policy: policy.map(str::to_owned),
            expires_ms,
        }));
        [number; 16]
    }
}

fn entity(of: &str, kind: EntityKind, name: &str) -> Entity {
    Entity { account: account(of), kind, name: name.parse().expect("a name") }
}
