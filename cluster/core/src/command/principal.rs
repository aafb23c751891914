//! Commands about accounts, users, groups, roles and what they prove themselves with.
//!
//! Whoever builds one has asked whether the caller may, and has read the policies in it with `proto::policy`: apply
//! looks at sizes and counts only ([`super::Bound`]).

use proto::arn::EntityName;
use proto::credential::{AccessKeyId, PolicyName};
use proto::identity::AccountId;

use crate::record::{Entity, Hidden, KeyState, Owner, Sealed};

/// Makes an account and its root. Asked again with the same contents it is done already, as is every creation here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateAccount {
    /// Not the default account, which is there from the start.
    pub account: AccountId,
    /// For people.
    pub name: String,
    /// A PHC string.
    pub root_password_hash: Hidden<String>,
}

/// What becomes of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordChange {
    /// Nothing.
    Keep,
    /// This PHC string takes its place.
    Set(Hidden<String>),
    /// No password lets the owner in. Root keeps its.
    Remove,
}

/// Changes what lets a user or root in: password, tokens or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetLogin {
    /// Who.
    pub owner: Owner,
    /// Its password.
    pub password: PasswordChange,
    /// What becomes of its tokens.
    pub tokens: Tokens,
}

/// What becomes of tokens that were issued before a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// They count as before.
    Keep,
    /// They are void.
    Void,
}

/// Makes a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateUser {
    /// Where.
    pub account: AccountId,
    /// Path and name.
    pub name: EntityName,
    /// For the console, a PHC string.
    pub password_hash: Option<Hidden<String>>,
}

/// Puts a user into a group, or takes it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetMembership {
    /// Of both.
    pub account: AccountId,
    /// Who.
    pub user: EntityName,
    /// Of what.
    pub group: EntityName,
    /// From now on.
    pub membership: Membership,
}

/// Whether a user is in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// It has the group's policies.
    Member,
    /// It has not.
    None,
}

/// Makes a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRole {
    /// Where.
    pub account: AccountId,
    /// Path and name.
    pub name: EntityName,
    /// Who may become it: a policy.
    pub trust_policy: String,
    /// Longest session.
    pub max_session_seconds: u32,
}

/// Changes a role; what is `None` stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateRole {
    /// Where.
    pub account: AccountId,
    /// Path and name.
    pub name: EntityName,
    /// See [`CreateRole::trust_policy`].
    pub trust_policy: Option<String>,
    /// See [`CreateRole::max_session_seconds`].
    pub max_session_seconds: Option<u32>,
    /// What becomes of its sessions.
    pub tokens: Tokens,
}

/// On what condition a user, group or role goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Nothing belongs to it any more: password, access keys, robot tokens, policies, groups, members (IAM API,
    /// DeleteConflict).
    IfBare,
    /// With all that belongs to it, in this entry; but a group's members are taken out one by one.
    Forced,
}

/// Makes an access key of a user or root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateAccessKey {
    /// Random.
    pub id: AccessKeyId,
    /// Whose.
    pub owner: Owner,
    /// Its secret.
    pub sealed: Sealed,
}

/// Makes a token for a machine. The owner's tokens that have expired are removed with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRobotToken {
    /// Random.
    pub id: [u8; 16],
    /// In whose name it acts.
    pub owner: Owner,
    /// For people.
    pub name: String,
    /// SHA-256 of the secret, 32 random bytes.
    pub secret_hash: Hidden<[u8; 32]>,
    /// Narrows what the owner may.
    pub policy: Option<String>,
    /// Log time; `None`: does not end by itself.
    pub expires_ms: Option<u64>,
}

/// Commands of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrincipalCommand {
    /// See [`CreateAccount`].
    CreateAccount(CreateAccount),
    /// See [`SetLogin`].
    SetLogin(SetLogin),
    /// See [`CreateUser`].
    CreateUser(CreateUser),
    /// Makes a group.
    CreateGroup {
        /// Where.
        account: AccountId,
        /// Path and name.
        name: EntityName,
    },
    /// See [`SetMembership`].
    SetMembership(SetMembership),
    /// See [`CreateRole`].
    CreateRole(CreateRole),
    /// See [`UpdateRole`].
    UpdateRole(UpdateRole),
    /// Deletes a user, group or role, all of it or nothing.
    Delete {
        /// What.
        entity: Entity,
        /// On what condition.
        deletion: Deletion,
    },
    /// Attaches a policy, in place of one of the same name.
    PutPolicy {
        /// To what.
        entity: Entity,
        /// Its name there.
        name: PolicyName,
        /// The document.
        text: String,
    },
    /// Takes a policy away.
    DeletePolicy {
        /// From what.
        entity: Entity,
        /// Its name there.
        name: PolicyName,
    },
    /// See [`CreateAccessKey`].
    CreateAccessKey(CreateAccessKey),
    /// Says whether an access key counts.
    SetAccessKeyState {
        /// Which.
        id: AccessKeyId,
        /// From now on.
        state: KeyState,
    },
    /// The secret of an access key, sealed by another key.
    ResealAccessKey {
        /// Which.
        id: AccessKeyId,
        /// Refused if any other key sealed it.
        before_by: u32,
        /// From now on.
        sealed: Sealed,
    },
    /// Makes an access key worthless for good.
    DeleteAccessKey {
        /// Which.
        id: AccessKeyId,
    },
    /// See [`CreateRobotToken`].
    CreateRobotToken(CreateRobotToken),
    /// Makes a robot token worthless for good.
    RevokeRobotToken {
        /// Which.
        id: [u8; 16],
    },
    /// Makes an authorization token worthless before its time.
    RevokeAuthorization {
        /// Which.
        id: [u8; 16],
        /// When it expires by itself.
        until_ms: u64,
    },
}

impl PrincipalCommand {
    /// Whether it can make the state larger. What takes rights away does not count: it must go on in any case.
    pub fn adds(&self) -> bool {
        match self {
            Self::CreateAccount(_)
            | Self::CreateUser(_)
            | Self::CreateGroup { .. }
            | Self::CreateRole(_)
            | Self::UpdateRole(_)
            | Self::PutPolicy { .. }
            | Self::CreateAccessKey(_)
            | Self::CreateRobotToken(_) => true,
            Self::SetMembership(set) => set.membership == Membership::Member,
            Self::SetLogin(_)
            | Self::Delete { .. }
            | Self::DeletePolicy { .. }
            | Self::SetAccessKeyState { .. }
            | Self::ResealAccessKey { .. }
            | Self::DeleteAccessKey { .. }
            | Self::RevokeRobotToken { .. }
            | Self::RevokeAuthorization { .. } => false,
        }
    }

    /// Bytes of the texts in it that can be long.
    pub(super) fn text_len(&self) -> usize {
        let long = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let password = |hash: &Option<Hidden<String>>| hash.as_ref().map_or(0, |hash| hash.0.len());
        match self {
            Self::CreateAccount(create) => create.name.len() + create.root_password_hash.0.len(),
            Self::SetLogin(SetLogin { password: PasswordChange::Set(hash), .. }) => hash.0.len(),
            Self::CreateUser(create) => password(&create.password_hash),
            Self::CreateRole(create) => create.trust_policy.len(),
            Self::UpdateRole(update) => long(&update.trust_policy),
            Self::PutPolicy { text, .. } => text.len(),
            Self::CreateAccessKey(CreateAccessKey { sealed, .. }) | Self::ResealAccessKey { sealed, .. } => {
                sealed.bytes.0.len()
            }
            Self::CreateRobotToken(create) => create.name.len() + long(&create.policy),
            _ => 0,
        }
    }
}
