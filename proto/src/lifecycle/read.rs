//! Reading lifecycle policies: refuses all that is not understood.
//!
//! Owns the shape of the document: which members there are, which must be, which go together (ECR specification §7.1).

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::lifecycle::{
    Action, Count, LifecyclePolicy, LifecyclePolicyError, MAX_LIFECYCLE_POLICY, MAX_NUMBER, MAX_RULES,
    MIN_ARCHIVED_DAYS, Rule, Selection, StorageClass, TagStatus, together,
};
use crate::policy::pattern::shorten;
use crate::strict_json;

/// Levels of objects and lists: document, rules, rule, selection, tags.
const MAX_DEPTH: usize = 5;

type Members = Map<String, Value>;

impl FromStr for LifecyclePolicy {
    type Err = LifecyclePolicyError;

    fn from_str(text: &str) -> Result<Self, LifecyclePolicyError> {
        // A character has at most four bytes; so nothing long is even counted.
        if text.len() > 4 * MAX_LIFECYCLE_POLICY || text.chars().count() > MAX_LIFECYCLE_POLICY {
            return Err(LifecyclePolicyError::TooLong);
        }
        strict_json::check(text.as_bytes(), MAX_DEPTH).map_err(|_| LifecyclePolicyError::Json)?;
        let document: Members = serde_json::from_str(text).map_err(|_| LifecyclePolicyError::Json)?;
        // A list of rules that is none counts as missing.
        let Some(rules) = document.get("rules").and_then(Value::as_array) else {
            return Err(LifecyclePolicyError::Missing(vec!["rules"]));
        };
        check_members(&document, &["rules"], &[])?;
        match rules.len() {
            0 => return Err(LifecyclePolicyError::Empty),
            1..=MAX_RULES => {}
            many => return Err(LifecyclePolicyError::Rules(many)),
        }
        let mut rules: Vec<Rule> = rules.iter().map(rule).collect::<Result<_, _>>()?;
        rules.sort_by_key(|rule| rule.priority);
        together::check(&rules)?;
        Ok(Self { rules })
    }
}

fn rule(value: &Value) -> Result<Rule, LifecyclePolicyError> {
    let members = object(value)?;
    check_members(members, &["action", "rulePriority", "selection"], &["description"])?;
    let description = members.get("description").map(|value| text(value).map(str::to_owned)).transpose()?;
    let priority = number(&members["rulePriority"])?;
    let action = action(&members["action"])?;
    let selection = selection(&members["selection"])?;
    check_combination(&selection, action)?;
    Ok(Rule { priority, description, selection, action })
}

fn action(value: &Value) -> Result<Action, LifecyclePolicyError> {
    let members = object(value)?;
    check_members(members, &["type"], &["targetStorageClass"])?;
    check_no_null(members)?;
    let action = choice(&members["type"], &["expire", "transition"], &[Action::Expire, Action::Archive])?;
    match (action, members.get("targetStorageClass")) {
        (Action::Expire, None) => Ok(Action::Expire),
        (Action::Archive, Some(target)) => choice(target, &["archive"], &[Action::Archive]),
        (Action::Expire, Some(_)) | (Action::Archive, None) => Err(LifecyclePolicyError::Shape),
    }
}

fn selection(value: &Value) -> Result<Selection, LifecyclePolicyError> {
    let members = object(value)?;
    let optional = ["countUnit", "storageClass", "tagPatternList", "tagPrefixList"];
    check_members(members, &["countNumber", "countType", "tagStatus"], &optional)?;
    check_no_null(members)?;
    let tags = tags(members)?;
    let classes = [StorageClass::Standard, StorageClass::Archive];
    let class = members.get("storageClass").map(|value| choice(value, &["standard", "archive"], &classes));
    Ok(Selection { tags, class: class.transpose()?.unwrap_or_default(), count: count(members)? })
}

fn tags(members: &Members) -> Result<TagStatus, LifecyclePolicyError> {
    let (patterns, prefixes) = (members.get("tagPatternList"), members.get("tagPrefixList"));
    let possible = &["any", "tagged", "untagged"];
    let status =
        choice(&members["tagStatus"], possible, &[Some(TagStatus::Any), None, Some(TagStatus::Untagged)])?;
    match (status, patterns, prefixes) {
        (Some(status), None, None) => Ok(status),
        (Some(_), ..) => Err(LifecyclePolicyError::NotTagged),
        (None, Some(_), Some(_)) => Err(LifecyclePolicyError::BothLists),
        (None, Some(list), None) => Ok(TagStatus::Patterns(texts(list)?)),
        (None, None, Some(list)) => Ok(TagStatus::Prefixes(texts(list)?)),
        (None, None, None) => Err(LifecyclePolicyError::NoTags),
    }
}

fn count(members: &Members) -> Result<Count, LifecyclePolicyError> {
    let has_unit = members.get("countUnit").map(|unit| choice(unit, &["days"], &[()])).transpose()?.is_some();
    let (count, needs_unit): (fn(u32) -> Count, _) = match text(&members["countType"])? {
        "imageCountMoreThan" => (Count::ImagesMoreThan, false),
        "sinceImagePushed" => (Count::DaysSincePushed, true),
        "sinceImagePulled" => (Count::DaysSincePulled, true),
        "sinceImageTransitioned" => (Count::DaysSinceTransitioned, true),
        _ => return Err(LifecyclePolicyError::Shape),
    };
    let number = number(&members["countNumber"])?;
    if has_unit == needs_unit { Ok(count(number)) } else { Err(LifecyclePolicyError::Shape) }
}

/// The table of §7.1.
fn check_combination(selection: &Selection, action: Action) -> Result<(), LifecyclePolicyError> {
    match (selection.count, selection.class, action) {
        (Count::DaysSinceTransitioned(_), StorageClass::Standard, _) => {
            Err(LifecyclePolicyError::TransitionedClass)
        }
        (Count::DaysSinceTransitioned(_), _, Action::Archive) => {
            Err(LifecyclePolicyError::TransitionedTransition)
        }
        (Count::DaysSinceTransitioned(days), ..) if days < MIN_ARCHIVED_DAYS => {
            Err(LifecyclePolicyError::TransitionedDays)
        }
        (Count::DaysSinceTransitioned(_), StorageClass::Archive, Action::Expire) => Ok(()),
        (_, StorageClass::Archive, _) => Err(LifecyclePolicyError::Shape),
        (Count::DaysSincePulled(_), _, Action::Expire) => Err(LifecyclePolicyError::PulledExpire),
        _ => Ok(()),
    }
}

/// That all `required` are there, and nothing but them and the `optional`.
fn check_members(
    members: &Members,
    required: &[&'static str],
    optional: &[&str],
) -> Result<(), LifecyclePolicyError> {
    let missing: Vec<_> = required.iter().copied().filter(|name| !members.contains_key(*name)).collect();
    if !missing.is_empty() {
        return Err(LifecyclePolicyError::Missing(missing));
    }
    let is_known = |name: &str| required.contains(&name) || optional.contains(&name);
    match members.keys().find(|name| !is_known(name)) {
        Some(unknown) => Err(LifecyclePolicyError::Member(shorten(unknown))),
        None => Ok(()),
    }
}

fn check_no_null(members: &Members) -> Result<(), LifecyclePolicyError> {
    if members.values().any(Value::is_null) { Err(LifecyclePolicyError::Shape) } else { Ok(()) }
}

/// The one of `values` whose name, at the same place among `possible`, the text is.
fn choice<T: Clone>(
    value: &Value,
    possible: &'static [&'static str],
    values: &[T],
) -> Result<T, LifecyclePolicyError> {
    let found = text(value)?;
    let chosen = possible.iter().zip(values).find(|(name, _)| **name == found);
    let error = || LifecyclePolicyError::Enum { found: shorten(found), possible };
    chosen.map(|(_, value)| value.clone()).ok_or_else(error)
}

fn object(value: &Value) -> Result<&Members, LifecyclePolicyError> {
    value.as_object().ok_or_else(|| wrong_type(value, "object"))
}

fn text(value: &Value) -> Result<&str, LifecyclePolicyError> {
    value.as_str().ok_or_else(|| wrong_type(value, "string"))
}

/// A list of texts, not empty.
fn texts<T: FromStr<Err = LifecyclePolicyError>>(value: &Value) -> Result<Vec<T>, LifecyclePolicyError> {
    let values = value.as_array().ok_or_else(|| wrong_type(value, "array"))?;
    if values.is_empty() {
        return Err(LifecyclePolicyError::Empty);
    }
    values.iter().map(|value| text(value)?.parse()).collect()
}

/// From 1 to [`MAX_NUMBER`], written without a fraction.
fn number(value: &Value) -> Result<u32, LifecyclePolicyError> {
    if let Some(low) = value.as_i64().filter(|number| *number < 1) {
        return Err(LifecyclePolicyError::Low(low));
    }
    let number = value.as_u64().ok_or_else(|| wrong_type(value, "integer"))?;
    let fits = u32::try_from(number).ok().filter(|number| *number <= MAX_NUMBER);
    fits.ok_or(LifecyclePolicyError::High(number))
}

fn wrong_type(value: &Value, allowed: &'static str) -> LifecyclePolicyError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    LifecyclePolicyError::Type { found, allowed }
}
