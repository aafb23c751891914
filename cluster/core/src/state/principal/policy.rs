//! Policies of users, groups and roles: texts under names.

use proto::credential::PolicyName;

use super::super::page::page;
use super::super::{Moment, StateResult, decode, inconsistent, read, write};
use super::entity::{self, EntityRecord};
use super::{Outcome, bounded, room};
use crate::command::{Bound, Noun, PrincipalRefusal};
use crate::key;
use crate::record::{Entity, EntityHead, EntityKind, GroupRecord, PolicyRecord, RoleRecord, UserRecord};
use crate::view::{View, ViewMut};

pub(super) fn put<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    entity: &Entity,
    name: &PolicyName,
    text: String,
) -> Outcome<(), V> {
    let before = policy(view, entity, name)?;
    let change = |head: &mut EntityHead| {
        if before.as_ref() == Some(&text) {
            return Ok(false);
        }
        let old_bytes = before.as_ref().map_or(0, String::len);
        if before.is_none() {
            room(head.policies as usize, Bound::Policies)?;
            head.policies += 1;
        }
        let bytes = (head.policy_bytes as usize).saturating_sub(old_bytes).saturating_add(text.len());
        bounded(bytes, Bound::PolicyBytes)?;
        head.policy_bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        head.changed_index = moment.index;
        Ok(true)
    };
    if change_head(view, entity, change)? {
        write(view, key::policy(entity, name), &PolicyRecord { text });
    }
    Ok(())
}

pub(super) fn delete<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    entity: &Entity,
    name: &PolicyName,
) -> Outcome<(), V> {
    let before = policy(view, entity, name)?;
    change_head(view, entity, |head| {
        let bytes = before.as_ref().ok_or(PrincipalRefusal::NotFound(Noun::Policy))?.len();
        head.policies = head.policies.saturating_sub(1);
        head.policy_bytes = head.policy_bytes.saturating_sub(u32::try_from(bytes).unwrap_or(u32::MAX));
        head.changed_index = moment.index;
        Ok(true)
    })?;
    view.delete(key::policy(entity, name));
    Ok(())
}

/// Writes what `change` makes of the entity, if it says that it changed it.
fn change_head<V: ViewMut>(
    view: &mut V,
    entity: &Entity,
    change: impl FnOnce(&mut EntityHead) -> Result<bool, PrincipalRefusal>,
) -> Outcome<bool, V> {
    match entity.kind {
        EntityKind::User => change_head_of::<UserRecord, V>(view, entity, change),
        EntityKind::Group => change_head_of::<GroupRecord, V>(view, entity, change),
        EntityKind::Role => change_head_of::<RoleRecord, V>(view, entity, change),
    }
}

fn change_head_of<R: EntityRecord, V: ViewMut>(
    view: &mut V,
    entity: &Entity,
    change: impl FnOnce(&mut EntityHead) -> Result<bool, PrincipalRefusal>,
) -> Outcome<bool, V> {
    let mut record: R = entity::existing(view, &entity.account, &entity.name)?;
    let is_changed = change(record.head_mut())?;
    if is_changed {
        entity::put(view, &entity.account, &record);
    }
    Ok(is_changed)
}

/// The text of one policy. As [`policies`], it does not ask whether the entity has this very path.
///
/// # Errors
/// The state could not be read.
pub fn policy<V: View>(view: &V, entity: &Entity, name: &PolicyName) -> StateResult<Option<String>, V> {
    Ok(read(view, &key::policy(entity, name))?.map(|record: PolicyRecord| record.text))
}

/// All policies of a user, group or role, ordered by name: at most [`Bound::Policies`].
///
/// # Errors
/// The state could not be read.
pub fn policies<V: View>(view: &V, entity: &Entity) -> StateResult<Vec<(PolicyName, String)>, V> {
    let prefix = key::policies(entity);
    let all = page(view, &prefix, None, usize::MAX, |rest, value| {
        let key = [&prefix, rest].concat();
        let name = std::str::from_utf8(rest).ok().and_then(|text| text.parse().ok());
        let name = name.ok_or_else(|| inconsistent(key.clone(), "no name of a policy"))?;
        Ok(Some((name, decode::<PolicyRecord, _>(&key, value)?.text)))
    })?;
    Ok(all.items)
}
