//! Whether the volume of the metadata has room for more.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cluster_core::command::Command;

/// Most bytes that are kept free by default.
const MAX_RESERVE: u64 = 32 << 20;
/// How often free space is asked for.
const CHECK: Duration = Duration::from_secs(1);

/// Whether the volume is nearly full.
#[derive(Debug)]
pub(super) struct FreeSpace {
    dir: PathBuf,
    reserve_bytes: Option<u64>,
    checked: Option<Instant>,
    is_low: bool,
}

impl FreeSpace {
    /// `reserve_bytes`: as in `MetadataConfig`.
    pub(super) fn new(dir: PathBuf, reserve_bytes: Option<u64>) -> Self {
        Self { dir, reserve_bytes, checked: None, is_low: false }
    }

    pub(super) fn is_low(&mut self) -> bool {
        if self.checked.is_none_or(|checked| checked.elapsed() >= CHECK) {
            self.checked = Some(Instant::now());
            // If it cannot be asked for, the write itself will tell.
            self.is_low = rustix::fs::statvfs(&self.dir).is_ok_and(|volume| {
                let usual = (volume.f_blocks.saturating_mul(volume.f_frsize) / 40).min(MAX_RESERVE);
                let free = volume.f_bavail.saturating_mul(volume.f_frsize);
                free < self.reserve_bytes.unwrap_or(usual)
            });
        }
        self.is_low
    }
}

/// Whether a command can make the state larger. What a few records of nodes and copies take does not count:
/// repair and the removal of nodes must go on.
pub(super) fn adds(command: &Command) -> bool {
    match command {
        Command::Principal(command) => return command.adds(),
        Command::Image(command) => return command.adds(),
        Command::Repository(command) => return command.adds(),
        _ => {}
    }
    !matches!(
        command,
        Command::DeleteManifest { .. }
            | Command::DeleteTag { .. }
            | Command::UnlinkBlob { .. }
            | Command::DropBlob { .. }
            | Command::RenewLease { .. }
            | Command::Node(_)
            | Command::ConfirmCopies(_)
            | Command::RecountCopies { .. }
    )
}
