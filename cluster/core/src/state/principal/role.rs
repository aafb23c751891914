//! Roles.

use proto::arn::EntityName;
use proto::identity::AccountId;

use super::super::page::Page;
use super::super::{Moment, StateResult};
use super::{Outcome, bounded, entity, valid_from};
use crate::command::principal::{CreateRole, Deletion, UpdateRole};
use crate::command::{Bound, MIN_SESSION_SECONDS, PrincipalRefusal};
use crate::record::{Entity, EntityHead, RoleRecord};
use crate::view::{View, ViewMut};

pub(super) fn create<V: ViewMut>(view: &mut V, moment: Moment, create: CreateRole) -> Outcome<(), V> {
    let CreateRole { account, name, trust_policy, max_session_seconds } = create;
    bounded(trust_policy.len(), Bound::TrustPolicyBytes)?;
    session_fits(max_session_seconds)?;
    let record = RoleRecord {
        head: EntityHead::new(name, moment.now_ms, moment.index),
        trust_policy,
        max_session_seconds,
        // Those of a deleted one that had the name are not its own.
        tokens_valid_from_index: moment.index,
    };
    entity::create(view, &account, &record, |found| {
        (&found.trust_policy, found.max_session_seconds) == (&record.trust_policy, max_session_seconds)
    })
}

fn session_fits(seconds: u32) -> Result<(), PrincipalRefusal> {
    let fits = (MIN_SESSION_SECONDS..=Bound::SessionSeconds.most()).contains(&seconds);
    if fits { Ok(()) } else { Err(PrincipalRefusal::Limit(Bound::SessionSeconds)) }
}

pub(super) fn update<V: ViewMut>(view: &mut V, moment: Moment, update: UpdateRole) -> Outcome<(), V> {
    let mut record: RoleRecord = entity::existing(view, &update.account, &update.name)?;
    if let Some(seconds) = update.max_session_seconds {
        session_fits(seconds)?;
        record.max_session_seconds = seconds;
    }
    if let Some(trust_policy) = update.trust_policy {
        bounded(trust_policy.len(), Bound::TrustPolicyBytes)?;
        if record.trust_policy != trust_policy {
            record.trust_policy = trust_policy;
            record.head.changed_index = moment.index;
        }
    }
    record.tokens_valid_from_index = valid_from(record.tokens_valid_from_index, update.tokens, moment);
    entity::put(view, &update.account, &record);
    Ok(())
}

pub(super) fn delete<V: ViewMut>(view: &mut V, entity: &Entity, deletion: Deletion) -> Outcome<(), V> {
    let record: RoleRecord = entity::existing(view, &entity.account, &entity.name)?;
    entity::is_bare(&record.head, deletion)?;
    entity::remove::<RoleRecord, V>(view, entity)
}

/// The role of exactly this path and name.
///
/// # Errors
/// The state could not be read.
pub fn role<V: View>(view: &V, account: &AccountId, name: &EntityName) -> StateResult<Option<RoleRecord>, V> {
    entity::find(view, account, name)
}

/// The role of this name without its path, in any case.
///
/// # Errors
/// The state could not be read.
pub fn role_by_name<V: View>(
    view: &V,
    account: &AccountId,
    name: &str,
) -> StateResult<Option<RoleRecord>, V> {
    entity::by_name(view, account, name)
}

/// The next roles of an account; see [`super::user::users`].
///
/// # Errors
/// The state could not be read.
pub fn roles<V: View>(
    view: &V,
    account: &AccountId,
    after: Option<&str>,
    limit: usize,
) -> StateResult<Page<RoleRecord>, V> {
    entity::list(view, account, after, limit)
}
