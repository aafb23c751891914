//! Checking a stored copy from its beginning to its end as the disk has it now, for nobody's sake but its own.
//! Leaves the memory of recent reads alone, and what it read out of the page cache.

use std::fs::File;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use rustix::fs::{Advice, fadvise};

use crate::copy::BlobCopy;
use crate::error::BlobError;
use crate::pieces::{LEAF, PieceList};
use crate::store::Inner;

/// Bytes that are checked between two looks at rate and stop signal.
const STEP: u64 = 4 * 1024 * 1024;

/// A copy that is being checked.
pub struct Scrub {
    inner: Arc<Inner>,
    state: State,
}

struct State {
    copy: BlobCopy,
    file: File,
    inode: u64,
    list: PieceList,
    at: u64,
    buffer: Vec<u8>,
}

/// See [`crate::BlobStore::scrub`]. Blocks.
pub(crate) fn begin(inner: &Arc<Inner>, copy: BlobCopy) -> Result<Option<Scrub>, BlobError> {
    let Some((file, stamp)) = inner.open_file(&copy)? else { return Ok(None) };
    let list = inner.load_list(&copy, &file, stamp.inode)?;
    let state = State { copy, file, inode: stamp.inode, list, at: 0, buffer: Vec::new() };
    Ok(Some(Scrub { inner: Arc::clone(inner), state }))
}

impl Scrub {
    /// Checks some more, at most 4 MiB: how many bytes and the rest, or no rest at the end of the copy.
    ///
    /// # Errors
    /// [`BlobError::Damaged`], and the copy is quarantined. Dropping the future is safe.
    pub async fn next(self) -> Result<(u64, Option<Self>), BlobError> {
        let Self { inner, mut state } = self;
        let checking = Arc::clone(&inner);
        let (checked, state) = inner
            .blocking(move || {
                let checked = state.check(&checking)?;
                Ok((checked, state))
            })
            .await?;
        let is_over = state.at >= state.copy.size;
        Ok((checked, (!is_over).then_some(Self { inner, state })))
    }
}

impl State {
    fn check(&mut self, inner: &Inner) -> Result<u64, BlobError> {
        let start = self.at;
        let end = self.copy.size.min(start + STEP);
        // What is checked must come from the disk; a cache that does not obey only makes the check weaker.
        let forget = |file: &File| {
            _ = NonZeroU64::new(end - start).map(|len| fadvise(file, start, Some(len), Advice::DontNeed));
        };
        forget(&self.file);
        loop {
            let len = usize::try_from((end - self.at).min(LEAF)).unwrap_or(usize::MAX);
            self.buffer.resize(len, 0);
            if let Err(error) = self.file.read_exact_at(&mut self.buffer, self.at) {
                return Err(inner.bad_read(&self.copy, Some(self.inode), error));
            }
            if !self.list.matches(self.at / LEAF, &self.buffer) {
                let reason = "the content does not match its digest";
                return Err(inner.quarantine(&self.copy, Some(self.inode), reason));
            }
            self.at += len as u64;
            if self.at >= end {
                break;
            }
        }
        forget(&self.file);
        inner.volume.metrics.scrubbed_bytes.add(end - start);
        Ok(end - start)
    }
}
