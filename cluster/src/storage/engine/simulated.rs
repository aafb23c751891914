//! The engine over files of a simulated machine; part of it, so that redb is named nowhere else. Files get their
//! name and their first content at once here: what a crash may do in between is tested on real disks.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::TABLE;
use crate::environment::simulation;

#[derive(Clone, Debug)]
pub(super) struct Backend(Arc<dyn simulation::File>);

/// `None`: the machine is a real one.
pub(super) fn file(path: &Path) -> Option<Backend> {
    simulation::with(|machine| Backend(machine.file(path)))
}

impl Backend {
    pub(super) fn create(self) -> Result<(), redb::Error> {
        let file = Arc::clone(&self.0);
        let transaction = redb::Database::builder().create_with_backend(self)?.begin_write()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
        Ok(file.sync()?)
    }

    pub(super) fn open(self, cache_bytes: usize) -> Result<redb::Database, redb::Error> {
        let mut builder = redb::Database::builder();
        builder.set_cache_size(cache_bytes).set_check_integrity_on_open(true);
        Ok(builder.create_with_backend(self)?)
    }

    pub(super) fn exists(self) -> io::Result<bool> {
        Ok(self.0.size()? > 0)
    }
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}
