//! Configuration: flags, environment and file, joined and checked before anything is touched.
//!
//! A setting has one name in three spellings: `--data-dir`, `SHOAL_DATA_DIR`, `data_dir = …`. A flag
//! beats the environment, which beats the file. Every mistake is reported, not only the first one.
//! Variables that begin with `SHOAL_` and are no setting are ignored: orchestrators invent such names
//! for their own purposes (`SHOAL_SERVICE_HOST`).

mod exchange;
mod settings;
mod source;

use std::net::SocketAddr;
use std::path::PathBuf;

use proto::identity::{AccountId, HostPort, Region, RegistryId, Zone};
use proto::join::JoinToken;

pub(crate) use source::Flags;

use crate::auth::Secret;
use crate::http::registry_host::Hosts;
use crate::registry::edge::Limits;
use crate::telemetry::log::LogFormat;

/// What `shoal serve` runs with.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where all of the node's state lives.
    pub(crate) data_dir: PathBuf,
    /// Where HTTP is served; port 0 takes any free one.
    pub(crate) listen: SocketAddr,
    /// Where clients reach the registries, if that is not what their requests say.
    pub(crate) hosts: Hosts,
    /// The node's region, and that of the default registry when the cluster is created.
    pub(crate) region: Region,
    /// The node's zone.
    pub(crate) zone: Zone,
    /// The first password of root, if it is not to be made up.
    pub(crate) root_password: Option<Secret>,
    /// Certificate and key; without them HTTP is plain.
    pub(crate) tls: Option<TlsFiles>,
    /// Whether anybody may pull.
    pub(crate) anonymous_pull: bool,
    /// How logs are written.
    pub(crate) log_format: LogFormat,
    /// Where other nodes are answered; port 0 takes any free one.
    pub(crate) peer_listen: SocketAddr,
    /// Where other nodes reach this one; empty: at `peer_listen`.
    pub(crate) peer_addresses: Vec<HostPort>,
    /// Where other nodes may be, beside where they are known to be.
    pub(crate) peers: Vec<HostPort>,
    /// Bytes of stored copies that are checked in a second; 0: none unless asked.
    pub(crate) scrub_rate: u64,
    /// Bytes of copies that this node keeps without owing them; `None`: a tenth of the volume.
    pub(crate) cache_size: Option<u64>,
    /// Bytes of the audit log that are kept.
    pub(crate) audit_size: u64,
    /// How many blobs are given to other nodes at once, and how fast, by how near they are.
    pub(crate) exchange: peer::exchange::Limits,
    /// The cluster to become a node of at the first start.
    pub(crate) join: Option<JoinToken>,
    /// What an edge may do without contact.
    pub(crate) edge: Limits,
}

/// Files of the certificate that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Certificate chain, PEM.
    pub(crate) cert: PathBuf,
    /// Private key, PEM.
    pub(crate) key: PathBuf,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistakes(pub(crate) Vec<String>);

impl std::error::Error for Mistakes {}

impl std::fmt::Display for Mistakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the configuration cannot be used:")?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  - {mistake}"))
    }
}

impl Config {
    /// Joins and checks all sources. Reads the configuration file and the password file; blocks.
    pub(crate) fn load(flags: &Flags) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let values = source::join(flags, |name| std::env::var(name).ok(), &mut mistakes);
        let config = settings::resolve(&values, &mut mistakes);
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(Mistakes(mistakes)),
        }
    }

    /// The registry of requests that name none, for a cluster that is created with this configuration.
    pub(crate) fn default_registry(&self) -> RegistryId {
        RegistryId { account: first_account(), region: self.region.clone() }
    }
}

/// The account that exists from the first start.
#[expect(clippy::expect_used, reason = "twelve zeros are an account")]
fn first_account() -> AccountId {
    "000000000000".parse().expect("twelve digits")
}
