//! Copies on disk: staging, adopting, removing, listing. Blocking functions under the store's async ones.
//! Never decides which copy may go; the record does.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

use proto::digest::Digest;
use proto::upload::UploadId;

use crate::error::BlobError;
use crate::path::{self, Shard};
use crate::pieces;
use crate::store::Inner;

/// One file of a blob: what an upload ends in, what a record names, what a reader opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobCopy {
    /// Name of the content.
    pub digest: Digest,
    /// Length of the content in bytes.
    pub size: u64,
    /// The upload it came from (R2).
    pub generation: UploadId,
    /// BLAKE3 hash of the content: root of its piece list.
    pub pieces_root: [u8; 32],
}

/// A file found in a shard, whether a record names it or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Name of the content it claims to be.
    pub digest: Digest,
    /// The upload it came from.
    pub generation: UploadId,
    /// Length in bytes; 0 when only a piece list is left.
    pub size: u64,
    /// Names the file itself: another one that takes its name has another number; 0 when only a piece list is left.
    pub inode: u64,
    /// When it was written or read last, as far as this process knows, milliseconds since 1970.
    pub last_use_ms: u64,
}

impl Inner {
    /// Moves synced files under their final names and makes the names durable.
    pub(crate) fn stage(&self, data: &Path, list: Option<&Path>, copy: &BlobCopy) -> Result<(), BlobError> {
        self.prepare_shard(Shard::of(&copy.digest))?;
        self.move_in(data, list, &copy.digest, copy.generation)
    }

    /// As [`Inner::stage`], where a file of this generation may lie already, damaged or not.
    pub(crate) fn replace(&self, data: &Path, list: Option<&Path>, copy: &BlobCopy) -> Result<(), BlobError> {
        let _replacing = self.damage.lock_names();
        self.clear_obstacle(&self.layout.copy(&copy.digest, copy.generation))?;
        // Before the move, as in `adopt`.
        self.heal(&copy.digest, copy.generation)?;
        self.stage(data, list, copy)?;
        self.copies.forget(&(copy.digest, copy.generation));
        Ok(())
    }

    /// Gives a staged copy the generation of the record (R4), replacing what lies there.
    pub(crate) fn adopt(&self, staged: &BlobCopy, generation: UploadId) -> Result<BlobCopy, BlobError> {
        self.volume.check()?;
        let BlobCopy { digest, .. } = *staged;
        if generation != staged.generation {
            let _replacing = self.damage.lock_names();
            let data = self.layout.copy(&digest, staged.generation);
            if !data.try_exists().map_err(BlobError::io("look for", &data))? {
                return Err(BlobError::Missing);
            }
            self.clear_obstacle(&self.layout.copy(&digest, generation))?;
            // Before the move: a crash in between leaves a missing copy, which the next reader notices, rather than a
            // mark on a good one.
            self.heal(&digest, generation)?;
            let list = self.layout.pieces(&digest, staged.generation);
            let list = pieces::has_list(staged.size).then_some(list.as_path());
            self.move_in(&data, list, &digest, generation)?;
            self.incoming.supersede(&(digest, generation));
        }
        self.copies.forget(&(digest, staged.generation));
        self.copies.forget(&(digest, generation));
        Ok(BlobCopy { generation, ..*staged })
    }

    /// The list goes first: bytes without a list have to be read whole before they can be served.
    fn move_in(
        &self,
        data: &Path,
        list: Option<&Path>,
        digest: &Digest,
        to: UploadId,
    ) -> Result<(), BlobError> {
        // Opened first, so that after the renames only the fsync can fail.
        let shard = self.volume.open_dir(&self.layout.shard(Shard::of(digest)))?;
        if let Some(list) = list {
            match fs::rename(list, self.layout.pieces(digest, to)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                moved => moved.map_err(BlobError::io("rename", list))?,
            }
        }
        fs::rename(data, self.layout.copy(digest, to)).map_err(BlobError::io("rename", data))?;
        self.volume.sync_opened(&shard)
    }

    /// A directory cannot be replaced by renaming a file onto it.
    fn clear_obstacle(&self, path: &Path) -> Result<(), BlobError> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(path).map_err(BlobError::io("remove", path)),
            _ => Ok(()),
        }
    }

    /// Makes the folder of a shard exist and durable, once for each start of the process: another thread may have
    /// made it just now, or a crash may have come before it was durable.
    fn prepare_shard(&self, shard: Shard) -> Result<(), BlobError> {
        if self.shard_is_durable(shard) {
            return Ok(());
        }
        let path = self.layout.shard(shard);
        fs::create_dir_all(&path).map_err(BlobError::io("make", &path))?;
        self.volume.sync_dir(path.parent().unwrap_or(&path))?;
        self.mark_shard_durable(shard);
        Ok(())
    }

    /// Removes bytes, list, quarantined bytes and damage mark. True if there were bytes.
    pub(crate) fn remove(&self, digest: &Digest, generation: UploadId) -> Result<bool, BlobError> {
        let _replacing = self.damage.lock_names();
        let data = self.layout.copy(digest, generation);
        self.clear_obstacle(&data)?;
        let removed = remove_if_there(&data)?;
        remove_if_there(&self.layout.pieces(digest, generation))?;
        self.copies.forget(&(*digest, generation));
        self.heal(digest, generation)?;
        Ok(removed)
    }

    /// As [`Inner::remove`], if the name still leads to that very file.
    pub(crate) fn evict(&self, file: &StoredFile) -> Result<bool, BlobError> {
        let _replacing = self.damage.lock_names();
        let data = self.layout.copy(&file.digest, file.generation);
        if look_at(&data)?.is_none_or(|found| found.ino() != file.inode) {
            return Ok(false);
        }
        let removed = remove_if_there(&data)?;
        remove_if_there(&self.layout.pieces(&file.digest, file.generation))?;
        self.copies.forget(&(file.digest, file.generation));
        self.volume.metrics.evicted_copies.add(1);
        self.volume.metrics.evicted_bytes.add(file.size);
        Ok(removed)
    }

    /// All copies in a shard, in order.
    pub(crate) fn list(&self, shard: Shard) -> Result<Vec<StoredFile>, BlobError> {
        let path = self.layout.shard(shard);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(BlobError::io("list", &path))?,
        };
        let mut files = BTreeMap::new();
        for entry in entries {
            let name = entry.map_err(BlobError::io("list", &path))?.file_name();
            let Some(key) = path::parse_copy(shard, &name) else {
                tracing::warn!(path = %path.join(&name).display(), "foreign file among the blobs");
                continue;
            };
            let is_list = name.as_encoded_bytes().ends_with(b".pieces");
            let found = if is_list { None } else { look_at(&path.join(&name))? };
            let known = files.entry(key).or_insert(None);
            *known = found.or(known.take());
        }
        let file = |((digest, generation), found): (_, Option<fs::Metadata>)| {
            let written = found.as_ref().and_then(|found| found.modified().ok()).map_or(0, millis);
            StoredFile {
                digest,
                generation,
                size: found.as_ref().map_or(0, fs::Metadata::len),
                inode: found.as_ref().map_or(0, fs::Metadata::ino),
                last_use_ms: self.copies.last_use_ms(&(digest, generation)).max(written),
            }
        };
        Ok(files.into_iter().map(file).collect())
    }
}

/// `None` for a file that was removed meanwhile.
fn look_at(path: &Path) -> Result<Option<fs::Metadata>, BlobError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some).map_err(BlobError::io("look at", path)),
    }
}

/// Milliseconds since 1970.
pub(crate) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Unlinks a file; false if there was none.
pub(crate) fn remove_if_there(path: &Path) -> Result<bool, BlobError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true).map_err(BlobError::io("remove", path)),
    }
}
