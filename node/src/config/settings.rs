//! The rules of each setting: text to typed value, or a mistake that says what would be right.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use proto::identity::{HostPort, MAX_HOSTS};
use proto::join::JoinToken;

use super::source::{Value, Values};
use super::{Config, TlsFiles, exchange};
use crate::auth::Secret;
use crate::http::registry_host::Hosts;
use crate::registry::edge::Limits;
use crate::telemetry::log::LogFormat;

/// Shortest root password in bytes.
const MIN_PASSWORD: usize = 8;
/// Longest root password in bytes.
const MAX_PASSWORD: usize = 1024;

/// The configuration, or `None` with at least one mistake added.
pub(super) fn resolve(values: &Values, mistakes: &mut Vec<String>) -> Option<Config> {
    let listen =
        parse(values, "listen", "127.0.0.1:5000", "an address and port such as 127.0.0.1:5000", mistakes);
    let public_url = values.get("public_url").and_then(|_| {
        let wanted = "http:// or https:// and a host such as https://registry.example, without a path,";
        parse(values, "public_url", "", wanted, mistakes)
    });
    let registry_host = values.get("registry_host").and_then(|_| {
        let wanted = "a host with {account} and {region} such as {account}.dkr.ecr.{region}.registry.example";
        parse(values, "registry_host", "", wanted, mistakes)
    });
    let region = parse(values, "region", "local", "1 to 63 characters of a-z, 0-9 and -", mistakes);
    let zone = parse(values, "zone", "a", "1 to 63 characters of a-z, 0-9 and -", mistakes);
    let anonymous_pull = parse(values, "anonymous_pull", "false", "true or false", mistakes);
    let insecure_http = parse(values, "insecure_http", "false", "true or false", mistakes);
    let log_format = parse(values, "log_format", "text", "text or json", mistakes);
    let join = join(values, mistakes);
    let edge = edge(values, mistakes);
    let exchange = exchange::resolve(values, mistakes);
    let scrub_rate: Option<Size> =
        parse(values, "scrub_rate", "16MiB", "bytes a second such as 16MiB, or 0,", mistakes);
    let cache_size = values
        .get("cache_size")
        .and_then(|_| parse::<Size>(values, "cache_size", "", "bytes such as 10GiB, or 0,", mistakes));
    let audit_size = at_least(values, "audit_size", "256MiB", 1 << 20, mistakes);
    let peer_listen = peer_listen(values, listen, mistakes);
    let peer_addresses = peer_addresses(values, peer_listen, mistakes);
    let peers = values.get("peers").map_or_else(|| Some(Vec::new()), |value| places(value, mistakes));
    let tls = tls(values, mistakes);
    let root_password = values.get("root_password_file").and_then(|file| password(file, mistakes));
    if let (Some(listen), Some(false), None) = (listen, insecure_http, &tls) {
        refuse_plain_http(
            listen,
            values.contains_key("tls_cert") || values.contains_key("tls_key"),
            mistakes,
        );
    }
    let data_dir = match values.get("data_dir") {
        Some(value) if value.text.is_empty() => {
            mistakes.push(format!("{value}: a directory is needed"));
            return None;
        }
        Some(value) => PathBuf::from(&value.text),
        None => PathBuf::from("./shoal-data"),
    };
    Some(Config {
        data_dir,
        listen: listen?,
        hosts: Hosts { public_url, template: registry_host },
        region: region?,
        zone: zone?,
        root_password,
        tls,
        anonymous_pull: anonymous_pull?,
        log_format: log_format?,
        peer_listen: peer_listen?,
        peer_addresses: peer_addresses?,
        peers: peers?,
        scrub_rate: scrub_rate?.0,
        cache_size: cache_size.map(|size| size.0),
        audit_size: audit_size?,
        exchange: exchange?,
        join,
        edge: edge?,
    })
}

/// Beside the HTTP port unless it is said, on the same address.
fn peer_listen(
    values: &Values,
    listen: Option<SocketAddr>,
    mistakes: &mut Vec<String>,
) -> Option<SocketAddr> {
    if values.contains_key("peer_listen") {
        return parse(values, "peer_listen", "", "an address and port such as 127.0.0.1:5001", mistakes);
    }
    let listen = listen?;
    match listen.port() {
        0 => Some(listen),
        u16::MAX => {
            mistakes.push(format!("listen = {listen}: no port comes after it; give --peer-listen"));
            None
        }
        port => Some(SocketAddr::new(listen.ip(), port + 1)),
    }
}

/// Empty when the place that is listened on says enough.
fn peer_addresses(
    values: &Values,
    listen: Option<SocketAddr>,
    mistakes: &mut Vec<String>,
) -> Option<Vec<HostPort>> {
    let Some(value) = values.get("peer_addresses") else {
        // "Any address of this machine" cannot be dialled. A node that is alone needs none yet.
        if let Some(listen) = listen.filter(|listen| listen.ip().is_unspecified())
            && values.contains_key("join")
        {
            mistakes
                .push(format!("peer_listen = {listen}: other nodes cannot dial that; give --peer-addresses"));
        }
        return Some(Vec::new());
    };
    places(value, mistakes)
}

fn places(value: &Value, mistakes: &mut Vec<String>) -> Option<Vec<HostPort>> {
    let parsed: Result<Vec<HostPort>, _> = value.text.split(',').map(|one| one.trim().parse()).collect();
    match parsed {
        Ok(hosts) if hosts.len() <= MAX_HOSTS => Some(hosts),
        _ => {
            mistakes.push(format!("{value}: 1 to {MAX_HOSTS} of host:port with commas between are needed"));
            None
        }
    }
}

/// The token is a secret: its text is not shown.
fn join(values: &Values, mistakes: &mut Vec<String>) -> Option<JoinToken> {
    let value = values.get("join")?;
    match value.text.parse() {
        Ok(token) => Some(token),
        Err(error) => {
            mistakes.push(format!("{}: {error}", value.origin));
            None
        }
    }
}

fn edge(values: &Values, mistakes: &mut Vec<String>) -> Option<Limits> {
    let stale_tags = parse(values, "stale_tags", "false", "true or false", mistakes);
    let mut time = |name| {
        let wanted = "a time such as 24h or 30m";
        parse::<humantime::Duration>(values, name, "24h", wanted, mistakes).map(Into::into)
    };
    let (max_stale, max_policy_age) = (time("max_stale"), time("max_policy_age"));
    Some(Limits { stale_tags: stale_tags?, max_stale: max_stale?, max_policy_age: max_policy_age? })
}

pub(super) fn parse<T: FromStr>(
    values: &Values,
    name: &str,
    default: &str,
    wanted: &str,
    mistakes: &mut Vec<String>,
) -> Option<T> {
    let text = values.get(name).map_or(default, |value| value.text.trim());
    let parsed = text.parse().ok();
    if let (None, Some(value)) = (&parsed, values.get(name)) {
        mistakes.push(format!("{value}: {wanted} is needed"));
    }
    parsed
}

fn at_least(
    values: &Values,
    name: &str,
    default: &str,
    least: u64,
    mistakes: &mut Vec<String>,
) -> Option<u64> {
    let Size(size) = parse(values, name, default, "bytes such as 256MiB", mistakes)?;
    if let Some(value) = values.get(name).filter(|_| size < least) {
        mistakes.push(format!("{value}: {least} bytes or more are needed"));
        return None;
    }
    Some(size)
}

/// Bytes: a whole number, alone or of KiB, MiB, GiB or TiB.
pub(super) struct Size(pub(super) u64);

impl FromStr for Size {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let shift = match unit {
            "" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            _ => return Err(()),
        };
        let number: u64 = number.parse().map_err(|_| ())?;
        number.checked_mul(1 << shift).map(Self).ok_or(())
    }
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

/// Passwords and tokens travel in every request.
fn refuse_plain_http(listen: SocketAddr, half_tls: bool, mistakes: &mut Vec<String>) {
    if !listen.ip().is_loopback() && !half_tls {
        mistakes.push(format!(
            "listen = {listen}: plain HTTP would send passwords readably over the network; give --tls-cert \
             and --tls-key, or listen on 127.0.0.1, or add --insecure-http if nobody else is on that network"
        ));
    }
}

fn tls(values: &Values, mistakes: &mut Vec<String>) -> Option<TlsFiles> {
    match (values.get("tls_cert"), values.get("tls_key")) {
        (Some(cert), Some(key)) => {
            let files = TlsFiles { cert: PathBuf::from(&cert.text), key: PathBuf::from(&key.text) };
            if let Err(error) = crate::http::tls::Certificate::load(&files.cert, &files.key) {
                mistakes.push(crate::telemetry::log::chain(&error));
            }
            Some(files)
        }
        (None, None) => None,
        (Some(one), None) => {
            mistakes.push(format!("{one}: --tls-key is needed too"));
            None
        }
        (None, Some(one)) => {
            mistakes.push(format!("{one}: --tls-cert is needed too"));
            None
        }
    }
}

fn password(file: &Value, mistakes: &mut Vec<String>) -> Option<Secret> {
    let text = match std::fs::read_to_string(Path::new(&file.text)) {
        Ok(text) => text,
        Err(error) => {
            mistakes.push(format!("{file}: cannot be read: {error}"));
            return None;
        }
    };
    let password = text.trim_end_matches(['\r', '\n']);
    if !(MIN_PASSWORD..=MAX_PASSWORD).contains(&password.len()) || password.contains(char::is_control) {
        mistakes.push(format!(
            "{file}: the password must have {MIN_PASSWORD} to {MAX_PASSWORD} bytes without control characters"
        ));
        return None;
    }
    Some(Secret::new(password.to_owned()))
}

#[cfg(test)]
#[path = "settings_test.rs"]
mod tests;
