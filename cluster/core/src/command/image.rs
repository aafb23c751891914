//! Commands about images: manifests with what Amazon ECR's API knows of them beside.
//!
//! Rows are kept of images that find the indexes of a child, and list images in the order of their push (`state::image`).
//! Only commands of this file touch them: an older release does not know the rows, and stops before these commands.

use proto::digest::Digest;
use proto::name::Tag;

use super::PutManifest;
use crate::key::RepositoryId;
use crate::record::StorageClass;

/// The first level that has the commands of this file.
pub const LEVEL: u32 = 5;

/// Most pulls of one [`ImageCommand::RecordPulls`]; what is beyond is not looked at.
pub const MAX_PULLS: usize = 1000;

/// Whose rules judge a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OCI distribution: a push makes its repository, and comes again as often as it likes.
    Oci,
    /// Amazon ECR's PutImage: there is a repository, the children of an index are in it, and the push changes something.
    Ecr,
}

/// Stores a manifest and moves tags to it. An archived image that is pushed again is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutImage {
    /// What, where to, and on what condition.
    pub manifest: PutManifest,
    /// What else must hold.
    pub dialect: Dialect,
}

/// What an image is called in a command that deletes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageName {
    /// The image, with all its tags.
    Digest(Digest),
    /// The tag, and the image if it is its last one.
    Tag(Tag),
    /// As by its tag, if that stands for this image.
    TagOf(Digest, Tag),
}

/// An image was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// From where.
    pub repository: RepositoryId,
    /// Its manifest.
    pub digest: Digest,
    /// When; what is after log time counts as now.
    pub at_ms: u64,
}

/// Where [`ImageCommand::Index`] goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexFrom {
    /// After the last image that it came to; nowhere if that was the last one of all.
    Last,
    /// At the first image of all.
    Start,
}

/// Commands of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a command has it in a box")]
pub enum ImageCommand {
    /// See [`PutImage`].
    Put(PutImage),
    /// Removes tags and images by the rules of Amazon ECR's BatchDeleteImage: a child of an index stays.
    Delete {
        /// Where.
        repository: RepositoryId,
        /// What.
        image: ImageName,
    },
    /// As [`super::Command::DeleteManifest`]: any manifest, a child of an index too.
    DeleteManifest {
        /// Where.
        repository: RepositoryId,
        /// The manifest.
        digest: Digest,
    },
    /// Archives an image, or makes it active again.
    SetStorageClass {
        /// Where.
        repository: RepositoryId,
        /// Its manifest.
        digest: Digest,
        /// From now on.
        target: StorageClass,
    },
    /// Notes when images were last pulled: at most [`MAX_PULLS`], those that are not there left out, and never back.
    RecordPulls(Vec<Pull>),
    /// Writes the rows of images that came without.
    Index {
        /// Which.
        from: IndexFrom,
        /// Most images that are looked at in this entry.
        limit: u32,
    },
}

impl ImageCommand {
    /// Whether it can make the state larger.
    pub fn adds(&self) -> bool {
        match self {
            Self::Put(_) | Self::SetStorageClass { .. } | Self::RecordPulls(_) | Self::Index { .. } => true,
            Self::Delete { .. } | Self::DeleteManifest { .. } => false,
        }
    }

    /// About how many bytes it takes in the log.
    pub(super) fn encoded_len(&self) -> usize {
        match self {
            Self::Put(put) => put.manifest.encoded_len(),
            Self::RecordPulls(pulls) => 512 * (1 + pulls.len()),
            _ => 1024,
        }
    }
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageRefusal {
    /// PutImage makes none.
    NoRepository,
    /// The image is stored, and all the tags stand for it.
    AlreadyThere,
    /// Manifests that the index names and the repository does not have.
    MissingChildren(Vec<Digest>),
    /// There is no such image, or tag.
    NotFound,
    /// The tag stands for another image.
    TagDoesNotMatchDigest,
    /// This index names the image: it must go first.
    ReferencedByIndex(Digest),
    /// This index names the image: it must be archived first.
    IndexNotArchived(Digest),
}
