//! openraft's own suite over our log and state.

use openraft::testing::{StoreBuilder, Suite};
use openraft::{StorageError as RaftStorageError, StorageIOError};
use tempfile::TempDir;

use super::{Directory, LogStore, StateStore};
use crate::raft::TypeConfig;

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateStore, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateStore), RaftStorageError<u64>> {
        let dir = TempDir::new().map_err(|error| StorageIOError::write(&error))?;
        let stores = Directory::open(dir.path(), 1 << 20).map_err(|error| StorageIOError::write(&error))?;
        Ok((dir, stores.log, stores.state))
    }
}

#[test]
fn the_storage_suite_of_openraft_passes() {
    Suite::test_all(Builder).unwrap();
}
