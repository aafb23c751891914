//! Blobs as they lie in a node's data directory: the one place in the tests that knows the names of their files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::content::sha256;

/// The file of a blob, if the node with this data directory has a copy.
///
/// # Panics
/// When there are several.
pub fn file_of(data: &Path, digest: &str) -> Option<PathBuf> {
    let hex = digest.trim_start_matches("sha256:");
    let shard = fs::read_dir(data.join("blobs/blobs/sha256").join(&hex[..2])).ok()?;
    let mut found = shard.flatten().map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(hex) && !name.ends_with(".pieces")
    });
    let file = found.next();
    let other = found.next();
    assert!(other.is_none(), "{digest} has the files {file:?} and {other:?}");
    file
}

/// Checks that every file under a final name has the content that the name says; returns how many there are.
///
/// # Panics
/// When one has not.
pub fn check_files(data: &Path) -> usize {
    check_files_since(data, SystemTime::UNIX_EPOCH)
}

/// The same of the files that were written at `since` or later.
///
/// # Panics
/// As [`check_files`].
pub fn check_files_since(data: &Path, since: SystemTime) -> usize {
    let mut checked = 0;
    for shard in fs::read_dir(data.join("blobs/blobs/sha256")).expect("shards").flatten() {
        for file in fs::read_dir(shard.path()).expect("a shard").flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let Some((hex, _)) = name.split_once('.').filter(|_| !name.ends_with(".pieces")) else {
                continue;
            };
            let written = file.metadata().and_then(|about| about.modified()).expect("a time");
            if written < since {
                continue;
            }
            let content = fs::read(file.path()).expect("a blob");
            assert_eq!(sha256(&content), format!("sha256:{hex}"), "{name} is not what it says");
            checked += 1;
        }
    }
    checked
}
