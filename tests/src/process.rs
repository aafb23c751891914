//! Processes that tests start: daemons to stop again, and commands that end by themselves.
//!
//! Owns only what it spawned: signals go to the one pid, never to a name or a group. Output goes to files,
//! not pipes, so that a grandchild which keeps them open hangs nobody.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::try_wait_for;

/// Lines of a log that a failure shows.
const TAIL_LINES: usize = 60;

/// Waits for the end of its standard input, then ends process $1 and removes folder $2, if there is one. First
/// SIGTERM: some daemons have mounts and children to take down.
const WATCHDOG: &str = "read x; kill $1; for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 $1 || break; sleep 0.5; done; \
                        kill -9 $1; [ -z \"$2\" ] || rm -rf -- \"$2\"";

/// A running daemon. Dropping it kills it; so does the end of the test process, however that ends.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    // A shell that waits for our end of a pipe to close: no destructor runs when a test is killed, nor for a
    // server that many tests share.
    watchdog: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command`; what it prints is appended to `output`, what it complains about to `log`.
    ///
    /// # Errors
    /// Those of opening the files and of starting the program.
    pub fn spawn(command: &mut Command, output: &Path, log: &Path) -> anyhow::Result<Self> {
        Self::spawn_in(command, output, log, None)
    }

    /// As [`Daemon::spawn`]; should the test process end without dropping it, `folder` is removed too.
    ///
    /// # Errors
    /// Those of [`Daemon::spawn`].
    pub fn spawn_in(
        command: &mut Command,
        output: &Path,
        log: &Path,
        folder: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let program = command.get_program().to_owned();
        let (output, errors) = (append_to(output)?, append_to(log)?);
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        let child = child.with_context(|| format!("starting {}", program.display()))?;
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", WATCHDOG, "watchdog", &child.id().to_string()]).args(folder);
        watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let watchdog = watchdog.spawn().context("starting a shell")?;
        Ok(Self { child, watchdog, log: log.to_owned() })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// Those of asking the kernel.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.dismiss_watchdog();
        }
        Ok(status)
    }

    /// The id that the watchdog would signal may soon be another process's.
    fn dismiss_watchdog(&mut self) {
        // Fails only when that was done before.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
    }

    /// Sends a signal, unless the process has ended.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        // The pid of a child that was not waited for is not given to another process.
        if self.ended()?.is_none() {
            kill_process(Pid::from_child(&self.child), signal)?;
        }
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits.
    ///
    /// # Errors
    /// When it has not ended by `limit`.
    pub fn stop(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        try_wait_for("the process to end after SIGTERM", limit, || match self.ended() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("still running".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Ends it at once (SIGKILL) and waits.
    pub fn kill(&mut self) {
        self.dismiss_watchdog();
        // Fails only when it has ended, and then there is nothing to wait for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        tail_of(&self.log)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn append_to(path: &Path) -> anyhow::Result<File> {
    let file = File::options().create(true).append(true).open(path);
    file.with_context(|| format!("opening {}", path.display()))
}

/// The last lines of a log, without those of requests that went well; what went wrong when it cannot be read.
pub fn tail_of(path: &Path) -> String {
    match fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let lines: Vec<&str> = text.lines().filter(|line| !line.contains(" INFO request{")).collect();
            lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
        }
        Err(error) => format!("({}: {error})", path.display()),
    }
}

/// What a command left behind.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The command line, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained about.
    pub stderr: String,
}

impl Finished {
    /// What it printed, as text without space around it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    /// Both outputs, for messages and for looking up what it said.
    pub fn said(&self) -> String {
        format!("{}\n{}", self.text(), self.stderr.trim())
    }

    /// Checks that it succeeded.
    ///
    /// # Panics
    /// When it did not.
    pub fn assert_success(self) -> Self {
        assert!(self.status.success(), "{}: {}\n{}", self.command, self.status, self.said());
        self
    }

    /// Checks that it failed by itself (and did not crash).
    ///
    /// # Panics
    /// When it succeeded or was ended by a signal.
    pub fn assert_failure(self) -> Self {
        let code = self.status.code();
        assert!(
            code.is_some_and(|code| code != 0),
            "{}: {} instead of failing\n{}",
            self.command,
            self.status,
            self.said()
        );
        self
    }
}

/// Runs `command` to its end with `input` on its standard input.
///
/// # Errors
/// When it cannot be started, or has not ended by `limit`; then it is killed.
pub fn finish(command: &mut Command, input: &[u8], limit: Duration) -> anyhow::Result<Finished> {
    let line = line_of(command);
    let mut stdin = tempfile::tempfile()?;
    stdin.write_all(input)?;
    stdin.rewind()?;
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(stdin).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let mut child = command.spawn().with_context(|| format!("starting {line}"))?;
    let ended = try_wait_for(&format!("{line} to end"), limit, || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        Ok(None) => Err("still running".to_owned()),
        Err(error) => Err(error.to_string()),
    });
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let (out, err) = (read_all(&mut stdout)?, read_all(&mut stderr)?);
    let stderr = String::from_utf8_lossy(&err).into_owned();
    match ended {
        Ok(status) => Ok(Finished { command: line, status, stdout: out, stderr }),
        Err(error) => bail!("{error}\n{}\n{stderr}", String::from_utf8_lossy(&out)),
    }
}

fn read_all(file: &mut File) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    command.get_args().fold(name, |line, argument| format!("{line} {}", argument.to_string_lossy()))
}
