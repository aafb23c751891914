//! Places of peers as libp2p sees them. The only module, beside the transports, that knows multiaddresses.

use std::net::{IpAddr, SocketAddr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol as Part;
use proto::identity::HostPort;

use crate::protocol::Link;

/// Most IP addresses of one name that are tried.
const MAX_PER_NAME: usize = 4;

/// A socket's address on this link.
pub(crate) fn multiaddr(link: Link, address: SocketAddr) -> Multiaddr {
    let host = Multiaddr::from(address.ip());
    match link {
        Link::Control => host.with(Part::Udp(address.port())).with(Part::QuicV1),
        Link::Bulk => host.with(Part::Tcp(address.port())),
    }
}

/// The IP address and port that a multiaddress begins with, UDP or TCP.
pub(crate) fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Part::Ip4(ip) => IpAddr::V4(ip),
        Part::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match parts.next()? {
        Part::Tcp(port) | Part::Udp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

/// The addresses of all these places, names resolved by the system's resolver; a name that does not resolve
/// is left out. Safe to drop.
pub(crate) async fn resolve(hosts: &[HostPort]) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for host in hosts {
        match (host.ip(), host.name()) {
            (Some(ip), _) => found.push(SocketAddr::new(ip, host.port())),
            (None, Some(name)) => match tokio::net::lookup_host((name, host.port())).await {
                Ok(addresses) => found.extend(addresses.take(MAX_PER_NAME)),
                Err(error) => tracing::debug!(host = %host, %error, "a peer's name does not resolve"),
            },
            (None, None) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_address_survives_both_links() {
        for text in ["10.1.2.3:5001", "[::1]:1"] {
            let address: SocketAddr = text.parse().expect("an address");
            for link in Link::ALL {
                assert_eq!(socket_address(&multiaddr(link, address)), Some(address));
            }
        }
        let other: Multiaddr = "/dns/host/tcp/1".parse().expect("a multiaddress");
        assert_eq!(socket_address(&other), None);
    }
}
