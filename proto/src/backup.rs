//! The file of a backup, as the admin API streams it: written and read piece by piece, never whole in memory.
//!
//! ```text
//! "shoal-backup 1\n"
//! frames: kind (1 byte), length of the rest (4 bytes, little endian), the rest:
//!   1 head   JSON of [`Head`]; exactly one, the first
//!   2 blob   JSON of [`NeededBlob`]; all of them, before the first pair
//!   3 pair   length of the key (4 bytes, little endian), key, value: one pair of the replicated state
//!   4 end    SHA-256 of all bytes before this frame; nothing follows
//! ```
//!
//! A file that is cut, altered or of another version is an error, and nothing of it may be used before its
//! end was read: whoever acts on it reads it twice.

use serde::{Deserialize, Serialize};

use crate::digest::{Algorithm, Digest, Hasher};

const MAGIC: &[u8] = b"shoal-backup 1\n";
const HEAD: u8 = 1;
const BLOB: u8 = 2;
const PAIR: u8 = 3;
const END: u8 = 4;
/// Before the rest of a frame.
const PREFIX: usize = 5;
/// Longest rest of a frame, bytes: a pair with the longest key and value of the state.
const MAX_FRAME: usize = (64 << 20) + (8 << 10);

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The cluster's id, hexadecimal.
    pub cluster_id: String,
    /// Index of the last log entry that it holds; none after it.
    pub index: u64,
    /// Raft term of that entry.
    pub term: u64,
    /// Log time of the state, milliseconds since 1970.
    pub time_ms: u64,
    /// Release of the node that wrote it.
    pub release: String,
}

/// A blob that the state names: its bytes are not in the backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeededBlob {
    /// Its name.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// The upload that its copies come from.
    pub generation: String,
    /// Root of the hash tree over its pieces, hexadecimal.
    pub pieces_root: String,
    /// Nodes that had a copy, hexadecimal.
    pub copies: Vec<String>,
}

/// One part of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Comes first.
    Head(Head),
    /// A blob that is needed.
    Blob(NeededBlob),
    /// A pair of the state.
    Pair(Vec<u8>, Vec<u8>),
}

/// Why bytes are not a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// It begins with something else.
    #[error("this is not a backup of a release that this one knows")]
    Foreign,
    /// It ends before its end.
    #[error("the backup is cut off")]
    Cut,
    /// It is not what was written.
    #[error("the backup is damaged")]
    Damaged,
}

/// Makes the bytes of a backup. The caller takes them out of [`Encoder::take`] as they come.
pub struct Encoder {
    hasher: Hasher,
    ready: Vec<u8>,
}

impl Encoder {
    /// Begins with the head.
    pub fn new(head: &Head) -> Self {
        let mut encoder = Self { hasher: Hasher::new(Algorithm::Sha256), ready: MAGIC.to_vec() };
        encoder.hasher.update(MAGIC);
        encoder.frame(HEAD, &[&json(head)]);
        encoder
    }

    /// Adds a blob; not after a pair.
    pub fn blob(&mut self, blob: &NeededBlob) {
        self.frame(BLOB, &[&json(blob)]);
    }

    /// Adds a pair.
    pub fn pair(&mut self, key: &[u8], value: &[u8]) {
        self.frame(PAIR, &[&length(key.len()), key, value]);
    }

    /// Adds the end.
    pub fn end(&mut self) {
        let checksum = self.hasher.clone().finish();
        self.frame(END, &[checksum.hash()]);
    }

    /// What was made since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ready)
    }

    fn frame(&mut self, kind: u8, parts: &[&[u8]]) {
        let from = self.ready.len();
        self.ready.push(kind);
        self.ready.extend(length(parts.iter().map(|part| part.len()).sum()));
        parts.iter().for_each(|part| self.ready.extend_from_slice(part));
        self.hasher.update(&self.ready[from..]);
    }
}

/// A frame is shorter than 4 GiB: its parts are bounded far below.
fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

fn json(document: &impl Serialize) -> Vec<u8> {
    // Documents have text keys only, so this cannot fail; if it did, a reader would refuse the empty text.
    serde_json::to_vec(document).unwrap_or_default()
}

/// Reads the bytes of a backup as they come. Holds at most one frame beside what was pushed.
pub struct Decoder {
    bytes: Vec<u8>,
    at: usize,
    hasher: Hasher,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Magic,
    Head,
    Blobs,
    Pairs,
    Over,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { bytes: Vec::new(), at: 0, hasher: Hasher::new(Algorithm::Sha256), step: Step::Magic }
    }
}

impl Decoder {
    /// Adds the next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame; `None` until more bytes are pushed.
    ///
    /// # Errors
    /// See [`BackupError`]; it is of no use to go on then.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, BackupError> {
        if self.step == Step::Magic {
            let Some(magic) = self.ahead(MAGIC.len()) else {
                let is_other = !MAGIC.starts_with(&self.bytes[self.at..]);
                return if is_other { Err(BackupError::Foreign) } else { Ok(None) };
            };
            if magic != MAGIC {
                return Err(BackupError::Foreign);
            }
            self.consume(MAGIC.len());
            self.step = Step::Head;
        }
        if self.step == Step::Over {
            return if self.at == self.bytes.len() { Ok(None) } else { Err(BackupError::Damaged) };
        }
        let Some(&[kind, a, b, c, d]) = self.ahead(PREFIX) else { return Ok(None) };
        let rest = u32::from_le_bytes([a, b, c, d]) as usize;
        if rest > MAX_FRAME {
            return Err(BackupError::Damaged);
        }
        let Some(whole) = self.ahead(PREFIX + rest) else { return Ok(None) };
        let (next, frame) = self.parse(kind, &whole[PREFIX..])?;
        self.consume(PREFIX + rest);
        self.step = next;
        Ok(frame)
    }

    fn parse(&self, kind: u8, rest: &[u8]) -> Result<(Step, Option<Frame>), BackupError> {
        let damaged = |_| BackupError::Damaged;
        match (kind, self.step) {
            (HEAD, Step::Head) => {
                let head = serde_json::from_slice(rest).map_err(damaged)?;
                Ok((Step::Blobs, Some(Frame::Head(head))))
            }
            (BLOB, Step::Blobs) => {
                let blob = serde_json::from_slice(rest).map_err(damaged)?;
                Ok((Step::Blobs, Some(Frame::Blob(blob))))
            }
            (PAIR, Step::Blobs | Step::Pairs) => {
                let (length, rest) = rest.split_first_chunk::<4>().ok_or(BackupError::Damaged)?;
                let (key, value) = rest
                    .split_at_checked(u32::from_le_bytes(*length) as usize)
                    .ok_or(BackupError::Damaged)?;
                Ok((Step::Pairs, Some(Frame::Pair(key.to_vec(), value.to_vec()))))
            }
            (END, Step::Blobs | Step::Pairs) if rest == self.hasher.clone().finish().hash() => {
                Ok((Step::Over, None))
            }
            _ => Err(BackupError::Damaged),
        }
    }

    fn ahead(&self, count: usize) -> Option<&[u8]> {
        self.bytes.get(self.at..self.at + count)
    }

    fn consume(&mut self, count: usize) {
        self.hasher.update(&self.bytes[self.at..self.at + count]);
        self.at += count;
    }

    /// Called when no more bytes come: everything before is right only if this is.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub fn finish(self) -> Result<(), BackupError> {
        match self.step {
            Step::Over if self.at == self.bytes.len() => Ok(()),
            Step::Over => Err(BackupError::Damaged),
            _ => Err(BackupError::Cut),
        }
    }
}

/// The path of a blob's bytes below a directory of blobs: `<algorithm>/<first two digits>/<hex>`.
pub fn blob_path(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{}/{}/{hex}", digest.algorithm().name(), &hex[..2])
}

#[cfg(test)]
#[path = "backup_test.rs"]
mod tests;
