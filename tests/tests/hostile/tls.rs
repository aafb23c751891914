//! TLS: section 5 of `specs/hostile-inputs.md`, XH5 to XH8.

use std::io::Write;
use std::sync::OnceLock;
use std::time::Duration;

use rustls::ClientConfig;
use tests::content::unique_bytes;
use tests::raw::Connection;
use tests::registry::is_full_run;
use tests::tls::{client_config, connect};
use tests::{Server, ServerOptions, shared};

/// The node with TLS that these tests share.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<&Server> = OnceLock::new();
    SERVER.get_or_init(|| shared::start(ServerOptions { tls: true, ..ServerOptions::default() }))
}

fn config() -> ClientConfig {
    client_config(&server().authority(), &[])
}

/// A request and its answer over TLS: the node still works.
pub(crate) fn assert_alive() {
    let mut connection = connect(server().host(), config()).expect("a handshake");
    let client = server().root();
    let request =
        format!("GET /v2/ HTTP/1.1\r\nHost: {}\r\n{}\r\n", server().host(), client.authorization_line());
    connection.send(request.as_bytes()).expect("send");
    connection.answer("GET").expect("an answer").assert_status(200);
}

#[test]
fn the_realm_is_https_where_the_connection_is() {
    // A10
    let mut connection = connect(server().host(), config()).expect("a handshake");
    let request = format!("GET /v2/ HTTP/1.1\r\nHost: {}\r\n\r\n", server().host());
    connection.send(request.as_bytes()).expect("send");
    let answer = connection.answer("GET").expect("an answer");
    answer.assert_error(401, "UNAUTHORIZED");
    let challenge = answer.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains(&format!("realm=\"https://{}/token\"", server().host())), "{challenge}");
}

#[test]
fn plain_text_on_the_tls_port_is_dropped() {
    // XH6
    let noise = unique_bytes(5000);
    for bytes in [
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n".as_slice(),
        b"SSH-2.0-x\r\n",
        &noise,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0; 9000],
    ] {
        let mut plain = Connection::open(server().host()).expect("connect");
        let _ = plain.send(bytes);
        let answer = plain.read_until_closed(Duration::from_secs(16)).expect("dropped");
        assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1 2"));
        assert!(answer.len() < 8192);
    }
    assert_alive();
}

#[test]
fn old_and_foreign_handshakes_are_refused() {
    // XH7: TLS 1.0, no common cipher. Client certificates and early data are not asked for at all.
    let hello = |version: u8, ciphers: &[u8]| {
        let length = u8::try_from(ciphers.len()).expect("short");
        let mut body = vec![3, version];
        body.extend([7; 32]);
        body.extend([0, 0, length]);
        body.extend(ciphers);
        body.extend([1, 0]);
        let size = u8::try_from(body.len()).expect("short");
        [&[0x16, 3, 1, 0, size + 4, 1, 0, 0, size], body.as_slice()].concat()
    };
    for bytes in [hello(1, &[0, 0x2f]), hello(3, &[0, 0x05]), hello(3, &[0xff, 0xff]), hello(0, &[0, 0x2f])] {
        let mut connection = Connection::open(server().host()).expect("connect");
        connection.send(&bytes).expect("send");
        let answer = connection.read_until_closed(Duration::from_secs(16)).expect("dropped");
        // At most one alert record.
        assert!(answer.len() <= 7 && (answer.is_empty() || answer[0] == 0x15), "{answer:?}");
    }
    assert_alive();
}

#[test]
fn early_data_is_not_offered() {
    // XH7: no 0-RTT, so nothing to replay
    let mut config = config();
    config.enable_early_data = true;
    let config = std::sync::Arc::new(config);
    for _ in 0..2 {
        let mut connection = connect(server().host(), (*config).clone()).expect("a handshake");
        let request = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{}\r\n", server().root().authorization_line());
        connection.send(request.as_bytes()).expect("send");
        connection.answer("GET").expect("an answer").assert_status(200);
        assert!(connection.stream().conn.early_data().is_none());
        assert!(!connection.stream().conn.is_early_data_accepted());
    }
}

#[test]
fn handshakes_that_end_at_once_leave_nothing() {
    // XH8
    let before = server().usage();
    for _ in 0..if is_full_run() { 10_000 } else { 300 } {
        drop(connect(server().host(), config()).expect("a handshake"));
    }
    assert_alive();
    let after = server().usage();
    assert!(after.memory < before.memory + (16 << 20), "{before:?} {after:?}");
}

#[test]
fn a_hello_in_single_bytes_is_understood() {
    // XH8
    let mut connection = connect_slowly();
    let request = format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{}\r\n", server().root().authorization_line());
    connection.send(request.as_bytes()).expect("send");
    connection.answer("GET").expect("an answer").assert_status(200);
    assert_alive();
}

fn connect_slowly() -> tests::tls::TlsConnection {
    let mut tcp = std::net::TcpStream::connect(server().host()).expect("connect");
    tcp.set_nodelay(true).expect("no delay");
    tcp.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").expect("a name");
    let mut session = rustls::ClientConnection::new(std::sync::Arc::new(config()), name).expect("a session");
    let mut hello = Vec::new();
    session.write_tls(&mut hello).expect("a hello");
    for byte in hello {
        tcp.write_all(&[byte]).expect("send");
    }
    while session.is_handshaking() {
        session.complete_io(&mut tcp).expect("a handshake");
    }
    Connection::over(rustls::StreamOwned::new(session, tcp))
}
