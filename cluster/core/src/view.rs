//! Ordered keys and values: all that the state needs of a store.
//!
//! Owns the two traits, a map in memory ([`MemoryView`]) and changes staged over another view
//! ([`StagedView`]). A read that fails is an error of the view, never an absent value.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::convert::Infallible;
use std::ops::{Bound, ControlFlow};

/// Reads of an ordered map of bytes.
pub trait View {
    /// Why a read failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The value of `key`, or `None` if there is none.
    ///
    /// # Errors
    /// The store could not be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Calls `visit` with each key in `from..to` and its value, in order, until it breaks.
    ///
    /// # Errors
    /// The store could not be read; some of the pairs may have been visited.
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Self::Error>;
}

/// Pairs of `from..to` in order, as many as have about `bytes` bytes together, at least one if there is one.
///
/// # Errors
/// The store could not be read.
pub fn some_pairs<V: View>(view: &V, from: &[u8], to: &[u8], bytes: usize) -> Result<Vec<Pair>, V::Error> {
    let (mut pairs, mut found) = (Vec::new(), 0);
    view.scan(from, to, &mut |key, value| {
        found += key.len() + value.len();
        pairs.push((key.to_vec(), value.to_vec()));
        if found < bytes { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(pairs)
}

/// The first key after `key`.
pub fn key_after(key: &[u8]) -> Vec<u8> {
    [key, b"\0"].concat()
}

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Called with a key and its value; breaks to end the scan.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A view that changes can be made to; reads see them at once.
pub trait ViewMut: View {
    /// Sets the value of `key`.
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>);

    /// Removes `key` if it is there.
    fn delete(&mut self, key: Vec<u8>);
}

impl<V: View> View for &V {
    type Error = V::Error;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, V::Error> {
        (**self).get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), V::Error> {
        (**self).scan(from, to, visit)
    }
}

/// A map in memory, for tests and the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemoryView(BTreeMap<Vec<u8>, Vec<u8>>);

impl MemoryView {
    /// Every key and value in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }
}

impl View for MemoryView {
    type Error = Infallible;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Infallible> {
        for (key, value) in between(&self.0, from, to) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl ViewMut for MemoryView {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.0.insert(key, value);
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.0.remove(&key);
    }
}

/// The pairs in `from..to`; an inverted range is empty.
fn between<'a, T>(map: &'a BTreeMap<Vec<u8>, T>, from: &[u8], to: &[u8]) -> Range<'a, Vec<u8>, T> {
    map.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to.max(from))))
}

/// Changes by key; `None` deletes.
pub type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Changes staged over a view and seen by its own reads. The view below stays as it is until its owner
/// writes [`StagedView::into_changes`] to it in one step.
#[derive(Debug)]
pub struct StagedView<V> {
    below: V,
    changes: Changes,
}

impl<V: View> StagedView<V> {
    /// Starts with no changes.
    pub fn new(below: V) -> Self {
        Self { below, changes: Changes::new() }
    }

    /// What was staged.
    pub fn into_changes(self) -> Changes {
        self.changes
    }
}

impl<V: View> View for StagedView<V> {
    type Error = V::Error;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, V::Error> {
        match self.changes.get(key) {
            Some(staged) => Ok(staged.clone()),
            None => self.below.get(key),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), V::Error> {
        let mut staged = between(&self.changes, from, to).peekable();
        let mut ended = false;
        self.below.scan(from, to, &mut |key, value| {
            let mut hidden = false;
            while let Some((staged_key, staged_value)) =
                staged.next_if(|(staged_key, _)| staged_key.as_slice() <= key)
            {
                hidden = staged_key.as_slice() == key;
                if let Some(value) = staged_value
                    && visit(staged_key, value).is_break()
                {
                    ended = true;
                    return ControlFlow::Break(());
                }
            }
            if !hidden && visit(key, value).is_break() {
                ended = true;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        if ended {
            return Ok(());
        }
        for (key, value) in staged {
            if let Some(value) = value
                && visit(key, value).is_break()
            {
                break;
            }
        }
        Ok(())
    }
}

impl<V: View> ViewMut for StagedView<V> {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes.insert(key, Some(value));
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(view: &impl View, from: &[u8], to: &[u8], most: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found = Vec::new();
        view.scan(from, to, &mut |key, value| {
            found.push((key.to_vec(), value.to_vec()));
            if found.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        found
    }

    type Change = (u8, Option<u8>);

    fn change(view: &mut impl ViewMut, changes: &[Change]) {
        for (key, value) in changes {
            match value {
                Some(value) => view.put(vec![*key], vec![*value]),
                None => view.delete(vec![*key]),
            }
        }
    }

    proptest! {
        #[test]
        fn staged_changes_read_as_if_they_had_been_made(
            before: Vec<Change>, after: Vec<Change>, from: u8, to: u8, most in 1usize..20
        ) {
            let mut plain = MemoryView::default();
            change(&mut plain, &before);
            let below = plain.clone();
            let mut staged = StagedView::new(&below);
            change(&mut plain, &after);
            change(&mut staged, &after);
            prop_assert_eq!(pairs(&staged, &[from], &[to], most), pairs(&plain, &[from], &[to], most));
            for key in 0..=255 {
                prop_assert_eq!(staged.get(&[key]), plain.get(&[key]));
            }
            let mut written = below.clone();
            for (key, value) in staged.into_changes() {
                match value {
                    Some(value) => written.put(key, value),
                    None => written.delete(key),
                }
            }
            prop_assert_eq!(written, plain);
        }
    }
}
