//! The root directory: made at first use, refused when it is somebody else's. Blocks.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use proto::digest::Algorithm;

use crate::error::BlobError;
use crate::path::{FORMAT, Layout};

/// Makes or checks the directory, makes what is missing in it durable, and returns the names in the quarantine.
pub(crate) fn prepare(layout: &Layout) -> Result<Vec<OsString>, BlobError> {
    let root = layout.root();
    let unusable = |source| BlobError::UnusableRoot { path: root.to_owned(), source };
    fs::create_dir_all(root).map_err(unusable)?;
    match fs::read_to_string(layout.format()) {
        Ok(format) if format == FORMAT => {}
        Ok(_) => return Err(BlobError::ForeignRoot { path: root.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !is_unused(root).map_err(unusable)? {
                return Err(BlobError::ForeignRoot { path: root.to_owned() });
            }
            write_format(layout).map_err(unusable)?;
        }
        Err(error) => return Err(unusable(error)),
    }
    let algorithms = [Algorithm::Sha256, Algorithm::Sha512].map(|algorithm| layout.algorithm(algorithm));
    for dir in [layout.uploads(), layout.quarantine(), layout.blobs()].iter().chain(&algorithms) {
        fs::create_dir_all(dir).map_err(unusable)?;
    }
    for dir in [layout.blobs().as_path(), root].into_iter().chain(root.parent()) {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(unusable)?;
    }
    let names = fs::read_dir(layout.quarantine()).map_err(unusable)?;
    names.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<_>>().map_err(unusable)
}

/// Whether a directory holds nothing but what a new filesystem or a crash in [`write_format`] leaves.
fn is_unused(root: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name();
        if name != "lost+found" && name != "FORMAT.new" {
            return Ok(false);
        }
    }
    Ok(true)
}

fn write_format(layout: &Layout) -> io::Result<()> {
    let new = layout.format().with_extension("new");
    fs::write(&new, FORMAT)?;
    fs::File::open(&new)?.sync_all()?;
    fs::rename(new, layout.format())
}
