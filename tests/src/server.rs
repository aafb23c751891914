//! One `shoal` process under test, with a data directory of its own that goes when the test ends.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::bail;
use tempfile::TempDir;

use crate::http::Client;
use crate::process::{Daemon, tail_of};
use crate::wait::try_wait_for;

/// What the server prints before its address when it listens.
const ANNOUNCEMENT: &str = "listening on http://";

/// How long a stop by SIGTERM may take.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// How a server is started.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    listen: String,
    password: String,
    ready_within: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            arguments: Vec::new(),
            environment: Vec::new(),
            listen: "127.0.0.1:0".to_owned(),
            password: "correct horse: battery/staple%40".to_owned(),
            ready_within: Duration::from_secs(30),
        }
    }
}

impl ServerOptions {
    /// With one argument more after those that the harness gives.
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// With a variable in its environment.
    pub fn environment(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// With another address to listen on; port 0 lets the kernel choose.
    pub fn listen(mut self, address: &str) -> Self {
        address.clone_into(&mut self.listen);
        self
    }

    /// With another password for `root`.
    pub fn password(mut self, password: &str) -> Self {
        password.clone_into(&mut self.password);
        self
    }

    /// With another time to become ready.
    pub fn ready_within(mut self, limit: Duration) -> Self {
        self.ready_within = limit;
        self
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

    /// Starts a server with nothing special.
    ///
    /// # Panics
    /// As [`Server::start`].
    pub fn start_default() -> Self {
        Self::start(ServerOptions::default())
    }

    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready; its log is in the message.
    pub fn try_start(options: ServerOptions) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("shoal-").tempdir()?;
        fs::write(directory.path().join("password"), &options.password)?;
        let (daemon, host) = launch(&options, &options.listen, directory.path())?;
        Ok(Self { options, host, daemon, directory })
    }

    /// `address:port`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `http://address:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    /// The user that may do everything.
    #[expect(clippy::unused_self, reason = "tests ask the server for both halves of a login")]
    pub fn user(&self) -> &'static str {
        "root"
    }

    /// That user's password.
    pub fn password(&self) -> &str {
        &self.options.password
    }

    /// A client that may do everything.
    pub fn client(&self) -> Client {
        Client::basic(&self.host, self.user(), self.password())
    }

    /// A client without credentials.
    pub fn anonymous(&self) -> Client {
        Client::anonymous(&self.host)
    }

    /// Where it keeps its data.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// What it wrote to its log since it was first started.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Ends it at once with SIGKILL; the data stays.
    pub fn kill9(&mut self) {
        self.daemon.kill();
    }

    /// Asks it to end with SIGTERM and waits; the data stays.
    ///
    /// # Panics
    /// When it is still there after the time it has for that.
    pub fn stop(&mut self) -> ExitStatus {
        match self.daemon.stop(STOP_WITHIN) {
            Ok(status) => status,
            Err(error) => panic!("{error:#}"),
        }
    }

    /// Starts it again at the same address on the same data, after [`Server::stop`] if it still runs.
    ///
    /// # Panics
    /// When it does not stop or does not become ready.
    pub fn restart(&mut self) {
        if !matches!(self.daemon.ended(), Ok(Some(_))) {
            self.stop();
        }
        match launch(&self.options, &self.host, self.directory.path()) {
            Ok((daemon, _)) => self.daemon = daemon,
            Err(error) => panic!("{error:#}"),
        }
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
    let mut daemon = Daemon::spawn(&mut command(options, listen, directory), &output, &log)?;
    let mut host = None;
    let ready = try_wait_for("shoal to be ready", options.ready_within, || {
        if let Ok(Some(status)) = daemon.ended() {
            return Ok(Err(status));
        }
        if host.is_none() {
            host = announced(&fs::read(&output).unwrap_or_default()[printed_before..]);
        }
        let Some(host) = &host else { return Err("it has not said where it listens".to_owned()) };
        match Client::anonymous(host).get("/readyz").try_send() {
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

fn command(options: &ServerOptions, listen: &str, directory: &Path) -> Command {
    let mut command = Command::new(binary());
    command.arg("serve").arg("--data-dir").arg(directory.join("data"));
    command.args(["--listen", listen]).arg("--root-password-file").arg(directory.join("password"));
    command.args(&options.arguments).envs(options.environment.iter().cloned());
    command.current_dir(directory);
    command
}

/// The address in the first announcement that ends its line.
fn announced(printed: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(printed);
    let line = text.split_inclusive('\n').find(|line| line.ends_with('\n') && line.contains(ANNOUNCEMENT))?;
    let (_, rest) = line.split_once(ANNOUNCEMENT)?;
    rest.split(|end: char| end.is_whitespace() || end == '/').next().map(str::to_owned)
}

/// The program under test: `SHOAL_BIN`, or the debug build of this workspace.
pub fn binary() -> PathBuf {
    env::var_os("SHOAL_BIN").map_or_else(|| workspace().join("target/debug/shoal"), PathBuf::from)
}

/// The root of this workspace.
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

