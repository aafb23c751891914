//! What users, groups and roles have in common: a name of its kind in an account, and policies.

use proto::arn::EntityName;
use proto::identity::AccountId;

use super::super::page::{Page, page};
use super::super::{StateResult, decode, read, write};
use super::{Outcome, account, policy, room};
use crate::command::principal::Deletion;
use crate::command::{Bound, Noun, PrincipalRefusal};
use crate::key;
use crate::record::{Entity, EntityHead, EntityKind, GroupRecord, Record, RoleRecord, UserRecord};
use crate::view::{View, ViewMut};

/// A record of a user, group or role.
pub(super) trait EntityRecord: Record {
    const KIND: EntityKind;
    const NOUN: Noun;
    /// Of the account's number of them.
    const BOUND: Bound;

    fn head(&self) -> &EntityHead;
    fn head_mut(&mut self) -> &mut EntityHead;
}

macro_rules! entity_record {
    ($record:ty, $kind:ident, $bound:ident) => {
        impl EntityRecord for $record {
            const KIND: EntityKind = EntityKind::$kind;
            const NOUN: Noun = Noun::$kind;
            const BOUND: Bound = Bound::$bound;

            fn head(&self) -> &EntityHead {
                &self.head
            }

            fn head_mut(&mut self) -> &mut EntityHead {
                &mut self.head
            }
        }
    };
}

entity_record!(UserRecord, User, Users);
entity_record!(GroupRecord, Group, Groups);
entity_record!(RoleRecord, Role, Roles);

/// Writes a new one; done already if there is one of its name that `is_same`.
pub(super) fn create<R: EntityRecord, V: ViewMut>(
    view: &mut V,
    id: &AccountId,
    record: &R,
    is_same: impl FnOnce(&R) -> bool,
) -> Outcome<(), V> {
    let mut owner = account::existing(view, id)?;
    let name = &record.head().name;
    if let Some(found) = by_name::<R, V>(view, id, &name.unique_name())? {
        let is_same = found.head().name == *name && is_same(&found);
        return if is_same { Ok(()) } else { Err(PrincipalRefusal::Exists(R::NOUN).into()) };
    }
    let count = account::count_of(&mut owner, R::KIND);
    room(*count as usize, R::BOUND)?;
    *count += 1;
    write(view, key::account(id), &owner);
    put(view, id, record);
    Ok(())
}

pub(super) fn put<R: EntityRecord>(view: &mut impl ViewMut, id: &AccountId, record: &R) {
    write(view, key::entity(id, R::KIND, &record.head().name.unique_name()), record);
}

/// Refuses to delete what still has policies.
pub(super) fn is_bare(head: &EntityHead, deletion: Deletion) -> Result<(), PrincipalRefusal> {
    let is_bare = head.policies == 0 || deletion == Deletion::Forced;
    if is_bare { Ok(()) } else { Err(PrincipalRefusal::InUse(Noun::Policy)) }
}

/// Removes it, after all checks, with its policies.
pub(super) fn remove<R: EntityRecord, V: ViewMut>(view: &mut V, entity: &Entity) -> Outcome<(), V> {
    let mut owner = account::existing(view, &entity.account)?;
    for (name, _) in policy::policies(view, entity)? {
        view.delete(key::policy(entity, &name));
    }
    let count = account::count_of(&mut owner, R::KIND);
    *count = count.saturating_sub(1);
    write(view, key::account(&entity.account), &owner);
    view.delete(key::entity(&entity.account, R::KIND, &entity.name.unique_name()));
    Ok(())
}

pub(super) fn existing<R: EntityRecord, V: View>(
    view: &V,
    id: &AccountId,
    name: &EntityName,
) -> Outcome<R, V> {
    Ok(find(view, id, name)?.ok_or(PrincipalRefusal::NotFound(R::NOUN))?)
}

/// The one of exactly this path and name.
pub(super) fn find<R: EntityRecord, V: View>(
    view: &V,
    id: &AccountId,
    name: &EntityName,
) -> StateResult<Option<R>, V> {
    Ok(by_name(view, id, &name.unique_name())?.filter(|record: &R| record.head().name == *name))
}

/// The one of this name without its path, in any case.
pub(super) fn by_name<R: EntityRecord, V: View>(
    view: &V,
    id: &AccountId,
    name: &str,
) -> StateResult<Option<R>, V> {
    read(view, &key::entity(id, R::KIND, &name.to_ascii_lowercase()))
}

/// The next ones after the name `after`, without its path, ordered by these names in lower case.
pub(super) fn list<R: EntityRecord, V: View>(
    view: &V,
    id: &AccountId,
    after: Option<&str>,
    limit: usize,
) -> StateResult<Page<R>, V> {
    let prefix = key::entities(id, R::KIND);
    let after = after.map(str::to_ascii_lowercase);
    page(view, &prefix, after.as_deref().map(str::as_bytes), limit, |rest, value| {
        decode(&[&prefix, rest].concat(), value).map(Some)
    })
}
