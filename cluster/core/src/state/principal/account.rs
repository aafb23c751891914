//! Accounts and their roots.

use proto::identity::AccountId;

use super::super::page::{Page, page};
use super::super::{Moment, StateResult, cluster, inconsistent, read, write};
use super::{Outcome, bounded, valid_from};
use crate::command::principal::{CreateAccount, PasswordChange, SetLogin};
use crate::command::{Bound, Noun, PrincipalRefusal};
use crate::key;
use crate::record::{AccountRecord, EntityKind, RootRecord};
use crate::view::{View, ViewMut};

/// Name of the account that has none recorded.
const DEFAULT_NAME: &str = "default";

pub(super) fn create<V: ViewMut>(view: &mut V, moment: Moment, create: CreateAccount) -> Outcome<(), V> {
    bounded(create.name.len(), Bound::Text)?;
    let password_hash = create.root_password_hash.0;
    bounded(password_hash.len(), Bound::Text)?;
    if let Some(root) = cluster::root(view, &create.account)? {
        let is_same = root.password_hash == password_hash
            && account(view, &create.account)?.is_some_and(|record| record.name == create.name);
        return if is_same { Ok(()) } else { Err(PrincipalRefusal::Exists(Noun::Account).into()) };
    }
    let (name, created_ms) = (create.name, moment.now_ms);
    write(view, key::root(&create.account), &RootRecord { password_hash });
    write(
        view,
        key::account(&create.account),
        &AccountRecord { name, created_ms, ..AccountRecord::default() },
    );
    Ok(())
}

/// Of the account's root.
pub(super) fn set_login<V: ViewMut>(view: &mut V, moment: Moment, set: &SetLogin) -> Outcome<(), V> {
    let id = set.owner.account();
    let mut record = existing(view, id)?;
    let password_hash = match &set.password {
        PasswordChange::Keep => None,
        PasswordChange::Set(hash) => Some(hash.0.clone()),
        PasswordChange::Remove => return Err(PrincipalRefusal::InUse(Noun::Password).into()),
    };
    bounded(password_hash.as_ref().map_or(0, String::len), Bound::Text)?;
    if let Some(password_hash) = password_hash {
        write(view, key::root(id), &RootRecord { password_hash });
    }
    record.tokens_valid_from_index = valid_from(record.tokens_valid_from_index, set.tokens, moment);
    write(view, key::account(id), &record);
    Ok(())
}

pub(super) fn existing<V: View>(view: &V, id: &AccountId) -> Outcome<AccountRecord, V> {
    Ok(account(view, id)?.ok_or(PrincipalRefusal::NotFound(Noun::Account))?)
}

/// How many of a kind the account has.
pub(super) fn count_of(record: &mut AccountRecord, kind: EntityKind) -> &mut u32 {
    match kind {
        EntityKind::User => &mut record.users,
        EntityKind::Group => &mut record.groups,
        EntityKind::Role => &mut record.roles,
    }
}

/// The account, if it exists.
///
/// # Errors
/// The state could not be read.
pub fn account<V: View>(view: &V, id: &AccountId) -> StateResult<Option<AccountRecord>, V> {
    if let Some(record) = read(view, &key::account(id))? {
        return Ok(Some(record));
    }
    let root = cluster::root(view, id)?;
    Ok(root.map(|_| AccountRecord { name: DEFAULT_NAME.to_owned(), ..AccountRecord::default() }))
}

/// The next accounts after `after`, ordered by id.
///
/// # Errors
/// The state could not be read.
pub fn accounts<V: View>(
    view: &V,
    after: Option<&AccountId>,
    limit: usize,
) -> StateResult<Page<(AccountId, AccountRecord)>, V> {
    let after = after.map(|id| id.as_str().as_bytes());
    let ids = page(view, key::ROOTS, after, limit, |rest, _| {
        let id: Option<AccountId> = std::str::from_utf8(rest).ok().and_then(|text| text.parse().ok());
        id.map(Some).ok_or_else(|| inconsistent([key::ROOTS, rest].concat(), "no account"))
    })?;
    let with_record = |id: AccountId| -> StateResult<_, V> {
        let record = account(view, &id)?.ok_or_else(|| inconsistent(key::root(&id), "no such account"))?;
        Ok((id, record))
    };
    let items = ids.items.into_iter().map(with_record).collect::<StateResult<_, V>>()?;
    Ok(Page { items, more: ids.more })
}
