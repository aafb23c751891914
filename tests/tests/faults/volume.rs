//! A file system of the test's own: an image file, mounted through a loop device.
//!
//! Owns image and mount; dropping it unmounts. Power is cut by the file system's own shutdown call, which
//! drops everything that was not made durable, the log included.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::node::wait_until;

/// EXT4_IOC_SHUTDOWN, which xfs calls XFS_IOC_GOINGDOWN; 2 = do not even write the log.
const SHUTDOWN: &str = "
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
print('ready', flush=True)
sys.stdin.readline()
fcntl.ioctl(fd, 0x8004587D, (2).to_bytes(4, 'little'))
os.close(fd)
print('off', flush=True)
";

/// Which file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
}

/// A mounted image.
#[derive(Debug)]
pub(crate) struct Volume {
    home: TempDir,
}

impl Volume {
    /// A fresh file system of `mib` MiB, mounted.
    pub(crate) fn new(kind: Kind, mib: u64) -> Self {
        let home = TempDir::with_prefix("shoal-volume-").expect("a temporary directory");
        let volume = Self { home };
        fs::create_dir(volume.path()).expect("a mount point");
        File::create(volume.image()).and_then(|image| image.set_len(mib << 20)).expect("an image");
        match kind {
            Kind::Ext4 => run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(volume.image())),
            Kind::Xfs => run(Command::new("mkfs.xfs").args(["-q", "-f"]).arg(volume.image())),
        }
        volume.mount();
        volume
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.home.path().join("mounted")
    }

    /// The image file.
    pub(crate) fn image(&self) -> PathBuf {
        self.home.path().join("image")
    }

    /// Mounts it, read-write.
    pub(crate) fn mount(&self) {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.path()));
    }

    /// Mounts it again with other options.
    pub(crate) fn remount(&self, options: &str) {
        run(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.path()));
    }

    /// Unmounts it, once nobody uses it any more.
    pub(crate) fn unmount(&self) {
        wait_until("the volume to be unmounted", Duration::from_secs(10), || self.try_unmount(&[]));
    }

    fn try_unmount(&self, options: &[&str]) -> bool {
        let mut command = Command::new("umount");
        command.args(options).arg(self.path()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn is_mounted(&self) -> bool {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let path = self.path().to_string_lossy().into_owned();
        mounts.lines().any(|line| line.split(' ').nth(1) == Some(path.as_str()))
    }

    /// Makes ready to cut the power of this volume, so that it takes no time later.
    pub(crate) fn power_switch(&self) -> PowerSwitch {
        let mut command = Command::new("python3");
        command.args(["-c", SHUTDOWN]).arg(self.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), "ready", "the power switch");
        PowerSwitch { child, output }
    }

    /// Writes the other value of one byte under the file system: no time stamp tells. `file` is on it, and
    /// `start` is what stands at its beginning, which must be nowhere else.
    pub(crate) fn flip_beneath(&self, file: &Path, start: &[u8], offset: usize) {
        run(Command::new("sync").arg("-f").arg(file));
        let found = self.find(start).expect("the file's beginning in the image");
        flip(&self.image(), found + offset as u64);
        // What the kernel remembers of the file goes; what it reads next comes from the image.
        run(Command::new("dd").arg(format!("if={}", file.display())).args([
            "iflag=nocache",
            "count=0",
            "status=none",
        ]));
    }

    fn find(&self, needle: &[u8]) -> Option<u64> {
        const STEP: usize = 4096;
        let mut image = BufReader::with_capacity(1 << 20, File::open(self.image()).ok()?);
        let mut block = [0; STEP];
        let mut at = 0;
        // Files begin where blocks do.
        while image.read_exact(&mut block).is_ok() {
            if block.starts_with(needle) {
                return Some(at);
            }
            at += STEP as u64;
        }
        None
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.is_mounted() && !self.try_unmount(&[]) {
            if Instant::now() > deadline {
                // The last user frees it.
                self.try_unmount(&["-l"]);
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// One press cuts the power. Dropping it ends its process.
#[derive(Debug)]
pub(crate) struct PowerSwitch {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl PowerSwitch {
    /// Cuts the power, and returns the moment before it began: answers read before it are promises. Later ones are
    /// not, since the kernel may say that something is durable which the cut overtakes.
    pub(crate) fn press(mut self) -> Instant {
        let began = Instant::now();
        let mut input = self.child.stdin.take().expect("a pipe");
        input.write_all(b"now\n").expect("the switch works");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), "off", "the power is off");
        began
    }
}

impl Drop for PowerSwitch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives one byte of a file another value, in place.
pub(crate) fn flip(path: &Path, offset: u64) {
    use std::os::unix::fs::FileExt;
    let file = File::options().read(true).write(true).open(path).expect("the file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("a byte");
    file.write_all_at(&[byte[0] ^ 0x20], offset).expect("written");
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
