//! Whom this node knows: the keys that are answered and dialled.

use std::collections::HashSet;
use std::sync::Arc;

use proto::identity::PeerKey;

/// The keys of the membership at one moment; cheap to clone. This node's own key may be among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(Arc<HashSet<PeerKey>>);

impl Members {
    /// Whether this key belongs to a member.
    pub fn contains(&self, key: &PeerKey) -> bool {
        self.0.contains(key)
    }
}

impl FromIterator<PeerKey> for Members {
    fn from_iter<I: IntoIterator<Item = PeerKey>>(keys: I) -> Self {
        Self(Arc::new(keys.into_iter().collect()))
    }
}
