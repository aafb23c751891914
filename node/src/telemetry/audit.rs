//! The audit log of this node: what was decided, a JSON line for each (`proto::admin::audit::Entry`).
//!
//! Owns the files of `<data-dir>/audit/`, each named by when it was begun, `<milliseconds since 1970>.jsonl`. The newest
//! grows until it is full; the oldest go. A thread of its own writes, so that no request waits for the
//! disk: when [`QUEUE`] lines wait, or the disk takes none, further ones are lost and counted. Lines are synced within
//! [`SYNC`]; a crash may tear the last one, which readers pass over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use proto::admin::audit::{Entry, Page};

use super::log::now_ms;

/// Lines that may wait for the disk.
const QUEUE: usize = 16_384;
/// What is written is on disk after so long.
const SYNC: Duration = Duration::from_secs(1);
/// The log is that many files.
const FILES: u64 = 16;
/// Least bytes of a file.
const LEAST_FILE: u64 = 64 << 10;
/// Longest line that is read.
const MAX_LINE: u64 = 64 << 10;
/// Longest reason, in characters: names of statements are their authors'.
const MAX_REASON: usize = 512;
/// Lines and bytes of one page.
const PAGE: usize = 1000;
const PAGE_BYTES: u64 = 1 << 20;
const ENDING: &str = ".jsonl";

/// Takes lines. Ends with what it was given once it is dropped.
#[derive(Debug)]
pub(crate) struct Audit {
    sender: Option<SyncSender<String>>,
    writer: Option<JoinHandle<()>>,
    counts: Arc<Counts>,
    directory: PathBuf,
}

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    lost: AtomicU64,
}

impl Audit {
    /// Goes on with the log in `directory`, of at most `size` bytes. Blocks.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub(crate) fn open(directory: PathBuf, size: u64) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        let counts = Arc::new(Counts::default());
        let log = Log::open(directory.clone(), size.div_euclid(FILES).max(LEAST_FILE))?;
        let (sender, receiver) = sync_channel(QUEUE);
        let counted = counts.clone();
        let writer = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || log.run(&receiver, &counted))?;
        Ok(Self { sender: Some(sender), writer: Some(writer), counts, directory })
    }

    /// One that loses everything.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        Self { sender: None, writer: None, counts: Arc::default(), directory: PathBuf::new() }
    }

    /// Writes the entry down, soon.
    pub(crate) fn note(&self, entry: &Entry) {
        let reason = entry.reason.chars().take(MAX_REASON).collect();
        let line = serde_json::to_string(&Entry { reason, ..entry.clone() }).ok();
        let sent = line.zip(self.sender.as_ref()).is_some_and(|(line, sender)| sender.try_send(line).is_ok());
        if !sent {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines written, and lost.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (load(&self.counts.written), load(&self.counts.lost))
    }

    /// The entries after `next`, which an earlier page gave, or from `since_ms` on. Blocks.
    ///
    /// # Errors
    /// A file cannot be read; of kind `InvalidInput`: `next` is none of ours.
    pub(crate) fn read(&self, since_ms: u64, next: Option<&str>) -> io::Result<Page> {
        read(&self.directory, since_ms, next)
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// The writer's side.
struct Log {
    directory: PathBuf,
    file: File,
    length: u64,
    /// At this length the next file is begun.
    full: u64,
    is_synced: bool,
    is_failing: bool,
}

impl Log {
    fn open(directory: PathBuf, full: u64) -> io::Result<Self> {
        let newest = files(&directory)?.last().copied();
        let (file, length) = append(&directory, newest.unwrap_or_else(now_ms))?;
        Ok(Self { directory, file, length, full, is_synced: true, is_failing: false })
    }

    fn run(mut self, lines: &Receiver<String>, counts: &Counts) {
        let mut synced = Instant::now();
        loop {
            match lines.recv_timeout(SYNC) {
                Ok(line) => self.take(&line, counts),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if !self.is_synced && synced.elapsed() >= SYNC {
                self.sync();
                synced = Instant::now();
            }
        }
        self.sync();
    }

    fn take(&mut self, line: &str, counts: &Counts) {
        let written = self.write(line);
        let counted = if written.is_ok() { &counts.written } else { &counts.lost };
        counted.fetch_add(1, Ordering::Relaxed);
        if let (Err(error), false) = (&written, self.is_failing) {
            tracing::error!(%error, "the audit log cannot be written: entries are lost");
        }
        self.is_failing = written.is_err();
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.length >= self.full {
            self.turn()?;
        }
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        self.is_synced = false;
        if written.is_err() {
            // Part of the line may be there: the next one begins where this one did.
            self.file.set_len(self.length)?;
        }
        written?;
        self.length += line.len() as u64 + 1;
        Ok(())
    }

    /// Begins a new file; the oldest goes. A crash in between leaves one file more or less.
    fn turn(&mut self) -> io::Result<()> {
        self.sync();
        let present = files(&self.directory)?;
        let next = present.last().map_or(0, |newest| newest + 1).max(now_ms());
        (self.file, self.length) = append(&self.directory, next)?;
        let keep = usize::try_from(FILES).unwrap_or(1).saturating_sub(1);
        for oldest in present.iter().take(present.len().saturating_sub(keep)) {
            fs::remove_file(path(&self.directory, *oldest))?;
        }
        Ok(())
    }

    fn sync(&mut self) {
        if !self.is_synced && self.file.sync_data().is_err() {
            tracing::warn!("the audit log cannot be synced");
        }
        self.is_synced = true;
    }
}

fn path(directory: &Path, begun_ms: u64) -> PathBuf {
    directory.join(format!("{begun_ms}{ENDING}"))
}

/// The file to go on with, and its length. After a torn line it begins a new one.
fn append(directory: &Path, begun_ms: u64) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o600)
        .open(path(directory, begun_ms))?;
    let length = file.seek(SeekFrom::End(0))?;
    let mut last = [b'\n'];
    if length > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last == *b"\n" {
        return Ok((file, length));
    }
    file.write_all(b"\n")?;
    Ok((file, length + 1))
}

/// When the files were begun, the oldest first.
fn files(directory: &Path) -> io::Result<Vec<u64>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number: Option<u64> = name.to_str().and_then(|name| name.strip_suffix(ENDING)?.parse().ok());
        names.extend(number);
    }
    names.sort_unstable();
    Ok(names)
}

fn read(directory: &Path, since_ms: u64, next: Option<&str>) -> io::Result<Page> {
    let (from, offset) = match next {
        Some(next) => cursor(next).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?,
        None => (since_ms, 0),
    };
    let mut page = Page { entries: Vec::new(), next: format!("{from}.{offset}"), more: false };
    let mut taken = 0;
    let present = files(directory)?;
    // A file ends where the next one begins.
    let first = present.partition_point(|begun_ms| *begun_ms <= from).saturating_sub(1);
    for begun_ms in present.into_iter().skip(first) {
        let path = path(directory, begun_ms);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            // It went meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut at = if begun_ms == from { offset } else { 0 };
        file.seek(SeekFrom::Start(at))?;
        let mut lines = BufReader::new(file);
        while page.entries.len() < PAGE && taken < PAGE_BYTES {
            let mut line = Vec::new();
            let length = lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? as u64;
            let is_whole = line.last() == Some(&b'\n');
            if length == 0 || !is_whole && length < MAX_LINE {
                break;
            }
            (at, taken) = (at + length, taken + length);
            if !is_whole {
                // None of ours is so long; its end is read as a line, which it is not.
                continue;
            }
            let entry = serde_json::from_slice::<Entry>(&line).ok();
            page.entries.extend(entry.filter(|entry| entry.time_ms >= since_ms));
        }
        page.next = format!("{begun_ms}.{at}");
        if page.entries.len() >= PAGE || taken >= PAGE_BYTES {
            page.more = true;
            break;
        }
    }
    Ok(page)
}

/// When a file was begun, and a place in it.
fn cursor(text: &str) -> Option<(u64, u64)> {
    let (name, at) = text.split_once('.')?;
    Some((name.parse().ok()?, at.parse().ok()?))
}

#[cfg(test)]
#[path = "audit_test.rs"]
mod tests;
