//! The node's data directory: made at the first start, checked and locked at each.
//!
//! ```text
//! <data-dir>/FORMAT      "shoal-data 1": what this directory is
//! <data-dir>/LOCK        held by the process that uses it; contains its pid
//! <data-dir>/node.key    the node's secret key
//! <data-dir>/secrets.keys  the keys of secrets in the state, the same on all full nodes
//! <data-dir>/starts      how often the node was started: tells a copied or restored directory from this one
//! <data-dir>/join.token  only until the cluster has taken the node in: the token it joins with
//! <data-dir>/new-disk    only until the cluster was told that no blob of an earlier start is left here
//! <data-dir>/superseded  once another start of the node was found to go before the ones of this directory
//! <data-dir>/metadata/   the Raft log and state (crate cluster)
//! <data-dir>/blobs/      bytes and open uploads (crate blobs)
//! <data-dir>/audit/      what was decided on this node
//! ```

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

const FORMAT: &str = "shoal-data 1\n";
const STARTS: &str = "starts";
const NEW_DISK: &str = "new-disk";
const SUPERSEDED: &str = "superseded";
/// Random bits below the count of starts in an incarnation.
const RANDOM_BITS: u32 = 24;

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    /// It, or a file in it, cannot be read or written.
    #[error("{path} cannot be used as data directory")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It holds something else.
    #[error("{0} is not empty and not a Shoal data directory (no FORMAT file): give another --data-dir")]
    Foreign(PathBuf),
    /// It was written by another version.
    #[error("{0} says that the directory was written by a version of Shoal that this one cannot read")]
    OtherVersion(PathBuf),
    /// See [`DataDir::retire`].
    #[error(
        "{0} is out of date: the node went on from a copy of it, and must not forget what it has said since; \
         join as a new node with an empty --data-dir"
    )]
    Superseded(PathBuf),
    /// Somebody else uses it.
    #[error("{path} is in use by another shoal process{}: stop it, or give another --data-dir", pid(.holder))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The other process, as it says.
        holder: String,
    },
}

fn pid(holder: &str) -> String {
    if holder.is_empty() { String::new() } else { format!(" (pid {holder})") }
}

/// A directory that is ours as long as this value lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    first_start: bool,
    incarnation: u64,
    /// Closing it ends the lock.
    _lock: File,
}

impl DataDir {
    /// Makes, checks and locks `path`. Blocks.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { path, source }
        };
        private_dir(path).map_err(failed(path))?;
        let format = path.join("FORMAT");
        let found = match std::fs::read_to_string(&format) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&format)(error)),
        };
        let fresh = found.is_none();
        if found.is_some_and(|text| text != FORMAT) {
            return Err(DataDirError::OtherVersion(format));
        }
        if fresh && !only_ours(path).map_err(failed(path))? {
            return Err(DataDirError::Foreign(path.to_owned()));
        }
        let lock = lock(path)?;
        if path.join(SUPERSEDED).try_exists().map_err(failed(path))? {
            return Err(DataDirError::Superseded(path.to_owned()));
        }
        // The first start is not over before the metadata exists.
        let first_start = !path.join("metadata").try_exists().map_err(failed(path))?;
        if fresh {
            write_private(path, "FORMAT", FORMAT.as_bytes()).map_err(failed(&format))?;
        }
        let incarnation = count_start(path).map_err(failed(&path.join(STARTS)))?;
        Ok(Self { path: path.to_owned(), first_start, incarnation, _lock: lock })
    }

    /// Whether nothing was ever agreed on here.
    pub(crate) fn first_start(&self) -> bool {
        self.first_start
    }

    /// Larger at each start of this directory; of two starts of one copied directory, one is the larger.
    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the metadata lives.
    pub(crate) fn metadata(&self) -> PathBuf {
        self.path.join("metadata")
    }

    /// Whether a blob store was ever opened here, which happens only once the metadata exists.
    pub(crate) fn has_blobs(&self) -> io::Result<bool> {
        self.blobs().join("FORMAT").try_exists()
    }

    /// Notes durably, before the blob store is opened, that there is none yet: it was lost, or this is the
    /// first start. Returns the note's path while there is one, so that it can be removed once the cluster was
    /// told, in this process or a later one. Blocks.
    pub(crate) fn note_new_disk(&self) -> Result<Option<PathBuf>, DataDirError> {
        let note = self.path.join(NEW_DISK);
        let failed = |source| DataDirError::Io { path: note.clone(), source };
        if !self.has_blobs().map_err(failed)? {
            write_private(&self.path, NEW_DISK, b"").map_err(failed)?;
        }
        Ok(note.try_exists().map_err(failed)?.then_some(note))
    }

    /// Notes durably that the node went on from a copy of this directory: from now on it is refused. Otherwise two
    /// that are started again whenever they end would take turns. Blocks.
    pub(crate) fn retire(&self) -> Result<(), DataDirError> {
        let failed = |source| DataDirError::Io { path: self.path.join(SUPERSEDED), source };
        write_private(&self.path, SUPERSEDED, b"").map_err(failed)
    }

    /// Where the blobs live.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.path.join("blobs")
    }

    /// The audit log.
    pub(crate) fn audit(&self) -> PathBuf {
        self.path.join("audit")
    }
}

/// Makes a directory that only the owner may enter.
fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Whether there is nothing but what a first start that crashed early leaves.
fn only_ours(path: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        // A file system of its own brings lost+found.
        if !["LOCK", "FORMAT.new", "lost+found"].iter().any(|ours| name == *ours) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lock(path: &Path) -> Result<File, DataDirError> {
    let file = path.join("LOCK");
    let failed = |source| DataDirError::Io { path: file.clone(), source };
    let mut options = OpenOptions::new();
    let mut lock = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&file)
        .map_err(failed)?;
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        // Only for the message.
        let _ = (&lock).take(20).read_to_string(&mut holder);
        return Err(DataDirError::InUse { path: path.to_owned(), holder: holder.trim().to_owned() });
    }
    lock.set_len(0).and_then(|()| lock.rewind()).map_err(failed)?;
    writeln!(lock, "{}", std::process::id()).map_err(failed)?;
    Ok(lock)
}

/// Counts this start, durably. A file that cannot be read as a number refuses: starting from 0 would take
/// this node for an older one.
fn count_start(dir: &Path) -> io::Result<u64> {
    let before: u64 = match std::fs::read_to_string(dir.join(STARTS)) {
        Ok(text) => text.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let starts = before + 1;
    write_private(dir, STARTS, format!("{starts}\n").as_bytes())?;
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(starts << RANDOM_BITS | u64::from(u32::from_ne_bytes(random)) >> (u32::BITS - RANDOM_BITS))
}

/// Writes a file that only the owner may read: durable and whole, or as it was before. Blocks.
pub(crate) fn write_private(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.new"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&temporary, dir.join(name))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_user_is_refused_with_the_first_ones_pid() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = DataDir::open(dir.path()).expect("opened");
        assert!(first.first_start());
        let error = DataDir::open(dir.path()).expect_err("refused").to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        drop(first);
        DataDir::open(dir.path()).expect("opened again");
    }

    #[test]
    fn foreign_and_newer_directories_are_refused_untouched() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("letter.txt"), "dear").expect("written");
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::Foreign(_))));
        assert_eq!(std::fs::read_dir(dir.path()).expect("read").count(), 1);
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("FORMAT"), "shoal-data 2\n").expect("written");
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::OtherVersion(_))));
    }

    #[test]
    fn a_directory_that_was_retired_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        DataDir::open(dir.path()).expect("opened").retire().expect("written");
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::Superseded(_))));
    }

    #[test]
    fn a_file_is_no_data_directory() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert!(matches!(DataDir::open(file.path()), Err(DataDirError::Io { .. })));
    }
}
