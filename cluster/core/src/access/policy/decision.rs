//! What a decision is, and how it tells its reason.

use std::fmt;

/// May it be done, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'p> {
    /// Yes.
    Allow(AllowReason<'p>),
    /// No.
    Deny(DenyReason<'p>),
}

impl Decision<'_> {
    /// Whether it is a yes.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

/// Why something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowReason<'p> {
    /// The caller is the root of the account that owns the resource.
    Root,
    /// Everybody who is somebody may.
    Authenticated,
    /// The operator opened the registry for anonymous reading.
    AnonymousPull,
    /// One statement was enough.
    Statement(Ruling<'p>),
    /// The caller's account and the owner's both allow it.
    BothSides {
        /// In a policy of the caller.
        identity: Ruling<'p>,
        /// In a policy of the resource.
        resource: Ruling<'p>,
    },
}

/// Why something is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyReason<'p> {
    /// A statement denies it, whatever others say.
    Explicit(Ruling<'p>),
    /// There is a session policy, and it does not allow it.
    NoSessionAllow,
    /// Same account: neither side allows it.
    NoAllow,
    /// Other account: no policy of the caller allows it.
    NoIdentityAllow,
    /// Other account: no policy of the resource allows it.
    NoResourceAllow,
    /// Nobody in particular may not do this: authenticate first.
    NotAuthenticated,
    /// The role's trust policy does not allow it.
    NoTrust,
    /// What belongs to a root user is its alone, whatever policies say.
    NotRoot,
}

/// The statement that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling<'p> {
    /// In which policy.
    pub origin: Origin<'p>,
    /// Its place there, from 0.
    pub number: usize,
    /// Its name, if it has one.
    pub sid: Option<&'p str>,
}

/// Where a policy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'p> {
    /// One of the caller's, by the name that it was passed with.
    Identity(&'p str),
    /// The session's.
    Session,
    /// The repository's.
    Repository,
    /// The registry's.
    Registry,
    /// The role's trust policy.
    Trust,
}

impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow(reason) => write!(f, "allowed: {reason}"),
            Self::Deny(reason) => write!(f, "denied: {reason}"),
        }
    }
}

impl fmt::Display for AllowReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root of the account that owns the resource"),
            Self::Authenticated => f.write_str("authenticated"),
            Self::AnonymousPull => f.write_str("the registry is open for anonymous reading"),
            Self::Statement(ruling) => ruling.fmt(f),
            Self::BothSides { identity, resource } => write!(f, "{identity} and {resource}"),
        }
    }
}

impl fmt::Display for DenyReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Explicit(ruling) => return write!(f, "explicit deny in {ruling}"),
            Self::NoSessionAllow => "no session policy allows the action",
            Self::NoAllow => "no identity-based or resource-based policy allows the action",
            Self::NoIdentityAllow => "no identity-based policy allows the action",
            Self::NoResourceAllow => "no resource-based policy allows the action",
            Self::NotAuthenticated => "no resource-based policy allows the action to everyone",
            Self::NoTrust => "the role's trust policy does not allow it",
            Self::NotRoot => "what is root's is root's alone",
        })
    }
}

impl fmt::Display for Ruling<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement {}", self.number)?;
        if let Some(sid) = self.sid {
            write!(f, " ({sid:?})")?;
        }
        match self.origin {
            Origin::Identity(name) => write!(f, " of identity policy {name:?}"),
            Origin::Session => f.write_str(" of the session policy"),
            Origin::Repository => f.write_str(" of the repository policy"),
            Origin::Registry => f.write_str(" of the registry policy"),
            Origin::Trust => f.write_str(" of the trust policy"),
        }
    }
}
