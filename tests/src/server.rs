//! One `shoal serve` process under test, with a data directory of its own that goes when the test ends.
//!
//! Owns starting, stopping, killing and restarting it. Never looks inside but through its ports, its data
//! directory, its log and (in [`crate::usage`]) `/proc`.
//!
//! Longer than 300 lines: starting, stopping and starting again belong together.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::http::Client;
use crate::process::{Daemon, tail_of};
use crate::raw::{Answer, Connection};
use crate::tls;
use crate::wait::try_wait_for;

/// What the server prints before its address when it listens.
const ANNOUNCEMENT: &str = "listening on ";

/// How long a server may take to become ready, or to stop, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// The password of root unless a test says otherwise: with all that a careless parser may trip over.
pub const PASSWORD: &str = "correct horse:battery/staple%40";

/// How a server is started.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Let anybody pull.
    pub anonymous_pull: bool,
    /// Serve HTTPS with a certificate of our own authority (see [`Server::authority`]).
    pub tls: bool,
    /// Further arguments of `shoal serve`.
    pub arguments: Vec<String>,
    /// Variables for its environment.
    pub environment: Vec<(String, String)>,
    /// The password of root.
    pub password: String,
    /// Where it listens; port 0 lets the kernel choose.
    pub listen: String,
    /// Where it keeps its data, if not beside its log: on a volume that the test made.
    pub data: Option<PathBuf>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            anonymous_pull: false,
            tls: false,
            arguments: Vec::new(),
            environment: Vec::new(),
            password: PASSWORD.to_owned(),
            listen: "127.0.0.1:0".to_owned(),
            data: None,
        }
    }
}

/// A running server. Dropping it kills it and removes its data; in a failing test its log is shown.
#[derive(Debug)]
pub struct Server {
    options: ServerOptions,
    host: String,
    daemon: Daemon,
    // Last: the process ends before its directory goes.
    directory: TempDir,
}

impl Server {
    /// Starts a server and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready; its log is in the message.
    pub fn start(options: ServerOptions) -> Self {
        match Self::try_start(options) {
            Ok(server) => server,
            Err(error) => panic!("{error:#}"),
        }
    }

    /// As [`Server::start`], for tests that expect a refusal.
    ///
    /// # Errors
    /// When it does not become ready; its log is in the message.
    pub fn try_start(options: ServerOptions) -> anyhow::Result<Self> {
        let directory = TempDir::with_prefix("shoal-test-")?;
        let password = directory.path().join("password");
        fs::write(&password, &options.password)?;
        restrict(&password)?;
        if options.tls {
            tls::make_certificates(directory.path());
        }
        let (daemon, host) = launch(&options, &options.listen, directory.path())?;
        Ok(Self { options, host, daemon, directory })
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

    /// That user's password.
    pub fn password(&self) -> &str {
        &self.options.password
    }

    /// A client with root's password.
    pub fn root(&self) -> Client {
        Client::basic(&self.host, self.user(), self.password())
    }

    /// A client without credentials.
    pub fn anonymous(&self) -> Client {
        Client::anonymous(&self.host)
    }

    /// Where it keeps its data.
    pub fn data_dir(&self) -> PathBuf {
        data_dir(&self.options, self.directory.path())
    }

    /// A file beside its log.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// How it is started the next time.
    pub fn options_mut(&mut self) -> &mut ServerOptions {
        &mut self.options
    }

    /// The certificate authority's file, when [`ServerOptions::tls`] is set.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join(tls::AUTHORITY)
    }

    /// Everything that it logged since it was first started.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.directory.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Whether the process is still there.
    pub fn is_running(&mut self) -> bool {
        matches!(self.daemon.ended(), Ok(None))
    }

    /// Ends it at once with SIGKILL; the data stays.
    pub fn kill9(&mut self) {
        self.daemon.kill();
    }

    /// Asks it to end with SIGTERM and waits; the data stays.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn stop(&mut self) -> ExitStatus {
        match self.daemon.stop(PATIENCE) {
            Ok(status) => status,
            Err(error) => panic!("{error:#}"),
        }
    }

    /// From its next start on it listens there.
    pub fn move_to(&mut self, listen: &str) {
        listen.clone_into(&mut self.host);
    }

    /// Starts it again at the same address on the same data, after [`Server::stop`] if it still runs.
    ///
    /// # Panics
    /// When it does not stop or does not become ready.
    pub fn restart(&mut self) {
        if let Err(error) = self.try_restart() {
            panic!("{error:#}");
        }
    }

    /// As [`Server::restart`], for tests that expect a refusal.
    ///
    /// # Errors
    /// When it does not become ready.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn try_restart(&mut self) -> anyhow::Result<()> {
        if self.is_running() {
            self.stop();
        }
        (self.daemon, _) = launch(&self.options, &self.host, self.directory.path())?;
        Ok(())
    }
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "the log belongs to the output of a failing test")]
    fn drop(&mut self) {
        self.daemon.kill();
        if std::thread::panicking() {
            eprintln!("--- end of the log of shoal at {}\n{}\n---", self.host, self.daemon.tail());
        }
    }
}

/// Starts the process and waits until it is ready; returns it and its address.
fn launch(options: &ServerOptions, listen: &str, directory: &Path) -> anyhow::Result<(Daemon, String)> {
    let (output, log) = (directory.join("output"), directory.join("log"));
    let printed_before = fs::read(&output).map_or(0, |bytes| bytes.len());
    let mut daemon =
        Daemon::spawn_in(&mut command(options, listen, directory), &output, &log, Some(directory))?;
    let mut host = None;
    let ready = try_wait_for("shoal to be ready", PATIENCE, || {
        if let Ok(Some(status)) = daemon.ended() {
            return Ok(Err(status));
        }
        if host.is_none() {
            host = announced(&fs::read(&output).unwrap_or_default()[printed_before..]);
        }
        let Some(host) = &host else { return Err("it has not said where it listens".to_owned()) };
        match readiness(options, host, directory) {
            Ok(answer) if answer.status == 200 => Ok(Ok(host.clone())),
            Ok(answer) => Err(format!("/readyz answers {}", answer.status)),
            Err(error) => Err(format!("/readyz: {error}")),
        }
    });
    match ready {
        Ok(Ok(host)) => Ok((daemon, host)),
        Ok(Err(status)) => bail!("shoal ended with {status}\n{}\n{}", tail_of(&output), daemon.tail()),
        Err(error) => bail!("{error}\n{}\n{}", tail_of(&output), daemon.tail()),
    }
}

fn data_dir(options: &ServerOptions, directory: &Path) -> PathBuf {
    options.data.clone().unwrap_or_else(|| directory.join("data"))
}

fn command(options: &ServerOptions, listen: &str, directory: &Path) -> Command {
    let mut command = Command::new(binary());
    command.arg("serve").arg("--data-dir").arg(data_dir(options, directory));
    command.args(["--listen", listen]).arg("--root-password-file").arg(directory.join("password"));
    // Any: the port after the one for HTTP may be somebody else's.
    if !options.arguments.iter().any(|argument| argument == "--peer-listen") {
        command.args(["--peer-listen", "127.0.0.1:0"]);
    }
    if options.anonymous_pull {
        command.arg("--anonymous-pull");
    }
    if options.tls {
        command.arg("--tls-cert").arg(directory.join(tls::CERTIFICATE));
        command.arg("--tls-key").arg(directory.join(tls::KEY));
    }
    command.args(&options.arguments).envs(options.environment.iter().cloned());
    command.current_dir(directory);
    command
}

/// The address in the first announcement that ends its line.
fn announced(printed: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(printed);
    let whole_lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let (_, host) =
        whole_lines.filter_map(|line| line.split_once(ANNOUNCEMENT)?.1.split_once("://")).next()?;
    host.split(|end: char| end.is_whitespace() || end == '/').next().map(str::to_owned)
}

fn readiness(options: &ServerOptions, host: &str, directory: &Path) -> std::io::Result<Answer> {
    let request = Client::anonymous(host);
    let request = request.get("/readyz");
    if options.tls {
        let config = tls::client_config(&directory.join(tls::AUTHORITY), &["http/1.1"]);
        let mut connection: Connection<_> = tls::connect(host, config)?;
        connection.send(&request.bytes())?;
        connection.answer("GET")
    } else {
        request.try_send()
    }
}

/// The program under test: `SHOAL_BIN`, or the one that was built beside the tests.
///
/// # Panics
/// When there is none.
pub fn binary() -> PathBuf {
    let beside_tests = || Some(env::current_exe().ok()?.parent()?.parent()?.join("shoal"));
    let path = env::var_os("SHOAL_BIN").map(PathBuf::from).or_else(beside_tests).unwrap_or_default();
    assert!(path.is_file(), "{} is not built: cargo build", path.display());
    path
}

/// The root of this workspace.
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// Makes a file readable for its owner only.
pub(crate) fn restrict(path: &Path) -> anyhow::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o600))
        .with_context(|| format!("restricting {}", path.display()))
}
