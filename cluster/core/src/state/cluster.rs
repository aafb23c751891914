//! What the cluster is: its id and default registry, the root principals, the nodes' signing keys.

use proto::identity::{AccountId, NodeId};

use super::page::page;
use super::{StateResult, decode, node, read, write};
use crate::command::{InitCluster, RegisterNodeKey, Response};
use crate::key;
use crate::record::{ClusterRecord, NodeKeyRecord, RootRecord};
use crate::view::{View, ViewMut};

pub(super) fn init<V: ViewMut>(view: &mut V, init: &InitCluster) -> StateResult<Response, V> {
    if let Some(ClusterRecord { cluster_id, registry }) = cluster(view)? {
        return Ok(Response::AlreadyInitialized { cluster_id, registry });
    }
    let record = ClusterRecord { cluster_id: init.cluster_id, registry: init.registry.clone() };
    write(view, key::CLUSTER.to_vec(), &record);
    let root = RootRecord { password_hash: init.root_password_hash.clone() };
    write(view, key::root(&init.registry.account), &root);
    Ok(Response::ClusterInitialized)
}

pub(super) fn register_node_key<V: ViewMut>(
    view: &mut V,
    register: &RegisterNodeKey,
) -> StateResult<Response, V> {
    // A node with a record has the key of that record.
    if node::node(view, register.node)?
        .is_some_and(|record| *record.public_key.as_bytes() != register.public_key)
    {
        return Ok(Response::NodeExists { node: register.node });
    }
    write(view, key::node_key(register.node), &NodeKeyRecord { public_key: register.public_key });
    Ok(Response::NodeKeyRegistered)
}

/// What the cluster is; `None` before its first start is over.
///
/// # Errors
/// The state could not be read.
pub fn cluster<V: View>(view: &V) -> StateResult<Option<ClusterRecord>, V> {
    read(view, key::CLUSTER)
}

/// The root user of an account.
///
/// # Errors
/// The state could not be read.
pub fn root<V: View>(view: &V, account: &AccountId) -> StateResult<Option<RootRecord>, V> {
    read(view, &key::root(account))
}

/// The signing key of one node.
///
/// # Errors
/// The state could not be read.
pub fn node_key<V: View>(view: &V, node: NodeId) -> StateResult<Option<NodeKeyRecord>, V> {
    read(view, &key::node_key(node))
}

/// The signing keys of all nodes, ordered by node.
///
/// # Errors
/// The state could not be read.
pub fn node_keys<V: View>(view: &V) -> StateResult<Vec<(NodeId, NodeKeyRecord)>, V> {
    let all = page(view, key::NODE_KEYS, None, usize::MAX, |rest, value| {
        let node = node::id(key::NODE_KEYS, rest)?;
        Ok(Some((node, decode(&[key::NODE_KEYS, rest].concat(), value)?)))
    })?;
    Ok(all.items)
}
