//! How commands about principals are refused, and what is bounded.

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Noun {
    /// An account.
    Account,
    /// A user.
    User,
    /// A group; of a user that is to be deleted: its being in one.
    Group,
    /// A role.
    Role,
    /// A policy of a user, group or role.
    Policy,
    /// An access key.
    AccessKey,
    /// A robot token.
    RobotToken,
    /// A password.
    Password,
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalRefusal {
    /// Another one has the name, but for case and path, or the id.
    Exists(Noun),
    /// There is no such thing.
    NotFound(Noun),
    /// It would be more than there may be.
    Limit(Bound),
    /// It is needed, or these must go first; of a group its users.
    InUse(Noun),
    /// The access key is sealed by another key than the command was made for.
    Changed,
}

/// What is bounded; constants until there are settings for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bound {
    /// Bytes of a name for people, a password's hash or a sealed secret.
    Text,
    /// Users of an account.
    Users,
    /// Groups of an account.
    Groups,
    /// Roles of an account.
    Roles,
    /// Groups of a user.
    GroupsOfUser,
    /// Policies of a user, group or role.
    Policies,
    /// Bytes of the policies of a user, group or role together.
    PolicyBytes,
    /// Bytes of a role's trust policy.
    TrustPolicyBytes,
    /// Seconds of a role's longest session; there is also a least, [`MIN_SESSION_SECONDS`].
    SessionSeconds,
    /// Access keys of a user or root.
    AccessKeys,
    /// Robot tokens of an account.
    RobotTokens,
    /// Robot tokens of a user or root.
    RobotTokensOfOwner,
    /// Bytes of a robot token's policy.
    TokenPolicyBytes,
    /// Authorization tokens that are revoked and have not expired.
    Revoked,
}

/// Least that the longest session of a role may be: the shortest session of STS.
pub const MIN_SESSION_SECONDS: u32 = 900;

impl Bound {
    /// The most that is allowed.
    pub fn most(self) -> u32 {
        match self {
            Self::Text => 512,
            // IAM quotas: the same.
            Self::Users => 5_000,
            Self::Groups => 300,
            Self::Roles => 1_000,
            Self::GroupsOfUser | Self::Policies => 10,
            // IAM quotas: inline policies of a role together. Those of a user (2 048) and a group (5 120) are less
            // there, but do not count what is attached as managed policies, which we do not have.
            Self::PolicyBytes => 10_240,
            // IAM quotas: what the default of 2 048 can be raised to.
            Self::TrustPolicyBytes => 4_096,
            // STS: 12 hours.
            Self::SessionSeconds => 43_200,
            Self::AccessKeys => 2,
            Self::RobotTokens => 10_000,
            Self::RobotTokensOfOwner => 100,
            // STS: session policies.
            Self::TokenPolicyBytes => 2_048,
            Self::Revoked => 100_000,
        }
    }
}
