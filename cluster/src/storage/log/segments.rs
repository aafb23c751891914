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
//! Behind the records of the last segment stand zeros, room that was reserved for the next ones.
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
/// Room is reserved in such steps.
const RESERVED_BYTES: u64 = 1 << 20;
const SYNCED: &str = "synced";

/// Takes a record: its file, its place, its payload.
pub(super) type Visit<'a> = dyn FnMut(&Path, Place, &[u8]) -> Result<(), StorageError> + 'a;

/// The files. Every method blocks on IO but [`Segments::append`] and those that only look.
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
    /// The end of the last one, which is not in its file yet: it is written when it is synced.
    unwritten: Vec<u8>,
    /// Up to where the last segment is on disk.
    synced: u64,
    /// Bytes appended since the start of the process, and how many of them are on disk.
    appended: u64,
    appended_synced: u64,
    is_broken: bool,
}

#[derive(Clone, Debug)]
struct Segment {
    file: Arc<File>,
    /// Bytes of records.
    len: u64,
    /// Bytes that the file has room for.
    reserved: u64,
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
            segments.insert(number, Segment { file: Arc::new(file), len, reserved: len });
        }
        let tail = Tail {
            segments,
            unwritten: Vec::new(),
            synced: 0,
            appended: 0,
            appended_synced: 0,
            is_broken: false,
        };
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

    /// Begins a new segment with `head`; what was appended before is on disk then, without room behind it.
    pub(super) fn rotate(&self, head: &[u8]) -> Result<(), StorageError> {
        let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        self.sync_last()?;
        let (number, full) = self.tail().usable(&self.dir)?;
        let cut = full.file.set_len(full.len).and_then(|()| full.file.sync());
        let begun = cut.and_then(|()| begin(&self.dir, number + 1, head));
        let mut tail = self.tail();
        match begun {
            // Nothing is appended meanwhile: it would stand in the wrong file.
            Ok(_) if !tail.unwritten.is_empty() => {
                tail.is_broken = true;
                Err(StorageError::Broken { path: self.dir.clone() })
            }
            Ok(segment) => {
                tail.synced = segment.len;
                tail.segments.insert(number + 1, segment);
                Ok(())
            }
            Err(error) => {
                tail.is_broken = true;
                Err(failed(&path(&self.dir, number + 1))(error))
            }
        }
    }

    /// Puts records behind the others, in memory: [`Segments::sync`] writes them. Does not block.
    pub(super) fn append(&self, payloads: &[Vec<u8>]) -> Result<Appended, StorageError> {
        let mut tail = self.tail();
        let (number, mut segment) = tail.usable(&self.dir)?;
        if payloads.iter().any(|payload| payload.len() > frame::MAX_PAYLOAD) {
            // It could not be read again.
            return Err(failed(&path(&self.dir, number))(io::ErrorKind::InvalidInput.into()));
        }
        let (before, synced) = (segment.len, tail.synced);
        let mut places = Vec::with_capacity(payloads.len());
        for payload in payloads {
            let place = Place { segment: number, offset: segment.len };
            frame::push(&mut tail.unwritten, place, synced, payload);
            segment.len += frame::size(payload.len());
            places.push(place);
        }
        tail.appended += segment.len - before;
        tail.segments.insert(number, segment);
        Ok(Appended { places, end: tail.appended })
    }

    /// Writes all that was appended before the call, durably; up to where that is, as [`Appended::end`] counts.
    /// Calls that come together share one sync.
    pub(super) fn sync(&self) -> Result<u64, StorageError> {
        let wanted = self.tail().appended;
        let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let synced = self.tail().appended_synced;
        if synced >= wanted { Ok(synced) } else { self.sync_last() }
    }

    /// The caller holds `syncing`, or is alone.
    fn sync_last(&self) -> Result<u64, StorageError> {
        let (number, mut segment, appended, bytes) = {
            let mut tail = self.tail();
            let (number, segment) = tail.usable(&self.dir)?;
            (number, segment, tail.appended, std::mem::take(&mut tail.unwritten))
        };
        let synced = segment.write_last(&bytes).map_err(failed(&path(&self.dir, number)));
        let marked = synced.and_then(|()| {
            let mark = mark::bytes(Place { segment: number, offset: segment.len });
            self.mark.write_at(0, &mark).map_err(failed(&self.dir.join(SYNCED)))
        });
        let mut tail = self.tail();
        if marked.is_err() {
            tail.is_broken = true;
        } else {
            tail.synced = segment.len;
            tail.appended_synced = appended;
            if let Some(last) = tail.segments.get_mut(&number) {
                last.reserved = segment.reserved;
            }
        }
        marked.map(|()| appended)
    }

    /// The record at `place`, whose payload has `len` bytes.
    pub(super) fn read(&self, place: Place, len: usize) -> Result<Vec<u8>, StorageError> {
        let path = path(&self.dir, place.segment);
        let damaged = || StorageError::DamagedAt { path: path.clone(), offset: place.offset };
        let is_in_file = {
            let tail = self.tail();
            tail.last().is_none_or(|(last, _)| place.segment < last || place.offset < tail.synced)
        };
        if !is_in_file {
            self.sync()?;
        }
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

impl Segment {
    /// Writes its last bytes, durably.
    fn write_last(&mut self, bytes: &[u8]) -> io::Result<()> {
        let start = self.len - bytes.len() as u64;
        if self.len > self.reserved {
            self.reserved = self.len.next_multiple_of(RESERVED_BYTES);
            self.file.reserve(start, self.reserved);
        }
        self.file.write_at(start, bytes)?;
        self.file.sync()
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
    let len = bytes.len() as u64;
    Ok(Segment { file: Arc::new(file), len, reserved: len })
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
