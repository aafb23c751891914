//! Warnings: what a policy may say and hardly means.

use std::fmt;

use crate::policy::condition::{Operator, Quantifier, Test};
use crate::policy::principal::PrincipalName;
use crate::policy::{Effect, Element, Policy, Statement};

/// Something that is legal and risky (XP5 of the hostile inputs; IAM user guide, "Policy validation").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Allow with NotAction: what will be added later is allowed too.
    AllowNotAction,
    /// Allow with NotPrincipal: everyone else is allowed, also who did not log in.
    AllowNotPrincipal,
    /// Deny with NotPrincipal: only the very principals are spared, not those of an account or role that is named.
    DenyNotPrincipal,
    /// Allow with NotResource: what will be added later is allowed too.
    AllowNotResource,
    /// Deny with NotResource: also denies what has no resource, such as logging in.
    DenyNotResource,
    /// Allow for everyone without a condition: also for who did not log in.
    AllowEveryone,
    /// Allow if all values match: also if there are none. `Null` with `false` asks for some.
    AllowForAllValues,
    /// A key with many values without `ForAnyValue` or `ForAllValues`.
    NoQuantifier,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllowNotAction => "Allow with NotAction allows all other actions, also future ones",
            Self::AllowNotPrincipal => "Allow with NotPrincipal allows everyone else, also anonymously",
            Self::DenyNotPrincipal => "Deny with NotPrincipal denies all but exactly the principals it names",
            Self::AllowNotResource => "Allow with NotResource allows all other resources, also future ones",
            Self::DenyNotResource => "Deny with NotResource also denies actions without a resource",
            Self::AllowEveryone => "Principal * without a condition allows everyone, also anonymously",
            Self::AllowForAllValues => "ForAllValues is met by requests without the key",
            Self::NoQuantifier => "a key with many values needs ForAnyValue or ForAllValues",
        })
    }
}

impl Policy {
    /// What is risky in it: the number of the statement, from 0, and why.
    pub fn warnings(&self) -> Vec<(usize, Warning)> {
        let numbered = self.statements.iter().enumerate();
        numbered
            .flat_map(|(number, statement)| of(statement).into_iter().map(move |why| (number, why)))
            .collect()
    }
}

fn of(statement: &Statement) -> Vec<Warning> {
    // What is left out means everything, which nobody wrote down.
    fn negated<T>(element: &Element<T>) -> bool {
        matches!(element, Element::AllBut(entries) if !entries.is_empty())
    }
    let allows = statement.effect == Effect::Allow;
    let everyone =
        matches!(&statement.principals, Element::Only(names) if names.contains(&PrincipalName::Everyone));
    let quantifier = |operator: &Operator, wanted| operator.quantifier == wanted;
    let conditions = &statement.conditions;
    let no_values = conditions.iter().any(|one| allows && quantifier(&one.operator, Quantifier::All));
    let no_quantifier = conditions.iter().any(|one| {
        one.key.has_many_values()
            && quantifier(&one.operator, Quantifier::Single)
            && !matches!(one.test, Test::Absent(_))
    });
    [
        (allows && negated(&statement.actions), Warning::AllowNotAction),
        (allows && negated(&statement.principals), Warning::AllowNotPrincipal),
        (!allows && negated(&statement.principals), Warning::DenyNotPrincipal),
        (allows && negated(&statement.resources), Warning::AllowNotResource),
        (!allows && negated(&statement.resources), Warning::DenyNotResource),
        (allows && everyone && conditions.is_empty(), Warning::AllowEveryone),
        (no_values, Warning::AllowForAllValues),
        (no_quantifier, Warning::NoQuantifier),
    ]
    .into_iter()
    .filter_map(|(found, warning)| found.then_some(warning))
    .collect()
}
