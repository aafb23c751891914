//! TLS by rustls: certificate and key from PEM files, read again when the files change.
//!
//! Files are checked every [`RELOAD_PERIOD`]; a pair that cannot be used is logged and the old one stays.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const RELOAD_PERIOD: Duration = Duration::from_secs(5);

/// Why TLS cannot be served with these files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file could not be read or holds no PEM of the expected kind.
    #[error("{path} cannot be used as {what}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why not.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The certificate file holds no certificate.
    #[error("{0} holds no certificate")]
    Empty(PathBuf),
    /// Key and certificate do not fit together, or the kind of key is not supported.
    #[error("the key in {key} cannot be used with the certificate in {cert}")]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
}

/// A certificate that follows its files.
#[derive(Debug)]
pub(crate) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads both files; blocks.
    pub(crate) fn load(cert: &Path, key: &Path) -> Result<Arc<Self>, TlsError> {
        let current = RwLock::new(Arc::new(read_pair(cert, key)?));
        Ok(Arc::new(Self { cert: cert.to_owned(), key: key.to_owned(), current }))
    }

    /// The acceptor's configuration: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN, no early data.
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<rustls::ServerConfig, rustls::Error> {
        // Said by name: peers bring another provider into the tree, so there is no default one.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Follows the files until `stop`.
    pub(crate) async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut seen = self.stamps().await;
        while stop.run_until_cancelled(tokio::time::sleep(RELOAD_PERIOD)).await.is_some() {
            let now = self.stamps().await;
            if now == seen {
                continue;
            }
            seen = now;
            let (cert, key) = (self.cert.clone(), self.key.clone());
            match tokio::task::spawn_blocking(move || read_pair(&cert, &key)).await {
                Ok(Ok(pair)) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
                    tracing::info!(cert = %self.cert.display(), "certificate loaded again");
                }
                Ok(Err(error)) => {
                    let reason = crate::telemetry::log::chain(&error);
                    tracing::error!(%reason, "changed certificate not used, the old one stays");
                }
                Err(_) => return,
            }
        }
    }

    async fn stamps(&self) -> [Option<SystemTime>; 2] {
        let stamp = async |path: &Path| tokio::fs::metadata(path).await.and_then(|m| m.modified()).ok();
        [stamp(&self.cert).await, stamp(&self.key).await]
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn read_pair(cert: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let wrong = |path: &Path, what| {
        let path = path.to_owned();
        move |source| TlsError::File { path, what, source }
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(wrong(cert, "a certificate chain (PEM)"))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(cert.to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(wrong(key, "a private key (PEM)"))?;
    CertifiedKey::from_der(chain, secret, &rustls::crypto::ring::default_provider())
        .map_err(|source| TlsError::Mismatch { cert: cert.to_owned(), key: key.to_owned(), source })
}
