//! How this node comes to belong to a cluster: it makes one, goes on in one, or joins one with a token.
//!
//! A node that joins keeps its token in `<data-dir>/join.token` until the group has taken it in, so that a
//! crash or restart in between goes on. The token's holder may join again with the same key, so asking
//! twice is safe; nobody else may.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cluster::Metadata;
use cluster_core::command::node::{AddNode, Admission, NodePlace};
use cluster_core::command::{Command, NodeCommand, Response};
use cluster_core::level::Levels;
use cluster_core::record::ClusterRecord;
use cluster_core::state;
use peer::{CallError, PeerAddress, Peers, Protocol};
use prost::Message as _;
use proto::identity::HostPort;
use proto::join::JoinToken;
use proto::wire::peer::{JoinReply, JoinRequest, join_reply};

use super::founding;
use crate::adapters::members::Announcer;
use crate::auth::node_key::node_of;
use crate::auth::token::unix_seconds;
use crate::config::Config;
use crate::data_dir::{DataDir, write_private};

/// Name of the token's file in the data directory.
const TOKEN_FILE: &str = "join.token";
/// For one member to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries at all members, and between two looks whether the group has taken this node in.
const PAUSE: Duration = Duration::from_millis(200);
/// Tries at all members before giving up.
const TRIES: u32 = 100;
/// For the group to take this node in and bring it up to date, after it agreed to.
const CATCH_UP: Duration = Duration::from_secs(600);

/// Where other nodes reach this one.
pub(super) fn here(config: &Config, peers: &Peers) -> Result<PeerAddress> {
    let bound = peers.local_address();
    let hosts: Vec<HostPort> = match config.peer_addresses.as_slice() {
        [] if bound.ip().is_unspecified() => {
            // Alone it is dialled by nobody; the address is told again at each start.
            vec![format!("127.0.0.1:{}", bound.port()).parse().context("loopback is an address")?]
        }
        [] => vec![bound.to_string().parse().context("where peers are answered is no address")?],
        given => given.to_vec(),
    };
    Ok(PeerAddress::new(peers.key(), hosts)?)
}

/// What this node says of itself.
pub(super) fn place(config: &Config, here: &PeerAddress) -> NodePlace {
    NodePlace {
        addresses: here.hosts().to_vec(),
        zone: config.zone.clone(),
        capacity_bytes: capacity(&config.data_dir),
        release: env!("CARGO_PKG_VERSION").to_owned(),
        levels: Levels::OWN,
    }
}

/// Bytes of the volume that keeps the blobs; 0 if the system does not tell.
fn capacity(dir: &Path) -> u64 {
    rustix::fs::statvfs(dir).map_or(0, |volume| volume.f_blocks.saturating_mul(volume.f_frsize))
}

/// A token that was not used up yet.
pub(super) struct Invitation {
    token: JoinToken,
    path: PathBuf,
}

impl Invitation {
    /// The token given now, or at an earlier start that did not get to its end. Blocks.
    pub(super) fn find(given: Option<JoinToken>, dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(TOKEN_FILE);
        if let Some(token) = given {
            return Ok(Some(Self { token, path }));
        }
        match fs::read_to_string(&path) {
            Ok(text) => {
                let token = text.parse().with_context(|| format!("{}", path.display()))?;
                Ok(Some(Self { token, path }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    /// Over: the token is worth nothing any more.
    fn forget(&self) -> Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", self.path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// What it takes to come to belong to a cluster.
pub(super) struct Joining<'a> {
    pub(super) config: &'a Config,
    pub(super) data: &'a DataDir,
    pub(super) metadata: &'a Metadata,
    pub(super) peers: &'a Peers,
    pub(super) here: &'a PeerAddress,
}

impl Joining<'_> {
    /// What the cluster is, once this node belongs to it and has all that was agreed on before.
    pub(super) async fn cluster(
        &self,
        invitation: Option<Invitation>,
        announcer: &Announcer,
    ) -> Result<ClusterRecord> {
        let known = state::cluster::cluster(&self.metadata.local()?)?;
        match (known, invitation) {
            (Some(cluster), invitation) => {
                if let Some(invitation) = invitation {
                    if invitation.token.cluster_id != cluster.cluster_id {
                        bail!("--join: this node belongs to another cluster; give it an empty --data-dir");
                    }
                    invitation.forget()?;
                }
                if state::node::nodes(&self.metadata.local()?)?.is_empty() {
                    // Written by release 0.1, which knew of no nodes.
                    self.register_founder().await?;
                }
                Ok(cluster)
            }
            // A member whose state was not brought up to date: others have what it lacks.
            (None, None) if !self.metadata.members().borrow().members.is_empty() && !self.is_alone() => {
                self.wait_for_state().await
            }
            (None, Some(invitation)) => self.join(&invitation, announcer).await,
            (None, None) => self.found().await,
        }
    }

    fn is_alone(&self) -> bool {
        self.metadata.members().borrow().members.len() == 1
    }

    async fn found(&self) -> Result<ClusterRecord> {
        if self.data.has_blobs()? {
            bail!(
                "{} is empty although {} is not: the metadata was lost or is not mounted; restore it",
                self.data.metadata().display(),
                self.data.blobs().display()
            );
        }
        founding::create(self.config, self.metadata).await?;
        self.register_founder().await?;
        state::cluster::cluster(&self.metadata.read().await?)?.context("the cluster has no record")
    }

    /// Gives the first node its record, with which others know it.
    async fn register_founder(&self) -> Result<()> {
        let key = self.peers.key();
        let add = AddNode {
            node: node_of(key.as_bytes()).context("the key cannot be a node's")?,
            public_key: key,
            region: self.config.region.clone(),
            place: place(self.config, self.here),
            incarnation: self.data.incarnation(),
            admission: Admission::Founder,
        };
        match self.metadata.propose(Command::Node(Box::new(NodeCommand::Add(add)))).await? {
            Response::NodeAdded { .. } => Ok(()),
            other => bail!("this node could not be made the first one: {other:?}"),
        }
    }

    async fn join(&self, invitation: &Invitation, announcer: &Announcer) -> Result<ClusterRecord> {
        let token = invitation.token.to_string();
        write_private(self.data.path(), TOKEN_FILE, token.as_bytes())
            .with_context(|| format!("{} cannot be written", invitation.path.display()))?;
        announcer.set(invitation.token.members.iter().cloned());
        let members = self.ask_all(&invitation.token).await?;
        announcer.set(members);
        super::print("the cluster agreed; catching up with it\n")?;
        let caught_up = tokio::time::timeout(CATCH_UP, self.wait_for_state()).await;
        let cluster =
            caught_up.context("the cluster did not take this node in in time; start it again")??;
        if cluster.cluster_id != invitation.token.cluster_id {
            bail!("the members that the token names belong to another cluster");
        }
        invitation.forget()?;
        Ok(cluster)
    }

    /// Asks one member after the other, again and again: the first answer decides.
    async fn ask_all(&self, token: &JoinToken) -> Result<Vec<PeerAddress>> {
        let place = place(self.config, self.here);
        let request = JoinRequest {
            version: 1,
            cluster_id: token.cluster_id.to_vec(),
            token_id: token.token_id.to_vec(),
            secret: token.secret.to_vec(),
            region: self.config.region.to_string(),
            zone: place.zone.to_string(),
            capacity_bytes: place.capacity_bytes,
            hosts: place.addresses.iter().map(ToString::to_string).collect(),
            release: place.release,
            incarnation: self.data.incarnation(),
            oldest_level: place.levels.oldest,
            newest_level: place.levels.newest,
            clock_ms: unix_seconds().saturating_mul(1000),
        };
        let mut last = None;
        for _ in 0..TRIES {
            for member in &token.members {
                match self.ask(member, &request).await {
                    Ok(members) => return Ok(members),
                    Err(Asked::Refused(reason)) => bail!("the cluster does not take this node: {reason}"),
                    Err(Asked::Later(reason)) => last = Some(reason),
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("no member that the token names can be asked: {}", last.unwrap_or_default())
    }

    async fn ask(&self, member: &PeerAddress, request: &JoinRequest) -> Result<Vec<PeerAddress>, Asked> {
        let answered = self.peers.call(member, Protocol::Join, request.encode_to_vec(), PATIENCE).await;
        let reply = answered.map_err(|error: CallError| Asked::Later(format!("{member}: {error}")))?;
        let reply = JoinReply::decode(reply.as_slice())
            .map_err(|_| Asked::Later(format!("{member}: the answer cannot be read")))?;
        match reply.outcome {
            Some(join_reply::Outcome::Taken(taken)) => {
                let members = taken.members.iter().filter_map(|text| text.parse().ok()).collect();
                Ok(members)
            }
            Some(join_reply::Outcome::Refused(refused)) if refused.again => Err(Asked::Later(refused.reason)),
            Some(join_reply::Outcome::Refused(refused)) => Err(Asked::Refused(refused.reason)),
            None => Err(Asked::Later(format!("{member}: the answer is of a newer release"))),
        }
    }

    async fn wait_for_state(&self) -> Result<ClusterRecord> {
        loop {
            if let Ok(reader) = self.metadata.read().await
                && let Some(cluster) = state::cluster::cluster(&reader)?
            {
                return Ok(cluster);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Why a member did not take this node.
enum Asked {
    /// It never will.
    Refused(String),
    /// Another one may, or the same one later.
    Later(String),
}
