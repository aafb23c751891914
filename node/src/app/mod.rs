//! The composition root: opens, builds, owns and stops everything that one node is made of.
//!
//! Longer than 300 lines: each part of the node is named here once, and reading them in one place is the point.

mod figures;
mod founding;
mod membership;
mod process;
pub(crate) mod recover;
pub(crate) mod restore;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use blobs::BlobStore;
use cluster::{Metadata, MetadataConfig, Start};
use cluster_core::access::Facts;
use cluster_core::record::ClusterRecord;
use peer::{PeerAddress, Peers};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::adapters::copies::Copies;
use crate::adapters::exchange::{self, Fetches, Holders};
use crate::adapters::hello::Hello;
use crate::adapters::join;
use crate::adapters::members::{self, Directory};
use crate::adapters::relay::{self, Relay};
use crate::adapters::secrets::Secrets;
use crate::adapters::transport::{self, PeerTransport};
use crate::api::admin::{self, Admin};
use crate::api::ecr::{self, Signed};
use crate::api::oci::{self, Api};
use crate::auth::decider::Decider;
use crate::auth::keyring::Keyring;
use crate::auth::node_key::NodeKey;
use crate::auth::token::Tokens;
use crate::auth::{Authenticator, ROOT_USER};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::http::server;
use crate::http::tls::Certificate;
use crate::jobs::cache::Cache;
use crate::jobs::janitor::Janitor;
use crate::jobs::membership::Membership;
use crate::jobs::pulls::Pulls;
use crate::jobs::registration::{Ending, Registration, Verdict};
use crate::jobs::repair::Repair;
use crate::jobs::scrub::{Progress, Scrub};
use crate::registry::Registry;
use crate::registry::edge::Edge;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::Metrics;
use figures::figures;
use membership::Joining;
pub(crate) use process::limit_heaps;
use process::{keep_pages, print, raise_open_files, watch_signals};

/// Running requests may take this long after SIGTERM.
const DRAIN: Duration = Duration::from_secs(30);
/// Storage may take this long to come to rest.
const REST: Duration = Duration::from_secs(10);
/// 2020-01-01: a clock before that is not set, and log time would never forget it.
const OLDEST_CLOCK: Duration = Duration::from_secs(1_577_836_800);

/// Runs a node until it is told to stop.
pub(crate) fn run(config: Config) -> Result<()> {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if clock < OLDEST_CLOCK {
        bail!("the clock says it is before 2020: set it (NTP), tokens and leases depend on it");
    }
    raise_open_files();
    keep_pages();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(config))
}

async fn serve(config: Config) -> Result<()> {
    let dir = config.data_dir.clone();
    let data = tokio::task::spawn_blocking(move || DataDir::open(&dir)).await??;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let key =
        if data.first_start() { NodeKey::open_or_make(data.path()) } else { NodeKey::open(data.path()) }?;
    let (directory, announcer, keys) = members::directory(key.node());
    let peers = Peers::start(
        peer::Settings { seed: key.seed(), listen: config.peer_listen, limits: peer::Limits::default() },
        keys,
    )?;
    let here = membership::here(&config, &peers)?;
    let invitation = membership::Invitation::find(config.join.clone(), data.path())?;
    let start = if invitation.is_some() { Start::Join } else { Start::Found };
    let settings =
        MetadataConfig { address: here.to_string(), ..MetadataConfig::new(data.metadata(), key.node()) };
    let link = PeerTransport { peers: peers.clone(), directory: directory.clone() };
    let metadata = Metadata::open(settings, link, start).await?;
    transport::serve(&peers, &metadata);
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let joining = Joining { config: &config, data: &data, metadata: &metadata, peers: &peers, here: &here };
    // The blobs come after the cluster exists: bytes without metadata are a loss, never a first start.
    announcer.announce(&metadata);
    let incarnation = data.incarnation();
    let hello = Hello {
        peers: peers.clone(),
        metadata: metadata.clone(),
        directory: directory.clone(),
        announcer: announcer.clone(),
        here: here.clone(),
        incarnation,
        places: config.peers.clone(),
        rounds: 0,
    };
    hello.serve();
    let cluster = joining.cluster(invitation, &announcer).await?;
    tasks.spawn(announcer.follow(metadata.clone(), stop.clone()));
    let new_disk = data.note_new_disk()?;
    let blobs = BlobStore::open(&data.blobs(), blobs::Settings::new(key.node())).await?;
    let dir = config.data_dir.clone();
    let keyring = tokio::task::spawn_blocking(move || Keyring::open(&dir)).await??;
    let secrets = Secrets::new(peers.clone(), metadata.clone(), directory.clone(), keyring);
    let (dir, size) = (data.audit(), config.audit_size);
    let audit = tokio::task::spawn_blocking(move || Audit::open(dir, size)).await?;
    let audit = Arc::new(audit.context("the audit log cannot be written")?);
    let parts = Parts { metadata, blobs, peers, directory, here, incarnation, new_disk, secrets, audit };
    let node = Node::build(&config, &parts, hello, &key, &cluster, &tasks)?;
    announce(&config, address)?;
    let served = node.run(listener, &config, stop, tasks).await;
    let Parts { metadata, blobs, peers, .. } = parts;
    let blobs_rested = blobs.shutdown(REST).await;
    let metadata_rested = metadata.shutdown(REST).await;
    // Last: a leader hands over through peers.
    peers.shutdown(REST).await;
    if served.as_ref().is_err_and(|error| error.downcast_ref() == Some(&Ending::Superseded)) {
        data.retire()?;
    }
    if !metadata_rested || !blobs_rested {
        bail!("storage did not come to rest in time; nothing acknowledged is lost");
    }
    served
}

/// What a person needs to go on.
fn announce(config: &Config, address: SocketAddr) -> Result<()> {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let host =
        config.hosts.public_url.as_ref().map_or_else(|| address.to_string(), |url| url.host().to_owned());
    print(&format!(
        "listening on {scheme}://{address}\nlog in with: docker login {host} --username {ROOT_USER}\n"
    ))
}

/// What the node is made of.
struct Parts {
    metadata: Metadata,
    blobs: BlobStore,
    peers: Peers,
    directory: Directory,
    here: PeerAddress,
    incarnation: u64,
    /// The note that no blob of an earlier start is here.
    new_disk: Option<PathBuf>,
    secrets: Secrets,
    audit: Arc<Audit>,
}

impl Parts {
    fn holders(&self, config: &Config) -> Holders {
        Holders {
            peers: self.peers.clone(),
            directory: self.directory.clone(),
            metadata: self.metadata.clone(),
            server: exchange::server(&self.blobs, config.exchange),
        }
    }

    fn copies(&self, holders: Holders) -> Copies {
        let Self { metadata, blobs, peers, directory, incarnation, .. } = self;
        Copies {
            peers: peers.clone(),
            directory: directory.clone(),
            metadata: metadata.clone(),
            blobs: blobs.clone(),
            fetches: Fetches::new(directory.this_node(), holders),
            incarnation: *incarnation,
        }
    }

    /// Reads stored copies again and again.
    fn scrub(&self, config: &Config, progress: Arc<Progress>) -> Scrub {
        Scrub {
            metadata: self.metadata.clone(),
            blobs: self.blobs.clone(),
            progress,
            rate: config.scrub_rate,
            file: config.data_dir.join("scrub.json"),
        }
    }

    fn registration(&self, config: &Config, hello: Hello) -> Registration {
        Registration {
            metadata: self.metadata.clone(),
            node: self.directory.this_node(),
            place: membership::place(config, &self.here),
            incarnation: self.incarnation,
            hello,
            new_disk: self.new_disk.clone(),
            verdict: Verdict::default(),
        }
    }
}

/// What runs while the node serves.
struct Node {
    router: axum::Router,
    metrics: Arc<Metrics>,
    certificate: Option<Arc<Certificate>>,
    janitor: Janitor,
    pulls: Pulls,
    membership: Membership,
    registration: Registration,
    repair: Repair,
    cache: Cache,
    edge: Option<Edge>,
    scrub: Scrub,
    draining: Arc<AtomicBool>,
}

/// Who asks, whether they may, and what the operator says to that.
fn access(
    config: &Config,
    metadata: &Metadata,
    key: &NodeKey,
    cluster: &ClusterRecord,
    audit: Arc<Audit>,
) -> (Arc<Authenticator>, Arc<Decider>, Facts) {
    let default_registry = cluster.registry.clone();
    let tokens = Tokens::new(key, cluster.cluster_id, default_registry.clone());
    let authenticator = Authenticator::new(metadata.clone(), tokens);
    let facts = Facts { anonymous_pull: config.anonymous_pull, default_registry };
    (authenticator, Arc::new(Decider::new(facts.clone(), audit)), facts)
}

fn certificate(config: &Config) -> Result<Option<Arc<Certificate>>> {
    let load = |files: &crate::config::TlsFiles| Certificate::load(&files.cert, &files.key);
    Ok(config.tls.as_ref().map(load).transpose()?)
}

impl Node {
    fn build(
        config: &Config,
        parts: &Parts,
        hello: Hello,
        key: &NodeKey,
        cluster: &ClusterRecord,
        tasks: &TaskTracker,
    ) -> Result<Self> {
        let Parts { metadata, blobs, peers, directory, here, audit, .. } = parts;
        let edge = Edge::of(metadata, key.node(), config.edge)?;
        let scrub = Arc::new(Progress::default());
        let holders = parts.holders(config);
        let copies = parts.copies(holders.clone());
        let server = holders.server.clone();
        let metrics = Arc::new(Metrics::new(figures(parts, &copies, server, scrub.clone(), edge.clone())));
        let draining = Arc::new(AtomicBool::new(false));
        let (authenticator, decider, facts) = access(config, metadata, key, cluster, audit.clone());
        let registry = Registry {
            metadata: metadata.clone(),
            blobs: blobs.clone(),
            copies: copies.clone(),
            edge: edge.clone(),
            pulls: crate::registry::Pulls::default(),
        };
        let api = |relay| Api {
            registry: registry.clone(),
            authenticator: authenticator.clone(),
            decider: decider.clone(),
            facts: facts.clone(),
            hosts: config.hosts.clone(),
            metrics: metrics.requests.clone(),
            relay,
        };
        join::serve(peers, metadata);
        copies.serve();
        exchange::serve(holders);
        parts.secrets.serve();
        let signed = Signed::new(metadata.clone(), parts.secrets.clone())?;
        // Whatever can be passed on is answered for others, too.
        let dialects = |relay: Option<Relay>| {
            let api = Arc::new(api(relay));
            oci::router(api.clone()).merge(ecr::router(api, signed.clone()))
        };
        relay::serve(peers, dialects(None));
        let relay = Relay::new(peers.clone(), directory.clone(), tasks.clone());
        let admin = Arc::new(Admin {
            metadata: metadata.clone(),
            blobs: blobs.clone(),
            registry: registry.clone(),
            authenticator: authenticator.clone(),
            decider: decider.clone(),
            facts: facts.clone(),
            metrics: metrics.clone(),
            draining: draining.clone(),
            cluster_id: cluster.cluster_id,
            here: here.clone(),
            edge: edge.clone(),
            secrets: parts.secrets.clone(),
            audit: audit.clone(),
            scrub: scrub.clone(),
        });
        let router = dialects(Some(relay)).merge(admin::router(admin));
        Ok(Self {
            router,
            certificate: certificate(config)?,
            janitor: Janitor::new(key.node(), metadata.clone(), blobs.clone()),
            pulls: Pulls::new(registry.pulls.clone(), metadata.clone()),
            membership: Membership::new(metadata.clone()),
            registration: parts.registration(config, hello),
            scrub: parts.scrub(config, scrub),
            repair: Repair { metadata: metadata.clone(), copies },
            cache: Cache::new(key.node(), metadata.clone(), blobs.clone(), config.cache_size),
            edge,
            metrics,
            draining,
        })
    }

    /// Serves until SIGTERM or SIGINT, then drains.
    async fn run(
        self,
        listener: TcpListener,
        config: &Config,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> Result<()> {
        tasks.spawn(self.janitor.run(stop.clone()));
        tasks.spawn(self.pulls.run(stop.clone()));
        tasks.spawn(self.membership.run(stop.clone()));
        let verdict = self.registration.verdict.clone();
        tasks.spawn(self.registration.run(stop.clone()));
        tasks.spawn(self.repair.run(stop.clone()));
        tasks.spawn(self.cache.run(stop.clone()));
        if let Some(edge) = self.edge {
            tasks.spawn(edge.follow(stop.clone()));
        }
        tasks.spawn(self.scrub.run(stop.clone()));
        if let Some(certificate) = &self.certificate {
            tasks.spawn(certificate.clone().follow(stop.clone()));
        }
        tasks.spawn(watch_signals(stop.clone(), self.draining)?);
        tracing::info!(listen = %listener.local_addr()?, region = %config.region, zone = %config.zone, "serving");
        let connections = self.metrics.connections.clone();
        let tls = self.certificate.as_ref().map(Certificate::server_config).transpose()?;
        let drained = server::serve(listener, tls, self.router, connections, stop.clone(), DRAIN).await;
        stop.cancel();
        tasks.close();
        if tokio::time::timeout(REST, tasks.wait()).await.is_err() {
            tracing::warn!("background work did not stop in time");
        }
        if !drained {
            tracing::warn!(seconds = DRAIN.as_secs(), "requests were cut at the drain deadline");
        }
        verdict.get().cloned().map_or(Ok(()), |ending| Err(ending.into()))
    }
}
