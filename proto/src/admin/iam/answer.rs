//! Answers to the calls, and the documents of accounts.

use serde::{Deserialize, Serialize};

use super::Kind;

/// It is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// A user, group or role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// What it is.
    pub kind: Kind,
    /// Path and name.
    pub name: String,
    /// Its full name.
    pub arn: String,
    /// When it was made.
    pub created_ms: u64,
    /// Names of its policies.
    pub policies: Vec<String>,
    /// Of a user: its groups. Of a group: its users, at most 1000.
    pub members: Vec<String>,
    /// Whether the group has more users than these.
    #[serde(default)]
    pub more: bool,
    /// Of a user: whether a password lets it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_password: Option<bool>,
    /// Of a role: who may become it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_policy: Option<String>,
    /// Of a role: longest session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_session_seconds: Option<u32>,
}

/// One in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityInfo {
    /// Path and name.
    pub name: String,
    /// Its full name.
    pub arn: String,
    /// When it was made.
    pub created_ms: u64,
}

/// A page of users, groups or roles, by their names without paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entities {
    /// At most 1000.
    pub entities: Vec<EntityInfo>,
    /// Whether there are more after the last.
    pub more: bool,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyText {
    /// The document as it came.
    pub document: String,
    /// What in it can have no effect, or more than its author may think.
    pub warnings: Vec<String>,
}

/// An access key, as it is made; shown once.
#[derive(Clone, Serialize, Deserialize)]
pub struct AccessKey {
    /// Names it; no secret.
    pub id: String,
    /// What requests are signed with.
    pub secret: String,
}

/// An access key as it is listed: without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKeyInfo {
    /// Names it.
    pub id: String,
    /// Whether what it signs is its owner's.
    pub is_active: bool,
    /// When it was made.
    pub created_ms: u64,
}

/// All access keys of an owner, by id: at most two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKeys {
    /// The keys.
    pub keys: Vec<AccessKeyInfo>,
}

/// A robot token, as it is made; shown once.
#[derive(Clone, Serialize, Deserialize)]
pub struct RobotToken {
    /// Names it; no secret.
    pub id: String,
    /// For `docker login --username`.
    pub user: String,
    /// For `docker login --password-stdin`.
    pub password: String,
    /// When it ends; absent: not by itself.
    pub expires_ms: Option<u64>,
}

/// A robot token as it is listed: without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RobotTokenInfo {
    /// Names it.
    pub id: String,
    /// For people.
    pub name: String,
    /// When it was made.
    pub created_ms: u64,
    /// When it ends; absent: not by itself.
    pub expires_ms: Option<u64>,
    /// Whether its time is over.
    pub is_expired: bool,
    /// What narrows it.
    pub policy: Option<String>,
}

/// All robot tokens of an owner, by id: at most 100.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RobotTokens {
    /// The tokens.
    pub tokens: Vec<RobotTokenInfo>,
}

/// A decision that was not needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulated {
    /// What would be said.
    pub is_allowed: bool,
    /// The statement that made it, or what was missing.
    pub reason: String,
}

/// Makes an account.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// 12 digits.
    pub id: String,
    /// For people.
    pub name: String,
    /// Of its root user.
    pub root_password: String,
}

/// Gives the root user of an account another password, and voids its tokens.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRootPassword {
    /// The password.
    pub root_password: String,
}

/// An account as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// 12 digits.
    pub id: String,
    /// For people.
    pub name: String,
    /// When it was made; 0 of the one that is as old as the cluster.
    pub created_ms: u64,
    /// How many it has.
    pub users: u32,
    /// How many it has.
    pub groups: u32,
    /// How many it has.
    pub roles: u32,
    /// How many its root and users have, expired ones included.
    pub robot_tokens: u32,
}

/// A page of accounts, by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    /// At most 1000.
    pub accounts: Vec<AccountInfo>,
    /// Whether there are more after the last.
    pub more: bool,
}
