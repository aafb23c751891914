//! Control groups of version 1, which bound what one process may use.

use std::path::PathBuf;
use std::{fs, io};

use crate::content::serial;

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Memory.
    Memory,
    /// Reads and writes of block devices.
    BlockIo,
}

impl Controller {
    fn dir(self) -> PathBuf {
        let name = match self {
            Self::Memory => "memory",
            Self::BlockIo => "blkio",
        };
        PathBuf::from("/sys/fs/cgroup").join(name)
    }

    /// Whether this machine has it.
    pub fn is_there(self) -> bool {
        let file = match self {
            Self::Memory => "memory.limit_in_bytes",
            Self::BlockIo => "blkio.throttle.write_bps_device",
        };
        self.dir().join(file).exists()
    }
}

/// A group. Dropping it gives its processes back to all others and removes it, if they are not about to end.
#[derive(Debug)]
pub struct Group {
    controller: Controller,
    path: PathBuf,
}

impl Group {
    /// One without processes.
    ///
    /// # Panics
    /// Without root, or without the controller.
    pub fn new(controller: Controller) -> Self {
        let path = controller.dir().join(format!("shoal-test-{}-{}", std::process::id(), serial()));
        fs::create_dir(&path).expect("root may make groups");
        Self { controller, path }
    }

    /// Puts a process into it.
    ///
    /// # Panics
    /// When it is gone.
    pub fn take(&self, pid: u32) {
        fs::write(self.path.join("cgroup.procs"), pid.to_string()).expect("root may move processes");
    }

    /// What one of its files says.
    pub fn get(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap_or_default()
    }

    /// Writes one of its files.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn set(&self, name: &str, value: &str) -> io::Result<()> {
        fs::write(self.path.join(name), value)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that is left goes back to the others, or the group could not be removed.
        for pid in self.get("cgroup.procs").lines() {
            let _ = fs::write(self.controller.dir().join("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.path);
    }
}
