//! Certificates for a node under test, and connections to it with TLS.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::raw::{Connection, PATIENCE};
use crate::server::restrict;

/// File of the authority's certificate.
pub const AUTHORITY: &str = "ca.pem";
/// File of the node's certificate.
pub const CERTIFICATE: &str = "cert.pem";
/// File of the node's private key.
pub const KEY: &str = "key.pem";

/// A TLS connection to a node.
pub type TlsConnection = Connection<StreamOwned<ClientConnection, TcpStream>>;

/// Makes an authority, and a certificate for 127.0.0.1 and localhost signed by it.
///
/// # Panics
/// Without the program `openssl`.
pub fn make_certificates(directory: &Path) {
    let extensions = "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n";
    fs::write(directory.join("extensions"), extensions).expect("a file");
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for arguments in [
        format!("req -x509 {curve} -keyout ca.key -out {AUTHORITY} -days 30 -subj /CN=test-authority"),
        format!("req {curve} -keyout {KEY} -out request.pem -subj /CN=localhost"),
        format!(
            "x509 -req -in request.pem -CA {AUTHORITY} -CAkey ca.key -CAcreateserial -days 30 -extfile extensions -out {CERTIFICATE}"
        ),
    ] {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(directory)
            .output()
            .expect("openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    restrict(&directory.join(KEY)).expect("permissions");
}

/// A client configuration that trusts `authority` and offers `protocols` (ALPN).
///
/// # Panics
/// When the authority's file is not one certificate.
pub fn client_config(authority: &Path, protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).expect("a certificate")).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// Connects to `host` and finishes the handshake.
///
/// # Errors
/// Those of connecting and of the handshake.
///
/// # Panics
/// When `config` does not fit a client.
pub fn connect(host: &str, config: ClientConfig) -> io::Result<TlsConnection> {
    let mut tcp = TcpStream::connect(host)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(Duration::from_secs(10)))?;
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut tcp)?;
    }
    Ok(Connection::over(StreamOwned::new(session, tcp)))
}
