//! Documents of accounts and principals. The calls are those of IAM's API where it has them, less what Shoal does not
//! need; names of principals are whole, path included.

mod answer;

use serde::{Deserialize, Serialize};

pub use answer::{
    AccessKey, AccessKeyInfo, AccessKeys, AccountInfo, Accounts, Done, Entities, Entity, EntityInfo,
    NewAccount, NewRootPassword, PolicyText, RobotToken, RobotTokenInfo, RobotTokens, Simulated,
};

/// A kind of principal, or of what has policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A person or a machine with credentials of its own.
    User,
    /// Users who have its policies too.
    Group,
    /// What somebody may become for a while.
    Role,
}

/// Something with policies, in the account of the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// What it is.
    pub kind: Kind,
    /// Path and name.
    pub name: String,
}

/// One call of `POST /api/v1/iam`. Where a `user` is optional, the caller itself is meant, be it root or a user.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "call", deny_unknown_fields)]
pub enum IamCall {
    /// Makes a user, with a password or without. Answer: [`Done`].
    CreateUser {
        /// Path and name.
        name: String,
        /// It may log in with this.
        #[serde(default)]
        password: Option<String>,
    },
    /// Makes a group. Answer: [`Done`].
    CreateGroup {
        /// Path and name.
        name: String,
    },
    /// Makes a role. Answer: [`Done`].
    CreateRole {
        /// Path and name.
        name: String,
        /// Who may become it.
        trust_policy: String,
        /// Longest session, 900 to 43 200.
        max_session_seconds: u32,
    },
    /// Changes a role; what is absent stays. Its sessions end. Answer: [`Done`].
    UpdateRole {
        /// Path and name.
        name: String,
        /// Who may become it.
        #[serde(default)]
        trust_policy: Option<String>,
        /// Longest session.
        #[serde(default)]
        max_session_seconds: Option<u32>,
    },
    /// Gives a user another password, or none; voids its tokens. Answer: [`Done`].
    UpdateLoginProfile {
        /// Whose.
        #[serde(default)]
        user: Option<String>,
        /// Absent: no password lets it in. Root keeps one.
        #[serde(default)]
        password: Option<String>,
    },
    /// Voids the bearer and authorization tokens that a user has. Answer: [`Done`].
    RevokeSessions {
        /// Whose.
        #[serde(default)]
        user: Option<String>,
    },
    /// The user has the group's policies, too. Answer: [`Done`].
    AddUserToGroup {
        /// Path and name.
        user: String,
        /// Path and name.
        group: String,
    },
    /// The user has them no more. Answer: [`Done`].
    RemoveUserFromGroup {
        /// Path and name.
        user: String,
        /// Path and name.
        group: String,
    },
    /// Answer: [`Entity`].
    Get(Named),
    /// A page of all of a kind. Answer: [`Entities`].
    List {
        /// Of what.
        kind: Kind,
        /// Those after this name, without its path.
        #[serde(default)]
        after: Option<String>,
    },
    /// Deletes one that nothing belongs to. Answer: [`Done`].
    Delete {
        /// What it is.
        kind: Kind,
        /// Path and name.
        name: String,
        /// With all that belongs to it.
        #[serde(default)]
        force: bool,
    },
    /// Gives a policy, in place of one of that name. Answer: [`PolicyText`], with what is doubtful about it.
    PutPolicy {
        /// To whom.
        entity: Named,
        /// Its name there.
        policy: String,
        /// The policy.
        document: String,
    },
    /// Answer: [`PolicyText`].
    GetPolicy {
        /// Whose.
        entity: Named,
        /// Its name there.
        policy: String,
    },
    /// Takes a policy away. Answer: [`Done`].
    DeletePolicy {
        /// From whom.
        entity: Named,
        /// Its name there.
        policy: String,
    },
    /// Makes an access key, of two at most. Answer: [`AccessKey`].
    CreateAccessKey {
        /// Whose.
        #[serde(default)]
        user: Option<String>,
    },
    /// Answer: [`AccessKeys`].
    ListAccessKeys {
        /// Whose.
        #[serde(default)]
        user: Option<String>,
    },
    /// Says whether an access key counts. Answer: [`Done`].
    UpdateAccessKey {
        /// Whose.
        #[serde(default)]
        user: Option<String>,
        /// Which.
        id: String,
        /// Whether it counts.
        is_active: bool,
    },
    /// Makes an access key worthless for good. Answer: [`Done`].
    DeleteAccessKey {
        /// Whose.
        #[serde(default)]
        user: Option<String>,
        /// Which.
        id: String,
    },
    /// Makes a robot token. Answer: [`RobotToken`].
    CreateRobotToken {
        /// In whose name it acts.
        #[serde(default)]
        user: Option<String>,
        /// For people.
        name: String,
        /// Narrows what that one may.
        #[serde(default)]
        policy: Option<String>,
        /// Absent: does not end by itself.
        #[serde(default)]
        ttl_seconds: Option<u64>,
    },
    /// Answer: [`RobotTokens`].
    ListRobotTokens {
        /// Whose.
        #[serde(default)]
        user: Option<String>,
    },
    /// Makes a robot token worthless for good. Answer: [`Done`].
    RevokeRobotToken {
        /// Whose.
        #[serde(default)]
        user: Option<String>,
        /// Which.
        id: String,
    },
    /// What would be decided, by the policies of this moment. Answer: [`Simulated`].
    Simulate {
        /// ARN of a user or root, 12 digits of an account for its root, or `*` for nobody in particular.
        principal: String,
        /// Such as `ecr:PutImage`.
        action: String,
        /// ARN of a repository, user, group or role; `*`: the account.
        resource: String,
        /// Condition keys and values beside those that follow from principal and resource.
        #[serde(default)]
        context: Vec<(String, String)>,
    },
}

impl IamCall {
    /// What it is about beside the principal, for logs: a policy, an access key, a robot token, a group's member.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::AddUserToGroup { user, .. } | Self::RemoveUserFromGroup { user, .. } => Some(user),
            Self::PutPolicy { policy, .. }
            | Self::GetPolicy { policy, .. }
            | Self::DeletePolicy { policy, .. } => Some(policy),
            Self::UpdateAccessKey { id, .. }
            | Self::DeleteAccessKey { id, .. }
            | Self::RevokeRobotToken { id, .. } => Some(id),
            Self::CreateRobotToken { name, .. } => Some(name),
            _ => None,
        }
    }
}
