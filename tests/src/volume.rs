//! A file system of the test's own: an image file, mounted through a loop device.
//!
//! Owns image and mount; dropping it unmounts. Power is cut by the file system's own shutdown call, which
//! drops everything that was not made durable, the log included.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::wait::wait_until;

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
pub enum Kind {
    /// ext4, without room kept for root.
    Ext4,
    /// xfs; wants 300 MiB at least.
    Xfs,
}

/// A mounted image.
#[derive(Debug)]
pub struct Volume {
    home: TempDir,
}

impl Volume {
    /// A fresh file system of `mib` MiB, mounted.
    ///
    /// # Panics
    /// When that fails.
    pub fn new(kind: Kind, mib: u64) -> Self {
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
    pub fn path(&self) -> PathBuf {
        self.home.path().join("mounted")
    }

    /// The image file.
    pub fn image(&self) -> PathBuf {
        self.home.path().join("image")
    }

    /// Mounts it, read-write.
    ///
    /// # Panics
    /// When that fails.
    pub fn mount(&self) {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.path()));
    }

    /// Mounts it again with other options.
    ///
    /// # Panics
    /// When that fails.
    pub fn remount(&self, options: &str) {
        run(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.path()));
    }

    /// Unmounts it, once nobody uses it any more.
    ///
    /// # Panics
    /// When that fails.
    pub fn unmount(&self) {
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
    ///
    /// # Panics
    /// When that fails.
    pub fn power_switch(&self) -> PowerSwitch {
        let mut command = Command::new("python3");
        command.args(["-c", SHUTDOWN]).arg(self.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), "ready", "the power switch");
        PowerSwitch { child, output }
    }

    /// Gives one byte of a file another value under the file system: no time stamp tells.
    ///
    /// # Panics
    /// When that fails.
    pub fn flip_beneath(&self, file: &Path, offset: u64) {
        run(Command::new("sync").arg("-f").arg(file));
        flip(&self.image(), physical_offset(file, offset));
        // What the kernel remembers of the file goes; what it reads next comes from the image.
        let name = format!("if={}", file.display());
        run(Command::new("dd").arg(name).args(["iflag=nocache", "count=0", "status=none"]));
    }
}

/// Where a byte of a file lies on its volume, as the kernel tells: `0: 0.. 3: 34816.. 34819: 4:`, in blocks.
fn physical_offset(file: &Path, offset: u64) -> u64 {
    const BLOCK: u64 = 4096;
    let output = Command::new("filefrag").args(["-e", "-b4096"]).arg(file).output().expect("filefrag");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut extents = text.lines().filter_map(|line| {
        let mut parts =
            line.split(':').skip(1).map(|part| part.trim().split("..").map(|end| end.trim().parse().ok()));
        let (mut logical, mut physical) = (parts.next()?, parts.next()?);
        Some((logical.next()??, logical.next()??, physical.next()??))
    });
    let block = offset / BLOCK;
    let found = extents.find(|(first, last, _): &(u64, u64, u64)| (*first..=*last).contains(&block));
    let (first, _, physical) = found.unwrap_or_else(|| panic!("no extent of byte {offset}: {text}"));
    (physical + block - first) * BLOCK + offset % BLOCK
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
pub struct PowerSwitch {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl PowerSwitch {
    /// Cuts the power, and returns the moment before it began: answers read before it are promises. Later ones are
    /// not, since the kernel may say that something is durable which the cut overtakes.
    ///
    /// # Panics
    /// When it does not go off.
    pub fn press(mut self) -> Instant {
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
///
/// # Panics
/// When that fails.
pub fn flip(path: &Path, offset: u64) {
    use std::os::unix::fs::FileExt;
    let file = File::options().read(true).write(true).open(path).expect("the file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("a byte");
    file.write_all_at(&[byte[0] ^ 0x20], offset).expect("written");
}

/// Runs a command that must succeed.
///
/// # Panics
/// When that fails.
pub fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
