//! A state as one stream of bytes, for nodes that are too far behind the log.
//!
//! ```text
//! "shoal-state 1\n"
//! for each pair, in order: key length, value length (4 bytes each, little endian), key, value
//! 4 bytes 0xff
//! BLAKE3 of all of the above, 32 bytes
//! ```
//!
//! A stream that is cut, altered or of another version is refused before anything is replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cluster_core::view::View;
use openraft::{BasicNode, SnapshotMeta, StoredMembership};

use super::StorageError;
use super::encoding::Stored;
use super::engine::Reader;
use super::state::{APPLIED, MEMBERSHIP};

const HEAD: &[u8] = b"shoal-state 1\n";
const END: u32 = u32::MAX;
/// Longest key: far more than account, region, name and two digests.
const MAX_KEY: u32 = 4 << 10;
/// Longest value: far more than the largest manifest.
const MAX_VALUE: u32 = 64 << 20;
/// After every key.
const ALL_END: &[u8] = &[0xff];

/// A snapshot's content.
#[derive(Debug)]
pub(crate) enum StateSnapshot {
    /// Of this node: a view that is turned into bytes when they are needed.
    View(Reader),
    /// From another node.
    Received(SnapshotFile),
    /// Of this node, being sent.
    Sending(Arc<SnapshotFile>),
    /// No content: for a snapshot that is surely not newer than what is there.
    Nothing,
}

/// A stream of bytes in a file that has no name any more and goes with the last handle.
#[derive(Debug)]
pub(crate) struct SnapshotFile {
    pub(super) file: File,
    /// What its name was, for errors.
    path: PathBuf,
}

impl StateSnapshot {
    /// An empty file in `dir` for a snapshot that is about to arrive.
    pub(super) fn receive_in(dir: &Path) -> Result<Self, StorageError> {
        Ok(Self::Received(SnapshotFile::create(dir)?))
    }

    /// The bytes, in a file in `dir`.
    pub(super) fn into_file(self, dir: &Path) -> Result<SnapshotFile, StorageError> {
        let reader = match self {
            Self::Received(file) => return Ok(file),
            Self::View(reader) => reader,
            Self::Sending(_) | Self::Nothing => return Err(StorageError::SnapshotDamaged),
        };
        let file = SnapshotFile::create(dir)?;
        write_state(&reader, &file.file).map_err(|error| match error {
            WriteError::Storage(error) => error,
            WriteError::Io(source) => file.failed(source),
        })?;
        Ok(file)
    }
}

enum WriteError {
    Storage(StorageError),
    Io(io::Error),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Writes all of `reader` in the form of this module.
fn write_state(reader: &Reader, out: impl Write) -> Result<(), WriteError> {
    let mut out =
        HashingWriter { out: BufWriter::with_capacity(1 << 20, out), hasher: blake3::Hasher::new() };
    out.write_all(HEAD)?;
    let mut failure = None;
    let mut pair = |key: &[u8], value: &[u8]| -> io::Result<()> {
        out.write_all(&length(key)?.to_le_bytes())?;
        out.write_all(&length(value)?.to_le_bytes())?;
        out.write_all(key)?;
        out.write_all(value)
    };
    let scanned = reader.scan(b"", ALL_END, &mut |key, value| match pair(key, value) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    });
    scanned.map_err(WriteError::Storage)?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    out.write_all(&END.to_le_bytes())?;
    let checksum = out.hasher.finalize();
    out.out.write_all(checksum.as_bytes())?;
    Ok(out.out.flush()?)
}

fn length(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidData.into())
}

struct HashingWriter<W> {
    out: W,
    hasher: blake3::Hasher,
}

impl<W: Write> HashingWriter<W> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.out.write_all(bytes)
    }
}

impl SnapshotFile {
    pub(super) fn create(dir: &Path) -> Result<Self, StorageError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let path = dir.join(format!("{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let open = || {
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
            fs::remove_file(&path)?;
            Ok(file)
        };
        match open() {
            Ok(file) => Ok(Self { file, path }),
            Err(source) => Err(StorageError::Snapshot { path, source }),
        }
    }

    fn failed(&self, source: io::Error) -> StorageError {
        StorageError::Snapshot { path: self.path.clone(), source }
    }

    /// Its length, bytes.
    pub(crate) fn size(&self) -> Result<u64, StorageError> {
        Ok(self.file.metadata().map_err(|source| self.failed(source))?.len())
    }

    /// Up to `length` bytes from `offset` on; fewer only at the end. Blocks.
    pub(crate) fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>, StorageError> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.failed(source)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Writes `data` at `offset`. Blocks.
    pub(crate) fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        self.file.write_all_at(data, offset).map_err(|source| self.failed(source))
    }

    /// Reads all of it: it must be whole and stand at the position and membership that `meta` states. Blocks.
    pub(crate) fn verify(&mut self, meta: &SnapshotMeta<u64, BasicNode>) -> Result<(), StorageError> {
        let mut stands_at = None;
        let mut membership = None;
        for pair in self.pairs()? {
            let (key, value) = pair?;
            match key.as_slice() {
                APPLIED => stands_at = Some(value),
                MEMBERSHIP => membership = Some(value),
                _ => {}
            }
        }
        let stated = meta.last_log_id.map(|log_id| log_id.encode());
        let stated_membership = meta.last_membership.encode();
        let has_none = meta.last_membership == StoredMembership::default();
        let fits = stands_at == stated && membership.map_or(has_none, |found| found == stated_membership);
        if fits { Ok(()) } else { Err(StorageError::SnapshotDamaged) }
    }

    /// Its pairs from the start. An error ends them; only their regular end shows that they are right.
    pub(super) fn pairs(&mut self) -> Result<Pairs<'_>, StorageError> {
        self.file.rewind().map_err(|source| self.failed(source))?;
        Ok(Pairs {
            input: BufReader::with_capacity(1 << 20, &self.file),
            hasher: blake3::Hasher::new(),
            state: Step::Head,
        })
    }
}

/// See [`SnapshotFile::pairs`].
pub(super) struct Pairs<'a> {
    input: BufReader<&'a File>,
    hasher: blake3::Hasher,
    state: Step,
}

#[derive(PartialEq)]
enum Step {
    Head,
    Pairs,
    Over,
}

impl Pairs<'_> {
    fn bytes(&mut self, length: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        self.input.read_exact(&mut bytes)?;
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    fn number(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.input.read_exact(&mut bytes)?;
        self.hasher.update(&bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    /// `None` after the last one.
    fn step(&mut self) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        if self.state == Step::Head {
            if self.bytes(HEAD.len() as u32)? != HEAD {
                return Err(damaged());
            }
            self.state = Step::Pairs;
        }
        let key_length = self.number()?;
        if key_length == END {
            let expected = self.hasher.finalize();
            let mut found = [0; blake3::OUT_LEN];
            self.input.read_exact(&mut found)?;
            let at_end = self.input.read(&mut [0])? == 0;
            return if found == *expected.as_bytes() && at_end { Ok(None) } else { Err(damaged()) };
        }
        let value_length = self.number()?;
        if key_length > MAX_KEY || value_length > MAX_VALUE {
            return Err(damaged());
        }
        Ok(Some((self.bytes(key_length)?, self.bytes(value_length)?)))
    }
}

impl Iterator for Pairs<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>), StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == Step::Over {
            return None;
        }
        match self.step() {
            Ok(Some(pair)) => Some(Ok(pair)),
            Ok(None) => {
                self.state = Step::Over;
                None
            }
            Err(_) => {
                self.state = Step::Over;
                Some(Err(StorageError::SnapshotDamaged))
            }
        }
    }
}

#[cfg(test)]
#[path = "snapshot_test.rs"]
mod tests;
