//! What becomes of files on a bad disk: cut, torn, lengthened, changed, gone.

use std::fs;
use std::path::Path;

use tests::content::unique_bytes;

use tests::volume::flip;

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wound {
    /// Cut to this length.
    Cut(u64),
    /// One byte changed.
    Flip(u64),
    /// Zeros in place of this many bytes from an offset: a write that never came.
    Zero(u64, u64),
    /// So much garbage behind the end.
    Append(usize),
    Remove,
}

/// Does it.
pub(crate) fn inflict(path: &Path, wound: Wound) {
    use std::os::unix::fs::FileExt;
    let open = || fs::File::options().read(true).write(true).open(path).expect("the file");
    match wound {
        Wound::Cut(len) => open().set_len(len).expect("cut"),
        Wound::Flip(at) => flip(path, at),
        Wound::Zero(at, len) => open().write_all_at(&vec![0; len as usize], at).expect("written"),
        Wound::Append(len) => {
            let end = open().metadata().expect("a file").len();
            open().write_all_at(&unique_bytes(len), end).expect("written");
        }
        Wound::Remove => fs::remove_file(path).expect("removed"),
    }
}

/// Copies a directory with its permissions.
pub(crate) fn copy_all(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory");
    fs::set_permissions(to, fs::metadata(from).expect("a directory").permissions()).expect("set");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}
