//! The metadata directory: created once, refused when it is not ours or not whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::engine::Engine;
use super::log::Beginning;
use super::transfer::Installing;
use super::{LogStore, StateStore, StorageError, file};

const FORMAT: &str = "shoal-metadata 2\n";

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It cannot be created, read or written.
    #[error("cannot use {}: check that it can be written and the disk has room", .path.display())]
    Io {
        /// What was tried.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Something else lives here, or another release wrote it.
    #[error("{} is not a metadata directory of this release: choose another one or run the release that wrote it", .path.display())]
    WrongFormat {
        /// The directory.
        path: PathBuf,
    },
    /// A file is gone.
    #[error("{} is missing: restore the directory from a backup or start this node with an empty one", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The state is older than the log that is left.
    #[error("{} does not reach the first entry of the log beside it: restore both files from one backup or start this node with an empty directory", .path.display())]
    StateBehindLog {
        /// The state's file.
        path: PathBuf,
    },
    /// A file is damaged.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Both stores of an opened directory.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) log: LogStore,
    pub(crate) state: StateStore,
}

impl Directory {
    /// Opens or creates `dir`. `cache_bytes` bounds the memory for pages of the state. Blocks on IO.
    pub(crate) fn open(dir: &Path, cache_bytes: usize) -> Result<Self, DirectoryError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| DirectoryError::Io { path, source }
        };
        fs::create_dir_all(dir).map_err(failed(dir))?;
        let format = dir.join("FORMAT");
        let (log_path, state_path) = (dir.join("log"), dir.join("state.db"));
        let exists = match fs::read_to_string(&format) {
            Ok(text) if text == FORMAT => true,
            Ok(_) => return Err(DirectoryError::WrongFormat { path: dir.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(DirectoryError::WrongFormat { path: dir.to_owned() });
            }
            Err(error) => return Err(failed(&format)(error)),
        };
        // FORMAT is written last. Without it the files are those of a creation that was cut short, or of a
        // node that lost its marker: either way what is there is whole and stays; the log comes first.
        let log_there = file::exists(&log_path).map_err(failed(&log_path))?;
        let state_there = Engine::exists(&state_path).map_err(failed(&state_path))?;
        match (log_there, exists || state_there) {
            (true, _) => {}
            (false, true) => return Err(DirectoryError::Missing { path: log_path }),
            (false, false) => {
                LogStore::create(&log_path, Beginning::default())?;
                file::sync_names(dir).map_err(failed(dir))?;
            }
        }
        match (state_there, exists) {
            (true, _) => {}
            (false, true) => return Err(DirectoryError::Missing { path: state_path }),
            (false, false) => Engine::create(&state_path)?,
        }
        // First the one that two processes cannot open.
        let state = Arc::new(Engine::open(&state_path, cache_bytes)?);
        if !exists {
            create_format(dir, &format).map_err(failed(dir))?;
        }
        let snapshots = dir.join("snapshot");
        // Only half-received snapshots are in it; if that fails, so does the next line or nothing.
        let _ = fs::remove_dir_all(&snapshots);
        fs::create_dir_all(&snapshots).map_err(failed(&snapshots))?;
        let installing = Installing::new();
        let log = LogStore::open(&log_path, Arc::clone(&state), installing.clone())?;
        let stores = Self { state: StateStore::open(state, log.clone(), snapshots, installing)?, log };
        if stores.state.applied_index() < stores.log.purged_index() {
            return Err(DirectoryError::StateBehindLog { path: state_path });
        }
        Ok(stores)
    }
}

/// Writes the marker so that it is whole or absent after a crash, and later than the files beside it.
pub(super) fn create_format(dir: &Path, format: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent)?.sync_all()?;
    }
    let unfinished = dir.join("FORMAT.new");
    fs::write(&unfinished, FORMAT)?;
    File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, format)?;
    File::open(dir)?.sync_all()
}
