//! Whether a request meets a condition.
//!
//! Owns what absent keys and many values mean (IAM user guide, "Condition operators" and "Conditions with multiple
//! context keys or values"; XP6 of the hostile inputs).

use proto::policy::condition::{Condition, Quantifier, Test};

use super::Context;

/// Whether `context` meets it.
pub(super) fn met(condition: &Condition, context: &Context) -> bool {
    let values = context.get(&condition.key);
    if let Test::Absent(words) = &condition.test {
        return words.contains(&values.is_empty());
    }
    let operator = condition.operator;
    if values.is_empty() {
        return match operator.quantifier {
            Quantifier::All => true,
            // There is no value that could be the one, `IfExists` or not.
            Quantifier::Any => false,
            Quantifier::Single => operator.negated || operator.if_exists,
        };
    }
    let lookup = |key: &_| context.variable(key);
    let holds = |value: &String| condition.test.matches(value, &lookup) != operator.negated;
    match operator.quantifier {
        Quantifier::All => values.iter().all(holds),
        Quantifier::Any => values.iter().any(holds),
        // Of several values, which ask for a quantifier: one must match, or none.
        Quantifier::Single if operator.negated => values.iter().all(holds),
        Quantifier::Single => values.iter().any(holds),
    }
}
