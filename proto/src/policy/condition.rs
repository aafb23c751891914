//! Conditions: an operator, a key, and the values it is compared with.
//!
//! Owns the operators (ECR specification §9.2; IAM user guide, "Condition operators") and when one value of a request
//! meets one condition's values. What absent keys and several values mean is decided in `cluster_core::access::policy`.

use std::cmp::Ordering;

use ipnet::IpNet;
use time::OffsetDateTime;

use crate::policy::key::ConditionKey;
use crate::policy::pattern::{ArnPattern, Case, Lookup, Pattern, PatternError, Syntax};
use crate::policy::value::{self, Number};

/// One line of a Condition element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What is asked about.
    pub key: ConditionKey,
    /// How.
    pub operator: Operator,
    /// With which values; several are OR.
    pub test: Test,
}

/// An operator's name without what it compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    /// `ForAnyValue:` or `ForAllValues:`.
    pub quantifier: Quantifier,
    /// Whether none of the values may match: `StringNotEquals`.
    pub negated: bool,
    /// `…IfExists`: an absent key meets it.
    pub if_exists: bool,
}

/// Which of a request's values must match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantifier {
    /// The only one.
    Single,
    /// `ForAnyValue:` at least one; none do not.
    Any,
    /// `ForAllValues:` each; none do.
    All,
}

/// A comparison with a policy's values; never without any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// `String…`
    Text(Case, Vec<Pattern>),
    /// `Arn…`; equal and like are one (IAM user guide, "ARN condition operators").
    Arn(Vec<ArnPattern>),
    /// `Numeric…`
    Number(Relation, Vec<Number>),
    /// `Date…`
    Date(Relation, Vec<OffsetDateTime>),
    /// `Bool`
    Truth(Vec<bool>),
    /// `IpAddress`
    Address(Vec<IpNet>),
    /// `Null`: whether the key may be absent. Looks at no value.
    Absent(Vec<bool>),
}

/// What a request's value must be to a policy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `Equals`
    Equal,
    /// `LessThan`
    Less,
    /// `LessThanEquals`
    LessOrEqual,
    /// `GreaterThan`
    Greater,
    /// `GreaterThanEquals`
    GreaterOrEqual,
}

impl Relation {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// Why a condition is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Not an operator.
    #[error("{0:?} is not a condition operator")]
    Operator(String),
    /// Not a key.
    #[error(transparent)]
    Key(#[from] crate::policy::key::KeyError),
    /// A key that ECR does not have, where only ECR's language is taken.
    #[error("{0} is not a condition key of ECR")]
    Extension(ConditionKey),
    /// A value that its operator cannot compare.
    #[error("{0:?} is not a value for {1}")]
    Value(String, String),
    /// A value that is no pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// No values.
    #[error("{0} has no values")]
    Empty(ConditionKey),
}

impl Condition {
    /// Reads one: `operator` with prefix and suffix, a key, and its values as text. `variables` as in [`Syntax`].
    pub fn parse(
        operator: &str,
        key: ConditionKey,
        values: &[String],
        variables: Variables,
    ) -> Result<Self, ConditionError> {
        if values.is_empty() {
            return Err(ConditionError::Empty(key));
        }
        let (quantifier, base) = match operator.split_once(':') {
            Some(("ForAnyValue", base)) => (Quantifier::Any, base),
            Some(("ForAllValues", base)) => (Quantifier::All, base),
            _ => (Quantifier::Single, operator),
        };
        let (base, if_exists) = base.strip_suffix("IfExists").map_or((base, false), |base| (base, true));
        let unknown = || ConditionError::Operator(super::pattern::shorten(operator));
        let (negated, test) = test(base, values, variables)?.ok_or_else(unknown)?;
        if matches!(test, Test::Absent(_)) && (if_exists || quantifier != Quantifier::Single) {
            return Err(unknown());
        }
        Ok(Self { key, operator: Operator { quantifier, negated, if_exists }, test })
    }
}

/// Whether a policy's version knows variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variables {
    /// 2008-10-17: `${` is text.
    Text,
    /// 2012-10-17: `${` begins one.
    Inserted,
}

/// Whether the operator is negated, and its comparison; `None` for an unknown one.
fn test(base: &str, values: &[String], variables: Variables) -> Result<Option<(bool, Test)>, ConditionError> {
    let test = match base {
        "Bool" => Some((false, Test::Truth(typed(base, values, value::truth)?))),
        "Null" => Some((false, Test::Absent(typed(base, values, value::truth)?))),
        "IpAddress" => Some((false, Test::Address(typed(base, values, value::network)?))),
        "NotIpAddress" => Some((true, Test::Address(typed(base, values, value::network)?))),
        _ => None,
    };
    let family = ["String", "Arn", "Numeric", "Date"]
        .into_iter()
        .find_map(|family| base.strip_prefix(family).map(|rest| (family, rest)));
    let (None, Some((family, rest))) = (&test, family) else { return Ok(test) };
    let (negated, name) = rest.strip_prefix("Not").map_or((false, rest), |rest| (true, rest));
    let variables = variables == Variables::Inserted;
    let texts = |wildcards, case| -> Result<Test, ConditionError> {
        let syntax = Syntax { wildcards, variables };
        let patterns: Result<_, _> = values.iter().map(|text| Pattern::parse(text, syntax)).collect();
        Ok(Test::Text(case, patterns?))
    };
    let test = match (family, name, relation(name)) {
        ("String", "Equals", _) => texts(false, Case::Sensitive)?,
        ("String", "EqualsIgnoreCase", _) => texts(false, Case::Insensitive)?,
        ("String", "Like", _) => texts(true, Case::Sensitive)?,
        ("Arn", "Equals" | "Like", _) => {
            let syntax = Syntax { wildcards: true, variables };
            let patterns: Result<_, _> = values.iter().map(|text| ArnPattern::parse(text, syntax)).collect();
            Test::Arn(patterns?)
        }
        // There is no NotLessThan.
        (_, _, Some(relation)) if negated && relation != Relation::Equal => return Ok(None),
        ("Numeric", _, Some(relation)) => Test::Number(relation, typed(base, values, Number::parse)?),
        ("Date", _, Some(relation)) => Test::Date(relation, typed(base, values, value::date)?),
        _ => return Ok(None),
    };
    Ok(Some((negated, test)))
}

fn relation(name: &str) -> Option<Relation> {
    Some(match name {
        "Equals" => Relation::Equal,
        "LessThan" => Relation::Less,
        "LessThanEquals" => Relation::LessOrEqual,
        "GreaterThan" => Relation::Greater,
        "GreaterThanEquals" => Relation::GreaterOrEqual,
        _ => return None,
    })
}

fn typed<T>(
    operator: &str,
    values: &[String],
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ConditionError> {
    let bad = |text: &str| ConditionError::Value(super::pattern::shorten(text), operator.to_owned());
    values.iter().map(|text| parse(text).ok_or_else(|| bad(text))).collect()
}

impl Test {
    /// Whether a value of a request matches any of the policy's. One that is not of the operator's type matches none.
    pub fn matches(&self, text: &str, lookup: &Lookup<'_>) -> bool {
        match self {
            Self::Text(case, patterns) => patterns.iter().any(|pattern| pattern.matches(text, *case, lookup)),
            Self::Arn(patterns) => patterns.iter().any(|pattern| pattern.matches_text(text, lookup)),
            Self::Number(relation, numbers) => compare(*relation, numbers, Number::parse(text)),
            Self::Date(relation, dates) => compare(*relation, dates, value::date(text)),
            Self::Truth(words) => value::truth(text).is_some_and(|word| words.contains(&word)),
            Self::Address(networks) => value::address(text)
                .is_some_and(|address| networks.iter().any(|network| network.contains(&address))),
            Self::Absent(words) => words.contains(&false),
        }
    }
}

fn compare<T: Ord>(relation: Relation, values: &[T], asked: Option<T>) -> bool {
    asked.is_some_and(|asked| values.iter().any(|value| relation.holds(asked.cmp(value))))
}

#[cfg(test)]
#[path = "condition_test.rs"]
mod tests;
