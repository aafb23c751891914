//! Three etcd processes as one cluster, with their default settings.
//!
//! Owns the processes; asks who leads over their JSON gateway.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use hyper::{Request, StatusCode};
use std::sync::Arc;

use super::process::Process;
use super::shoal::free_port;
use super::until;
use crate::client::{Connection, Target};
use crate::content::Payload;

const PATIENCE: Duration = Duration::from_secs(60);
const MEMBERS: usize = 3;

/// The members, settled.
#[derive(Debug)]
pub struct Etcds {
    /// The servers.
    pub processes: Vec<Process>,
    /// Host and port of each for clients.
    pub authorities: Vec<String>,
}

/// Whether etcd is installed.
pub fn is_installed() -> bool {
    std::process::Command::new("etcd").arg("--version").output().is_ok()
}

impl Etcds {
    /// Starts three with their data below `dir` and waits for a leader.
    ///
    /// # Errors
    /// When they do not come up.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let (mut clients, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..MEMBERS {
            clients.push(format!("127.0.0.1:{}", free_port()?));
            peers.push(format!("http://127.0.0.1:{}", free_port()?));
        }
        let members: Vec<_> =
            peers.iter().enumerate().map(|(index, peer)| format!("m{index}={peer}")).collect();
        let mut processes = Vec::new();
        for (index, (client, peer)) in clients.iter().zip(&peers).enumerate() {
            let arguments = [
                format!("--name=m{index}"),
                format!("--data-dir={}", dir.join(format!("m{index}")).display()),
                format!("--listen-client-urls=http://{client}"),
                format!("--advertise-client-urls=http://{client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster={}", members.join(",")),
                "--logger=zap".into(),
                "--log-level=error".into(),
            ];
            let log = dir.join(format!("m{index}.log"));
            processes.push(Process::start(Path::new("etcd"), arguments.into(), log)?);
        }
        let etcds = Self { processes, authorities: clients };
        etcds.leader().await.with_context(|| etcds.processes[0].last_words())?;
        Ok(etcds)
    }

    /// The member that leads, once all that run agree.
    ///
    /// # Errors
    /// When they do not within a minute.
    pub async fn leader(&self) -> anyhow::Result<usize> {
        until("etcd's leader", PATIENCE, async || self.agreed_leader().await.ok()).await
    }

    async fn agreed_leader(&self) -> anyhow::Result<usize> {
        let (mut leader, mut ids) = (None, Vec::new());
        for (index, authority) in self.authorities.iter().enumerate() {
            let status = status(authority).await?;
            let id = status["header"]["member_id"].as_str().map(str::to_owned);
            let says = status["leader"].as_str().map(str::to_owned);
            if says.is_none() || leader.as_ref().is_some_and(|leader| *leader != says) {
                bail!("member {index} knows another leader");
            }
            leader = Some(says);
            ids.push(id);
        }
        let leader = leader.context("no member")?;
        ids.iter().position(|id| *id == leader).context("the leader is no member")
    }
}

async fn status(authority: &str) -> anyhow::Result<serde_json::Value> {
    let target = Target::new(&format!("http://{authority}"))?;
    let mut connection = Connection::open(Arc::new(target)).await?;
    let ask = Request::post("/v3/maintenance/status");
    let reply = connection.call(ask, Payload::of("{}".into()), StatusCode::OK).await?;
    Ok(serde_json::from_slice(reply.body())?)
}
