//! The first look at the files of an incoming copy: whatever lies there is checked, since only memory knew it, or
//! nobody.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;

use super::transfer::{Transfer, prove};
use crate::error::BlobError;
use crate::pieces::{self, LEAF, PieceList};
use crate::reader::read_list;
use crate::store::Inner;

impl Transfer {
    /// Opens the files and checks the leaves that an earlier transfer left. Does nothing the second time.
    pub(super) fn open(&self, inner: &Inner) -> Result<(), BlobError> {
        let _opening = self.steps();
        if self.file.get().is_some() {
            return Ok(());
        }
        let path = &self.paths.data;
        let (upload, data) = (self.copy.generation, path);
        let ahead = inner.layout.ahead(upload);
        inner.ahead.hand_over(&ahead, upload, data).map_err(BlobError::io("rename", &ahead))?;
        let file = open_data(path).map_err(BlobError::io("open", path))?;
        if self.list().is_none() {
            let found = read_list(&self.paths.list, self.copy.size).ok();
            self.state().list = found.and_then(|list| prove(&self.copy, &list));
        }
        let left = match self.list() {
            Some(list) => self.check_leaves(&file, &list),
            // Nothing can be said about these bytes before the list comes.
            None => Ok(()),
        };
        left.map_err(BlobError::io("read", path))?;
        _ = self.file.set(file);
        Ok(())
    }

    /// Counts the leaves that are in the file and right.
    pub(super) fn check_leaves(&self, file: &File, list: &PieceList) -> io::Result<()> {
        let size = self.copy.size;
        if file.metadata()?.len() > size {
            file.set_len(size)?;
        }
        let mut content = vec![0; usize::try_from(LEAF).unwrap_or(usize::MAX)];
        let mut index = 0;
        while let Some(len) = pieces::leaf_len(size, index) {
            match rustix::fs::seek(file, SeekFrom::Data(index * LEAF)) {
                Ok(data) if data / LEAF > index => {
                    index = data / LEAF;
                    continue;
                }
                // No data from here on; an empty blob has none and is whole.
                Err(Errno::NXIO) if size > 0 => break,
                _ => {}
            }
            match file.read_exact_at(&mut content[..len], index * LEAF) {
                Ok(()) if list.matches(index, &content[..len]) => _ = self.mark(index),
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(error),
            }
            index += 1;
        }
        Ok(())
    }
}

pub(super) fn open_data(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new().read(true).write(true).create(true).truncate(false).custom_flags(flags).open(path)
}
