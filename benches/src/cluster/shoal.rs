//! Nodes of Shoal as processes that form one cluster, on loopback or in network namespaces.
//!
//! Owns their arguments, how they join, and what the operator's commands say of them.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::time::sleep;

use super::process::Process;
use super::{Bench, until};
use crate::auth::{Credentials, Purpose, login};
use crate::client::Target;

/// How long a cluster may take to come to what is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
const PASSWORD: &str = "benchmark-password";
/// Repository that everything is pushed to.
pub const REPOSITORY: &str = "bench/cluster";

/// Where a node runs and how it is reached.
#[derive(Clone, Debug)]
pub struct Place {
    /// Network namespace; the machine's own if absent. Clients of the node are in it, too.
    pub namespace: Option<String>,
    /// Address for the other nodes.
    pub address: Ipv4Addr,
    /// Region of the node.
    pub region: String,
    /// Zone of the node.
    pub zone: String,
}

impl Place {
    /// On loopback, in a zone of its own.
    pub fn local(index: usize) -> Self {
        let (region, zone) = ("local".to_owned(), format!("z{index}"));
        Self { namespace: None, address: Ipv4Addr::LOCALHOST, region, zone }
    }

    /// `program` as it is started in this place: the program and the arguments before its own.
    pub fn enter(&self, program: &str) -> (PathBuf, Vec<String>) {
        match &self.namespace {
            None => (program.into(), Vec::new()),
            Some(name) => ("ip".into(), ["netns", "exec", name, program].map(str::to_owned).into()),
        }
    }
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// The server.
    pub process: Process,
    /// Where it runs.
    pub place: Place,
    http: u16,
}

impl Node {
    /// Where its clients reach it, inside its namespace.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// A client's target with a token for [`REPOSITORY`].
    ///
    /// # Errors
    /// When the node cannot be reached or refuses the login.
    pub async fn login(&self) -> anyhow::Result<Arc<Target>> {
        let credentials = Credentials::parse(&format!("root:{PASSWORD}")).map_err(anyhow::Error::msg)?;
        let purpose = Purpose::Repository(REPOSITORY.into());
        Ok(Arc::new(login(Target::new(&self.url())?, Some(&credentials), &purpose).await?))
    }
}

/// Nodes that know each other, the first of which made the cluster.
#[derive(Debug)]
pub struct Cluster {
    /// In the order in which they joined.
    pub nodes: Vec<Node>,
    shoal: PathBuf,
    dir: PathBuf,
    password: PathBuf,
}

impl Cluster {
    /// One node at `place`, with its data below `dir`, which must not exist.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn begin(bench: &Bench, dir: &Path, place: Place) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let password = dir.join("password");
        std::fs::write(&password, PASSWORD)?;
        std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let mut cluster = Self { nodes: Vec::new(), shoal: bench.shoal.clone(), dir: dir.into(), password };
        cluster.add(place, None)?;
        cluster.wait_until_ready(0).await?;
        Ok(cluster)
    }

    /// `count` full nodes on loopback, in zones of their own, settled.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn on_loopback(bench: &Bench, dir: &Path, count: usize) -> anyhow::Result<Self> {
        let mut cluster = Self::begin(bench, dir, Place::local(0)).await?;
        cluster.join((1..count).map(Place::local).collect(), false).await?;
        cluster.settle().await?;
        Ok(cluster)
    }

    /// Lets nodes join at once and waits until they serve; edges vote never and are no home of a blob.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn join(&mut self, places: Vec<Place>, edge: bool) -> anyhow::Result<()> {
        let first = self.nodes.len();
        for place in places {
            let kind: &[&str] = if edge { &["--edge"] } else { &[] };
            let token = self.operate(&[&["token", "create"], kind].concat())?;
            self.add(place, Some(token.trim()))?;
        }
        for index in first..self.nodes.len() {
            self.wait_until_ready(index).await?;
        }
        Ok(())
    }

    fn add(&mut self, place: Place, token: Option<&str>) -> anyhow::Result<()> {
        let index = self.nodes.len();
        let (http, peer) = (free_port()?, free_port()?);
        let text = |path: &Path| path.display().to_string();
        let (program, mut arguments) = place.enter(&text(&self.shoal));
        arguments.extend(["serve".to_owned(), "--anonymous-pull".to_owned()]);
        let mut give = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        give("--data-dir", text(&self.dir.join(format!("node{index}"))));
        give("--listen", format!("127.0.0.1:{http}"));
        give("--peer-listen", format!("{}:{peer}", place.address));
        give("--region", place.region.clone());
        give("--zone", place.zone.clone());
        match token {
            Some(token) => give("--join", token.to_owned()),
            None => give("--root-password-file", text(&self.password)),
        }
        let log = self.dir.join(format!("node{index}.log"));
        let process = Process::start(&program, arguments, log)?;
        self.nodes.push(Node { process, place, http });
        Ok(())
    }

    /// Waits until a node takes writes.
    ///
    /// # Errors
    /// When it does not.
    pub async fn wait_until_ready(&self, index: usize) -> anyhow::Result<()> {
        let node = &self.nodes[index];
        let url = format!("{}/readyz", node.url());
        let ready = until("a node to be ready", PATIENCE, async || {
            let mut curl = curl(&node.place, &["-sf", "-m", "2", "-o", "/dev/null", &url]);
            curl.status().ok().filter(std::process::ExitStatus::success)
        });
        ready.await.map(|_| ()).with_context(|| node.process.last_words())
    }

    /// Waits until there are as many voters as there shall be, a leader, and all copies.
    ///
    /// # Errors
    /// When it takes longer than two minutes.
    pub async fn settle(&self) -> anyhow::Result<()> {
        let full = self.status(0).await?["zones"].as_u64().unwrap_or(0);
        let voters = match full.min(self.nodes.len() as u64) {
            0 => 1,
            few @ 1..=2 => few,
            3..=4 => 3,
            _ => 5,
        };
        let settled = until("the cluster to settle", PATIENCE, async || {
            let status = self.status(0).await.ok()?;
            let done = status["voters"].as_u64() >= Some(voters)
                && status["leader"].is_string()
                && status["blobs_under_copied"] == 0;
            done.then_some(())
        });
        settled.await
    }

    /// The node that leads, as `witness` says.
    ///
    /// # Errors
    /// When there is none for two minutes.
    pub async fn leader(&self, witness: usize) -> anyhow::Result<usize> {
        let leader = until("a leader", PATIENCE, async || {
            Some(self.status(witness).await.ok()?["leader"].as_str()?.to_owned())
        });
        let leader = leader.await?;
        for index in 0..self.nodes.len() {
            if self.nodes[index].process.pid().is_some() && self.status(index).await?["node"] == *leader {
                return Ok(index);
            }
        }
        bail!("{leader} leads, but is none of ours")
    }

    async fn status(&self, index: usize) -> anyhow::Result<serde_json::Value> {
        // Other tasks go on between two questions.
        sleep(Duration::from_millis(10)).await;
        let said = self.ask(index, &["status", "--output", "json"])?;
        Ok(serde_json::from_str(&said)?)
    }

    /// Runs an operator's command at the first node and returns what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn operate(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.ask(0, arguments)
    }

    fn ask(&self, index: usize, arguments: &[&str]) -> anyhow::Result<String> {
        let node = &self.nodes[index];
        let (program, before) = node.place.enter(&self.shoal.display().to_string());
        let mut command = Command::new(program);
        command
            .args(before)
            .args(arguments)
            .args(["--url", &node.url(), "--password-file"])
            .arg(&self.password);
        let output = command.output()?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The arguments with which curl logs in.
    pub fn curl_user() -> String {
        format!("root:{PASSWORD}")
    }
}

/// curl where the node's clients are.
pub fn curl(place: &Place, arguments: &[&str]) -> Command {
    let (program, before) = place.enter("curl");
    let mut command = Command::new(program);
    command.args(before).args(arguments);
    command
}

/// A port that nobody has just now, for TCP and UDP: a node that starts again must be found where it was.
///
/// # Errors
/// When none is found.
pub fn free_port() -> anyhow::Result<u16> {
    let free = || {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let port = tcp.local_addr().ok()?.port();
        UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(port)
    };
    (0..100).find_map(|_| free()).context("no port is free")
}
