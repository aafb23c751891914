//! Where settings come from: flags, environment, file; joined into one text per setting with its origin.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The settings, by the name they have in the file.
pub(super) const NAMES: [&str; 29] = [
    "data_dir",
    "listen",
    "public_url",
    "registry_host",
    "region",
    "zone",
    "root_password_file",
    "tls_cert",
    "tls_key",
    "anonymous_pull",
    "insecure_http",
    "log_format",
    "peer_listen",
    "peer_addresses",
    "peers",
    "join",
    "stale_tags",
    "max_stale",
    "max_policy_age",
    "scrub_rate",
    "cache_size",
    "audit_size",
    "site_rate",
    "region_rate",
    "wide_area_rate",
    "site_slots",
    "region_slots",
    "wide_area_slots",
    "config",
];

/// Largest configuration file in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Flags as they were typed. Texts, so that all mistakes can be told together.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Flags {
    /// TOML file with any of the settings below, `-` written as `_` [env: SHOAL_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Where all state of this node lives [env: SHOAL_DATA_DIR] [default: ./shoal-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Address and port for HTTP [env: SHOAL_LISTEN] [default: 127.0.0.1:5000]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// URL under which clients reach the registry, such as `https://registry.example`; needed behind a TLS
    /// proxy [env: SHOAL_PUBLIC_URL] [default: what each request says]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// What the hosts of registries are called, such as `{account}.dkr.ecr.{region}.registry.example`, with a port
    /// if it is needed; names of ECR's shape mean their registry in any case
    /// [env: SHOAL_REGISTRY_HOST] [default: the client's name for this node, ECR's shape before it]
    #[arg(long, value_name = "TEMPLATE")]
    registry_host: Option<String>,
    /// Region of this node [env: SHOAL_REGION] [default: local]
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Zone of this node inside its region [env: SHOAL_ZONE] [default: a]
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,
    /// File with the password that root gets at the first start, instead of one that is made up
    /// [env: SHOAL_ROOT_PASSWORD_FILE]
    #[arg(long, value_name = "FILE")]
    root_password_file: Option<String>,
    /// Certificate chain (PEM) to serve HTTPS with; followed when it changes [env: SHOAL_TLS_CERT]
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Private key (PEM) of the certificate [env: SHOAL_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Let anybody pull and list without a login [env: SHOAL_ANONYMOUS_PULL] [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    anonymous_pull: Option<String>,
    /// Serve plain HTTP on an address that is not loopback, passwords included
    /// [env: SHOAL_INSECURE_HTTP] [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    insecure_http: Option<String>,
    /// How logs are written: text or json [env: SHOAL_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Address and port for other nodes, TCP and UDP; the port after --listen's if not given
    /// [env: SHOAL_PEER_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    peer_listen: Option<String>,
    /// Where other nodes reach this one, host:port with commas between several; --peer-listen if not given
    /// [env: SHOAL_PEER_ADDRESSES]
    #[arg(long, value_name = "ADDRESSES")]
    peer_addresses: Option<String>,
    /// Where other nodes may be found, host:port with commas between several, when all have moved at once so that
    /// none is where it was [env: SHOAL_PEERS]
    #[arg(long, value_name = "ADDRESSES")]
    peers: Option<String>,
    /// Token of `shoal token create`: become a node of that cluster at the first start [env: SHOAL_JOIN]
    #[arg(long, value_name = "TOKEN")]
    join: Option<String>,
    /// On an edge that is cut off: answer reads by tag with what it last knew, marked as stale
    /// [env: SHOAL_STALE_TAGS] [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    stale_tags: Option<String>,
    /// On an edge: how long after its last contact with the cluster it does so
    /// [env: SHOAL_MAX_STALE] [default: 24h]
    #[arg(long, value_name = "TIME")]
    max_stale: Option<String>,
    /// On an edge: how long after its last contact it serves what not everybody may read; 0: never without
    /// contact [env: SHOAL_MAX_POLICY_AGE] [default: 24h]
    #[arg(long, value_name = "TIME")]
    max_policy_age: Option<String>,
    /// How much of the stored blobs is read again in a second to find damage, such as 16MiB; 0 for none
    /// [env: SHOAL_SCRUB_RATE] [default: 16MiB]
    #[arg(long, value_name = "SIZE")]
    scrub_rate: Option<String>,
    /// How much this node keeps of what it fetched for its clients alone, such as 10GiB
    /// [env: SHOAL_CACHE_SIZE] [default: a tenth of the volume]
    #[arg(long, value_name = "SIZE")]
    cache_size: Option<String>,
    /// How much of the audit log is kept, such as 256MiB; the oldest goes first
    /// [env: SHOAL_AUDIT_SIZE] [default: 256MiB]
    #[arg(long, value_name = "SIZE")]
    audit_size: Option<String>,
    /// How many bytes of blobs this node gives in a second to nodes of its zone, such as 100MiB
    /// [env: SHOAL_SITE_RATE] [default: unlimited]
    #[arg(long, value_name = "SIZE")]
    site_rate: Option<String>,
    /// The same to nodes of other zones of its region [env: SHOAL_REGION_RATE] [default: unlimited]
    #[arg(long, value_name = "SIZE")]
    region_rate: Option<String>,
    /// The same to nodes of other regions [env: SHOAL_WIDE_AREA_RATE] [default: unlimited]
    #[arg(long, value_name = "SIZE")]
    wide_area_rate: Option<String>,
    /// How many requests for blobs of nodes of its zone this node answers at once; others wait or ask elsewhere
    /// [env: SHOAL_SITE_SLOTS] [default: 8]
    #[arg(long, value_name = "NUMBER")]
    site_slots: Option<String>,
    /// The same of nodes of other zones of its region [env: SHOAL_REGION_SLOTS] [default: 8]
    #[arg(long, value_name = "NUMBER")]
    region_slots: Option<String>,
    /// The same of nodes of other regions [env: SHOAL_WIDE_AREA_SLOTS] [default: 16]
    #[arg(long, value_name = "NUMBER")]
    wide_area_slots: Option<String>,
}

impl Flags {
    fn get(&self, name: &str) -> Option<&String> {
        match name {
            "config" => self.config.as_ref(),
            "data_dir" => self.data_dir.as_ref(),
            "listen" => self.listen.as_ref(),
            "public_url" => self.public_url.as_ref(),
            "registry_host" => self.registry_host.as_ref(),
            "region" => self.region.as_ref(),
            "zone" => self.zone.as_ref(),
            "root_password_file" => self.root_password_file.as_ref(),
            "tls_cert" => self.tls_cert.as_ref(),
            "tls_key" => self.tls_key.as_ref(),
            "anonymous_pull" => self.anonymous_pull.as_ref(),
            "insecure_http" => self.insecure_http.as_ref(),
            "log_format" => self.log_format.as_ref(),
            "peer_listen" => self.peer_listen.as_ref(),
            "peer_addresses" => self.peer_addresses.as_ref(),
            "peers" => self.peers.as_ref(),
            "join" => self.join.as_ref(),
            "stale_tags" => self.stale_tags.as_ref(),
            "max_stale" => self.max_stale.as_ref(),
            "max_policy_age" => self.max_policy_age.as_ref(),
            "scrub_rate" => self.scrub_rate.as_ref(),
            "cache_size" => self.cache_size.as_ref(),
            "audit_size" => self.audit_size.as_ref(),
            "site_rate" => self.site_rate.as_ref(),
            "region_rate" => self.region_rate.as_ref(),
            "wide_area_rate" => self.wide_area_rate.as_ref(),
            "site_slots" => self.site_slots.as_ref(),
            "region_slots" => self.region_slots.as_ref(),
            "wide_area_slots" => self.wide_area_slots.as_ref(),
            _ => None,
        }
    }
}

/// One setting's text and where it stands, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) origin: String,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?}", self.origin, self.text)
    }
}

/// All settings that were given.
pub(super) type Values = BTreeMap<&'static str, Value>;

/// Joins flags, environment and the file that one of these names.
pub(super) fn join(
    flags: &Flags,
    env: impl Fn(&str) -> Option<String>,
    mistakes: &mut Vec<String>,
) -> Values {
    let mut values = Values::new();
    for name in NAMES {
        let variable = format!("SHOAL_{}", name.to_uppercase());
        let given = match (flags.get(name), env(&variable)) {
            (Some(text), _) => Value { text: text.clone(), origin: format!("--{}", name.replace('_', "-")) },
            (None, Some(text)) => Value { text, origin: variable },
            (None, None) => continue,
        };
        values.insert(name, given);
    }
    if let Some(file) = values.get("config").cloned() {
        for (name, value) in read_file(&PathBuf::from(&file.text), mistakes) {
            values.entry(name).or_insert(value);
        }
    }
    values
}

fn read_file(path: &PathBuf, mistakes: &mut Vec<String>) -> Values {
    let shown = path.display();
    let text = match std::fs::metadata(path) {
        Ok(meta) if meta.len() > MAX_FILE => {
            mistakes.push(format!("{shown}: larger than {MAX_FILE} bytes, which no configuration is"));
            return Values::new();
        }
        _ => std::fs::read_to_string(path),
    };
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            mistakes.push(format!("{shown}: cannot be read: {error}"));
            return Values::new();
        }
    };
    match text.parse::<toml::Table>() {
        Ok(table) => table.iter().filter_map(|(key, value)| entry(path, key, value, mistakes)).collect(),
        Err(error) => {
            mistakes.push(format!("{shown}: not TOML: {}", error.to_string().trim_end()));
            Values::new()
        }
    }
}

fn entry(
    path: &std::path::Path,
    key: &str,
    value: &toml::Value,
    mistakes: &mut Vec<String>,
) -> Option<(&'static str, Value)> {
    let origin = format!("{}: {key}", path.display());
    let Some(name) = NAMES.into_iter().find(|name| *name == key && key != "config") else {
        let known = NAMES[..NAMES.len() - 1].join(", ");
        mistakes.push(format!("{origin}: there is no such setting; there are {known}"));
        return None;
    };
    let text = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Boolean(on) => on.to_string(),
        other => {
            mistakes.push(format!("{origin}: a text or true/false is needed, not {}", other.type_str()));
            return None;
        }
    };
    Some((name, Value { text, origin }))
}
