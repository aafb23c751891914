//! The URL under which clients reach the registry, where a proxy makes it another one than they seem to ask
//! for. An operator says it; headers that a proxy or a client may set are never asked (L12, XN10).

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// `http://host` or `https://host`, with or without a port; nothing after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicUrl(String);

impl PublicUrl {
    /// What clients write in front of image names.
    pub(crate) fn host(&self) -> &str {
        self.0.split_once("://").map_or("", |(_, host)| host)
    }

    pub(super) fn is_tls(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no such URL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoPublicUrl;

impl FromStr for PublicUrl {
    type Err = NoPublicUrl;

    fn from_str(text: &str) -> Result<Self, NoPublicUrl> {
        let text = text.strip_suffix('/').unwrap_or(text);
        match text.split_once("://") {
            Some(("http" | "https", host)) if is_host(host) => Ok(Self(text.to_owned())),
            _ => Err(NoPublicUrl),
        }
    }
}

/// `name`, `address` or `[address]`, with or without a port; nothing that could leave the quotes.
pub(crate) fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let plain = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            (1..=253).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        }
    };
    plain && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_a_scheme_and_a_host() {
        for (text, host) in [
            ("https://registry.example", "registry.example"),
            ("https://registry.example/", "registry.example"),
            ("http://127.0.0.1:5000", "127.0.0.1:5000"),
            ("https://[::1]:8443", "[::1]:8443"),
        ] {
            let url: PublicUrl = text.parse().expect("accepted");
            assert_eq!((url.to_string().as_str(), url.host()), (text.trim_end_matches('/'), host));
        }
        for text in [
            "",
            "registry.example",
            "ftp://a",
            "HTTPS://a",
            "https://",
            "https:///",
            "https://a//",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://user@a",
            "https://user:password@a",
            "https://a:0",
            "https://a:",
            "https://a\"b",
            "https://a b",
        ] {
            assert_eq!(text.parse::<PublicUrl>(), Err(NoPublicUrl), "{text}");
        }
    }

    #[test]
    fn only_hosts_are_repeated_to_clients() {
        for good in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "[::1]:5000",
            "[::1]",
            "my-registry.example:443",
        ] {
            assert!(is_host(good), "{good}");
        }
        for bad in
            ["", ":5000", "a:99999", "a:0", "a:", "a\"b", "a/b", "a b", "[::1", "[x]:1", "a,b", "a:b:c"]
        {
            assert!(!is_host(bad), "{bad}");
        }
    }
}
