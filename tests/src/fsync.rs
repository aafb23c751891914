//! A disk that fails once: strace answers the next fsync of one file of a running process with EIO.
//!
//! Owns the tracer, and lets go of the process when it is dropped. Never touches the file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::wait::wait_until;

/// The next fsync or fdatasync of one file or folder fails.
#[derive(Debug)]
pub struct FailingFsync {
    strace: Child,
    output: PathBuf,
}

impl FailingFsync {
    /// Lies in wait in the process `pid` for `path`; what was seen goes to the file `output`.
    ///
    /// # Panics
    /// Without strace, or when `path` is not there.
    pub fn of(pid: u32, path: &Path, output: &Path) -> Self {
        let path = fs::canonicalize(path).expect("a path");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-p", &pid.to_string(), "-o"]).arg(output).arg("-P").arg(path);
        command.args(["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO:when=1"]);
        let strace = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace");
        let fault = Self { strace, output: output.to_owned() };
        wait_until("strace to watch every thread", Duration::from_secs(20), || is_traced(pid));
        fault
    }

    /// Whether one has failed.
    pub fn struck(&self) -> bool {
        fs::read_to_string(&self.output).is_ok_and(|text| text.contains("(INJECTED)"))
    }
}

impl Drop for FailingFsync {
    fn drop(&mut self) {
        // strace lets go of the process when it is interrupted, and kills nothing.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.strace),
            rustix::process::Signal::INT,
        );
        let _ = self.strace.wait();
    }
}

/// The file that a node's log grows in.
///
/// # Panics
/// When there is none.
pub fn newest_log(data: &Path) -> PathBuf {
    let files = fs::read_dir(data.join("metadata/log")).expect("the log");
    let segments = files.flatten().map(|file| file.path());
    segments.filter(|path| path.extension().is_some_and(|end| end == "log")).max().expect("a segment")
}

fn is_traced(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks.flatten().all(|task| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
    })
}
