//! Which rules may stand together in one policy (ECR specification §7.2, §7.5).

use std::collections::BTreeSet;

use crate::lifecycle::{LifecyclePolicyError, Rule, StorageClass, TagStatus};

/// Of rules by ascending priority.
pub(super) fn check(rules: &[Rule]) -> Result<(), LifecyclePolicyError> {
    let same = |pair: &&[Rule]| matches!(pair, [one, next] if one.priority == next.priority);
    if let Some([rule, ..]) = rules.windows(2).find(same) {
        return Err(LifecyclePolicyError::SamePriority(rule.priority));
    }
    for class in [StorageClass::Standard, StorageClass::Archive] {
        check_class(
            rules.iter().map(|rule| &rule.selection).filter(|one| one.class == class).map(|one| &one.tags),
        )?;
    }
    Ok(())
}

fn check_class<'a>(all: impl Iterator<Item = &'a TagStatus>) -> Result<(), LifecyclePolicyError> {
    let (mut has_any, mut has_untagged) = (false, false);
    let (mut patterns, mut prefixes) = (BTreeSet::new(), BTreeSet::new());
    for tags in all {
        if has_any {
            return Err(LifecyclePolicyError::AnyNotLast);
        }
        // The order of a list means nothing, nor does an entry that is in it twice.
        let is_new = match tags {
            TagStatus::Patterns(list) => patterns.insert(list.iter().collect::<BTreeSet<_>>()),
            TagStatus::Prefixes(list) => prefixes.insert(list.iter().collect::<BTreeSet<_>>()),
            TagStatus::Untagged if has_untagged => return Err(LifecyclePolicyError::TwoUntagged),
            TagStatus::Untagged | TagStatus::Any => true,
        };
        if !is_new {
            return Err(LifecyclePolicyError::SameTags);
        }
        has_any |= *tags == TagStatus::Any;
        has_untagged |= *tags == TagStatus::Untagged;
    }
    Ok(())
}
