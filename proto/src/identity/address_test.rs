//! Addresses of peers: the texts that are one, the texts that are none, and that both ways agree.

use proptest::prelude::*;

use super::*;

fn key() -> String {
    "0123456789abcdef".repeat(4)
}

#[test]
fn an_address_is_read_and_written_alike() {
    for places in [
        "",
        "10.0.0.1:5001",
        "127.0.0.1:1",
        "[::1]:65535",
        "[fe80::1]:5001,node-1.example.com:5001",
        "shoal_node_1:5001",
        "a:1,b:2,c:3,d:4,e:5,f:6,g:7,h:8",
    ] {
        let text = format!("{}@{places}", key());
        let parsed: PeerAddress = text.parse().expect(&text);
        assert_eq!(parsed.to_string(), text);
        assert_eq!(parsed.hosts().len(), places.split(',').filter(|place| !place.is_empty()).count());
    }
}

#[test]
fn a_host_has_one_text() {
    let spelled = |text: &str| text.parse::<HostPort>().expect(text).to_string();
    assert_eq!(spelled("Node.Example.COM:5001"), "node.example.com:5001");
    assert_eq!(spelled("[0:0:0:0:0:0:0:1]:5001"), "[::1]:5001");
}

#[test]
fn what_is_no_place_is_refused() {
    let long = format!("{}.a:1", ["a".repeat(63), "a".repeat(63), "a".repeat(63), "a".repeat(61)].join("."));
    for (text, error) in [
        ("", AddressError::Port),
        ("host", AddressError::Port),
        ("host:", AddressError::Port),
        ("host:0", AddressError::Port),
        ("host:65536", AddressError::Port),
        ("host:+1", AddressError::Port),
        ("host:01", AddressError::Port),
        ("host: 1", AddressError::Port),
        (":1", AddressError::Host),
        ("::1:80", AddressError::Host),
        ("[::1]extra:80", AddressError::Host),
        ("[127.0.0.1]:80", AddressError::Host),
        ("[fe80::1%eth0]:80", AddressError::Host),
        ("0.0.0.0:80", AddressError::Host),
        ("[::]:80", AddressError::Host),
        ("224.0.0.1:80", AddressError::Host),
        ("255.255.255.255:80", AddressError::Host),
        ("127.1:80", AddressError::Host),
        ("2130706433:80", AddressError::Host),
        ("0x7f000001:80", AddressError::Host),
        ("1.2.3.4.5:80", AddressError::Host),
        ("a..b:80", AddressError::Host),
        ("-a:80", AddressError::Host),
        ("a-:80", AddressError::Host),
        ("a/b:80", AddressError::Host),
        ("münchen:80", AddressError::Host),
        ("user@host:80", AddressError::Host),
        (long.as_str(), AddressError::Host),
    ] {
        assert_eq!(text.parse::<HostPort>(), Err(error), "{text}");
    }
}

#[test]
fn what_is_no_address_is_refused() {
    let key = key();
    let places = |count: usize| vec!["a:1"; count].join(",");
    for (text, error) in [
        (key.clone(), AddressError::Shape),
        ("@a:1".to_owned(), AddressError::Key),
        (format!("{}@a:1", &key[1..]), AddressError::Key),
        (format!("{key}0@a:1"), AddressError::Key),
        (format!("{}@a:1", key.to_uppercase()), AddressError::Key),
        (format!("{key}@a:1,"), AddressError::Port),
        (format!("{key}@,a:1"), AddressError::Port),
        (format!("{key}@a:1, b:1"), AddressError::Host),
        (format!("{key}@{}", places(9)), AddressError::TooMany),
        (format!("{key}@{}", ",".repeat(1 << 20)), AddressError::TooMany),
    ] {
        assert_eq!(text.parse::<PeerAddress>(), Err(error));
    }
    let nine = vec!["a:1".parse().expect("a place"); 9];
    assert_eq!(PeerAddress::new(PeerKey::new([0; 32]), nine), Err(AddressError::TooMany));
}

fn places() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| Ipv4Addr::from(ip).to_string()),
        any::<[u8; 16]>().prop_map(|ip| format!("[{}]", Ipv6Addr::from(ip))),
        "[a-zA-Z][a-zA-Z0-9]{0,20}(\\.[a-z][a-z0-9_]{0,10}){0,3}",
    ];
    (host, 1u16..).prop_map(|(host, port)| format!("{host}:{port}"))
}

proptest! {
    #[test]
    fn whatever_is_read_is_written_back(
        key in any::<[u8; 32]>(),
        texts in prop::collection::vec(places(), 0..=MAX_HOSTS),
    ) {
        // A random IP address may be one that nobody can dial.
        let hosts: Vec<HostPort> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        let address = PeerAddress::new(PeerKey::new(key), hosts).expect("few places");
        prop_assert_eq!(address.to_string().parse(), Ok(address));
    }

    #[test]
    fn any_text_is_an_address_or_an_error(text in "\\PC{0,80}", places in "[a-z0-9:.,\\[\\]@-]{0,80}") {
        let _ = text.parse::<PeerAddress>();
        if let Ok(address) = format!("{}@{places}", key()).parse::<PeerAddress>() {
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
}
