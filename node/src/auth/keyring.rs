//! Keys that encrypt the secrets which must be read back: those of access keys, and credentials of other registries.
//!
//! Owns the file `<data-dir>/secrets.keys` and what is sealed with it (AES-256-GCM, NIST SP 800-38D). The keys never
//! enter the log, the state or a backup: full nodes give them to each other (`adapters::secrets`), and what the
//! state holds is of no use without them.

use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cluster_core::record::{Hidden, Sealed};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::data_dir::write_private;

/// Name of the file in the data directory: a line for each key, its number and itself in hex, the newest last.
const FILE: &str = "secrets.keys";
/// Most keys that are kept; as many rotations are possible before old ones must go.
pub(crate) const MAX_KEYS: usize = 64;
/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 8 << 10;

/// Why a secret cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyringError {
    /// The file cannot be read or written.
    #[error("the keys of secrets {path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} holds no keys of secrets: restore it, or remove it to get the keys of other nodes again")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Others may read the file.
    #[error("others may read {path}: run chmod 600 on it")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// Another node may have it.
    #[error("this node does not have key {0:08x} of secrets")]
    Unknown(u32),
    /// There is none yet.
    #[error("there is no key of secrets yet")]
    Empty,
    /// Too many to take another one.
    #[error("there are {MAX_KEYS} keys of secrets: no more are kept")]
    Full,
    /// What was sealed is damaged, or was sealed for something else.
    #[error("a secret cannot be decrypted: it is damaged")]
    Damaged,
    /// No key could be made.
    #[error("the system gives no randomness")]
    Random,
}

/// One key. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Random, not 0: names it in what it sealed.
    pub(crate) number: u32,
    /// Itself.
    pub(crate) bytes: [u8; 32],
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:08x})", self.number)
    }
}

impl Key {
    fn random() -> Result<Self, KeyringError> {
        let (mut bytes, mut number) = ([0; 32], [0; 4]);
        getrandom::fill(&mut bytes).map_err(|_| KeyringError::Random)?;
        getrandom::fill(&mut number).map_err(|_| KeyringError::Random)?;
        Ok(Self { number: u32::from_ne_bytes(number).max(1), bytes })
    }

    fn parse(line: &str) -> Option<Self> {
        let (number, key) = line.split_once(' ')?;
        if number.len() != 8 || key.len() != 64 || !line.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(key.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        let number = u32::from_str_radix(number, 16).ok().filter(|number| *number != 0)?;
        Some(Self { number, bytes })
    }

    fn cipher(&self) -> Result<LessSafeKey, KeyringError> {
        // Fails with a key of another length only.
        UnboundKey::new(&AES_256_GCM, &self.bytes).map(LessSafeKey::new).map_err(|_| KeyringError::Damaged)
    }
}

/// See the module.
pub(crate) struct Keyring {
    dir: PathBuf,
    keys: Mutex<Vec<Key>>,
}

impl Keyring {
    /// The keys in `dir`; none if it has no such file. Blocks.
    pub(crate) fn open(dir: &Path) -> Result<Self, KeyringError> {
        let path = dir.join(FILE);
        let failed = |source| KeyringError::Io { path: path.clone(), source };
        let keys = match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
            Ok(meta) if !meta.is_file() || meta.len() > MAX_FILE => {
                return Err(KeyringError::Foreign { path });
            }
            Ok(meta) if meta.permissions().mode() & 0o077 != 0 => return Err(KeyringError::Open { path }),
            Ok(_) => {
                let text = std::fs::read_to_string(&path).map_err(failed)?;
                let keys: Option<Vec<_>> = text.lines().map(Key::parse).collect();
                keys.filter(|keys| keys.len() <= MAX_KEYS).ok_or(KeyringError::Foreign { path })?
            }
        };
        Ok(Self { dir: dir.to_owned(), keys: Mutex::new(keys) })
    }

    fn held(&self) -> MutexGuard<'_, Vec<Key>> {
        // Every change under the lock is a whole one.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All, the newest last.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.held().clone()
    }

    /// Makes another key, with which secrets are sealed from now on. Durable when it returns. Blocks.
    pub(crate) fn make(&self) -> Result<u32, KeyringError> {
        let key = Key::random()?;
        let number = key.number;
        self.add(&[key])?;
        Ok(number)
    }

    /// Takes keys of another node; those that are here stay. Durable when it returns. Blocks.
    pub(crate) fn add(&self, others: &[Key]) -> Result<(), KeyringError> {
        let mut held = self.held();
        let all = merged(&held, others);
        if all.len() > MAX_KEYS {
            return Err(KeyringError::Full);
        }
        if all.len() > held.len() {
            let path = self.dir.join(FILE);
            write_private(&self.dir, FILE, text(&all).as_bytes())
                .map_err(|source| KeyringError::Io { path, source })?;
            *held = all;
        }
        Ok(())
    }

    /// Encrypts `secret` with the newest key. `owner` must be given again to open it: what was sealed for one thing
    /// cannot be passed off as another's.
    pub(crate) fn seal(&self, owner: &str, secret: &[u8]) -> Result<Sealed, KeyringError> {
        let key = self.held().last().cloned().ok_or(KeyringError::Empty)?;
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| KeyringError::Random)?;
        let mut bytes = secret.to_vec();
        key.cipher()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(owner.as_bytes()),
                &mut bytes,
            )
            .map_err(|_| KeyringError::Damaged)?;
        bytes.splice(..0, nonce);
        Ok(Sealed { bytes: Hidden(bytes), by: key.number })
    }

    /// What was sealed for `owner`.
    pub(crate) fn unseal(&self, owner: &str, sealed: &Sealed) -> Result<Vec<u8>, KeyringError> {
        let key = self.held().iter().find(|key| key.number == sealed.by).cloned();
        let key = key.ok_or(KeyringError::Unknown(sealed.by))?;
        let (nonce, rest) = sealed.bytes.0.split_at_checked(NONCE_LEN).ok_or(KeyringError::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeyringError::Damaged)?;
        let mut bytes = rest.to_vec();
        let opened = key.cipher()?.open_in_place(nonce, Aad::from(owner.as_bytes()), &mut bytes);
        Ok(opened.map_err(|_| KeyringError::Damaged)?.to_vec())
    }
}

/// Both lists in one, the newest last: what only `others` has comes before what it has there after it.
fn merged(held: &[Key], others: &[Key]) -> Vec<Key> {
    let mut all = held.to_vec();
    let mut before = None;
    for other in others.iter().rev() {
        let at = match all.iter().position(|key| key.number == other.number) {
            Some(at) => at,
            None => {
                let at = before.unwrap_or(all.len());
                all.insert(at, other.clone());
                at
            }
        };
        before = Some(at);
    }
    all
}

fn text(keys: &[Key]) -> String {
    let mut text = String::new();
    for key in keys {
        // Writing to a string does not fail.
        let _ = write!(text, "{:08x} ", key.number);
        for byte in key.bytes {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[path = "keyring_test.rs"]
mod tests;
