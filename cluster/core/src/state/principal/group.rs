//! Groups and who is in them.
//!
//! A user's record names its groups; beside it stands a row under each group, so that a group knows its users.

use proto::arn::EntityName;
use proto::identity::AccountId;

use super::super::page::{Page, page};
use super::super::{Moment, StateResult, inconsistent};
use super::{Outcome, entity, room, user};
use crate::command::principal::{Deletion, Membership, SetMembership};
use crate::command::{Bound, Noun, PrincipalRefusal};
use crate::key;
use crate::record::{Entity, EntityHead, GroupRecord, UserRecord};
use crate::view::{View, ViewMut};

pub(super) fn create<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    account: &AccountId,
    name: EntityName,
) -> Outcome<(), V> {
    let record = GroupRecord { head: EntityHead::new(name, moment.now_ms, moment.index) };
    entity::create(view, account, &record, |_| true)
}

pub(super) fn set_membership<V: ViewMut>(view: &mut V, moment: Moment, set: SetMembership) -> Outcome<(), V> {
    let SetMembership { account, user, group, membership } = set;
    let mut record: UserRecord = entity::existing(view, &account, &user)?;
    entity::existing::<GroupRecord, V>(view, &account, &group)?;
    let row = key::member(&account, &group, &user);
    match (record.groups.binary_search(&group), membership) {
        (Ok(_), Membership::Member) | (Err(_), Membership::None) => return Ok(()),
        (Err(at), Membership::Member) => {
            room(record.groups.len(), Bound::GroupsOfUser)?;
            record.groups.insert(at, group);
            view.put(row, Vec::new());
        }
        (Ok(at), Membership::None) => {
            record.groups.remove(at);
            view.delete(row);
        }
    }
    record.head.changed_index = moment.index;
    entity::put(view, &account, &record);
    Ok(())
}

/// A group with users in it stays, forced or not: their number is not bounded enough for one entry.
pub(super) fn delete<V: ViewMut>(view: &mut V, entity: &Entity, deletion: Deletion) -> Outcome<(), V> {
    let Entity { account, name, .. } = entity;
    let record: GroupRecord = entity::existing(view, account, name)?;
    let members = page(view, &key::members(account, name), None, 1, |_, _| Ok(Some(())))?;
    if !members.items.is_empty() {
        return Err(PrincipalRefusal::InUse(Noun::User).into());
    }
    entity::is_bare(&record.head, deletion)?;
    entity::remove::<GroupRecord, V>(view, entity)
}

/// The group of exactly this path and name.
///
/// # Errors
/// The state could not be read.
pub fn group<V: View>(
    view: &V,
    account: &AccountId,
    name: &EntityName,
) -> StateResult<Option<GroupRecord>, V> {
    entity::find(view, account, name)
}

/// The group of this name without its path, in any case.
///
/// # Errors
/// The state could not be read.
pub fn group_by_name<V: View>(
    view: &V,
    account: &AccountId,
    name: &str,
) -> StateResult<Option<GroupRecord>, V> {
    entity::by_name(view, account, name)
}

/// The next groups of an account; see [`user::users`].
///
/// # Errors
/// The state could not be read.
pub fn groups<V: View>(
    view: &V,
    account: &AccountId,
    after: Option<&str>,
    limit: usize,
) -> StateResult<Page<GroupRecord>, V> {
    entity::list(view, account, after, limit)
}

/// The next users of a group; see [`user::users`]. None if there is no such group.
///
/// # Errors
/// The state could not be read.
pub fn members<V: View>(
    view: &V,
    account: &AccountId,
    group: &EntityName,
    after: Option<&str>,
    limit: usize,
) -> StateResult<Page<UserRecord>, V> {
    let prefix = key::members(account, group);
    let after = after.map(str::to_ascii_lowercase);
    let names = page(view, &prefix, after.as_deref().map(str::as_bytes), limit, |rest, _| {
        let name = String::from_utf8(rest.to_vec());
        name.map(Some).map_err(|_| inconsistent([&prefix, rest].concat(), "no name of a user"))
    })?;
    let with_record = |name: String| -> StateResult<UserRecord, V> {
        let record = user::user_by_name(view, account, &name)?;
        record.ok_or_else(|| inconsistent([&prefix, name.as_bytes()].concat(), "no such user"))
    };
    let items = names.items.into_iter().map(with_record).collect::<StateResult<_, V>>()?;
    Ok(Page { items, more: names.more })
}
