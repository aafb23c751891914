//! Why a text is no policy. Where IAM has words for it, these are the words.

use crate::arn::ArnError;
use crate::policy::MAX_POLICY;
use crate::policy::action::ActionError;
use crate::policy::condition::ConditionError;
use crate::policy::pattern::PatternError;

/// Why a document is no policy. To a client of ECR all are [`Kind::refusal`](crate::policy::Kind::refusal).
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// More than [`MAX_POLICY`] characters.
    #[error("a policy may have at most {MAX_POLICY} characters")]
    TooLong,
    /// Not strict JSON, or nested more than [`MAX_DEPTH`](crate::policy::MAX_DEPTH) levels: the parser's words.
    #[error("Syntax errors in policy.")]
    Json(#[from] serde_json::Error),
    /// A member that policies do not have.
    #[error("a policy has no member {0:?}")]
    Member(String),
    /// Neither 2008-10-17 nor 2012-10-17.
    #[error("Version must be 2012-10-17 or 2008-10-17")]
    Version,
    /// No statements.
    #[error("Missing required field Statement")]
    NoStatement,
    /// A Sid appears twice in the policy of an identity.
    #[error("Statement IDs (SID) in a single policy must be unique.")]
    SameSid,
    /// A statement is wrong.
    #[error("statement {number}")]
    Statement {
        /// Which, from 0.
        number: usize,
        /// Why.
        #[source]
        reason: StatementError,
    },
}

/// Why a statement is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// It is no object, or a member of it has another shape than it should.
    #[error("{0} has the wrong type")]
    Type(&'static str),
    /// A member that statements do not have.
    #[error("a statement has no member {0:?}")]
    Member(String),
    /// A member must be there, in its plain or negated form.
    #[error("Missing required field {0}")]
    Missing(&'static str),
    /// A member and its negated form.
    #[error("{0} and its negated form exclude each other")]
    Both(&'static str),
    /// A list without entries.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// A principal in the policy of an identity.
    #[error("Policy document should not specify a principal.")]
    Principals,
    /// A resource in the trust policy of a role.
    #[error("Has prohibited field Resource")]
    Resources,
    /// Neither Allow nor Deny.
    #[error("Effect must be Allow or Deny")]
    Effect,
    /// A Sid that IAM does not take: letters and digits only.
    #[error("Statement IDs (SID) must be alpha-numeric.")]
    Sid,
    /// A principal is wrong.
    #[error(transparent)]
    Principal(#[from] ArnError),
    /// An action is wrong.
    #[error(transparent)]
    Action(#[from] ActionError),
    /// A resource is wrong.
    #[error(transparent)]
    Resource(#[from] PatternError),
    /// A condition is wrong.
    #[error(transparent)]
    Condition(#[from] ConditionError),
}
