//! Robot tokens: found by id, and by whose they are. They never change.

use proto::identity::AccountId;

use super::super::page::{Page, page};
use super::super::{Moment, StateError, StateResult, inconsistent, read, write};
use super::{Outcome, account, bounded, owner_exists, room};
use crate::command::principal::CreateRobotToken;
use crate::command::{Bound, Noun, PrincipalRefusal};
use crate::key;
use crate::record::{Owner, RobotTokenRecord};
use crate::view::{View, ViewMut};

/// A token's id; not a secret.
pub type TokenId = [u8; 16];

pub(super) fn create<V: ViewMut>(view: &mut V, moment: Moment, create: CreateRobotToken) -> Outcome<(), V> {
    let CreateRobotToken { id, owner, name, secret_hash, policy, expires_ms } = create;
    bounded(name.len(), Bound::Text)?;
    bounded(policy.as_ref().map_or(0, String::len), Bound::TokenPolicyBytes)?;
    owner_exists(view, &owner)?;
    let record = RobotTokenRecord { owner, name, secret_hash, policy, expires_ms, created_ms: moment.now_ms };
    let owner = &record.owner;
    if let Some(found) = robot_token(view, &id)? {
        let is_same = found == RobotTokenRecord { created_ms: found.created_ms, ..record };
        return if is_same { Ok(()) } else { Err(PrincipalRefusal::Exists(Noun::RobotToken).into()) };
    }
    let present = ids_of_owner(view, owner)?;
    let expired = expired(view, moment, &present)?;
    room(present.len() - expired.len(), Bound::RobotTokensOfOwner)?;
    let in_account = account::existing(view, owner.account())?.robot_tokens as usize;
    room(in_account.saturating_sub(expired.len()), Bound::RobotTokens)?;
    remove(view, owner, &expired)?;
    let mut in_account = account::existing(view, owner.account())?;
    in_account.robot_tokens += 1;
    write(view, key::account(owner.account()), &in_account);
    view.put(key::robot_token_of_owner(owner, &id), Vec::new());
    write(view, key::robot_token(&id), &record);
    Ok(())
}

fn expired<V: View>(view: &V, moment: Moment, ids: &[TokenId]) -> StateResult<Vec<TokenId>, V> {
    let mut expired = Vec::new();
    for id in ids {
        let record = robot_token(view, id)?;
        if record.and_then(|record| record.expires_ms).is_some_and(|until| until < moment.now_ms) {
            expired.push(*id);
        }
    }
    Ok(expired)
}

pub(super) fn revoke<V: ViewMut>(view: &mut V, id: &TokenId) -> Outcome<(), V> {
    let record = robot_token(view, id)?.ok_or(PrincipalRefusal::NotFound(Noun::RobotToken))?;
    remove(view, &record.owner, &[*id])
}

/// After all checks.
pub(super) fn remove<V: ViewMut>(view: &mut V, owner: &Owner, ids: &[TokenId]) -> Outcome<(), V> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut in_account = account::existing(view, owner.account())?;
    let removed = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    in_account.robot_tokens = in_account.robot_tokens.saturating_sub(removed);
    write(view, key::account(owner.account()), &in_account);
    for id in ids {
        view.delete(key::robot_token(id));
        view.delete(key::robot_token_of_owner(owner, id));
    }
    Ok(())
}

/// At most [`Bound::RobotTokensOfOwner`].
pub(super) fn ids_of_owner<V: View>(view: &V, owner: &Owner) -> StateResult<Vec<TokenId>, V> {
    let prefix = key::robot_tokens_of_owner(owner);
    let all = page(view, &prefix, None, usize::MAX, |rest, _| token_id(&prefix, rest).map(Some))?;
    Ok(all.items)
}

/// The id at the end of a key's rest.
fn token_id<E: std::error::Error>(prefix: &[u8], rest: &[u8]) -> Result<TokenId, StateError<E>> {
    let id = rest.last_chunk::<16>().copied();
    id.ok_or_else(|| inconsistent([prefix, rest].concat(), "no id of a robot token"))
}

/// One token, expired or not.
///
/// # Errors
/// The state could not be read.
pub fn robot_token<V: View>(view: &V, id: &TokenId) -> StateResult<Option<RobotTokenRecord>, V> {
    read(view, &key::robot_token(id))
}

/// The next tokens of an account after the one of that owner and id: first root's, then the users' by their names; of
/// one owner ordered by id. Those that have expired are among them until their owner gets another one.
///
/// # Errors
/// The state could not be read.
pub fn robot_tokens<V: View>(
    view: &V,
    account: &AccountId,
    after: Option<(&Owner, &TokenId)>,
    limit: usize,
) -> StateResult<Page<(TokenId, RobotTokenRecord)>, V> {
    let prefix = key::robot_tokens(account);
    let after = after.map(|(owner, id)| key::robot_token_of_owner(owner, id));
    let after = after.as_ref().and_then(|key| key.get(prefix.len()..));
    let ids = page(view, &prefix, after, limit, |rest, _| token_id(&prefix, rest).map(Some))?;
    with_records(view, ids)
}

/// The next tokens of a user or root after `after`, ordered by id.
///
/// # Errors
/// The state could not be read.
pub fn robot_tokens_of_owner<V: View>(
    view: &V,
    owner: &Owner,
    after: Option<&TokenId>,
    limit: usize,
) -> StateResult<Page<(TokenId, RobotTokenRecord)>, V> {
    let prefix = key::robot_tokens_of_owner(owner);
    let after = after.map(<[u8; 16]>::as_slice);
    let ids = page(view, &prefix, after, limit, |rest, _| token_id(&prefix, rest).map(Some))?;
    with_records(view, ids)
}

fn with_records<V: View>(view: &V, ids: Page<TokenId>) -> StateResult<Page<(TokenId, RobotTokenRecord)>, V> {
    let with_record = |id: TokenId| -> StateResult<_, V> {
        let record = robot_token(view, &id)?;
        Ok((id, record.ok_or_else(|| inconsistent(key::robot_token(&id), "no such robot token"))?))
    };
    let items = ids.items.into_iter().map(with_record).collect::<StateResult<_, V>>()?;
    Ok(Page { items, more: ids.more })
}
