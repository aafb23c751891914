//! All that can change metadata: commands, their answers, and the batch that carries them.
//!
//! Owns the typed form; [`encoding`] turns it into the bytes of the Raft log and back. Commands arrive
//! complete: times, ids and parsed documents are in them, since apply may not look anything up outside
//! the state. Bounds (number of tags, size of a manifest) are the business of whoever builds a command.

pub mod encoding;
pub mod image;
mod image_encoding;
pub mod node;
mod node_encoding;
pub mod principal;
mod principal_encoding;
mod refusal;
pub mod repository;
mod repository_encoding;
mod response;
mod response_encoding;

use std::collections::BTreeMap;

use proto::digest::Digest;
use proto::identity::{NodeId, RegistryId};
use proto::name::{RepositoryName, Tag};
use proto::upload::UploadId;

use crate::key::RepositoryId;
use crate::level;
use image::{Dialect, PutImage};
pub use image::{ImageCommand, ImageRefusal};
pub use node::{ConfirmCopies, NodeCommand, Receipt};
pub use principal::PrincipalCommand;
pub use refusal::{Bound, MIN_SESSION_SECONDS, Noun, PrincipalRefusal};
pub use repository::{RepositoryCommand, RepositoryRefusal};
pub use response::{Response, TokenRefusal};

/// One Raft entry: commands that one proposer grouped under one clock reading. An empty one only moves
/// log time on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The proposer's wall clock, milliseconds since 1970. Log time is the largest seen so far.
    pub time_ms: u64,
    /// Applied in order. Each is atomic alone: a refused one changes nothing.
    pub commands: Vec<Command>,
}

/// One change of the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Names the cluster; the first one wins.
    InitCluster(InitCluster),
    /// Publishes the key with which a node signs bearer tokens; replaces the node's older one. Of release
    /// 0.1: [`node::AddNode`] does it now.
    RegisterNodeKey(RegisterNodeKey),
    /// Makes an uploaded blob readable in a repository.
    CommitBlob(CommitBlob),
    /// Makes a blob of another repository readable in this one.
    MountBlob(MountBlob),
    /// Keeps a blob without links from being dropped for another lease.
    RenewLease {
        /// The blob.
        digest: Digest,
    },
    /// Makes a blob unreadable in a repository.
    UnlinkBlob {
        /// Where.
        repository: RepositoryId,
        /// The blob.
        digest: Digest,
    },
    /// Forgets a blob that nothing links, if it still has this generation (consistency rule R1).
    DropBlob {
        /// The blob.
        digest: Digest,
        /// The generation that was planned to go.
        generation: UploadId,
    },
    /// Stores a manifest and moves tags to it.
    PutManifest(Box<PutManifest>),
    /// Removes a manifest, its tags and its referrer row.
    DeleteManifest {
        /// Where.
        repository: RepositoryId,
        /// The manifest.
        digest: Digest,
    },
    /// Removes one tag.
    DeleteTag {
        /// Where.
        repository: RepositoryId,
        /// The name to remove.
        tag: Tag,
    },
    /// Changes which nodes there are.
    Node(Box<NodeCommand>),
    /// Keeps the copies that a blob's record names true.
    ConfirmCopies(ConfirmCopies),
    /// Goes on with the count of copies after a change of the nodes.
    RecountCopies {
        /// Most blobs that are looked at in this entry.
        limit: u32,
    },
    /// Changes accounts, users, groups, roles, or what they prove themselves with.
    Principal(Box<PrincipalCommand>),
    /// Changes images and the rows that are kept of them.
    Image(Box<ImageCommand>),
    /// Changes what is set of repositories and registries, or deletes repositories.
    Repository(Box<RepositoryCommand>),
}

impl Command {
    /// The first level that has it: before all nodes speak that, it is refused.
    pub fn level(&self) -> u32 {
        match self {
            Self::Node(command) => match **command {
                NodeCommand::ChangeLayout(_) => 3,
                _ => level::FIRST,
            },
            Self::Principal(_) => 4,
            Self::Image(_) => image::LEVEL,
            Self::Repository(_) => level::REPOSITORY_SETTINGS,
            _ => level::FIRST,
        }
    }

    /// What a cluster of this level has in its place: the same that keeps the rows of images, too. An entry that holds
    /// the older form must do on every release what it always did; one of the newer form stops a release that does not
    /// know the rows.
    #[must_use]
    pub fn at_level(self, level: u32) -> Self {
        match self {
            Self::PutManifest(manifest) if level >= image::LEVEL => {
                let put = PutImage { manifest: *manifest, dialect: Dialect::Oci };
                Self::Image(Box::new(ImageCommand::Put(put)))
            }
            Self::DeleteManifest { repository, digest } if level >= image::LEVEL => {
                Self::Image(Box::new(ImageCommand::DeleteManifest { repository, digest }))
            }
            command => command,
        }
    }
}

/// See [`Command::InitCluster`].
#[derive(Clone, PartialEq, Eq)]
pub struct InitCluster {
    /// Random.
    pub cluster_id: [u8; 16],
    /// The registry of requests that name none.
    pub registry: RegistryId,
    /// Hash of the first secret of the registry's account's root, a PHC string.
    pub root_password_hash: String,
}

impl std::fmt::Debug for InitCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InitCluster")
            .field("cluster_id", &self.cluster_id)
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

/// See [`Command::RegisterNodeKey`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterNodeKey {
    /// Who signs.
    pub node: NodeId,
    /// ed25519.
    pub public_key: [u8; 32],
}

/// See [`Command::CommitBlob`]. Creates the repository if it is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitBlob {
    /// Where it becomes readable.
    pub repository: RepositoryId,
    /// The blob.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// The upload that the durable copies came from.
    pub generation: UploadId,
    /// Root of the hash tree over its pieces.
    pub pieces_root: [u8; 32],
    /// Refused once log time is past this, since homes may then remove the staged copies (R3).
    pub staging_deadline_ms: u64,
    /// Who has the bytes synced, the uploader's own first. Not looked at while no node has a record, as in
    /// logs of release 0.1.
    pub copies: Vec<Receipt>,
    /// Refused with receipts of fewer nodes, or of as many as may be homes if those are fewer.
    pub required_copies: u32,
    /// Refused with receipts from fewer zones, or from as many as have homes if those are fewer.
    pub required_zones: u32,
}

/// See [`Command::MountBlob`]. Creates the repository if it is new and the mount succeeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountBlob {
    /// Where it becomes readable.
    pub repository: RepositoryId,
    /// The blob.
    pub digest: Digest,
    /// Repositories of the same registry that the caller may read, in order of preference.
    pub from: Vec<RepositoryName>,
}

/// See [`Command::PutManifest`]. Creates the repository if it is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutManifest {
    /// Where.
    pub repository: RepositoryId,
    /// Of `content`.
    pub digest: Digest,
    /// As pushed.
    pub media_type: String,
    /// The document, byte for byte.
    pub content: Vec<u8>,
    /// Config and layers with the sizes the document states. Each must be linked to the repository.
    pub blobs: Vec<(Digest, u64)>,
    /// Manifests that an index names; they need not exist.
    pub children: Vec<Digest>,
    /// The manifest that this one refers to; it need not exist.
    pub subject: Option<Digest>,
    /// For the listing of the subject's referrers.
    pub artifact_type: Option<String>,
    /// For the listing of the subject's referrers; kept only if there is a subject.
    pub annotations: BTreeMap<String, String>,
    /// Move to this manifest, all or none.
    pub tags: Vec<Tag>,
    /// Must hold for every one of `tags`; without tags, for the manifest itself.
    pub condition: Option<Condition>,
}

/// A condition on what a name stands for when the command is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It stands for one of these.
    IfMatch(Vec<Digest>),
    /// It stands for something.
    IfMatchAny,
    /// It stands for nothing yet.
    IfNoneMatchAny,
}
