//! Reading a copy: only bytes that were checked come out (consistency promise 13); a copy that fails is quarantined.
//! Never follows links, never trusts a name, never returns an unchecked byte.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::copy::BlobCopy;
use crate::error::BlobError;
use crate::freshness::{Knowledge, Stamp, WINDOW};
use crate::pieces::{self, LEAF, PieceHasher, PieceList};
use crate::store::Inner;

/// Bytes read at once where a whole file is hashed.
const BUFFER: usize = LEAF as usize;

/// An open copy. It goes on working when the copy is removed meanwhile; what a removed file held stays checked.
#[derive(Clone)]
pub struct Reader {
    inner: Arc<Inner>,
    copy: BlobCopy,
    inode: u64,
    file: Arc<File>,
    knowledge: Arc<Knowledge>,
}

impl Reader {
    /// Length of the blob in bytes.
    pub fn size(&self) -> u64 {
        self.copy.size
    }

    /// The copy that is read.
    pub fn copy(&self) -> &BlobCopy {
        &self.copy
    }

    /// The proven piece list, for a peer that wants to check leaves itself: 32 bytes a leaf, empty for a blob of one.
    pub fn list(&self) -> Vec<u8> {
        self.knowledge.list.to_bytes()
    }

    /// Checked leaf number `index`; `None` past the last one. For peers; as [`Reader::read`] otherwise.
    ///
    /// # Errors
    /// As [`Reader::ensure_verified`]. Dropping the future is safe.
    pub async fn leaf(&self, index: u64) -> Result<Option<Bytes>, BlobError> {
        match pieces::leaf_len(self.size(), index) {
            Some(len) => self.read(index * LEAF, len).await.map(Some),
            None => Ok(None),
        }
    }

    /// The open file, for sending ranges that were verified just now without copying them.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Whether every byte of `range` was checked less than 60 seconds ago and the file's time stamps did not change
    /// since. One `fstat`; does not block. An empty range is fresh, one past the end never.
    pub fn is_fresh(&self, range: Range<u64>) -> bool {
        let now = self.inner.clock.now();
        Stamp::of(&self.file).is_ok_and(|stamp| self.knowledge.is_fresh(stamp, windows(&range), now))
    }

    /// Checks every window of `range` that is not fresh, on a blocking thread. After `Ok` the bytes may be sent.
    /// Takes some 0.7 ms a MiB, so ask for as much as will be sent next and not more.
    ///
    /// # Errors
    /// [`BlobError::Damaged`]: the copy failed and is quarantined. Dropping the future is safe; the check goes on.
    pub async fn ensure_verified(&self, range: Range<u64>) -> Result<(), BlobError> {
        if self.is_fresh(range.clone()) {
            return Ok(());
        }
        let reader = self.clone();
        let check = move || {
            let range = range.start..range.end.min(reader.size());
            for window in windows(&range) {
                let bytes = window_range(window, reader.size());
                if !reader.is_fresh(bytes) {
                    reader.check_window(window)?;
                }
            }
            Ok(())
        };
        self.inner.blocking(check).await
    }

    /// Checked bytes from `offset` on: at most `max_len`, never past the end of the [`WINDOW`] that `offset` lies in,
    /// so often fewer than asked; none only at the end of the blob or for `max_len` 0.
    ///
    /// # Errors
    /// As [`Reader::ensure_verified`]. Dropping the future is safe.
    pub async fn read(&self, offset: u64, max_len: usize) -> Result<Bytes, BlobError> {
        if offset >= self.size() || max_len == 0 {
            return Ok(Bytes::new());
        }
        let window = offset / WINDOW;
        let end = self.size().min((window + 1) * WINDOW).min(offset.saturating_add(max_len as u64));
        let reader = self.clone();
        let bytes = self.inner.blocking(move || reader.read_window(index(window), offset..end)).await?;
        self.inner.volume.metrics.read_bytes.add(bytes.len() as u64);
        Ok(bytes)
    }

    /// `range` lies inside `window`.
    fn read_window(&self, window: usize, range: Range<u64>) -> Result<Bytes, BlobError> {
        if self.is_fresh(range.clone()) {
            return self.read_exact(range).map(Bytes::from);
        }
        let all = self.check_window(window)?;
        let start = range.start % WINDOW;
        Ok(all.slice(index(start)..index(start + (range.end - range.start))))
    }

    /// Reads and checks one window, and returns the very bytes that were checked.
    fn check_window(&self, window: usize) -> Result<Bytes, BlobError> {
        let range = window_range(window, self.size());
        let failed = |error| self.inner.bad_read(&self.copy, Some(self.inode), error);
        let stamp = || Stamp::of(&self.file).map_err(failed);
        let (before, now) = (stamp()?, self.inner.clock.now());
        let content = self.read_exact(range.clone())?;
        self.inner.volume.metrics.verified_bytes.add(content.len() as u64);
        for (index, leaf) in (range.start / LEAF..).zip(content.chunks(BUFFER)) {
            if !self.knowledge.list.matches(index, leaf) {
                let reason = "the content does not match its digest";
                return Err(self.inner.quarantine(&self.copy, Some(self.inode), reason));
            }
        }
        self.knowledge.remember(before, stamp()?, window, now);
        Ok(Bytes::from(content))
    }

    fn read_exact(&self, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
        let mut content = vec![0; index(range.end - range.start)];
        match self.file.read_exact_at(&mut content, range.start) {
            Ok(()) => Ok(content),
            Err(error) => Err(self.inner.bad_read(&self.copy, Some(self.inode), error)),
        }
    }
}

impl Inner {
    /// Opens a copy for reading, with its proven list.
    pub(crate) fn open_copy(self: Arc<Self>, copy: BlobCopy) -> Result<Reader, BlobError> {
        match Arc::clone(&self).open_if_there(copy)? {
            Some(reader) => Ok(reader),
            None => Err(self.report_missing(&copy)),
        }
    }

    /// As [`Inner::open_copy`], where it is no damage that there is no file: `None`.
    pub(crate) fn open_if_there(self: Arc<Self>, copy: BlobCopy) -> Result<Option<Reader>, BlobError> {
        let Some((file, stamp)) = self.open_file(&copy)? else { return Ok(None) };
        let key = (copy.digest, copy.generation);
        let known = self.copies.get(&key).filter(|known| known.list.is_of(copy.size, copy.pieces_root));
        let knowledge = match known {
            Some(knowledge) => knowledge,
            None => {
                let knowledge = Arc::new(Knowledge::new(self.load_list(&copy, &file, stamp.inode)?, stamp));
                self.copies.insert(key, &knowledge);
                knowledge
            }
        };
        Ok(Some(Reader { inner: self, copy, inode: stamp.inode, file: Arc::new(file), knowledge }))
    }

    /// The file of a copy with the right length and its state; `None` if there is none.
    pub(crate) fn open_file(&self, copy: &BlobCopy) -> Result<Option<(File, Stamp)>, BlobError> {
        let path = self.layout.copy(&copy.digest, copy.generation);
        let opened = open_regular(&path).and_then(|file| Ok((Stamp::of(&file)?, file)));
        let (stamp, file) = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| self.bad_read(copy, None, error))?,
        };
        if stamp.size != copy.size {
            return Err(self.quarantine(copy, Some(stamp.inode), "the file has another length"));
        }
        Ok(Some((file, stamp)))
    }

    /// The list beside the copy, or, since it can be computed, a new one when that is missing or damaged.
    pub(crate) fn load_list(&self, copy: &BlobCopy, file: &File, inode: u64) -> Result<PieceList, BlobError> {
        let path = self.layout.pieces(&copy.digest, copy.generation);
        let found = if pieces::has_list(copy.size) { read_list(&path, copy.size) } else { Ok(Vec::new()) };
        let proven = found.ok().and_then(|list| PieceList::prove(copy.size, copy.pieces_root, &list));
        if let Some(list) = proven {
            return Ok(list);
        }
        tracing::warn!(digest = %copy.digest, generation = %copy.generation, "piece list is unusable: reading the blob");
        let mut list = Vec::new();
        let mut hasher = PieceHasher::new();
        read_whole(file, |part| hasher.update(part, &mut list))
            .map_err(|error| self.bad_read(copy, Some(inode), error))?;
        let root = hasher.finish(&mut list);
        let reason = "the content does not match its digest";
        let proven = (root == copy.pieces_root).then(|| PieceList::prove(copy.size, root, &list)).flatten();
        let proven = proven.ok_or_else(|| self.quarantine(copy, Some(inode), reason))?;
        // Only saves the next reader some work, so a failure does not matter and it needs no fsync. A list beside no
        // copy would stay for ever.
        let _replacing = self.damage.lock_names();
        let is_there = self.layout.copy(&copy.digest, copy.generation).exists();
        if is_there && let Err(error) = std::fs::write(&path, &list) {
            tracing::warn!(digest = %copy.digest, %error, "cannot write a piece list");
        }
        Ok(proven)
    }

    /// Quarantines the copy if `error` says that this file cannot be read, unlike one about the process or the system.
    pub(crate) fn bad_read(&self, copy: &BlobCopy, inode: Option<u64>, error: io::Error) -> BlobError {
        let of_the_file = [
            Errno::IO,
            Errno::ACCESS,
            Errno::PERM,
            Errno::LOOP,
            Errno::ISDIR,
            Errno::NXIO,
            Errno::UCLEAN,
            Errno::BADMSG,
        ];
        let of_the_file = of_the_file.map(|errno| Some(errno.raw_os_error())).contains(&error.raw_os_error())
            || matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData);
        if of_the_file {
            return self.quarantine(copy, inode, &error.to_string());
        }
        let path = self.layout.copy(&copy.digest, copy.generation);
        BlobError::io("read", &path)(error)
    }
}

/// Opens an existing regular file without following links and without waiting on pipes or devices.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Reads a file from its beginning to its end.
pub(crate) fn read_whole(file: &File, mut part: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut offset = 0;
    loop {
        match file.read_at(&mut buffer, offset) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                part(&buffer[..read]);
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

pub(crate) fn read_list(path: &Path, size: u64) -> io::Result<Vec<u8>> {
    let file = open_regular(path)?;
    if file.metadata()?.len() != pieces::leaf_count(size) * pieces::ENTRY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut list = Vec::new();
    read_whole(&file, |part| list.extend_from_slice(part))?;
    Ok(list)
}

/// Offsets in a window and numbers of windows fit: files larger than the address space cannot be written here.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn windows(range: &Range<u64>) -> Range<usize> {
    if range.is_empty() {
        return 0..0;
    }
    index(range.start / WINDOW)..index(range.end.div_ceil(WINDOW))
}

fn window_range(window: usize, size: u64) -> Range<u64> {
    let start = window as u64 * WINDOW;
    start..(start + WINDOW).min(size)
}
