//! Users.

use proto::arn::EntityName;
use proto::identity::AccountId;

use super::super::page::Page;
use super::super::{Moment, StateResult};
use super::{Outcome, access_key, bounded, entity, robot_token, valid_from};
use crate::command::principal::{CreateUser, Deletion, PasswordChange, SetLogin};
use crate::command::{Bound, Noun, PrincipalRefusal};
use crate::key;
use crate::record::{Entity, EntityHead, Hidden, Owner, UserRecord};
use crate::view::{View, ViewMut};

pub(super) fn create<V: ViewMut>(view: &mut V, moment: Moment, create: CreateUser) -> Outcome<(), V> {
    let CreateUser { account, name, password_hash } = create;
    password_fits(password_hash.as_ref())?;
    let record = UserRecord {
        head: EntityHead::new(name, moment.now_ms, moment.index),
        password_hash,
        // Those of a deleted one that had the name are not its own.
        tokens_valid_from_index: moment.index,
        groups: Vec::new(),
    };
    entity::create(view, &account, &record, |found| found.password_hash == record.password_hash)
}

fn password_fits(hash: Option<&Hidden<String>>) -> Result<(), PrincipalRefusal> {
    bounded(hash.map_or(0, |hash| hash.0.len()), Bound::Text)
}

pub(super) fn set_login<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    name: &EntityName,
    set: &SetLogin,
) -> Outcome<(), V> {
    let account = set.owner.account();
    let mut record: UserRecord = entity::existing(view, account, name)?;
    match &set.password {
        PasswordChange::Keep => {}
        PasswordChange::Set(hash) => {
            password_fits(Some(hash))?;
            record.password_hash = Some(hash.clone());
        }
        PasswordChange::Remove => record.password_hash = None,
    }
    record.tokens_valid_from_index = valid_from(record.tokens_valid_from_index, set.tokens, moment);
    entity::put(view, account, &record);
    Ok(())
}

/// What it reads and removes is bounded: [`Bound::AccessKeys`], [`Bound::RobotTokensOfOwner`],
/// [`Bound::GroupsOfUser`] and [`Bound::Policies`].
pub(super) fn delete<V: ViewMut>(view: &mut V, entity: &Entity, deletion: Deletion) -> Outcome<(), V> {
    let Entity { account, name, .. } = entity;
    let record: UserRecord = entity::existing(view, account, name)?;
    let owner = Owner::User(account.clone(), name.clone());
    let keys = access_key::ids_of_owner(view, &owner)?;
    let tokens = robot_token::ids_of_owner(view, &owner)?;
    if deletion == Deletion::IfBare {
        let needed = [
            (record.password_hash.is_some(), Noun::Password),
            (!keys.is_empty(), Noun::AccessKey),
            (!tokens.is_empty(), Noun::RobotToken),
            (!record.groups.is_empty(), Noun::Group),
        ];
        if let Some((_, noun)) = needed.into_iter().find(|(is_there, _)| *is_there) {
            return Err(PrincipalRefusal::InUse(noun).into());
        }
    }
    entity::is_bare(&record.head, deletion)?;
    for id in &keys {
        access_key::remove(view, &owner, id);
    }
    robot_token::remove(view, &owner, &tokens)?;
    for group in &record.groups {
        view.delete(key::member(account, group, name));
    }
    entity::remove::<UserRecord, V>(view, entity)
}

/// The user of exactly this path and name.
///
/// # Errors
/// The state could not be read.
pub fn user<V: View>(view: &V, account: &AccountId, name: &EntityName) -> StateResult<Option<UserRecord>, V> {
    entity::find(view, account, name)
}

/// The user of this name without its path, in any case.
///
/// # Errors
/// The state could not be read.
pub fn user_by_name<V: View>(
    view: &V,
    account: &AccountId,
    name: &str,
) -> StateResult<Option<UserRecord>, V> {
    entity::by_name(view, account, name)
}

/// The next users of an account after the name `after`, without its path, ordered by these names in lower case.
///
/// # Errors
/// The state could not be read.
pub fn users<V: View>(
    view: &V,
    account: &AccountId,
    after: Option<&str>,
    limit: usize,
) -> StateResult<Page<UserRecord>, V> {
    entity::list(view, account, after, limit)
}
