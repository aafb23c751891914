//! Values of the replicated state, typed.
//!
//! Owns their stored form: one version byte, then the message of `proto/wire/record.proto`. A value that
//! does not decode means that this node's storage is damaged or was written by a newer release; it is
//! never taken for an absent one. All times are log time in milliseconds since 1970.

mod credential;
mod document;
mod encoding;
mod hidden;
mod image;
mod node;
mod principal;
pub(crate) mod repository;

use std::collections::BTreeMap;

use prost::Message;
use proto::digest::Digest;
use proto::identity::{NodeId, RegistryId};
use proto::upload::UploadId;

pub(crate) use credential::RevokedCountRecord;
pub use credential::{AccessKeyRecord, KeyState, RevokedRecord, RobotTokenRecord, Sealed};
pub use document::{DocumentRecord, RegistryDocument};
pub use hidden::Hidden;
pub(crate) use image::{ImageIndexRecord, ImageRecord};
pub use image::{ImageState, StorageClass};
pub use node::{
    JoinTokenRecord, LayoutRecord, MAX_RELEASE, NodeKind, NodeRecord, NodeState, REPLICAS, VoterPin,
};
pub use principal::{
    AccountRecord, Entity, EntityHead, EntityKind, GroupRecord, Owner, PolicyRecord, RoleRecord, UserRecord,
};
pub use repository::{RepositoryDocument, RepositoryRecord, RepositorySettings};

/// Why a stored value is not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// No version byte.
    #[error("the value is empty")]
    Empty,
    /// A newer release wrote it.
    #[error("the value has version {0}, which this release does not know: run the newer release")]
    UnknownVersion(u8),
    /// It is not the message it should be.
    #[error("the value is not a message")]
    NotAMessage(#[from] prost::DecodeError),
    /// It is the message, but this field makes no sense.
    #[error("the value has an impossible {0}")]
    Field(&'static str),
}

/// A value with a stored form.
pub(crate) trait Record: Sized {
    type Wire: Message + Default;

    /// The newest that is written; all from 1 on are read. Rises with a field whose loss would change what apply does.
    const VERSION: u8 = 1;

    /// Written for this value: where older releases write it too, the first version that holds it.
    fn version(&self) -> u8 {
        Self::VERSION
    }

    fn to_wire(&self) -> Self::Wire;
    fn from_wire(wire: Self::Wire) -> Result<Self, RecordError>;

    fn encode(&self) -> Vec<u8> {
        [&[self.version()], self.to_wire().encode_to_vec().as_slice()].concat()
    }

    fn decode(value: &[u8]) -> Result<Self, RecordError> {
        match value.split_first() {
            None => Err(RecordError::Empty),
            Some((&version, message)) if (1..=Self::VERSION).contains(&version) => {
                Self::from_wire(Self::Wire::decode(message)?)
            }
            Some((&version, _)) => Err(RecordError::UnknownVersion(version)),
        }
    }
}

/// What the cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRecord {
    /// Random, fixed at first start.
    pub cluster_id: [u8; 16],
    /// The registry of requests that name none.
    pub registry: RegistryId,
}

/// The largest time that a batch carried: the only clock apply may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogTimeRecord {
    pub(crate) time_ms: u64,
}

/// The root user of an account.
#[derive(Clone, PartialEq, Eq)]
pub struct RootRecord {
    /// A PHC string.
    pub password_hash: String,
}

impl std::fmt::Debug for RootRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RootRecord").finish_non_exhaustive()
    }
}

/// The key with which a node signs bearer tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeKeyRecord {
    /// ed25519.
    pub public_key: [u8; 32],
}

/// What a tag stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRecord {
    /// The manifest; its record is in the same repository.
    pub digest: Digest,
    /// The manifest's.
    pub media_type: String,
    /// The manifest's, in bytes.
    pub size: u64,
    /// When the tag last came to this manifest.
    pub pushed_ms: u64,
    /// Index of the entry that did it.
    pub updated_index: u64,
}

/// A manifest of a repository, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRecord {
    /// As first pushed.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// Of the first push.
    pub pushed_ms: u64,
    /// Sorted, without duplicates: the links whose reference counts this manifest holds.
    pub blobs: Vec<Digest>,
    /// Manifests that an index names; they need not exist.
    pub children: Vec<Digest>,
    /// The manifest this one refers to; it need not exist.
    pub subject: Option<Digest>,
    /// See [`ReferrerRecord::artifact_type`].
    pub artifact_type: Option<String>,
}

/// A blob of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRecord {
    /// Bytes.
    pub size: u64,
    /// The upload whose copies count (consistency rule R2).
    pub generation: UploadId,
    /// Root of the hash tree over its pieces.
    pub pieces_root: [u8; 32],
    /// Number of repositories that link it.
    pub links: u64,
    /// Not dropped before.
    pub lease_until_ms: u64,
    /// Of the generation's commit.
    pub created_ms: u64,
    /// Nodes whose synced copy of the generation was confirmed: sorted, distinct. Some may not count any
    /// more, see `state::copies`. Empty in records of release 0.1.
    pub copies: Vec<NodeId>,
}

/// A repository may read a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRecord {
    /// Number of manifests of the repository that need it.
    pub references: u32,
}

/// What a listing of referrers says of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferrerRecord {
    /// The referrer's.
    pub media_type: String,
    /// The referrer's, in bytes.
    pub size: u64,
    /// The referrer's.
    pub artifact_type: Option<String>,
    /// The referrer's.
    pub annotations: BTreeMap<String, String>,
}
