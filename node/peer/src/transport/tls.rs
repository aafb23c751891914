//! TLS 1.3 as libp2p has it (specs/tls/tls.md: one self-signed certificate that carries the node's key and
//! its signature), with AES-GCM before ChaCha20. libp2p's own upgrade prefers ChaCha20, which costs a third
//! of the rate on processors with AES instructions, and offers no choice. The certificate is made and
//! checked by libp2p; here is only the order of the suites.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::io::BufWriter;
use futures::{AsyncRead, AsyncWrite, FutureExt};
use futures_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use libp2p::PeerId;
use libp2p::core::UpgradeInfo;
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use libp2p::identity::Keypair;
use libp2p::tls::certificate::{self, ParseError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, PeerIncompatible,
    ServerConfig, SignatureScheme, SupportedCipherSuite,
};

use crate::error::StartError;

const SUITES: [SupportedCipherSuite; 3] =
    [TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256];
/// What certificates of nodes are signed with: libp2p makes ECDSA on P-256; others of the specification's
/// curves may come. No RSA, whose keys can be made expensive to check.
const SCHEMES: [SignatureScheme; 3] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
];
const ALPN: &[u8] = b"libp2p";

/// Why there is no secure channel.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// The handshake failed.
    #[error("the TLS handshake failed")]
    Handshake(#[source] std::io::Error),
    /// The other side's certificate names nobody.
    #[error("the certificate is not one of a node")]
    Certificate,
}

/// Makes a secure channel of a connection, and tells whose it is.
#[derive(Clone)]
pub(super) struct Upgrade {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Upgrade {
    /// With a fresh certificate that this key vouches for.
    pub(super) fn new(keypair: &Keypair) -> Result<Self, StartError> {
        let (certificate, key) = certificate::generate(keypair).map_err(tls_failed)?;
        Self::with(certificate, &key).map_err(tls_failed)
    }

    fn with(certificate: CertificateDer<'static>, key: &PrivateKeyDer<'_>) -> Result<Self, rustls::Error> {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites = SUITES.to_vec();
        let provider = Arc::new(provider);
        let verifier = Arc::new(NodeVerifier);
        let key = CertifiedKey::new(vec![certificate], aws_lc_rs::sign::any_ecdsa_type(key)?);
        let identity = Arc::new(SingleCertAndKey::from(key));

        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(identity.clone());
        client.alpn_protocols = vec![ALPN.to_vec()];
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(identity);
        server.alpn_protocols = vec![ALPN.to_vec()];
        // Both ends make connections in any order, and none is short.
        server.send_tls13_tickets = 0;
        Ok(Self { server: Arc::new(server), client: Arc::new(client) })
    }
}

fn tls_failed(error: impl std::error::Error + Send + Sync + 'static) -> StartError {
    StartError::Tls(Box::new(error))
}

impl UpgradeInfo for Upgrade {
    type Info = &'static str;
    type InfoIter = std::iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once("/tls/1.0.0")
    }
}

impl<C> InboundConnectionUpgrade<C> for Upgrade
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = (PeerId, Secure<C>);
    type Error = TlsError;
    type Future = BoxFuture<'static, Result<Self::Output, TlsError>>;

    fn upgrade_inbound(self, socket: C, _: Self::Info) -> Self::Future {
        async move {
            let stream = TlsAcceptor::from(self.server).accept(socket).await.map_err(TlsError::Handshake)?;
            Ok((peer(stream.get_ref().1)?, buffered(stream.into())))
        }
        .boxed()
    }
}

impl<C> OutboundConnectionUpgrade<C> for Upgrade
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = (PeerId, Secure<C>);
    type Error = TlsError;
    type Future = BoxFuture<'static, Result<Self::Output, TlsError>>;

    fn upgrade_outbound(self, socket: C, _: Self::Info) -> Self::Future {
        async move {
            // The specification wants no server name; an IP address sends none.
            let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into());
            let connector = TlsConnector::from(self.client);
            let stream = connector.connect(name, socket).await.map_err(TlsError::Handshake)?;
            Ok((peer(stream.get_ref().1)?, buffered(stream.into())))
        }
        .boxed()
    }
}

/// A secure channel that gathers what is written until it is flushed: the header and the body of a yamux
/// frame would else be a TLS record and a system call each.
pub(super) type Secure<C> = BufWriter<TlsStream<C>>;

fn buffered<C: AsyncRead + AsyncWrite + Unpin>(stream: TlsStream<C>) -> Secure<C> {
    BufWriter::with_capacity(super::mux::LONGEST_FRAME, stream)
}

/// Whose certificate it was.
fn peer(state: &CommonState) -> Result<PeerId, TlsError> {
    let Some([certificate]) = state.peer_certificates() else { return Err(TlsError::Certificate) };
    Ok(certificate::parse(certificate).map_err(|_| TlsError::Certificate)?.peer_id())
}

/// Lets in whoever proves to have some node's key; which keys are welcome is decided after the handshake.
#[derive(Debug)]
struct NodeVerifier;

impl NodeVerifier {
    fn check(certificate: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        if !others.is_empty() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        certificate::parse(certificate).map(|_| ()).map_err(refused)
    }

    fn signature(
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let certificate = certificate::parse(certificate).map_err(refused)?;
        certificate
            .verify_signature(signed.scheme, message, signed.signature())
            .map_err(|_| rustls::Error::from(CertificateError::BadSignature))?;
        Ok(HandshakeSignatureValid::assertion())
    }

    /// Never asked: both configurations are TLS 1.3 only.
    fn old() -> rustls::Error {
        PeerIncompatible::Tls12NotOfferedOrEnabled.into()
    }
}

fn refused(_: ParseError) -> rustls::Error {
    CertificateError::ApplicationVerificationFailure.into()
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Self::check(certificate, others).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(Self::old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

impl ClientCertVerifier for NodeVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Self::check(certificate, others).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(Self::old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}
