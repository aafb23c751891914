//! Access keys: found by id, and by whose they are.

use proto::credential::AccessKeyId;

use super::super::page::{Page, page};
use super::super::{Moment, StateResult, decode, inconsistent, read, write};
use super::{Outcome, bounded, owner_exists, room};
use crate::command::principal::CreateAccessKey;
use crate::command::{Bound, Noun, PrincipalRefusal};
use crate::key;
use crate::record::{AccessKeyRecord, KeyState, Owner, Sealed};
use crate::view::{View, ViewMut};

pub(super) fn create<V: ViewMut>(view: &mut V, moment: Moment, create: CreateAccessKey) -> Outcome<(), V> {
    let CreateAccessKey { id, owner, sealed } = create;
    bounded(sealed.bytes.0.len(), Bound::Text)?;
    owner_exists(view, &owner)?;
    if let Some(record) = access_key(view, &id)? {
        let is_same = (&record.owner, &record.sealed) == (&owner, &sealed);
        return if is_same { Ok(()) } else { Err(PrincipalRefusal::Exists(Noun::AccessKey).into()) };
    }
    room(ids_of_owner(view, &owner)?.len(), Bound::AccessKeys)?;
    view.put(key::access_key_of_owner(&owner, &id), Vec::new());
    let record = AccessKeyRecord { owner, sealed, state: KeyState::Active, created_ms: moment.now_ms };
    write(view, key::access_key(&id), &record);
    Ok(())
}

fn existing<V: View>(view: &V, id: &AccessKeyId) -> Outcome<AccessKeyRecord, V> {
    Ok(access_key(view, id)?.ok_or(PrincipalRefusal::NotFound(Noun::AccessKey))?)
}

pub(super) fn set_state<V: ViewMut>(view: &mut V, id: &AccessKeyId, state: KeyState) -> Outcome<(), V> {
    let record = existing(view, id)?;
    write(view, key::access_key(id), &AccessKeyRecord { state, ..record });
    Ok(())
}

pub(super) fn reseal<V: ViewMut>(
    view: &mut V,
    id: &AccessKeyId,
    before_by: u32,
    sealed: Sealed,
) -> Outcome<(), V> {
    bounded(sealed.bytes.0.len(), Bound::Text)?;
    let record = existing(view, id)?;
    if record.sealed == sealed {
        return Ok(());
    }
    if record.sealed.by != before_by {
        return Err(PrincipalRefusal::Changed.into());
    }
    write(view, key::access_key(id), &AccessKeyRecord { sealed, ..record });
    Ok(())
}

pub(super) fn delete<V: ViewMut>(view: &mut V, id: &AccessKeyId) -> Outcome<(), V> {
    let record = existing(view, id)?;
    remove(view, &record.owner, id);
    Ok(())
}

/// After all checks.
pub(super) fn remove(view: &mut impl ViewMut, owner: &Owner, id: &AccessKeyId) {
    view.delete(key::access_key(id));
    view.delete(key::access_key_of_owner(owner, id));
}

/// At most [`Bound::AccessKeys`].
pub(super) fn ids_of_owner<V: View>(view: &V, owner: &Owner) -> StateResult<Vec<AccessKeyId>, V> {
    let prefix = key::access_keys_of_owner(owner);
    let all = page(view, &prefix, None, usize::MAX, |rest, _| {
        let id = std::str::from_utf8(rest).ok().and_then(|text| text.parse().ok());
        id.map(Some).ok_or_else(|| inconsistent([&prefix, rest].concat(), "no id of an access key"))
    })?;
    Ok(all.items)
}

/// One access key, active or not.
///
/// # Errors
/// The state could not be read.
pub fn access_key<V: View>(view: &V, id: &AccessKeyId) -> StateResult<Option<AccessKeyRecord>, V> {
    read(view, &key::access_key(id))
}

/// All access keys of a user or root, ordered by id: at most [`Bound::AccessKeys`].
///
/// # Errors
/// The state could not be read.
pub fn access_keys<V: View>(view: &V, owner: &Owner) -> StateResult<Vec<(AccessKeyId, AccessKeyRecord)>, V> {
    let with_record = |id: AccessKeyId| -> StateResult<_, V> {
        let record = access_key(view, &id)?;
        let record = record.ok_or_else(|| inconsistent(key::access_key(&id), "no such access key"))?;
        Ok((id, record))
    };
    ids_of_owner(view, owner)?.into_iter().map(with_record).collect()
}

/// The next access keys of the cluster after `after`, ordered by id.
///
/// # Errors
/// The state could not be read.
pub fn all<V: View>(
    view: &V,
    after: Option<&AccessKeyId>,
    limit: usize,
) -> StateResult<Page<(AccessKeyId, AccessKeyRecord)>, V> {
    let after = after.map(|id| id.as_str().as_bytes());
    page(view, key::ACCESS_KEYS, after, limit, |rest, value| {
        let at = || [key::ACCESS_KEYS, rest].concat();
        let id = std::str::from_utf8(rest).ok().and_then(|text| text.parse().ok());
        let id = id.ok_or_else(|| inconsistent(at(), "no id of an access key"))?;
        Ok(Some((id, decode(&at(), value)?)))
    })
}
