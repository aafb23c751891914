//! Pages of a listing: a bounded part of a range of keys, in order.

use std::ops::ControlFlow;

use super::{StateError, StateResult};
use crate::key;
use crate::view::View;

/// A part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// In the byte order of their names.
    pub items: Vec<T>,
    /// Whether more follow.
    pub more: bool,
}

/// Up to `limit` of the pairs under `prefix` whose key's rest sorts after `after`, through `select`, which
/// gets the rest of the key and the value, and leaves out what it answers with `None`.
pub(super) fn page<T, V: View>(
    view: &V,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
    mut select: impl FnMut(&[u8], &[u8]) -> Result<Option<T>, StateError<V::Error>>,
) -> StateResult<Page<T>, V> {
    let from = match after {
        // The key right after `after`.
        Some(after) => [prefix, after, b"\0"].concat(),
        None => prefix.to_vec(),
    };
    let mut page = Page { items: Vec::new(), more: false };
    let mut failure = None;
    view.scan(&from, &key::end_of(prefix), &mut |key, value| {
        match select(&key[prefix.len()..], value) {
            Ok(None) => return ControlFlow::Continue(()),
            Ok(Some(_)) if page.items.len() == limit => page.more = true,
            Ok(Some(item)) => {
                page.items.push(item);
                return ControlFlow::Continue(());
            }
            Err(error) => failure = Some(error),
        }
        ControlFlow::Break(())
    })
    .map_err(StateError::View)?;
    match failure {
        Some(error) => Err(error),
        None => Ok(page),
    }
}

/// Whether `wanted` pairs stand under `prefix`, or more. Reads about that many.
pub(super) fn has_at_least<V: View>(view: &V, prefix: &[u8], wanted: u32) -> StateResult<bool, V> {
    let wanted = wanted as usize;
    Ok(page(view, prefix, None, wanted, |_, _| Ok(Some(())))?.items.len() >= wanted)
}
