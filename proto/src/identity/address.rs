//! Where a peer is and how it proves who it is: its public key and the places to reach it.
//!
//! Owns the text that join tokens, records and the Raft membership carry: `<64 hex digits of the
//! key>@host:port[,host:port…]`. Parsing never resolves a name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Most places that one address names.
pub const MAX_HOSTS: usize = 8;
/// Longest host in bytes, brackets not counted (RFC 1035 §2.3.4).
pub const MAX_HOST: usize = 253;

/// Why a text is not an address of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a key.
    #[error("a peer's key is 64 lower-case hexadecimal digits")]
    Key,
    /// No `@` between the key and the places.
    #[error("a peer's address is its key, @, and host:port, with commas between several")]
    Shape,
    /// Not a host.
    #[error("a host is an IP address that names one machine (IPv6 in brackets) or a DNS name")]
    Host,
    /// Not a port.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// Too many places.
    #[error("a peer has at most {MAX_HOSTS} places")]
    TooMany,
}

/// A peer's ed25519 public key, which is its identity on the network. Any 32 bytes: whether it is a point
/// of the curve shows when a connection is made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey([u8; 32]);

impl PeerKey {
    /// The key of these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for PeerKey {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(AddressError::Key);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, AddressError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(AddressError::Key),
    }
}

/// A machine: an IP address or a name in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

impl Host {
    /// IPv6 without its brackets is refused: `::1:80` would have two readings.
    fn parse(text: &str) -> Result<Self, AddressError> {
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let ip = inner.parse::<Ipv6Addr>().map_err(|_| AddressError::Host)?;
            return Self::ip(IpAddr::V6(ip));
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Self::ip(IpAddr::V4(ip));
        }
        let name = text.to_ascii_lowercase();
        if is_name(&name) { Ok(Self::Name(name)) } else { Err(AddressError::Host) }
    }

    /// An address that means "any" or "many" cannot be dialled.
    fn ip(ip: IpAddr) -> Result<Self, AddressError> {
        let many = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
        if ip.is_unspecified() || ip.is_multicast() || many {
            return Err(AddressError::Host);
        }
        Ok(Self::Ip(ip))
    }
}

/// A DNS name in lower case; `_` is let in since container networks use it. The last label holds a letter:
/// resolvers read `127.1` or `0x7f000001` as IP addresses, which would pass every check on those.
fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let numeric = |part: &str| part.starts_with("0x") || part.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= MAX_HOST && text.split('.').all(label) && !text.rsplit('.').next().is_none_or(numeric)
}

/// One place to reach a peer: a host and a port, the same number for UDP and TCP.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    host: Host,
    port: u16,
}

impl HostPort {
    /// The IP address, if the host is one; else `name` has something.
    pub fn ip(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Ip(ip) => Some(*ip),
            Host::Name(_) => None,
        }
    }

    /// The name to resolve, if the host is no IP address.
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Ip(_) => None,
            Host::Name(name) => Some(name),
        }
    }

    /// The port; never 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::Port)?;
        // `u16::from_str` takes a sign and leading zeros.
        if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.starts_with('0') {
            return Err(AddressError::Port);
        }
        let port = port.parse().map_err(|_| AddressError::Port)?;
        Ok(Self { host: Host::parse(host)?, port })
    }
}

/// A peer's key and at most [`MAX_HOSTS`] places, in the order of preference. A peer that only dials out has
/// no place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    key: PeerKey,
    hosts: Vec<HostPort>,
}

impl PeerAddress {
    /// Fails for more than [`MAX_HOSTS`] places.
    pub fn new(key: PeerKey, hosts: Vec<HostPort>) -> Result<Self, AddressError> {
        if hosts.len() > MAX_HOSTS { Err(AddressError::TooMany) } else { Ok(Self { key, hosts }) }
    }

    /// Who answers there.
    pub fn key(&self) -> PeerKey {
        self.key
    }

    /// The places.
    pub fn hosts(&self) -> &[HostPort] {
        &self.hosts
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", self.key)?;
        for (index, host) in self.hosts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{host}")?;
        }
        Ok(())
    }
}

impl FromStr for PeerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (key, hosts) = text.split_once('@').ok_or(AddressError::Shape)?;
        let key = key.parse()?;
        if hosts.is_empty() {
            return Self::new(key, Vec::new());
        }
        if hosts.split(',').nth(MAX_HOSTS).is_some() {
            return Err(AddressError::TooMany);
        }
        Self::new(key, hosts.split(',').map(str::parse).collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
#[path = "address_test.rs"]
mod tests;
