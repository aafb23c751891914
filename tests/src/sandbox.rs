//! Where a test runs clients: a folder that stands in for a user's home, and an environment that leads every
//! client's configuration, credentials and caches into it.
//!
//! Nothing of the user who runs the tests is read or written. The only traces outside are those that no client
//! lets one move: podman's and skopeo's cache of blob digests, and empty folders that daemons make.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Finished, finish};
use crate::server::{Server, workspace};

/// How long one client command may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where Debian's packages put programs. The user's own PATH is not asked: it may hold other versions.
const SYSTEM: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// Clients that `tests/install` builds; all others come from Debian.
const BUILT: [&str; 8] = [
    "crane",
    "oras",
    "regctl",
    "cosign",
    "helm",
    "docker-credential-ecr-login",
    "conformance",
    "conformance-1.1",
];

/// A home for clients that talk to one registry.
#[derive(Debug)]
pub struct Sandbox {
    directory: TempDir,
    host: String,
    user: String,
    password: String,
}

impl Sandbox {
    /// For clients of `server` as its root user. No client is logged in yet.
    ///
    /// # Panics
    /// When the folder cannot be made.
    pub fn new(server: &Server) -> Self {
        Self::with_password(server, server.password())
    }

    /// For clients of `server` that reach it at another address: through a proxy.
    ///
    /// # Panics
    /// As [`Sandbox::new`].
    pub fn through(server: &Server, host: &str) -> Self {
        match Self::create(host, server.user(), server.password()) {
            Ok(sandbox) => sandbox,
            Err(error) => panic!("no folder for clients: {error:#}"),
        }
    }

    /// For clients that know another password.
    ///
    /// # Panics
    /// As [`Sandbox::new`].
    pub fn with_password(server: &Server, password: &str) -> Self {
        match Self::create(server.host(), server.user(), password) {
            Ok(sandbox) => sandbox,
            Err(error) => panic!("no folder for clients: {error:#}"),
        }
    }

    fn create(host: &str, user: &str, password: &str) -> anyhow::Result<Self> {
        // Short, because sockets lie in it and their paths are limited to 108 bytes.
        let directory = tempfile::Builder::new().prefix("client-").tempdir()?;
        let sandbox =
            Self { directory, host: host.to_owned(), user: user.to_owned(), password: password.to_owned() };
        for folder in ["home", "run", "config", "tmp", "docker", "helm", "work"] {
            fs::create_dir(sandbox.path(folder))?;
        }
        for (name, text) in podman_configuration(sandbox.directory.path(), host) {
            fs::write(sandbox.path(name), text)?;
        }
        Ok(sandbox)
    }

    /// A path below the sandbox.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A path below the sandbox as text, for arguments.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// `address:port` of the registry.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The user that clients log in as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password that clients log in with.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The registry's address in front of `name`, as clients write image names.
    pub fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.host)
    }

    /// A command with this sandbox's environment and nothing else in it; it runs in the folder `work`.
    ///
    /// # Panics
    /// When the program is not installed.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(locate(program));
        let path = SYSTEM
            .iter()
            .fold(built_clients().to_string_lossy().into_owned(), |path, folder| format!("{path}:{folder}"));
        command.env_clear().env("PATH", path).env("LANG", "C.UTF-8").env("COSIGN_PASSWORD", "");
        command
            .env("DOCKER_HOST", format!("unix://{}", self.text("docker.sock")))
            .env("DOCKER_BUILDKIT", "0");
        for (name, place) in [
            ("HOME", "home"),
            ("XDG_RUNTIME_DIR", "run"),
            ("XDG_CONFIG_HOME", "config"),
            ("TMPDIR", "tmp"),
            ("DOCKER_CONFIG", "docker"),
            ("REGISTRY_AUTH_FILE", "auth.json"),
            ("CONTAINERS_CONF", "containers.conf"),
            ("CONTAINERS_STORAGE_CONF", "storage.conf"),
            ("CONTAINERS_REGISTRIES_CONF", "registries.conf"),
            ("REGCTL_CONFIG", "regctl.json"),
            ("HELM_REGISTRY_CONFIG", "helm/registry.json"),
            ("HELM_CONFIG_HOME", "helm/config"),
            ("HELM_CACHE_HOME", "helm/cache"),
            ("HELM_DATA_HOME", "helm/data"),
            ("TUF_ROOT", "tuf"),
            ("CONTAINERD_ADDRESS", "containerd.sock"),
        ] {
            command.env(name, self.path(place));
        }
        command.current_dir(self.path("work"));
        command
    }

    /// Runs a client that must succeed, and returns what it printed.
    ///
    /// # Panics
    /// When it fails or takes too long.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        self.finish(program, arguments, "").assert_success().text()
    }

    /// Runs a client that must fail, and returns all it said.
    ///
    /// # Panics
    /// When it succeeds, crashes or takes too long.
    pub fn refused(&self, program: &str, arguments: &[&str]) -> String {
        self.finish(program, arguments, "").assert_failure().said()
    }

    /// Runs a client that reads the password from its standard input, as their logins do.
    ///
    /// # Panics
    /// When it takes too long.
    pub fn log_in(&self, program: &str, arguments: &[&str]) -> Finished {
        self.finish(program, arguments, &self.password)
    }

    /// Runs a client with `input`.
    ///
    /// # Panics
    /// When it takes too long.
    pub fn finish(&self, program: &str, arguments: &[&str], input: &str) -> Finished {
        match finish(self.command(program).args(arguments), input.as_bytes(), PATIENCE) {
            Ok(finished) => finished,
            Err(error) => panic!("{error:#}"),
        }
    }
}

/// Where `tests/install` puts what it builds.
pub fn built_clients() -> PathBuf {
    let clients = env::var_os("SHOAL_CLIENTS");
    clients.map_or_else(|| workspace().join("target/clients"), PathBuf::from).join("bin")
}

/// The program's path.
///
/// # Panics
/// When it is not installed: a test that needs it must not pass without it.
pub fn locate(program: &str) -> PathBuf {
    let places: Vec<PathBuf> = if BUILT.contains(&program) {
        vec![built_clients()]
    } else {
        SYSTEM.iter().map(PathBuf::from).collect()
    };
    match places.iter().map(|place| place.join(program)).find(|path| path.is_file()) {
        Some(path) => path,
        None => panic!("{program} is missing: run tests/install first"),
    }
}

/// Files that keep podman inside `directory`.
///
/// runc rather than crun, which refuses machines with both generations of control groups; limits as they are,
/// because raising them needs a capability that containers and sandboxes seldom have.
fn podman_configuration(directory: &Path, host: &str) -> [(&'static str, String); 3] {
    let directory = directory.display();
    let engine = format!(
        "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nruntime = \"runc\"\n\
         lock_type = \"file\"\ntmp_dir = \"{directory}/podman\"\n\
         [containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
         [network]\nnetwork_config_dir = \"{directory}/networks\"\n"
    );
    let storage = format!(
        "[storage]\ndriver = \"vfs\"\ngraphroot = \"{directory}/storage\"\nrunroot = \"{directory}/storage-run\"\n"
    );
    let registries =
        format!("unqualified-search-registries = []\n[[registry]]\nlocation = \"{host}\"\ninsecure = true\n");
    [("containers.conf", engine), ("storage.conf", storage), ("registries.conf", registries)]
}
