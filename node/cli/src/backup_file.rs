//! A backup's file on this disk (format: `proto::backup`): written whole or not at all, read as it is needed.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use proto::backup::{BackupError, Decoder, Frame, Head};

/// Bytes that are read at once.
const PART: usize = 1 << 20;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read or written.
    #[error("{} cannot be used: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Its content is not a whole backup.
    #[error("{}: {source}; take another backup", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BackupError,
    },
}

/// A backup that is being read, from a file or a node. Blocks. What it gave is right only if it came to its end.
pub struct BackupReader<R> {
    input: R,
    path: PathBuf,
    decoder: Option<Decoder>,
    part: Vec<u8>,
}

impl BackupReader<BufReader<File>> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(|source| FileError::Io { path: path.to_owned(), source })?;
        Ok(Self::over(BufReader::new(file), path))
    }

    /// Reads all of a file, so that the next reader may trust it.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn verify(path: &Path) -> Result<(Head, Counts), FileError> {
        let mut reader = Self::open(path)?;
        let mut counts = Counts::default();
        let mut head = None;
        while let Some(frame) = reader.next_frame()? {
            counts.note(&frame);
            if let Frame::Head(found) = frame {
                head = Some(found);
            }
        }
        // The format has no end without a head.
        let cut = || FileError::Content { path: path.to_owned(), source: BackupError::Cut };
        Ok((head.ok_or_else(cut)?, counts))
    }
}

impl<R: Read> BackupReader<R> {
    /// Reads from `input`; `path` names it in errors.
    pub fn over(input: R, path: &Path) -> Self {
        Self { input, path: path.to_owned(), decoder: Some(Decoder::default()), part: vec![0; PART] }
    }

    /// The next frame; `None` at the end, which was checked.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FileError> {
        let content = |path: &Path, source| FileError::Content { path: path.to_owned(), source };
        loop {
            let Some(decoder) = &mut self.decoder else { return Ok(None) };
            match decoder.next_frame() {
                Ok(Some(frame)) => return Ok(Some(frame)),
                Ok(None) => {}
                Err(source) => return Err(content(&self.path, source)),
            }
            let count = self.input.read(&mut self.part);
            let count = count.map_err(|source| FileError::Io { path: self.path.clone(), source })?;
            if count > 0 {
                decoder.push(&self.part[..count]);
            } else if let Some(decoder) = self.decoder.take() {
                decoder.finish().map_err(|source| content(&self.path, source))?;
            }
        }
    }
}

/// What is in a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Repositories.
    pub repositories: u64,
    /// Tags.
    pub tags: u64,
    /// Manifests, one for each repository that has it.
    pub manifests: u64,
    /// Blobs that it needs.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
}

impl Counts {
    fn note(&mut self, frame: &Frame) {
        match frame {
            Frame::Head(_) => {}
            Frame::Blob(blob) => {
                self.blobs += 1;
                self.blob_bytes = self.blob_bytes.saturating_add(blob.size);
            }
            // First bytes of the state's keys, whose form never changes.
            Frame::Pair(key, _) => match key.first() {
                Some(b'r') => self.repositories += 1,
                Some(b't') => self.tags += 1,
                Some(b'm') => self.manifests += 1,
                _ => {}
            },
        }
    }
}

/// Writes a file that only the owner may read: whole and durable under its name, or not at all. `fill` writes
/// the content. Blocks.
pub(crate) fn write_whole<E>(
    path: &Path,
    failed: impl Fn(io::Error) -> E,
    fill: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let unfinished = unfinished(path);
    let mut options = OpenOptions::new();
    let open = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
    let mut file = open.map_err(&failed)?;
    let filled = fill(&mut file).and_then(|()| {
        file.flush().and_then(|()| file.sync_all()).map_err(&failed)?;
        std::fs::rename(&unfinished, path).map_err(&failed)?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(&failed)
    });
    if filled.is_err() {
        // Only to leave nothing behind; under its name it is not.
        let _ = std::fs::remove_file(&unfinished);
    }
    filled
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}
