//! Authorization tokens that are void before their time. They are forgotten once they have expired by themselves.

use super::super::page::page;
use super::super::{Moment, StateResult, inconsistent, read, write};
use super::{Outcome, room};
use crate::command::Bound;
use crate::key;
use crate::record::{RevokedCountRecord, RevokedRecord};
use crate::view::{View, ViewMut};

/// Most that one entry removes; more than it adds, so that none that can go stay for long.
const SWEPT_AT_ONCE: usize = 64;

pub(super) fn revoke<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    id: &[u8; 16],
    until_ms: u64,
) -> Outcome<(), V> {
    let before: Option<RevokedRecord> = read(view, &key::revoked(id))?;
    let until_ms = before.as_ref().map_or(until_ms, |before| until_ms.max(before.until_ms));
    let mut count = read::<RevokedCountRecord, V>(view, key::REVOKED_COUNT)?.unwrap_or_default().count;
    let mut expired = expired(view, moment)?;
    expired.retain(|(_, old)| old != id);
    if before.is_none() {
        room((count as usize).saturating_sub(expired.len()), Bound::Revoked)?;
        count = count.saturating_add(1);
    }
    for (old_until_ms, old) in expired {
        view.delete(key::revoked(&old));
        view.delete(key::revoked_until(old_until_ms, &old));
        count = count.saturating_sub(1);
    }
    if let Some(before) = before {
        view.delete(key::revoked_until(before.until_ms, id));
    }
    write(view, key::revoked(id), &RevokedRecord { until_ms });
    view.put(key::revoked_until(until_ms, id), Vec::new());
    write(view, key::REVOKED_COUNT.to_vec(), &RevokedCountRecord { count });
    Ok(())
}

/// Some that have expired by themselves, with the time when.
fn expired<V: View>(view: &V, moment: Moment) -> StateResult<Vec<(u64, [u8; 16])>, V> {
    let oldest = page(view, key::REVOKED_UNTIL, None, SWEPT_AT_ONCE, |rest, _| {
        let parts = rest.split_first_chunk::<8>().and_then(|(until, id)| Some((until, id.try_into().ok()?)));
        let (until, id) =
            parts.ok_or_else(|| inconsistent([key::REVOKED_UNTIL, rest].concat(), "no time and id"))?;
        Ok(Some((u64::from_be_bytes(*until), id)))
    })?;
    Ok(oldest.items.into_iter().filter(|(until_ms, _)| *until_ms < moment.now_ms).collect())
}

/// Whether an authorization token was revoked. Of one that has expired by itself it may be forgotten.
///
/// # Errors
/// The state could not be read.
pub fn is_revoked<V: View>(view: &V, id: &[u8; 16]) -> StateResult<bool, V> {
    Ok(read::<RevokedRecord, V>(view, &key::revoked(id))?.is_some())
}
