//! Join tokens: made by a person, used by one node, worth nothing after their time.

use super::page::page;
use super::{Moment, StateResult, decode, read, write};
use crate::command::Response;
use crate::command::node::CreateJoinToken;
use crate::key;
use crate::record::JoinTokenRecord;
use crate::view::{View, ViewMut};

/// Most tokens that one entry looks at for removal.
const SWEPT_AT_ONCE: usize = 64;

pub(super) fn create<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    create: &CreateJoinToken,
) -> StateResult<Response, V> {
    if let Some(record) = token(view, &create.token)? {
        // Asked twice; the random id of another one is never met.
        let is_same = record.secret_hash == create.secret_hash;
        return Ok(if is_same { Response::JoinTokenCreated } else { Response::Kept });
    }
    for (old, record) in tokens(view, None, SWEPT_AT_ONCE)?.items {
        if record.expires_ms < moment.now_ms {
            view.delete(key::join_token(&old));
        }
    }
    let record = JoinTokenRecord {
        secret_hash: create.secret_hash,
        expires_ms: create.expires_ms,
        kind: create.kind,
        used_by: None,
        created_ms: moment.now_ms,
    };
    write(view, key::join_token(&create.token), &record);
    Ok(Response::JoinTokenCreated)
}

pub(super) fn revoke<V: ViewMut>(view: &mut V, id: &[u8; 16]) -> StateResult<Response, V> {
    if token(view, id)?.is_none() {
        return Ok(Response::NotFound);
    }
    view.delete(key::join_token(id));
    Ok(Response::Revoked)
}

/// The token, if this is the hash of its secret.
pub(super) fn shown<V: View>(
    view: &V,
    id: &[u8; 16],
    secret_hash: &[u8; 32],
) -> StateResult<Option<JoinTokenRecord>, V> {
    Ok(token(view, id)?.filter(|record| is_equal(&record.secret_hash, secret_hash)))
}

/// In a time that does not tell where the two differ.
fn is_equal(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let difference = left.iter().zip(right).fold(0, |seen, (a, b)| std::hint::black_box(seen | (a ^ b)));
    difference == 0
}

/// One token.
///
/// # Errors
/// The state could not be read.
pub fn token<V: View>(view: &V, token: &[u8; 16]) -> StateResult<Option<JoinTokenRecord>, V> {
    read(view, &key::join_token(token))
}

/// A token's id and record.
pub type Token = ([u8; 16], JoinTokenRecord);

/// The next tokens after `after`, ordered by id.
///
/// # Errors
/// The state could not be read.
pub fn tokens<V: View>(
    view: &V,
    after: Option<&[u8; 16]>,
    limit: usize,
) -> StateResult<super::Page<Token>, V> {
    page(view, key::JOIN_TOKENS, after.map(<[u8; 16]>::as_slice), limit, |rest, value| {
        let key = || [key::JOIN_TOKENS, rest].concat();
        let id = rest.try_into().map_err(|_| super::inconsistent(key(), "no id of a token"))?;
        Ok(Some((id, decode(&key(), value)?)))
    })
}
