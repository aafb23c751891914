//! The node's ed25519 key: made at the first start, kept in a file that only the owner may read, never
//! replicated. The node's id is derived from it, so the two cannot part.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proto::digest::{Algorithm, Digest};
use proto::identity::NodeId;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::data_dir::write_private;

/// Name of the key's file in the data directory.
const FILE: &str = "node.key";
/// What ring writes before the 32 bytes of the secret: PKCS#8 version 2 (RFC 8410 §7).
const BEFORE_SEED: [u8; 4] = [0x04, 0x22, 0x04, 0x20];
/// Where [`BEFORE_SEED`] begins.
const SEED_TAG: usize = 12;
/// Largest key file that is read, in bytes.
const MAX_FILE: u64 = 4096;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeKeyError {
    /// The file cannot be read or written.
    #[error("the node's key {path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} is not this node's key (ed25519, PKCS#8): restore it, or start with another --data-dir")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Others may read the file.
    #[error("others may read {path}: run chmod 600 on it")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// No key could be made.
    #[error("the system gives no randomness for a key")]
    Random,
}

/// The key pair.
pub(crate) struct NodeKey {
    pkcs8: Vec<u8>,
    seed: [u8; 32],
    public: [u8; 32],
    node: NodeId,
}

impl NodeKey {
    /// Reads `node.key` in `dir`, or makes it if there is none, as at a first start. Blocks.
    pub(crate) fn open_or_make(dir: &Path) -> Result<Self, NodeKeyError> {
        let path = dir.join(FILE);
        let failed = |source| NodeKeyError::Io { path: path.clone(), source };
        if !path.try_exists().map_err(failed)? {
            let made =
                Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| NodeKeyError::Random)?;
            write_private(dir, FILE, made.as_ref()).map_err(failed)?;
        }
        Self::open(dir)
    }

    /// Reads `node.key` in `dir`. Blocks.
    pub(crate) fn open(dir: &Path) -> Result<Self, NodeKeyError> {
        let path = dir.join(FILE);
        let failed = |source| NodeKeyError::Io { path: path.clone(), source };
        let meta = std::fs::symlink_metadata(&path).map_err(failed)?;
        if !meta.is_file() || meta.len() > MAX_FILE {
            return Err(NodeKeyError::Foreign { path });
        }
        if meta.permissions().mode() & 0o077 != 0 {
            return Err(NodeKeyError::Open { path });
        }
        let pkcs8 = std::fs::read(&path).map_err(failed)?;
        let pair =
            Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_| NodeKeyError::Foreign { path: path.clone() })?;
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        let seed = seed_of(&pkcs8).ok_or_else(|| NodeKeyError::Foreign { path: path.clone() })?;
        let node = node_of(&public).ok_or(NodeKeyError::Foreign { path })?;
        Ok(Self { pkcs8, seed, public, node })
    }

    /// The node that has this key.
    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// The public half: what others know this node by.
    pub(crate) fn public(&self) -> [u8; 32] {
        self.public
    }

    /// The secret half alone: this node's identity among peers.
    pub(crate) fn seed(&self) -> [u8; 32] {
        self.seed
    }

    /// The secret half, PKCS#8 DER.
    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }
}

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeKey").field("node", &self.node).finish_non_exhaustive()
    }
}

fn seed_of(pkcs8: &[u8]) -> Option<[u8; 32]> {
    let rest = pkcs8.get(SEED_TAG..)?.strip_prefix(&BEFORE_SEED)?;
    rest.get(..32)?.try_into().ok()
}

/// The node that has this key: the first eight bytes of the key's hash.
pub(crate) fn node_of(public: &[u8; 32]) -> Option<NodeId> {
    let hash = Digest::of(Algorithm::Sha256, public);
    let first: [u8; 8] = hash.hash().get(..8)?.try_into().ok()?;
    NodeId::new(u64::from_be_bytes(first))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = NodeKey::open_or_make(dir.path()).expect("made");
        let second = NodeKey::open_or_make(dir.path()).expect("read");
        assert_eq!((first.node(), first.seed()), (second.node(), second.seed()));
    }

    #[test]
    fn a_lost_foreign_or_readable_key_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(matches!(NodeKey::open(dir.path()), Err(NodeKeyError::Io { .. })));
        NodeKey::open_or_make(dir.path()).expect("made");
        let path = dir.path().join("node.key");
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("changed");
        assert!(matches!(NodeKey::open(dir.path()), Err(NodeKeyError::Open { .. })));
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("changed");
        std::fs::write(&path, b"no key").expect("written");
        assert!(matches!(NodeKey::open(dir.path()), Err(NodeKeyError::Foreign { .. })));
    }
}
