//! Who asks, and which principals of a policy are meant by that.
//!
//! Owns the match of Principal and NotPrincipal (ECR specification §9.2; IAM user guide, "Principal", "NotPrincipal").

use std::fmt;

use proto::arn::{EntityName, PrincipalArn, SessionName};
use proto::identity::AccountId;
use proto::policy::key::ConditionKey;
use proto::policy::principal::{PrincipalName, ServiceName};

use super::Context;
use crate::record::Owner;

/// Who asks, authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody in particular. `*` means this one too.
    Anonymous,
    /// A service in its own name.
    Service(ServiceName),
    /// The root user of an account.
    Root(AccountId),
    /// A user.
    User(AccountId, EntityName),
    /// Somebody who assumed a role.
    Session {
        /// The role's account, which is the caller's too.
        account: AccountId,
        /// The role, path included.
        role: EntityName,
        /// The session of it.
        name: SessionName,
    },
}

/// How a policy's principal means a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Meant {
    /// By its account.
    Account,
    /// By the role whose session it is.
    Role,
    /// By its own name, or by `*`.
    Name,
}

impl Caller {
    /// The account whose policies it has.
    pub fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Anonymous | Self::Service(_) => None,
            Self::Root(account) | Self::User(account, _) | Self::Session { account, .. } => Some(account),
        }
    }

    /// Whether it is a root user.
    pub fn is_root(&self) -> bool {
        matches!(self, Self::Root(_))
    }

    /// Whom policies and lists of principals mean by an ARN: of a session the role, which is so for all its sessions
    /// (IAM user guide, `aws:PrincipalArn`). Nobody in particular and services have none.
    pub fn principal(&self) -> Option<PrincipalArn> {
        match self {
            Self::Anonymous | Self::Service(_) => None,
            Self::Root(account) => Some(PrincipalArn::Root(account.clone())),
            Self::User(account, name) => Some(PrincipalArn::User(account.clone(), name.clone())),
            Self::Session { account, role, .. } => Some(PrincipalArn::Role(account.clone(), role.clone())),
        }
    }

    /// Sets what a context says of the caller. `aws:userid` and `aws:PrincipalOrgID` are not known here.
    pub(super) fn describe(&self, context: &mut Context) {
        let kind = match self {
            Self::Anonymous => "Anonymous",
            Self::Service(_) => "Service",
            Self::Root(_) => "Account",
            Self::User(..) => "User",
            Self::Session { .. } => "AssumedRole",
        };
        let user = match self {
            Self::User(_, name) => Some(name.name().to_owned()),
            _ => None,
        };
        context.set(ConditionKey::PrincipalType, Some(kind.to_owned()));
        context.set(ConditionKey::PrincipalArn, self.principal().map(|arn| arn.to_string()));
        context.set(ConditionKey::PrincipalAccount, self.account().map(ToString::to_string));
        context.set(ConditionKey::UserName, user);
    }

    /// How `principal` means the caller, if it does.
    pub(super) fn meant_by(&self, principal: &PrincipalName) -> Option<Meant> {
        match principal {
            PrincipalName::Everyone => Some(Meant::Name),
            PrincipalName::Service(service) => {
                matches!(self, Self::Service(own) if own == service).then_some(Meant::Name)
            }
            PrincipalName::Aws(arn) => self.meant_by_arn(arn),
        }
    }

    fn meant_by_arn(&self, arn: &PrincipalArn) -> Option<Meant> {
        match (self, arn) {
            (Self::Root(own), PrincipalArn::Root(account)) => (own == account).then_some(Meant::Name),
            (_, PrincipalArn::Root(account)) => (self.account() == Some(account)).then_some(Meant::Account),
            (Self::User(own, user), PrincipalArn::User(account, name)) => {
                ((own, user) == (account, name)).then_some(Meant::Name)
            }
            (Self::Session { account: own, role, .. }, PrincipalArn::Role(account, name)) => {
                ((own, role) == (account, name)).then_some(Meant::Role)
            }
            (Self::Session { account: own, name: session, .. }, PrincipalArn::Session(account, name)) => {
                ((own, session) == (account, name)).then_some(Meant::Name)
            }
            _ => None,
        }
    }
}

impl From<Owner> for Caller {
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::Root(account) => Self::Root(account),
            Owner::User(account, user) => Self::User(account, user),
        }
    }
}

impl fmt::Display for Caller {
    /// The ARN, for messages and logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Service(name) => name.fmt(f),
            Self::Root(account) => write!(f, "arn:aws:iam::{account}:root"),
            Self::User(account, name) => write!(f, "arn:aws:iam::{account}:user/{name}"),
            Self::Session { account, name, .. } => write!(f, "arn:aws:sts::{account}:assumed-role/{name}"),
        }
    }
}
