//! `shoal backup save` and `inspect`: the state of the cluster in a file, and the bytes of its blobs in a
//! directory. `restore` is the node's, since it makes a data directory.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use proto::backup::{Frame, Head, NeededBlob, blob_path};
use proto::digest::{Algorithm, Digest, Hasher};
use serde::Serialize;

use crate::Options;
use crate::backup_file::{BackupReader, Counts, FileError, write_whole};
use crate::client::{Client, ClientError};
use crate::output::{Format, bytes, pairs, render};

/// Bytes that are hashed or written at once.
const PART: usize = 1 << 20;

/// See the module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write all metadata, as of one moment, to FILE; with --blobs also the bytes that it needs.
    Save {
        /// The file; whole or not at all
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Directory to which blobs are copied; those that it has already are checked and kept
        #[arg(long, value_name = "DIR")]
        blobs: Option<PathBuf>,
        /// Whom to ask.
        #[command(flatten)]
        options: Options,
    },
    /// Check a backup and show what is in it.
    Inspect {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// List the blobs that it needs instead: digest, bytes, generation, nodes with a copy
        #[arg(long)]
        blobs: bool,
        /// How the answer is written
        #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
        output: Format,
    },
}

/// Why there is no backup, or none that is whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// The node.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A blob's file.
    #[error("{} cannot be written: {source}", .path.display())]
    Blob {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The metadata is safe, some bytes are not.
    #[error("{count} blobs could not be copied, for example {example}: {reason}; the metadata is saved")]
    Incomplete {
        /// How many.
        count: u64,
        /// One of them.
        example: String,
        /// What happened to that one.
        reason: String,
    },
}

/// What `inspect` and `save` show.
#[derive(Serialize)]
struct Summary {
    cluster_id: String,
    index: u64,
    time_ms: u64,
    release: String,
    repositories: u64,
    tags: u64,
    manifests: u64,
    blobs: u64,
    blob_bytes: u64,
    /// Blobs that were copied now, and that were there: only of `save --blobs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    copied: Option<Copied>,
}

#[derive(Clone, Copy, Default, Serialize)]
struct Copied {
    blobs: u64,
    bytes: u64,
    kept: u64,
}

impl BackupError {
    /// See [`crate::EXIT_CODES`].
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) => error.exit_code(),
            _ => 1,
        }
    }
}

pub(crate) fn run(command: Command) -> Result<String, BackupError> {
    match command {
        Command::Save { file, blobs, options } => save(&file, blobs.as_deref(), &options),
        Command::Inspect { file, blobs: true, output } => list(&file, output).map(|()| String::new()),
        Command::Inspect { file, blobs: false, output } => {
            let (head, counts) = BackupReader::verify(&file)?;
            Ok(show(output, &head, counts, None))
        }
    }
}

fn save(file: &Path, blobs: Option<&Path>, options: &Options) -> Result<String, BackupError> {
    let client = Client::new(&options.access)?;
    let mut answer = client.stream("backup")?;
    let failed = |source| BackupError::File(FileError::Io { path: file.to_owned(), source });
    write_whole(file, failed, |out| {
        let mut copying = Tee { input: &mut answer, out, failure: None };
        let mut reader = BackupReader::over(&mut copying, file);
        // Checked on its way, so that what gets the name is a whole backup.
        let read = loop {
            match reader.next_frame() {
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        drop(reader);
        match copying.failure {
            Some(source) => Err(failed(source)),
            None => Ok(read?),
        }
    })?;
    let copied = blobs.map(|dir| copy_blobs(&client, file, dir)).transpose()?;
    let (head, counts) = BackupReader::verify(file)?;
    Ok(show(options.output, &head, counts, copied))
}

/// Writes what is read.
struct Tee<'a, R> {
    input: R,
    out: &'a mut File,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        if let Err(error) = self.out.write_all(&buffer[..count]) {
            let kind = error.kind();
            self.failure = Some(error);
            return Err(kind.into());
        }
        Ok(count)
    }
}

/// Copies the blobs that the backup needs and `dir` has not; goes on after one that cannot be had.
fn copy_blobs(client: &Client, file: &Path, dir: &Path) -> Result<Copied, BackupError> {
    let mut reader = BackupReader::open(file)?;
    let mut copied = Copied::default();
    let mut missing: Option<(u64, String, String)> = None;
    while let Some(frame) = reader.next_frame()? {
        let Frame::Blob(blob) = frame else { continue };
        match copy_blob(client, dir, &blob) {
            Ok(true) => {
                copied.blobs += 1;
                copied.bytes += blob.size;
            }
            Ok(false) => copied.kept += 1,
            Err(error @ BackupError::Blob { .. }) => return Err(error),
            Err(error) => {
                missing.get_or_insert_with(|| (0, blob.digest.clone(), error.to_string())).0 += 1;
            }
        }
    }
    match missing {
        Some((count, example, reason)) => Err(BackupError::Incomplete { count, example, reason }),
        None => Ok(copied),
    }
}

/// True if it was copied, false if it was there.
fn copy_blob(client: &Client, dir: &Path, blob: &NeededBlob) -> Result<bool, BackupError> {
    let foreign = || ClientError::Broken { what: blob.digest.clone(), problem: "no digest".to_owned() };
    let digest: Digest = blob.digest.parse().map_err(|_| foreign())?;
    let path = dir.join(blob_path(&digest));
    let failed = |source| BackupError::Blob { path: path.clone(), source };
    if let Ok(mut there) = File::open(&path)
        && hash_of(&mut there, digest.algorithm()).is_ok_and(|found| found == (digest, blob.size))
    {
        return Ok(false);
    }
    fs::create_dir_all(path.parent().unwrap_or(dir)).map_err(failed)?;
    let mut answer = client.stream(&format!("backup/blobs/{digest}"))?;
    write_whole(&path, failed, |out| {
        let broken =
            |problem: String| BackupError::Client(ClientError::Broken { what: blob.digest.clone(), problem });
        let mut copying = Tee { input: &mut answer, out, failure: None };
        let read = hash_of(&mut copying, digest.algorithm());
        match (copying.failure, read) {
            (Some(source), _) => Err(failed(source)),
            (None, Err(error)) => Err(broken(error.to_string())),
            (None, Ok(found)) if found != (digest, blob.size) => Err(broken("other bytes came".to_owned())),
            (None, Ok(_)) => Ok(()),
        }
    })?;
    Ok(true)
}

/// Digest and length of all that comes.
fn hash_of(input: &mut impl Read, algorithm: Algorithm) -> io::Result<(Digest, u64)> {
    let (mut hasher, mut size, mut part) = (Hasher::new(algorithm), 0, vec![0; PART]);
    loop {
        match input.read(&mut part) {
            Ok(0) => return Ok((hasher.finish(), size)),
            Ok(count) => {
                hasher.update(&part[..count]);
                size += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// One blob a line, after the whole file was checked.
fn list(file: &Path, output: Format) -> Result<(), BackupError> {
    BackupReader::verify(file)?;
    let mut reader = BackupReader::open(file)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    while let Some(frame) = reader.next_frame()? {
        let Frame::Blob(blob) = frame else { continue };
        let line = match output {
            Format::Json => serde_json::to_string(&blob).unwrap_or_default(),
            Format::Table => {
                format!("{} {} {} {}", blob.digest, blob.size, blob.generation, blob.copies.join(","))
            }
        };
        if writeln!(out, "{line}").is_err() {
            // Whoever closes the pipe has seen enough.
            break;
        }
    }
    let _ = out.flush();
    Ok(())
}

fn show(output: Format, head: &Head, counts: Counts, copied: Option<Copied>) -> String {
    let Counts { repositories, tags, manifests, blobs, blob_bytes } = counts;
    let Head { cluster_id, index, time_ms, release, .. } = head.clone();
    let summary = Summary {
        cluster_id,
        index,
        time_ms,
        release,
        repositories,
        tags,
        manifests,
        blobs,
        blob_bytes,
        copied,
    };
    render(output, &summary, |summary| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(summary.time_ms);
        let mut rows = vec![
            ("cluster", summary.cluster_id.clone()),
            ("index", summary.index.to_string()),
            ("time", humantime::format_rfc3339_seconds(time).to_string()),
            ("release", summary.release.clone()),
            ("repositories", summary.repositories.to_string()),
            ("tags", summary.tags.to_string()),
            ("manifests", summary.manifests.to_string()),
            ("blobs needed", format!("{}, {}", summary.blobs, bytes(summary.blob_bytes))),
        ];
        if let Some(copied) = summary.copied {
            let text = format!("{}, {}; {} were there", copied.blobs, bytes(copied.bytes), copied.kept);
            rows.push(("blobs copied", text));
        }
        pairs(rows)
    })
}
