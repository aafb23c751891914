//! IAM policies: who may do what, as documents.
//!
//! Owns the policy language (ECR specification §9.2; IAM user guide, "Grammar of the IAM JSON policy language") as types
//! that are always valid; `read` makes them. The text itself is stored as it came; nothing here writes it back. Whether
//! a request is allowed is decided in `cluster_core::access::policy`.
//!
//! Bounds: [`MAX_POLICY`] characters and [`MAX_DEPTH`] levels, both checked before anything is built. Reading takes
//! time linear in the text.

pub mod action;
pub mod condition;
mod error;
mod glob;
pub mod key;
pub mod pattern;
pub mod principal;
mod read;
pub mod value;
mod warning;

pub use error::{PolicyError, StatementError};
pub use warning::Warning;

use crate::policy::action::ActionPattern;
use crate::policy::condition::Condition;
use crate::policy::pattern::ArnPattern;
use crate::policy::principal::PrincipalName;

/// Longest policy text in characters (ECR API, RepositoryPolicyText and RegistryPolicyText; IAM quotas for roles).
pub const MAX_POLICY: usize = 10_240;
/// Levels of objects and lists in a policy: document, statements, statement, Condition, operator, values.
pub const MAX_DEPTH: usize = 6;

/// What a policy is attached to; each has rules of its own (§9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A user, group, role or session. Its principal is that one; it names resources, and actions of any service.
    Identity,
    /// A repository of `ecr`. It names principals, and needs no resource: that is the repository.
    Repository,
    /// A repository of `ecr-public`.
    PublicRepository,
    /// A registry. It names principals and resources.
    Registry,
    /// A role: who may become it. It names principals, and needs no resource: that is the role.
    Trust,
}

impl Kind {
    /// What ECR says of a policy that it refuses (§5); IAM's word is for those that it keeps itself.
    pub fn refusal(self) -> &'static str {
        match self {
            Self::Identity | Self::Trust => "Syntax errors in policy.",
            Self::Repository | Self::PublicRepository => "Invalid repository policy provided",
            Self::Registry => "Invalid registry policy provided",
        }
    }

    /// The one service whose actions it may name.
    fn service(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Repository | Self::Registry => Some("ecr"),
            Self::PublicRepository => Some("ecr-public"),
            Self::Trust => Some("sts"),
        }
    }
}

/// Whether condition keys that ECR does not have are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extensions {
    /// `shoal:ImageTag` and its like.
    Allowed,
    /// Strict mode: ECR's language only.
    Refused,
}

/// A policy document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// In the order of the document.
    pub statements: Vec<Statement>,
}

/// What a statement does with the requests that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It allows them.
    Allow,
    /// It denies them, whatever else allows them.
    Deny,
}

/// One rule: matches a request if all its elements do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its name, for people.
    pub sid: Option<String>,
    /// What it does.
    pub effect: Effect,
    /// Principal or NotPrincipal; everyone in a policy of an identity, which nobody else has.
    pub principals: Element<PrincipalName>,
    /// Action or NotAction.
    pub actions: Element<ActionPattern>,
    /// Resource or NotResource; everything in a repository's policy without them.
    pub resources: Element<ArnPattern>,
    /// Condition: all must be met.
    pub conditions: Vec<Condition>,
}

/// An element and its negated form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element<T> {
    /// `Action`: one of these.
    Only(Vec<T>),
    /// `NotAction`: none of these.
    AllBut(Vec<T>),
}

impl<T> Element<T> {
    /// Everything.
    pub fn all() -> Self {
        Self::AllBut(Vec::new())
    }

    /// Whether it holds of something that `matches` knows among its entries.
    pub fn holds(&self, matches: impl FnMut(&T) -> bool) -> bool {
        match self {
            Self::Only(entries) => entries.iter().any(matches),
            Self::AllBut(entries) => !entries.iter().any(matches),
        }
    }
}

#[cfg(test)]
#[path = "policy_test.rs"]
mod tests;
