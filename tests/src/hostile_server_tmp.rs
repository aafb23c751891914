//! A node under test: one `shoal serve` process with a data directory of its own.
//!
//! Owns starting, stopping, killing and watching the process. It dies with the test, even when the test is
//! killed: a small shell waits for our end of a pipe to close. Never looks inside the node but through
//! its ports, its data directory and `/proc`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::content::serial;
use crate::http::Client;
use crate::tls;

/// How long a node may take to listen or to stop, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// How often a condition is asked for.
const POLL: Duration = Duration::from_millis(10);

/// What a test may choose.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Let anybody pull.
    pub anonymous_pull: bool,
    /// Serve HTTPS with a certificate of our own authority (see [`Server::authority`]).
    pub tls: bool,
    /// Further arguments of `shoal serve`.
    pub arguments: Vec<String>,
}

/// A running node. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Server {
    directory: TempDir,
    options: ServerOptions,
    password: String,
    process: Option<Process>,
    host: String,
}

#[derive(Debug)]
struct Process {
    child: Child,
    watchdog: Child,
}

/// What a process took so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Resident bytes now.
    pub memory: u64,
    /// Processor time of all threads so far.
    pub cpu: Duration,
}

impl Server {
    /// Starts a node on a free port and waits until it listens.
    ///
    /// # Panics
    /// When it does not listen in time; the panic shows its log.
    pub fn start(options: ServerOptions) -> Self {
        let directory = TempDir::with_prefix("shoal-test-").expect("a temporary directory");
        let password = format!("correct horse {}", serial());
        fs::write(directory.path().join("password"), &password).expect("a password file");
        restrict(&directory.path().join("password"));
        if options.tls {
            tls::make_certificates(directory.path());
        }
        let mut server = Self { directory, options, password, process: None, host: String::new() };
        server.launch("127.0.0.1:0");
        server
    }

    fn launch(&mut self, listen: &str) {
        let (out, log) = (self.directory.path().join("out"), self.log_file());
        let mut command = Command::new(binary());
        command.arg("serve").arg("--data-dir").arg(self.data_dir()).args(["--listen", listen]);
        command.arg("--root-password-file").arg(self.directory.path().join("password"));
        if self.options.anonymous_pull {
            command.arg("--anonymous-pull");
        }
        if self.options.tls {
            command.arg("--tls-cert").arg(self.directory.path().join(tls::CERTIFICATE));
            command.arg("--tls-key").arg(self.directory.path().join(tls::KEY));
        }
        let append = File::options().create(true).append(true).open(&log).expect("a log file");
        command.args(&self.options.arguments).stdin(Stdio::null()).stdout(File::create(&out).expect("a file")).stderr(append);
        let child = command.spawn().expect("shoal starts: build it first");
        let kill = format!("read x; kill -9 {} 2>/dev/null", child.id());
        let watchdog = Command::new("sh").args(["-c", &kill]).stdin(Stdio::piped()).spawn().expect("a shell");
        self.process = Some(Process { child, watchdog });
        self.host = self.wait_for_address(&out);
    }

    fn wait_for_address(&mut self, out: &Path) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(out).unwrap_or_default();
            let address = text.lines().find_map(|line| line.strip_prefix("listening on ")?.split_once("://"));
            if let Some((_, host)) = address {
                return host.to_owned();
            }
            let ended = self.process.as_mut().and_then(|process| process.child.try_wait().ok()?);
            assert!(ended.is_none(), "shoal ended with {ended:?}:\n{}", self.log());
            assert!(Instant::now() < deadline, "shoal does not listen:\n{}", self.log());
            thread::sleep(POLL);
        }
    }

    /// `address:port`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `http://address:port`, or `https://…`.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.options.tls { "https" } else { "http" }, self.host)
    }

    /// The user that may do everything.
    pub fn user(&self) -> &'static str {
        "root"
    }

    /// The password of [`Server::user`].
    pub fn password(&self) -> &str {
        &self.password
    }

    /// A client with root's password.
    pub fn root(&self) -> Client {
        Client::basic(&self.host, self.user(), &self.password)
    }

    /// A client without credentials.
    pub fn anonymous(&self) -> Client {
        Client::anonymous(&self.host)
    }

    /// Where the node keeps its state.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The certificate authority's file, when [`ServerOptions::tls`] is set.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join(tls::AUTHORITY)
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Everything that the node logged so far.
    pub fn log(&self) -> String {
        fs::read(self.log_file()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The process id.
    ///
    /// # Panics
    /// When the node was stopped.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the node runs").child.id()
    }

    /// Whether the process is still there.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.child.try_wait(), Ok(None)))
    }

    /// Kills the process as a power cut would.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.child.kill();
            process.end();
        }
    }

    /// Asks the node to end and waits for it.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("the node runs");
        let _ = Command::new("kill").args(["-TERM", &process.child.id().to_string()]).status();
        let deadline = Instant::now() + PATIENCE;
        while matches!(process.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        let ended = process.child.try_wait().ok().flatten();
        let _ = process.child.kill();
        process.end();
        ended.unwrap_or_else(|| panic!("shoal does not stop:\n{}", self.log()))
    }

    /// Stops the node if it runs, and starts it again with the same data on the same port.
    ///
    /// # Panics
    /// As [`Server::start`] and [`Server::stop`] do.
    pub fn restart(&mut self) {
        if self.process.is_some() {
            self.stop();
        }
        let listen = self.host.clone();
        self.launch(&listen);
    }

    /// What the process took so far.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn usage(&self) -> Usage {
        let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", self.pid())).expect("the process is there");
        let status = read("status");
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        let stat = read("stat");
        // After the name in parentheses; user and system time are the 12th and 13th field there, in 1/100 s.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
        Usage { memory: kib.expect("VmRSS") * 1024, cpu: Duration::from_millis(ticks * 10) }
    }

    /// How many sockets the process has open.
    pub fn sockets(&self) -> usize {
        let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", self.pid())) else { return 0 };
        let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    }
}

impl Process {
    fn end(&mut self) {
        // The watchdog first: the id it would kill may soon be another process's.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// The program under test: `SHOAL_BIN`, or the one built beside the tests.
///
/// # Panics
/// When there is none.
pub fn binary() -> PathBuf {
    let built = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("shoal"));
    let path = std::env::var_os("SHOAL_BIN").map(PathBuf::from).or_else(built).expect("a path");
    assert!(path.exists(), "{} is not built: cargo build", path.display());
    path
}

/// Waits for `condition`, which `what` names.
///
/// # Panics
/// When it is still false after `limit`.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not in {limit:?}: {what}");
        thread::sleep(POLL);
    }
}

/// Makes a file readable for its owner only.
pub(crate) fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("permissions");
}
