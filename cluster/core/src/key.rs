//! The whole key space of the replicated state.
//!
//! ```text
//! first byte  rest                                                  value
//! c           -                                                     record Cluster
//! c           "time"                                                record LogTime
//! p           account                                               record Root
//! k           node, 8 bytes big endian                              record NodeKey
//! n           node                                                  record Node
//! j           id of a join token, 16 bytes                          record JoinToken
//! y           -                                                     record Layout
//! b           digest                                                record Blob
//! h           node digest                                           empty: the blob's record names this copy
//! v           node                                                  empty: all copies on the node are void
//! u           digest                                                empty: a blob with fewer copies than wanted
//! r           account 0 region 0 name                               record Repository
//! t           account 0 region 0 name 0 tag                         record Tag
//! m           account 0 region 0 name 0 digest                      record Manifest
//! M           account 0 region 0 name 0 digest                      the manifest's bytes as pushed
//! T           account 0 region 0 name 0 digest tag                  empty: a tag that names the manifest
//! f           account 0 region 0 name 0 subject digest, referrer's  record Referrer
//! l           account 0 region 0 name 0 digest                      record Link
//! L           account 0 region 0 digest name                        empty: a repository that links the blob
//! ```
//!
//! No account, region, name or tag contains the zero byte, so what belongs to one repository is one
//! range, and listings come out in the byte order of the names. A digest says its own length in its first
//! byte. A key's form never changes; another form takes another first byte.

use proto::digest::Digest;
use proto::identity::{AccountId, NodeId, RegistryId};
use proto::name::{RepositoryName, Tag};

/// A repository in its registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryId {
    /// The registry that the name lives in.
    pub registry: RegistryId,
    /// Its name there.
    pub name: RepositoryName,
}

impl std::fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.registry, self.name)
    }
}

pub(crate) const CLUSTER: &[u8] = b"c";
pub(crate) const LOG_TIME: &[u8] = b"ctime";
/// Before every [`node_key`].
pub(crate) const NODE_KEYS: &[u8] = b"k";

pub(crate) fn root(account: &AccountId) -> Vec<u8> {
    [b"p", account.as_str().as_bytes()].concat()
}

pub(crate) fn node_key(node: NodeId) -> Vec<u8> {
    [NODE_KEYS, &node.get().to_be_bytes()].concat()
}

/// Before every [`node`].
pub(crate) const NODES: &[u8] = b"n";

pub(crate) fn node(node: NodeId) -> Vec<u8> {
    [NODES, &node.get().to_be_bytes()].concat()
}

/// Before every [`join_token`].
pub(crate) const JOIN_TOKENS: &[u8] = b"j";

pub(crate) fn join_token(token: &[u8; 16]) -> Vec<u8> {
    [JOIN_TOKENS, token.as_slice()].concat()
}

pub(crate) const LAYOUT: &[u8] = b"y";

/// Before every [`blob`].
pub(crate) const BLOBS: &[u8] = b"b";

/// Before every [`copy`] on a node.
pub(crate) fn copies(node: NodeId) -> Vec<u8> {
    [b"h".as_slice(), &node.get().to_be_bytes()].concat()
}

pub(crate) fn copy(node: NodeId, digest: &Digest) -> Vec<u8> {
    [copies(node), digest.to_bytes()].concat()
}

/// Before every [`void`].
pub(crate) const VOIDS: &[u8] = b"v";

pub(crate) fn void(node: NodeId) -> Vec<u8> {
    [VOIDS, &node.get().to_be_bytes()].concat()
}

/// Before every [`under_copied`].
pub(crate) const UNDER_COPIED: &[u8] = b"u";

pub(crate) fn under_copied(digest: &Digest) -> Vec<u8> {
    [UNDER_COPIED, digest.to_bytes().as_slice()].concat()
}

pub(crate) fn blob(digest: &Digest) -> Vec<u8> {
    [BLOBS, digest.to_bytes().as_slice()].concat()
}

/// Before every [`repository`] of a registry.
pub(crate) fn repositories(registry: &RegistryId) -> Vec<u8> {
    [b"r", registry.account.as_str().as_bytes(), b"\0", registry.region.as_str().as_bytes(), b"\0"].concat()
}

pub(crate) fn repository(id: &RepositoryId) -> Vec<u8> {
    [&repositories(&id.registry), id.name.as_str().as_bytes()].concat()
}

/// What stands before everything of one kind in one repository.
fn within(kind: u8, id: &RepositoryId) -> Vec<u8> {
    let mut key = repository(id);
    key[0] = kind;
    key.push(0);
    key
}

/// Before every [`tag`] of a repository.
pub(crate) fn tags(id: &RepositoryId) -> Vec<u8> {
    within(b't', id)
}

pub(crate) fn tag(id: &RepositoryId, tag: &Tag) -> Vec<u8> {
    [&tags(id), tag.as_str().as_bytes()].concat()
}

pub(crate) fn manifest(id: &RepositoryId, digest: &Digest) -> Vec<u8> {
    [within(b'm', id), digest.to_bytes()].concat()
}

pub(crate) fn manifest_content(id: &RepositoryId, digest: &Digest) -> Vec<u8> {
    [within(b'M', id), digest.to_bytes()].concat()
}

/// Before every [`tag_of_manifest`] of a manifest.
pub(crate) fn tags_of_manifest(id: &RepositoryId, digest: &Digest) -> Vec<u8> {
    [within(b'T', id), digest.to_bytes()].concat()
}

pub(crate) fn tag_of_manifest(id: &RepositoryId, digest: &Digest, tag: &Tag) -> Vec<u8> {
    [&tags_of_manifest(id, digest), tag.as_str().as_bytes()].concat()
}

/// Before every [`referrer`] of a subject.
pub(crate) fn referrers(id: &RepositoryId, subject: &Digest) -> Vec<u8> {
    [within(b'f', id), subject.to_bytes()].concat()
}

pub(crate) fn referrer(id: &RepositoryId, subject: &Digest, digest: &Digest) -> Vec<u8> {
    [referrers(id, subject), digest.to_bytes()].concat()
}

pub(crate) fn link(id: &RepositoryId, digest: &Digest) -> Vec<u8> {
    [within(b'l', id), digest.to_bytes()].concat()
}

/// Before every [`holder`] of a blob in a registry.
pub(crate) fn holders(registry: &RegistryId, digest: &Digest) -> Vec<u8> {
    let mut key = repositories(registry);
    key[0] = b'L';
    key.extend(digest.to_bytes());
    key
}

pub(crate) fn holder(id: &RepositoryId, digest: &Digest) -> Vec<u8> {
    [&holders(&id.registry, digest), id.name.as_str().as_bytes()].concat()
}

/// The first key after all that begin with `prefix`; every prefix of this module begins with a letter.
pub(crate) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}
