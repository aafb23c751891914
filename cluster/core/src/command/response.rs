//! What became of a command. A refusal is an answer too, and changes nothing.

use proto::digest::Digest;
use proto::identity::{NodeId, RegistryId};
use proto::name::Tag;
use proto::upload::UploadId;

use super::{ImageRefusal, PrincipalRefusal, RepositoryRefusal};

/// What became of a command, in the order of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The cluster has its name now.
    ClusterInitialized,
    /// The cluster had a name already; nothing changed.
    AlreadyInitialized {
        /// Its id.
        cluster_id: [u8; 16],
        /// Its default registry.
        registry: RegistryId,
    },
    /// The key is known to all nodes.
    NodeKeyRegistered,
    /// The blob is readable in the repository.
    BlobLinked {
        /// The generation that the record names: the command's, or an older one that stays.
        generation: UploadId,
    },
    /// The staged copies may be gone: upload again.
    StagingExpired,
    /// The blob is readable in the repository.
    Mounted {
        /// Bytes.
        size: u64,
    },
    /// None of the repositories links the blob.
    NotMounted,
    /// The blob stays at least until then.
    LeaseRenewed {
        /// Log time, milliseconds.
        until_ms: u64,
    },
    /// The blob is no longer readable in the repository.
    Unlinked,
    /// A manifest of the repository needs the blob.
    InUse,
    /// The blob is forgotten; its files of that generation may be unlinked.
    Dropped,
    /// The blob has another generation, a link or a lease.
    Kept,
    /// The manifest is stored and the tags moved.
    ManifestStored {
        /// False if this repository had it already.
        created: bool,
        /// Index of the entry.
        index: u64,
    },
    /// The repository does not link these blobs, whether or not they exist elsewhere.
    MissingBlobs(Vec<Digest>),
    /// These blobs have other sizes than the manifest states; with their true sizes.
    SizeMismatch(Vec<(Digest, u64)>),
    /// The condition does not hold.
    ConditionFailed {
        /// What the name stands for.
        current: Option<Digest>,
    },
    /// The manifest, tag or document is gone.
    Deleted,
    /// There is no such thing.
    NotFound,
    /// A node may come in with it.
    JoinTokenCreated,
    /// The token is worth nothing any more.
    Revoked,
    /// The node is part of the cluster.
    NodeAdded {
        /// Who.
        node: NodeId,
    },
    /// The token lets nobody in, or not this node.
    TokenRefused(TokenRefusal),
    /// The key, or the id, is another node's; or the cluster has its founder.
    NodeExists {
        /// Whose.
        node: NodeId,
    },
    /// A later start of this node is known: whoever asked must stop.
    StaleIncarnation {
        /// Of that start.
        recorded: u64,
    },
    /// The node's record says so now.
    NodeUpdated,
    /// The node is no part of the cluster any more.
    NodeRemoved,
    /// The plan was made for another layout.
    LayoutChanged {
        /// The present version.
        version: u64,
    },
    /// Not every node knows this command yet.
    NotYet {
        /// The level that has it.
        needed: u32,
        /// Of the cluster.
        level: u32,
    },
    /// The node's release is too old for the cluster, or too new.
    LevelRefused {
        /// Of the cluster.
        level: u32,
    },
    /// Blobs count on the node.
    StillNeeded {
        /// One of them; `None` if no other node could be a home.
        example: Option<Digest>,
    },
    /// The blob's record is changed.
    CopiesConfirmed {
        /// Nodes that it names now.
        copies: Vec<NodeId>,
    },
    /// The receipts do not reach.
    TooFewCopies {
        /// Nodes with one that counts.
        copies: u32,
        /// Zones that these are in.
        zones: u32,
    },
    /// None of the receipts counts: unknown nodes, edges, lost ones, or another incarnation.
    VoidReceipts(Vec<NodeId>),
    /// Some blobs were counted again.
    Recounted {
        /// Whether that was all.
        is_done: bool,
    },
    /// Of accounts and principals it is now, or was already, as the command says.
    PrincipalChanged,
    /// It is as it was.
    PrincipalRefused(PrincipalRefusal),
    /// These are gone: an image with each of its tags, or with none if it had none.
    ImagesDeleted(Vec<(Digest, Option<Tag>)>),
    /// Of the images it is now, or was already, as the command says.
    ImageChanged,
    /// The images are as they were.
    ImageRefused(ImageRefusal),
    /// Some images have their rows.
    ImagesIndexed {
        /// Whether that was all.
        is_done: bool,
    },
    /// The tag stands for another manifest and may not move.
    TagImmutable {
        /// The first one of which that is true.
        tag: Tag,
    },
    /// Of the repository or its documents it is now, or was already, as the command says.
    RepositoryChanged {
        /// Of the repository.
        created_ms: u64,
    },
    /// A part of the repository is gone.
    RepositoryCleared {
        /// Whether all of what was to go is.
        is_done: bool,
    },
    /// The registry has the document.
    DocumentStored {
        /// Of the document.
        created_ms: u64,
        /// Of the document.
        changed_ms: u64,
    },
    /// It is as it was.
    RepositoryRefused(RepositoryRefusal),
}

/// Why a token lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefusal {
    /// There is no such token, or the secret is another one; not told apart.
    Unknown,
    /// Its time is over.
    Expired,
    /// Somebody came in with it.
    Used,
}
