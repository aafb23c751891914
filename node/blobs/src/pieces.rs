//! The piece list: BLAKE3 chaining values of a blob's leaves, and the root above them.
//!
//! BLAKE3 is itself a hash tree. A *leaf* is one aligned [`LEAF`] of the blob, its entry in the list is the
//! chaining value of that subtree, and the *pieces root* is the plain BLAKE3 hash of the blob (`b3sum` prints the
//! same). So a leaf can be checked alone, larger pieces are inner nodes of the same tree, and the root in the blob's
//! record proves a list that came from anywhere. A blob of one leaf or less has no list: its root checks it.
//! Pure; never does IO.

use blake3::hazmat::{self, ChainingValue, HasherExt as _, Mode};

/// Bytes in a leaf; the last one of a blob may be shorter. A power of two, as BLAKE3 subtrees require.
pub const LEAF: u64 = 256 * 1024;

/// Bytes of one entry of a list.
pub(crate) const ENTRY: u64 = 32;

/// How many leaves a blob of `size` bytes has; at least one.
pub fn leaf_count(size: u64) -> u64 {
    size.div_ceil(LEAF).max(1)
}

/// Length of leaf `index` of a blob of `size` bytes; `None` if it has no such leaf.
pub(crate) fn leaf_len(size: u64, index: u64) -> Option<usize> {
    let rest = size.checked_sub(index.checked_mul(LEAF)?)?;
    (index < leaf_count(size)).then_some(usize::try_from(rest.min(LEAF)).ok()?)
}

/// Whether a blob of `size` bytes has a list beside it.
pub(crate) fn has_list(size: u64) -> bool {
    size > LEAF
}

/// Computes list and root over content that arrives in parts of any length. Memory does not grow with the content.
#[derive(Clone)]
pub(crate) struct PieceHasher {
    leaf: blake3::Hasher,
    leaf_bytes: u64,
    tree: Tree,
}

impl PieceHasher {
    pub(crate) fn new() -> Self {
        Self { leaf: blake3::Hasher::new(), leaf_bytes: 0, tree: Tree::default() }
    }

    /// Entries handed out so far.
    pub(crate) fn entries(&self) -> u64 {
        self.tree.leaves
    }

    /// Adds content and appends the entries of the leaves it completes to `list`. A leaf counts as complete when
    /// more follows, since the last one of a one-leaf blob is hashed as a root.
    pub(crate) fn update(&mut self, mut part: &[u8], list: &mut Vec<u8>) {
        while !part.is_empty() {
            if self.leaf_bytes == LEAF {
                self.complete_leaf(list);
            }
            let room = usize::try_from(LEAF - self.leaf_bytes).unwrap_or(usize::MAX);
            let (now, rest) = part.split_at(room.min(part.len()));
            self.leaf.update(now);
            self.leaf_bytes += now.len() as u64;
            part = rest;
        }
    }

    /// Appends the last entry, if there is a list at all, and returns the root.
    pub(crate) fn finish(mut self, list: &mut Vec<u8>) -> [u8; 32] {
        if self.tree.leaves == 0 {
            return *self.leaf.finalize().as_bytes();
        }
        let last = self.leaf.finalize_non_root();
        list.extend_from_slice(&last);
        self.tree.root(last)
    }

    fn complete_leaf(&mut self, list: &mut Vec<u8>) {
        let value = self.leaf.finalize_non_root();
        list.extend_from_slice(&value);
        self.tree.push(value);
        // Not `reset`: in blake3 1.8 it keeps the input offset, which makes the next call panic.
        self.leaf = blake3::Hasher::new();
        self.leaf.set_input_offset(self.tree.leaves * LEAF);
        self.leaf_bytes = 0;
    }
}

/// The right edge of the tree: one whole subtree for each bit set in `leaves`.
#[derive(Clone, Default)]
struct Tree {
    leaves: u64,
    edge: Vec<ChainingValue>,
}

impl Tree {
    /// Adds a leaf that is not the last one.
    fn push(&mut self, mut value: ChainingValue) {
        self.leaves += 1;
        for _ in 0..self.leaves.trailing_zeros() {
            let Some(left) = self.edge.pop() else { break };
            value = hazmat::merge_subtrees_non_root(&left, &value, Mode::Hash);
        }
        self.edge.push(value);
    }

    /// Adds the last leaf of several.
    fn root(&mut self, mut value: ChainingValue) -> [u8; 32] {
        while self.edge.len() > 1 {
            let Some(left) = self.edge.pop() else { break };
            value = hazmat::merge_subtrees_non_root(&left, &value, Mode::Hash);
        }
        match self.edge.pop() {
            Some(left) => *hazmat::merge_subtrees_root(&left, &value, Mode::Hash).as_bytes(),
            None => value,
        }
    }
}

/// A piece list that was proven by its root; it checks leaves.
pub(crate) struct PieceList {
    size: u64,
    root: [u8; 32],
    entries: Vec<ChainingValue>,
}

impl PieceList {
    /// Proves `list` (empty for a blob without one) against the root of a blob of `size` bytes.
    /// `None`: the list is not of this blob.
    pub(crate) fn prove(size: u64, root: [u8; 32], list: &[u8]) -> Option<Self> {
        let (entries, rest) = list.as_chunks::<32>();
        if !has_list(size) {
            return list.is_empty().then_some(Self { size, root, entries: Vec::new() });
        }
        let (last, before) = entries.split_last()?;
        if !rest.is_empty() || entries.len() as u64 != leaf_count(size) {
            return None;
        }
        let mut tree = Tree::default();
        before.iter().for_each(|value| tree.push(*value));
        (tree.root(*last) == root).then(|| Self { size, root, entries: entries.to_vec() })
    }

    /// The bytes that [`PieceList::prove`] takes: empty for a blob of one leaf.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.entries.as_flattened().to_vec()
    }

    /// Whether this is the list of a blob with this length and root.
    pub(crate) fn is_of(&self, size: u64, root: [u8; 32]) -> bool {
        self.size == size && self.root == root
    }

    /// Whether `content` is leaf number `index` of the blob.
    pub(crate) fn matches(&self, index: u64, content: &[u8]) -> bool {
        if self.entries.is_empty() {
            return index == 0 && blake3::hash(content) == self.root;
        }
        let expected = usize::try_from(index).ok().and_then(|index| self.entries.get(index));
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(index * LEAF);
        hasher.update(content);
        expected == Some(&hasher.finalize_non_root())
    }

    /// Memory held, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.entries.len() * size_of::<ChainingValue>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hash_in_parts(content: &[u8], part: usize) -> (Vec<u8>, [u8; 32]) {
        let mut hasher = PieceHasher::new();
        let mut list = Vec::new();
        content.chunks(part).for_each(|part| hasher.update(part, &mut list));
        let root = hasher.finish(&mut list);
        (list, root)
    }

    fn content(size: usize) -> Vec<u8> {
        (0..size).map(|at| (at / 7 % 251) as u8).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn the_root_is_the_blake3_hash_and_proves_the_list(
            leaves in 0_usize..9, extra in -2_isize..3, part in 1_usize..600_000
        ) {
            let size = (leaves * LEAF as usize).saturating_add_signed(extra);
            let content = content(size);
            let (list, root) = hash_in_parts(&content, part);
            prop_assert_eq!(root, *blake3::hash(&content).as_bytes());
            let proven = PieceList::prove(size as u64, root, &list).expect("an honest list is proven");
            for (index, leaf) in content.chunks(LEAF as usize).enumerate() {
                prop_assert!(proven.matches(index as u64, leaf));
                prop_assert!(!proven.matches(index as u64 + 1, leaf));
            }
        }

        #[test]
        fn a_changed_list_or_leaf_is_noticed(size in 1_usize..1_200_000, at: prop::sample::Index, bit in 0_u8..8) {
            let mut content = content(size);
            let (mut list, root) = hash_in_parts(&content, 100_000);
            let proven = PieceList::prove(size as u64, root, &list).expect("an honest list is proven");
            let at_content = at.index(size);
            content[at_content] ^= 1 << bit;
            let index = at_content as u64 / LEAF;
            let leaf = content.chunks(LEAF as usize).nth(index as usize).expect("the leaf exists");
            prop_assert!(!proven.matches(index, leaf));
            if list.is_empty() {
                list.push(0);
            } else {
                let at_list = at.index(list.len());
                list[at_list] ^= 1 << bit;
            }
            prop_assert!(PieceList::prove(size as u64, root, &list).is_none());
        }
    }

    #[test]
    fn an_empty_blob_has_the_hash_of_nothing() {
        let (list, root) = hash_in_parts(&[], 1);
        assert!(list.is_empty());
        let proven = PieceList::prove(0, root, &list).expect("an empty list belongs to it");
        assert!(proven.matches(0, &[]));
        assert!(!proven.matches(0, b"x"));
    }
}
