//! A server as a child process: started, killed, asked to stop, started again; killed when dropped.
//!
//! Owns the child and the file of its log. Knows nothing of what it serves.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use super::until;

/// A program with its arguments, and the process that runs it, if one does.
#[derive(Debug)]
pub struct Process {
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Starts `program`; what it prints goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &Path, arguments: Vec<String>, log: PathBuf) -> anyhow::Result<Self> {
        let mut process = Self { program: program.into(), arguments, log, child: None };
        process.run()?;
        Ok(process)
    }

    /// Starts it again with the same arguments; a process that still runs is killed first.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&mut self) -> anyhow::Result<()> {
        self.kill();
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.env("RUST_LOG", "warn").env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH);
        let child = command.spawn().with_context(|| format!("start {}", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// The process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Errors mean that it has ended already.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// SIGTERM, and waits for the end, at most a minute.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)?;
        }
        let ended = until("the end of a stopped process", Duration::from_secs(60), async || {
            child.try_wait().ok().flatten()
        });
        let ended = ended.await.map(|_| ());
        self.child = Some(child);
        self.kill();
        ended
    }

    /// The last lines of its log, for messages.
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
