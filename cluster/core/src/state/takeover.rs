//! What a new cluster of one node takes over from the state of an old one: all that belongs to people
//! (repositories, tags, manifests, links, documents, principals), nothing that belongs to the old nodes.
//!
//! The new cluster has an id of its own, so that nodes, join tokens and bearer tokens of the old one are
//! worth nothing in it. Its blobs have no confirmed copies until its node has a record: the first layout
//! then counts all of them (`copies`), and the node confirms what it has.

use crate::key;
use crate::record::{BlobRecord, ClusterRecord, Record, RecordError};

/// Why a pair cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// The value is not what was written.
    #[error("the metadata value of key {} is damaged", .key.escape_ascii())]
    Damaged {
        /// Of the value.
        key: Vec<u8>,
        /// What is wrong with it.
        #[source]
        source: RecordError,
    },
    /// A newer release wrote it.
    #[error("the metadata key {} is not known to this release: run the newer one", .0.escape_ascii())]
    Unknown(Vec<u8>),
}

/// The value that `key` has in the cluster `cluster_id`, if it has one.
///
/// # Errors
/// See [`TakeoverError`].
pub fn take_over(key: &[u8], value: Vec<u8>, cluster_id: [u8; 16]) -> Result<Option<Vec<u8>>, TakeoverError> {
    let damaged = |source| TakeoverError::Damaged { key: key.to_vec(), source };
    match key {
        key::CLUSTER => {
            let record = ClusterRecord::decode(&value).map_err(damaged)?;
            Ok(Some(ClusterRecord { cluster_id, ..record }.encode()))
        }
        // Raft's own.
        [0, ..] => Ok(None),
        key::LOG_TIME | [b'p' | b'r' | b't' | b'm' | b'M' | b'T' | b'f' | b'l' | b'L', ..] => Ok(Some(value)),
        // Documents.
        [b'd' | b'D', ..] => Ok(Some(value)),
        // Accounts, users, groups, roles, policies, access keys, robot tokens, revoked tokens.
        [b'a' | b'U' | b'G' | b'R' | b'P' | b'g' | b'K' | b'A' | b'S' | b'O' | b'x' | b'X', ..] => {
            Ok(Some(value))
        }
        // Images' states, pushes, indexes of children.
        [b'i' | b'q' | b'I', ..] => Ok(Some(value)),
        // Node keys, nodes, join tokens, layout, copies, void copies, blobs with too few copies. How far the rows of
        // images are complete: while the new cluster has no node, commands that do not know them come.
        [b'k' | b'n' | b'j' | b'y' | b'h' | b'v' | b'u' | b'w', ..] => Ok(None),
        [b'b', ..] => {
            let record = BlobRecord::decode(&value).map_err(damaged)?;
            Ok(Some(BlobRecord { copies: Vec::new(), ..record }.encode()))
        }
        _ => Err(TakeoverError::Unknown(key.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::LinkRecord;

    #[test]
    fn content_stays_and_nodes_go() {
        for kind in *b"prtmMTflLdDaUGRPgKASOxXiqI" {
            let kept = take_over(&[kind, 1], vec![7], [9; 16]).unwrap();
            assert_eq!(kept, Some(vec![7]), "{}", char::from(kind));
        }
        for kind in *b"\0knjyhvuw" {
            assert_eq!(take_over(&[kind, 1], vec![7], [9; 16]).unwrap(), None, "{}", char::from(kind));
        }
        let kept = take_over(key::LOG_TIME, vec![7], [9; 16]).unwrap();
        assert_eq!(kept, Some(vec![7]));
    }

    #[test]
    fn the_cluster_gets_its_new_id_and_keeps_its_registry() {
        let registry = proto::identity::RegistryId {
            account: "000000000001".parse().unwrap(),
            region: "home".parse().unwrap(),
        };
        let old = ClusterRecord { cluster_id: [1; 16], registry };
        let new = take_over(key::CLUSTER, old.encode(), [9; 16]).unwrap().unwrap();
        assert_eq!(ClusterRecord::decode(&new).unwrap(), ClusterRecord { cluster_id: [9; 16], ..old });
    }

    #[test]
    fn what_is_unknown_or_damaged_is_refused() {
        assert!(matches!(take_over(b"Z1", vec![], [9; 16]), Err(TakeoverError::Unknown(_))));
        let link = LinkRecord { references: 1 }.encode();
        for value in [vec![], vec![200], link] {
            assert!(matches!(take_over(b"b1", value, [9; 16]), Err(TakeoverError::Damaged { .. })));
        }
    }
}
