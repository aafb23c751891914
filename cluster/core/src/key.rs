//! The whole key space of the replicated state.
//!
//! Longer than 300 lines: which keys there are is seen where all of them stand.
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
//! i           account 0 region 0 name 0 digest                      record Image, if not as every image begins
//! q           account 0 region 0 name 0 pushed_ms, 8 bytes, digest  empty: the manifest was pushed then
//! I           account 0 region 0 name 0 child digest, index digest  empty: the index names the child
//! w           -                                                     record ImageIndex: how far q and I are complete
//! d           account 0 region 0 name 0 kind, 1 byte                record Document
//! D           account 0 region 0 kind, 1 byte, id                   record Document
//! a           account                                               record Account, but perhaps of the default one
//! U           account user                                          record User
//! G           account group                                         record Group
//! R           account role                                          record Role
//! P           account kind (U, G, R) entity 0 name of the policy    record Policy
//! g           account group 0 user                                  empty: the user is in the group
//! K           id of an access key                                   record AccessKey
//! A           account user 0 id of an access key                    empty: the key is the user's; no user: root's
//! S           id of a robot token, 16 bytes                         record RobotToken
//! O           account user 0 id of a robot token                    empty: the token is the user's; no user: root's
//! x           -                                                     record RevokedCount
//! x           id of an authorization token, 16 bytes                record Revoked
//! X           until_ms, 8 bytes big endian, id of that token        empty: it may go after this time
//! ```
//!
//! No account, region, name or tag contains the zero byte, so what belongs to one repository is one
//! range, and listings come out in the byte order of the names. A digest says its own length in its first
//! byte. Users, groups and roles stand in keys by `EntityName::unique_name`. A key's form never changes; another form takes another first byte.
//!
//! Longer than 300 lines, since only here it is seen that no two kinds of key meet.

use proto::arn::EntityName;
use proto::credential::{AccessKeyId, PolicyName};
use proto::digest::Digest;
use proto::identity::{AccountId, NodeId, RegistryId};
use proto::name::{RepositoryName, Tag};
use proto::settings::DocumentId;

use crate::record::{Entity, EntityKind, Owner, RegistryDocument, RepositoryDocument};

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
    [manifests(id), digest.to_bytes()].concat()
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

/// Before every [`manifest`].
pub(crate) const MANIFESTS: &[u8] = b"m";

/// The repository and digest of a [`manifest`]'s key.
pub(crate) fn parse_manifest(key: &[u8]) -> Option<(RepositoryId, Digest)> {
    let mut parts = key.strip_prefix(MANIFESTS)?.splitn(4, |byte| *byte == 0);
    let mut text = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
    let registry = RegistryId { account: text()?.parse().ok()?, region: text()?.parse().ok()? };
    let name = text()?.parse().ok()?;
    Some((RepositoryId { registry, name }, Digest::from_bytes(parts.next()?)?))
}

/// Before every [`manifest`] of a repository.
pub(crate) fn manifests(id: &RepositoryId) -> Vec<u8> {
    within(b'm', id)
}

pub(crate) fn image(id: &RepositoryId, digest: &Digest) -> Vec<u8> {
    [within(b'i', id), digest.to_bytes()].concat()
}

/// Before every [`push`] of a repository.
pub(crate) fn pushes(id: &RepositoryId) -> Vec<u8> {
    within(b'q', id)
}

pub(crate) fn push(id: &RepositoryId, pushed_ms: u64, digest: &Digest) -> Vec<u8> {
    [pushes(id).as_slice(), &pushed_ms.to_be_bytes(), &digest.to_bytes()].concat()
}

/// Before every [`index_of_child`] of a child.
pub(crate) fn indexes_of_child(id: &RepositoryId, child: &Digest) -> Vec<u8> {
    [within(b'I', id), child.to_bytes()].concat()
}

pub(crate) fn index_of_child(id: &RepositoryId, child: &Digest, index: &Digest) -> Vec<u8> {
    [indexes_of_child(id, child), index.to_bytes()].concat()
}

pub(crate) const IMAGE_INDEX: &[u8] = b"w";

/// Before every [`link`] of a repository.
pub(crate) fn links(id: &RepositoryId) -> Vec<u8> {
    within(b'l', id)
}

pub(crate) fn link(id: &RepositoryId, digest: &Digest) -> Vec<u8> {
    [links(id), digest.to_bytes()].concat()
}

pub(crate) fn repository_document(id: &RepositoryId, kind: RepositoryDocument) -> Vec<u8> {
    let mut key = within(b'd', id);
    key.push(kind.number());
    key
}

/// Before every [`registry_document`] of a kind.
pub(crate) fn registry_documents(registry: &RegistryId, kind: RegistryDocument) -> Vec<u8> {
    let mut key = repositories(registry);
    key[0] = b'D';
    key.push(kind.number());
    key
}

pub(crate) fn registry_document(registry: &RegistryId, kind: RegistryDocument, id: &DocumentId) -> Vec<u8> {
    [&registry_documents(registry, kind), id.as_str().as_bytes()].concat()
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

pub(crate) fn account(account: &AccountId) -> Vec<u8> {
    [b"a", account.as_str().as_bytes()].concat()
}

/// Before every [`root`]; so before all accounts.
pub(crate) const ROOTS: &[u8] = b"p";

fn kind(kind: EntityKind) -> &'static [u8] {
    match kind {
        EntityKind::User => b"U",
        EntityKind::Group => b"G",
        EntityKind::Role => b"R",
    }
}

/// Before every [`entity`] of a kind in an account.
pub(crate) fn entities(account: &AccountId, of: EntityKind) -> Vec<u8> {
    [kind(of), account.as_str().as_bytes()].concat()
}

/// `unique_name`: see [`EntityName::unique_name`].
pub(crate) fn entity(account: &AccountId, of: EntityKind, unique_name: &str) -> Vec<u8> {
    [&entities(account, of), unique_name.as_bytes()].concat()
}

/// Before every [`policy`] of a user, group or role.
pub(crate) fn policies(of: &Entity) -> Vec<u8> {
    let unique_name = of.name.unique_name();
    [b"P", of.account.as_str().as_bytes(), kind(of.kind), unique_name.as_bytes(), b"\0"].concat()
}

pub(crate) fn policy(of: &Entity, name: &PolicyName) -> Vec<u8> {
    [&policies(of), name.as_str().as_bytes()].concat()
}

/// Before every [`member`] of a group.
pub(crate) fn members(account: &AccountId, group: &EntityName) -> Vec<u8> {
    [b"g", account.as_str().as_bytes(), group.unique_name().as_bytes(), b"\0"].concat()
}

pub(crate) fn member(account: &AccountId, group: &EntityName, user: &EntityName) -> Vec<u8> {
    [&members(account, group), user.unique_name().as_bytes()].concat()
}

/// Before every [`access_key`].
pub(crate) const ACCESS_KEYS: &[u8] = b"K";

pub(crate) fn access_key(id: &AccessKeyId) -> Vec<u8> {
    [ACCESS_KEYS, id.as_str().as_bytes()].concat()
}

/// What stands before everything of one kind that an owner has.
fn owned(kind: u8, owner: &Owner) -> Vec<u8> {
    let user = owner.user().map(EntityName::unique_name).unwrap_or_default();
    [&[kind], owner.account().as_str().as_bytes(), user.as_bytes(), b"\0"].concat()
}

/// Before every [`access_key_of_owner`].
pub(crate) fn access_keys_of_owner(owner: &Owner) -> Vec<u8> {
    owned(b'A', owner)
}

pub(crate) fn access_key_of_owner(owner: &Owner, id: &AccessKeyId) -> Vec<u8> {
    [&access_keys_of_owner(owner), id.as_str().as_bytes()].concat()
}

pub(crate) fn robot_token(id: &[u8; 16]) -> Vec<u8> {
    [b"S", id.as_slice()].concat()
}

/// Before every [`robot_token_of_owner`] of an account.
pub(crate) fn robot_tokens(account: &AccountId) -> Vec<u8> {
    [b"O", account.as_str().as_bytes()].concat()
}

/// Before every [`robot_token_of_owner`].
pub(crate) fn robot_tokens_of_owner(owner: &Owner) -> Vec<u8> {
    owned(b'O', owner)
}

pub(crate) fn robot_token_of_owner(owner: &Owner, id: &[u8; 16]) -> Vec<u8> {
    [robot_tokens_of_owner(owner).as_slice(), id].concat()
}

pub(crate) const REVOKED_COUNT: &[u8] = b"x";

pub(crate) fn revoked(id: &[u8; 16]) -> Vec<u8> {
    [b"x", id.as_slice()].concat()
}

/// Before every [`revoked_until`].
pub(crate) const REVOKED_UNTIL: &[u8] = b"X";

pub(crate) fn revoked_until(until_ms: u64, id: &[u8; 16]) -> Vec<u8> {
    [REVOKED_UNTIL, &until_ms.to_be_bytes(), id].concat()
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
