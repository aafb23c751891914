//! What must not show in logs.

use std::fmt;

/// A value whose debug output hides it: hashes, sealed secrets. It may be stored and sent, not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden<T>(pub T);

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hidden")
    }
}
