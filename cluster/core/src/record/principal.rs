//! Records of accounts and of what has policies in them: users, groups, roles.

use proto::arn::{Arn, EntityName};
use proto::identity::AccountId;
use proto::wire::record as wire;

use super::{Hidden, Record, RecordError};

/// An account. Its root's password is in [`super::RootRecord`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountRecord {
    /// For people.
    pub name: String,
    /// 0 of the default account, which is as old as the cluster.
    pub created_ms: u64,
    /// Tokens of its root that were issued by an older state are void.
    pub tokens_valid_from_index: u64,
    /// How many it has.
    pub users: u32,
    /// How many it has.
    pub groups: u32,
    /// How many it has.
    pub roles: u32,
    /// How many its root and users have.
    pub robot_tokens: u32,
}

/// What has policies of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKind {
    /// A person or a machine with credentials of its own.
    User,
    /// Users who have its policies too.
    Group,
    /// What somebody may become for a while.
    Role,
}

/// A user, group or role, existing or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity {
    /// Where it is.
    pub account: AccountId,
    /// What it is.
    pub kind: EntityKind,
    /// Path and name. Another path or case is another entity, though no two can exist whose
    /// [`EntityName::unique_name`] is the same.
    pub name: EntityName,
}

impl EntityKind {
    /// As ARNs and the names of IAM's actions have it, but for the case of the latter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Role => "role",
        }
    }
}

impl Entity {
    /// Its full name.
    pub fn arn(&self) -> Arn {
        Arn::principal(&self.account, &format!("{}/{}", self.kind.as_str(), self.name))
    }
}

/// Whose an access key or a robot token is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The root of an account.
    Root(AccountId),
    /// A user, path and name.
    User(AccountId, EntityName),
}

impl Owner {
    /// Where it is.
    pub fn account(&self) -> &AccountId {
        match self {
            Self::Root(account) | Self::User(account, _) => account,
        }
    }

    /// The user; `None`: root.
    pub fn user(&self) -> Option<&EntityName> {
        match self {
            Self::Root(_) => None,
            Self::User(_, user) => Some(user),
        }
    }

    /// From texts as messages have them: no user is root.
    pub(crate) fn from_texts(account: &str, user: &str) -> Result<Self, &'static str> {
        let account = account.parse().map_err(|_| "account")?;
        if user.is_empty() {
            return Ok(Self::Root(account));
        }
        Ok(Self::User(account, user.parse().map_err(|_| "user")?))
    }

    /// As [`Owner::from_texts`] reads them.
    pub(crate) fn to_texts(&self) -> (String, String) {
        (self.account().to_string(), self.user().map(ToString::to_string).unwrap_or_default())
    }
}

/// What users, groups and roles have in common. Their policies are rows of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityHead {
    /// Path and name, as given.
    pub name: EntityName,
    /// Log time.
    pub created_ms: u64,
    /// Index of the entry that last changed its policies, or a user's groups: whoever keeps what followed from them
    /// compares this.
    pub changed_index: u64,
    /// Number of its policies.
    pub policies: u32,
    /// Bytes of them together.
    pub policy_bytes: u32,
}

impl EntityHead {
    pub(crate) fn new(name: EntityName, created_ms: u64, index: u64) -> Self {
        Self { name, created_ms, changed_index: index, policies: 0, policy_bytes: 0 }
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// Name and policies.
    pub head: EntityHead,
    /// For the console, a PHC string; none: no password lets it in.
    pub password_hash: Option<Hidden<String>>,
    /// Tokens issued by an older state are void; at first the index of the entry that made it, so that none of one who
    /// had the name before is its own. No clock takes part: a token says which state issued it.
    pub tokens_valid_from_index: u64,
    /// Its groups: sorted, distinct.
    pub groups: Vec<EntityName>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    /// Name and policies.
    pub head: EntityHead,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRecord {
    /// Name and policies.
    pub head: EntityHead,
    /// Who may become it: a policy, as text.
    pub trust_policy: String,
    /// Longest session.
    pub max_session_seconds: u32,
    /// Sessions that an older state began are void.
    pub tokens_valid_from_index: u64,
}

/// A policy of a user, group or role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRecord {
    /// The document as it came.
    pub text: String,
}

impl Record for AccountRecord {
    type Wire = wire::Account;

    fn to_wire(&self) -> wire::Account {
        wire::Account {
            name: self.name.clone(),
            created_ms: self.created_ms,
            tokens_valid_from_index: self.tokens_valid_from_index,
            users: self.users,
            groups: self.groups,
            roles: self.roles,
            robot_tokens: self.robot_tokens,
        }
    }

    fn from_wire(wire: wire::Account) -> Result<Self, RecordError> {
        Ok(Self {
            name: wire.name,
            created_ms: wire.created_ms,
            tokens_valid_from_index: wire.tokens_valid_from_index,
            users: wire.users,
            groups: wire.groups,
            roles: wire.roles,
            robot_tokens: wire.robot_tokens,
        })
    }
}

fn head_to_wire(head: &EntityHead) -> wire::Entity {
    wire::Entity {
        name: head.name.to_string(),
        created_ms: head.created_ms,
        changed_index: head.changed_index,
        policies: head.policies,
        policy_bytes: head.policy_bytes,
    }
}

fn head_from_wire(wire: Option<wire::Entity>) -> Result<EntityHead, RecordError> {
    let wire = wire.ok_or(RecordError::Field("entity"))?;
    Ok(EntityHead {
        name: wire.name.parse().map_err(|_| RecordError::Field("name"))?,
        created_ms: wire.created_ms,
        changed_index: wire.changed_index,
        policies: wire.policies,
        policy_bytes: wire.policy_bytes,
    })
}

impl Record for UserRecord {
    type Wire = wire::User;

    fn to_wire(&self) -> wire::User {
        wire::User {
            entity: Some(head_to_wire(&self.head)),
            password_hash: self.password_hash.as_ref().map(|hash| hash.0.clone()),
            tokens_valid_from_index: self.tokens_valid_from_index,
            groups: self.groups.iter().map(ToString::to_string).collect(),
        }
    }

    fn from_wire(wire: wire::User) -> Result<Self, RecordError> {
        let groups = wire.groups.iter().map(|group| group.parse());
        Ok(Self {
            head: head_from_wire(wire.entity)?,
            password_hash: wire.password_hash.map(Hidden),
            tokens_valid_from_index: wire.tokens_valid_from_index,
            groups: groups.collect::<Result<_, _>>().map_err(|_| RecordError::Field("group"))?,
        })
    }
}

impl Record for GroupRecord {
    type Wire = wire::Group;

    fn to_wire(&self) -> wire::Group {
        wire::Group { entity: Some(head_to_wire(&self.head)) }
    }

    fn from_wire(wire: wire::Group) -> Result<Self, RecordError> {
        Ok(Self { head: head_from_wire(wire.entity)? })
    }
}

impl Record for RoleRecord {
    type Wire = wire::Role;

    fn to_wire(&self) -> wire::Role {
        wire::Role {
            entity: Some(head_to_wire(&self.head)),
            trust_policy: self.trust_policy.clone(),
            max_session_seconds: self.max_session_seconds,
            tokens_valid_from_index: self.tokens_valid_from_index,
        }
    }

    fn from_wire(wire: wire::Role) -> Result<Self, RecordError> {
        Ok(Self {
            head: head_from_wire(wire.entity)?,
            trust_policy: wire.trust_policy,
            max_session_seconds: wire.max_session_seconds,
            tokens_valid_from_index: wire.tokens_valid_from_index,
        })
    }
}

impl Record for PolicyRecord {
    type Wire = wire::Policy;

    fn to_wire(&self) -> wire::Policy {
        wire::Policy { text: self.text.clone() }
    }

    fn from_wire(wire: wire::Policy) -> Result<Self, RecordError> {
        Ok(Self { text: wire.text })
    }
}
