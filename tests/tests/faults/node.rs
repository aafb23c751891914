//! A node whose directory, environment and end the test decides: it may lie on a volume of the test's own,
//! may refuse to start, and is killed in every way.
//!
//! Owns the process, which dies with the thread that started it. Never cleans the data directory.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tests::http::Client;
use tests::raw::Answer;

/// How long a node may take to be ready, to refuse or to end, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(2);
const PASSWORD: &str = "correct horse battery";

/// Everything that stays the same from one start to the next.
#[derive(Debug)]
pub(crate) struct Place {
    home: TempDir,
    /// The node's data directory.
    pub(crate) data: PathBuf,
    /// `address:port`; the port stays, so that clients go on after a restart.
    pub(crate) host: String,
    /// Further arguments.
    pub(crate) arguments: Vec<String>,
    /// Further environment.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// A program that starts the node, with its arguments.
    pub(crate) wrapper: Vec<String>,
}

/// A node that listens. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    host: String,
    log: PathBuf,
}

/// A node that ended instead of listening.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it said in this run.
    pub(crate) text: String,
    /// After how long.
    pub(crate) after: Duration,
}

impl Place {
    /// A node with its data beside its log.
    pub(crate) fn new() -> Self {
        let home = TempDir::with_prefix("shoal-fault-").expect("a temporary directory");
        let data = home.path().join("data");
        Self::with_data(home, data)
    }

    /// A node with its data in `data`, for example on a volume.
    pub(crate) fn at(data: &Path) -> Self {
        Self::with_data(TempDir::with_prefix("shoal-fault-").expect("a temporary directory"), data.to_owned())
    }

    fn with_data(home: TempDir, data: PathBuf) -> Self {
        let file = home.path().join("password");
        fs::write(&file, PASSWORD).expect("a password file");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("permissions");
        let host = format!("127.0.0.1:{}", free_port());
        Self { home, data, host, arguments: Vec::new(), environment: Vec::new(), wrapper: Vec::new() }
    }

    /// A file beside the log.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A client with root's password.
    pub(crate) fn root(&self) -> Client {
        Client::basic(&self.host, "root", PASSWORD)
    }

    /// Whatever the node logged in all runs.
    pub(crate) fn log(&self) -> String {
        read_lossy(&self.file("log"))
    }

    /// The command line of the node.
    pub(crate) fn command(&self) -> Command {
        // The node gets killed when the test's thread ends, however that comes.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(&self.wrapper).arg(binary()).arg("serve");
        command.arg("--data-dir").arg(&self.data).args(["--listen", &self.host]);
        // Any: the port after the one for HTTP may be somebody else's.
        command.args(["--peer-listen", "127.0.0.1:0"]);
        command.arg("--root-password-file").arg(self.file("password")).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())));
        command.stdin(Stdio::null());
        command
    }

    /// Starts the node and waits until it is ready.
    ///
    /// # Panics
    /// When it ends, or is not ready in time.
    pub(crate) fn start(&self) -> Node {
        match self.try_start() {
            Ok(node) => node,
            Err(refusal) => panic!("the node ended with {}: {}", refusal.status, refusal.text),
        }
    }

    /// Starts the node and waits until it is ready or has ended.
    ///
    /// # Panics
    /// When it does neither in time.
    pub(crate) fn try_start(&self) -> Result<Node, Refusal> {
        let (out, log) = (self.file("out"), self.file("log"));
        let append = |path: &Path| File::options().create(true).append(true).open(path).expect("a log file");
        let logged = fs::metadata(&log).map_or(0, |found| found.len()) as usize;
        let mut command = self.command();
        command.stdout(append(&out)).stderr(append(&log));
        let began = Instant::now();
        let child = command.spawn().expect("setpriv and shoal start: build it first");
        let mut node = Node { child, host: self.host.clone(), log };
        while !node.is_ready() {
            if let Some(status) = node.child.try_wait().expect("a child") {
                let log = node.log();
                let text = log.get(logged..).unwrap_or(&log).to_owned();
                return Err(Refusal { status, text, after: began.elapsed() });
            }
            assert!(began.elapsed() < PATIENCE, "neither ready nor ended:\n{}", node.log());
            thread::sleep(POLL);
        }
        Ok(node)
    }
}

impl Node {
    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whatever the node logged in all runs.
    pub(crate) fn log(&self) -> String {
        read_lossy(&self.log)
    }

    /// Whether `/readyz` answers 200.
    pub(crate) fn is_ready(&self) -> bool {
        self.probe("/readyz").is_some_and(|answer| answer.status == 200)
    }

    /// The answer to a request without credentials.
    pub(crate) fn probe(&self, target: &str) -> Option<Answer> {
        Client::anonymous(&self.host).get(target).try_send().ok()
    }

    /// SIGKILL, and gone when this returns.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// SIGTERM; returns how it ended.
    ///
    /// # Panics
    /// When it has not ended in time.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended(PATIENCE).unwrap_or_else(|| panic!("the node does not stop:\n{}", self.log()))
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        send_signal(self.pid(), name);
    }

    /// How it ended, if it has within `limit`.
    pub(crate) fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            match self.child.try_wait().expect("a child") {
                None if Instant::now() < deadline => thread::sleep(POLL),
                status => return status,
            }
        }
    }

    /// Resident bytes, now and at most so far.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process is there");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
            line.and_then(|kib| kib.parse::<u64>().ok()).expect("a number of kB") * 1024
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// How many sockets the process has open.
    pub(crate) fn sockets(&self) -> usize {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the process is there");
        let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends a signal to one process of ours.
pub(crate) fn send_signal(pid: u32, name: &str) {
    let _ = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
}

/// Waits for `condition`, which `what` names.
///
/// # Panics
/// When it is still false after `limit`.
pub(crate) fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not in {limit:?}: {what}");
        thread::sleep(POLL);
    }
}

/// The program under test: `SHOAL_BIN`, or the one built beside the tests.
pub(crate) fn binary() -> PathBuf {
    let built = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("shoal"));
    let path = std::env::var_os("SHOAL_BIN").map(PathBuf::from).or_else(built).expect("a path");
    assert!(path.exists(), "{} is not built: cargo build", path.display());
    path
}

/// A port that no outgoing connection takes while the node is down: below the kernel's range for those.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 100) as u16 * 100;
    let port = || first + NEXT.fetch_add(1, Ordering::Relaxed) % 2000;
    std::iter::repeat_with(port)
        .take(2000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

fn read_lossy(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
