//! What is kept of images beside their manifests.

use proto::wire::record as wire;

use super::{Record, RecordError};

/// Whether an image can be pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StorageClass {
    /// It can.
    #[default]
    Active,
    /// Not until it is active again.
    Archived,
}

/// What may change of an image while its manifest is what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageState {
    /// Of the last pull that was recorded.
    pub last_pull_ms: Option<u64>,
    /// From the last change on.
    pub class: StorageClass,
    /// When it was last archived.
    pub archived_ms: Option<u64>,
    /// When it last became active again.
    pub activated_ms: Option<u64>,
}

/// The state of an image that is not as every image begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageRecord {
    /// Of the manifest. That of another push of the same manifest was left behind by a command that does not know it.
    pub(crate) pushed_ms: u64,
    pub(crate) state: ImageState,
}

impl Record for ImageRecord {
    type Wire = wire::Image;

    fn to_wire(&self) -> wire::Image {
        wire::Image {
            pushed_ms: self.pushed_ms,
            last_pull_ms: self.state.last_pull_ms,
            is_archived: self.state.class == StorageClass::Archived,
            archived_ms: self.state.archived_ms,
            activated_ms: self.state.activated_ms,
        }
    }

    fn from_wire(wire: wire::Image) -> Result<Self, RecordError> {
        let class = if wire.is_archived { StorageClass::Archived } else { StorageClass::Active };
        let state = ImageState {
            last_pull_ms: wire.last_pull_ms,
            class,
            archived_ms: wire.archived_ms,
            activated_ms: wire.activated_ms,
        };
        Ok(Self { pushed_ms: wire.pushed_ms, state })
    }
}

/// How far `ImageCommand::Index` came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageIndexRecord {
    /// The key that comes next at the earliest; `None`: it came to the end.
    pub(crate) next: Option<Vec<u8>>,
}

impl Record for ImageIndexRecord {
    type Wire = wire::ImageIndex;

    fn to_wire(&self) -> wire::ImageIndex {
        wire::ImageIndex { next: self.next.clone() }
    }

    fn from_wire(wire: wire::ImageIndex) -> Result<Self, RecordError> {
        Ok(Self { next: wire.next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_images_keep_their_bytes() {
        let state = ImageState {
            last_pull_ms: Some(0),
            class: StorageClass::Archived,
            archived_ms: Some(2),
            activated_ms: None,
        };
        let image = ImageRecord { pushed_ms: 1, state };
        assert_eq!(image.encode(), [1, 8, 1, 16, 0, 24, 1, 32, 2]);
        assert_eq!(ImageRecord::decode(&image.encode()).unwrap(), image);
        for (next, bytes) in [(None, vec![1]), (Some(vec![7]), vec![1, 10, 1, 7])] {
            let index = ImageIndexRecord { next };
            assert_eq!(index.encode(), bytes);
            assert_eq!(ImageIndexRecord::decode(&bytes).unwrap(), index);
        }
        assert!(matches!(ImageRecord::decode(&[2, 8, 1]), Err(RecordError::UnknownVersion(2))));
    }
}
