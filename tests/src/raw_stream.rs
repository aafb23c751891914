//! Streams of a node's QUIC port below its protocols: what is negotiated and sent on them is the test's.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::core::Endpoint;
use libp2p::core::StreamMuxer as _;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{DialOpts, PortUse, Transport as _};
use libp2p::identity::Keypair;
use libp2p::multiaddr::{Multiaddr, Protocol};
use libp2p::quic;

/// What both sides say first on a stream (multistream-select 1.0).
const HELLO: &str = "/multistream/1.0.0";
/// For a handshake and for an answer: far longer than either takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// One stream.
pub type Stream = <StreamMuxerBox as libp2p::core::StreamMuxer>::Substream;

/// A connection with a fresh key.
pub struct Connection(
    StreamMuxerBox,
    #[expect(dead_code, reason = "it owns the socket")] quic::tokio::Transport,
);

impl Connection {
    /// To the node at `to`, whoever that is. Needs a tokio runtime.
    ///
    /// # Errors
    /// There was no handshake in time.
    pub async fn open(to: SocketAddr) -> anyhow::Result<Self> {
        let config = quic::Config::new(&Keypair::generate_ed25519());
        let mut transport = quic::tokio::Transport::new(config);
        let address = Multiaddr::from(to.ip()).with(Protocol::Udp(to.port())).with(Protocol::QuicV1);
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let dialled = transport.dial(address, options)?;
        let (_, connection) = tokio::time::timeout(PATIENCE, dialled).await??;
        Ok(Self(StreamMuxerBox::new(connection), transport))
    }

    /// A stream on which nothing was said yet.
    ///
    /// # Errors
    /// The connection is closed, or the other side takes no more streams for now.
    pub async fn stream(&mut self) -> anyhow::Result<Stream> {
        let muxer = &mut self.0;
        let opened = futures::future::poll_fn(|cx| Pin::new(&mut *muxer).poll_outbound(cx));
        Ok(tokio::time::timeout(PATIENCE, opened).await??)
    }

    /// A stream for which `protocol` was proposed, and the other side's word on it: the same name, or `na`.
    ///
    /// # Errors
    /// The stream ended, or there was no answer in time.
    pub async fn propose(&mut self, protocol: &str) -> anyhow::Result<(Stream, String)> {
        let mut stream = self.stream().await?;
        stream.write_all(&[line(HELLO), line(protocol)].concat()).await?;
        stream.flush().await?;
        anyhow::ensure!(read_line(&mut stream).await? == HELLO, "another negotiation");
        let said = read_line(&mut stream).await?;
        Ok((stream, said))
    }

    /// Waits until the other side closes the connection; false if it did not in time.
    pub async fn ends(&mut self, limit: Duration) -> bool {
        let muxer = &mut self.0;
        let ended = futures::future::poll_fn(|cx| Pin::new(&mut *muxer).poll_inbound(cx));
        matches!(tokio::time::timeout(limit, ended).await, Ok(Err(_)))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

/// Everything that still comes on a stream.
///
/// # Errors
/// It did not end in time.
pub async fn rest(stream: &mut Stream) -> anyhow::Result<Vec<u8>> {
    let mut rest = Vec::new();
    // Reset or closed, it is over.
    let _ = tokio::time::timeout(PATIENCE * 4, stream.read_to_end(&mut rest)).await?;
    Ok(rest)
}

fn line(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    [&[length], text.as_bytes(), b"\n"].concat()
}

async fn read_line(stream: &mut Stream) -> anyhow::Result<String> {
    let read = async {
        let mut length = [0];
        stream.read_exact(&mut length).await?;
        let mut line = vec![0; usize::from(length[0])];
        stream.read_exact(&mut line).await?;
        io::Result::Ok(line)
    };
    let line = tokio::time::timeout(PATIENCE, read).await??;
    Ok(String::from_utf8(line)?.trim_end().to_owned())
}
