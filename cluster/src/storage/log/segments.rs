//! The log's files: records one behind the other in numbered segments.
//!
//! Longer than 300 lines: what opening may take for torn follows from what appending and syncing did before.
//!
//! ```text
//! log/00000001.log   frames (see [`frame`](super::frame)); the first is a head
//! log/00000002.log   begun when the one before was full, and on disk whole; only the last one grows
//! log/synced         up to where the log was on disk at the last sync (see [`mark`](super::mark))
//! ```
//!
//! A crash may tear what was not synced, so what is not whole at the end of the last segment is cut off at
//! start, unless a later frame or `synced` says that it was on disk: that is damage, and refused. After a
//! failed write or sync nothing is written or synced again.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::StorageError;
use super::super::file::{self, File};
use super::frame::{self, Place};
use super::mark;

/// A segment that is longer gets no further record.
const SEGMENT_BYTES: u64 = 8 << 20;
const SYNCED: &str = "synced";

/// Takes a record: its file, its place, its payload.
pub(super) type Visit<'a> = dyn FnMut(&Path, Place, &[u8]) -> Result<(), StorageError> + 'a;

/// The files; every method blocks on IO.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    tail: Mutex<Tail>,
    /// Held by whoever syncs; taken before `tail`.
    syncing: Mutex<()>,
    mark: File,
}

#[derive(Debug)]
struct Tail {
    /// By number; the last one grows.
    segments: BTreeMap<u64, Segment>,
    /// Up to where the last segment is on disk.
    synced: u64,
    /// Bytes written since the start of the process, and how many of them are on disk.
    written: u64,
    written_synced: u64,
    is_broken: bool,
}

#[derive(Clone, Debug)]
struct Segment {
    file: Arc<File>,
    len: u64,
}

/// What was appended.
#[derive(Debug)]
pub(super) struct Appended {
    /// One per payload.
    pub(super) places: Vec<Place>,
    /// All of it is on disk once [`Segments::sync`] returns at least this.
    pub(super) end: u64,
}

impl Segments {
    /// Makes `dir` with an empty log, whole or not at all; the caller makes its name durable.
    pub(super) fn create(dir: &Path, head: &[u8]) -> Result<(), StorageError> {
        file::create_dir(dir, |dir| begin(dir, 1, head).map(drop)).map_err(failed(dir))
    }

    /// Reads the log in `dir` and gives each record to `visit`, with its place.
    pub(super) fn open(dir: &Path, visit: &mut Visit<'_>) -> Result<Self, StorageError> {
        let names = file::names(dir).map_err(failed(dir))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();
        let mark_path = dir.join(SYNCED);
        let mark = File::open(&mark_path).map_err(failed(&mark_path))?;
        let marked = mark::read(&mark.content().map_err(failed(&mark_path))?);
        let first = numbers.first().copied().unwrap_or(1);
        let last = numbers.last().copied().unwrap_or(1).max(marked.map_or(0, |place| place.segment));
        if let Some(missing) = (first..=last).find(|number| numbers.binary_search(number).is_err()) {
            return Err(StorageError::Missing { path: path(dir, missing) });
        }
        let mut segments = BTreeMap::new();
        for number in first..=last {
            let path = path(dir, number);
            let file = File::open(&path).map_err(failed(&path))?;
            let content = file.content().map_err(failed(&path))?;
            let len = read_frames(&path, number, &content, visit)?;
            let is_short = marked.is_some_and(|mark| mark.segment == number && mark.offset > len);
            if is_short || len < content.len() as u64 || len == 0 {
                let is_first = len == 0 && number == first;
                if is_short || is_first || number < last || frame::was_synced(&content, number, len) {
                    return Err(StorageError::DamagedAt { path, offset: len });
                }
                if len == 0 {
                    // Not even its head was on disk: it never held anything.
                    file::remove(&path).and_then(|()| file::sync_names(dir)).map_err(failed(&path))?;
                    break;
                }
                file.set_len(len).map_err(failed(&path))?;
            }
            if number == last {
                // After a sync that failed the system takes the pages for written: only then would the sync below
                // write nothing.
                let synced = marked.filter(|mark| mark.segment == number).map_or(0, |mark| mark.offset);
                let doubtful = usize::try_from(synced).ok().and_then(|from| content.get(from..len as usize));
                file.write_at(synced, doubtful.unwrap_or_default()).map_err(failed(&path))?;
            }
            segments.insert(number, Segment { file: Arc::new(file), len });
        }
        let tail = Tail { segments, synced: 0, written: 0, written_synced: 0, is_broken: false };
        let opened = Self { dir: dir.to_owned(), tail: Mutex::new(tail), syncing: Mutex::new(()), mark };
        // What was read must not be lost after it was acted upon.
        opened.sync_last()?;
        Ok(opened)
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        // Every change under the lock is a whole one.
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where they are.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.tail().segments.values().map(|segment| segment.len).sum()
    }

    /// Nothing is written any more.
    pub(super) fn break_off(&self) {
        self.tail().is_broken = true;
    }

    /// Whether the next record belongs into a new segment.
    pub(super) fn is_full(&self) -> bool {
        self.tail().last().is_none_or(|(_, segment)| segment.len >= SEGMENT_BYTES)
    }

    /// Begins a new segment with `head`; what was written before is on disk then.
    pub(super) fn rotate(&self, head: &[u8]) -> Result<(), StorageError> {
        self.sync()?;
        let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.tail().usable(&self.dir)?.0 + 1;
        let begun = begin(&self.dir, number, head);
        let mut tail = self.tail();
        match begun {
            Ok(segment) => {
                tail.synced = segment.len;
                tail.segments.insert(number, segment);
                Ok(())
            }
            Err(error) => {
                tail.is_broken = true;
                Err(failed(&path(&self.dir, number))(error))
            }
        }
    }

    /// Writes records behind the others, not durably.
    pub(super) fn append(&self, payloads: &[Vec<u8>]) -> Result<Appended, StorageError> {
        let mut tail = self.tail();
        let (number, segment) = tail.usable(&self.dir)?;
        let size: u64 = payloads.iter().map(|payload| frame::size(payload.len())).sum();
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        let mut places = Vec::with_capacity(payloads.len());
        for payload in payloads {
            let place = Place { segment: number, offset: segment.len + bytes.len() as u64 };
            frame::push(&mut bytes, place, tail.synced, payload);
            places.push(place);
        }
        if let Err(error) = segment.file.write_at(segment.len, &bytes) {
            tail.is_broken = true;
            return Err(failed(&path(&self.dir, number))(error));
        }
        tail.segments.insert(number, Segment { len: segment.len + bytes.len() as u64, ..segment });
        tail.written += bytes.len() as u64;
        Ok(Appended { places, end: tail.written })
    }

    /// Makes all that was appended before the call durable; up to where that is, as [`Appended::end`] counts.
    /// Calls that come together share one sync.
    pub(super) fn sync(&self) -> Result<u64, StorageError> {
        let wanted = self.tail().written;
        let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let synced = self.tail().written_synced;
        if synced >= wanted { Ok(synced) } else { self.sync_last() }
    }

    /// The caller holds `syncing`, or is alone.
    fn sync_last(&self) -> Result<u64, StorageError> {
        let (number, segment, written) = {
            let tail = self.tail();
            let (number, segment) = tail.usable(&self.dir)?;
            (number, segment, tail.written)
        };
        let synced = segment.file.sync().map_err(failed(&path(&self.dir, number)));
        let marked = synced.and_then(|()| {
            let mark = mark::bytes(Place { segment: number, offset: segment.len });
            self.mark.write_at(0, &mark).map_err(failed(&self.dir.join(SYNCED)))
        });
        let mut tail = self.tail();
        if marked.is_err() {
            tail.is_broken = true;
        } else {
            tail.synced = segment.len;
            tail.written_synced = written;
        }
        marked.map(|()| written)
    }

    /// The record at `place`, whose payload has `len` bytes.
    pub(super) fn read(&self, place: Place, len: usize) -> Result<Vec<u8>, StorageError> {
        let path = path(&self.dir, place.segment);
        let damaged = || StorageError::DamagedAt { path: path.clone(), offset: place.offset };
        let segment = self.tail().segments.get(&place.segment).cloned().ok_or_else(damaged)?;
        let mut bytes = vec![0; usize::try_from(frame::size(len)).map_err(|_| damaged())?];
        segment.file.read_at(place.offset, &mut bytes).map_err(failed(&path))?;
        let frame = frame::read(&bytes, place).ok_or_else(damaged)?;
        Ok(frame.payload.to_vec())
    }

    /// Removes the segments before `number`, oldest first, but for the last one.
    pub(super) fn remove_before(&self, number: u64) -> Result<(), StorageError> {
        loop {
            let (oldest, last) = {
                let tail = self.tail();
                let (last, _) = tail.usable(&self.dir)?;
                (tail.segments.first_key_value().map_or(last, |(oldest, _)| *oldest), last)
            };
            if oldest >= number.min(last) {
                return Ok(());
            }
            let path = path(&self.dir, oldest);
            // One after the other for good: a later one that is gone before an earlier one looks like damage.
            file::remove(&path).and_then(|()| file::sync_names(&self.dir)).map_err(failed(&path))?;
            self.tail().segments.remove(&oldest);
        }
    }
}

impl Tail {
    fn last(&self) -> Option<(u64, &Segment)> {
        self.segments.last_key_value().map(|(number, segment)| (*number, segment))
    }

    /// The last segment, unless something failed.
    fn usable(&self, dir: &Path) -> Result<(u64, Segment), StorageError> {
        let last = self.last().filter(|_| !self.is_broken);
        let broken = || StorageError::Broken { path: dir.to_owned() };
        last.map(|(number, segment)| (number, segment.clone())).ok_or_else(broken)
    }
}

/// Makes segment `number`, durably.
fn begin(dir: &Path, number: u64, head: &[u8]) -> io::Result<Segment> {
    let file = File::open(&path(dir, number))?;
    let mut bytes = Vec::new();
    frame::push(&mut bytes, Place { segment: number, offset: 0 }, 0, head);
    // What a try left that a crash ended.
    file.set_len(0)?;
    file.write_at(0, &bytes)?;
    file.sync()?;
    file::sync_names(dir)?;
    Ok(Segment { file: Arc::new(file), len: bytes.len() as u64 })
}

/// Up to where `content` consists of whole frames.
fn read_frames(
    path: &Path,
    segment: u64,
    content: &[u8],
    visit: &mut Visit<'_>,
) -> Result<u64, StorageError> {
    let mut offset = 0;
    loop {
        let place = Place { segment, offset };
        let rest = usize::try_from(offset).ok().and_then(|offset| content.get(offset..)).unwrap_or_default();
        let Some(frame) = frame::read(rest, place) else { return Ok(offset) };
        visit(path, place, frame.payload)?;
        offset += frame::size(frame.payload.len());
    }
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}

fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".log").filter(|digits| digits.len() >= 8)?.parse().ok()
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StorageError + use<> {
    let path = path.to_owned();
    |source| StorageError::Engine { path, source: source.into() }
}

#[cfg(test)]
#[path = "segments_test.rs"]
mod tests;
