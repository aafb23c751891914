//! What is known of a request beside caller, action and resource.

use std::collections::BTreeMap;

use proto::policy::key::ConditionKey;

/// Values of condition keys, as text. Whoever fills it bounds their number and length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    values: BTreeMap<ConditionKey, Vec<String>>,
}

impl Context {
    /// Adds a value. A key that has one value at most keeps the newest.
    pub fn insert(&mut self, key: ConditionKey, value: String) {
        if key.has_many_values() {
            self.values.entry(key).or_default().push(value);
        } else {
            self.values.insert(key, vec![value]);
        }
    }

    /// Makes `value` the only one, or none.
    pub(super) fn set(&mut self, key: ConditionKey, value: Option<String>) {
        match value {
            Some(value) => self.values.insert(key, vec![value]),
            None => self.values.remove(&key),
        };
    }

    /// The values of a key; none if it is absent. Tags are found in any case, though one in the very case of `key` goes
    /// first: another tag beside it takes nothing away.
    pub(super) fn get(&self, key: &ConditionKey) -> &[String] {
        let found = self.values.get(key).or_else(|| {
            let tags = self.values.iter();
            tags.filter(|(other, _)| same_tag(key, other)).map(|(_, values)| values).next()
        });
        found.map_or(&[], Vec::as_slice)
    }

    /// The value that a variable inserts.
    pub(super) fn variable(&self, key: &ConditionKey) -> Option<&str> {
        self.get(key).first().map(String::as_str)
    }
}

fn same_tag(a: &ConditionKey, b: &ConditionKey) -> bool {
    match (a, b) {
        (ConditionKey::ResourceTag(a), ConditionKey::ResourceTag(b))
        | (ConditionKey::RequestTag(a), ConditionKey::RequestTag(b)) => a.eq_ignore_ascii_case(b),
        _ => false,
    }
}
