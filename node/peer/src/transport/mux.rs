//! yamux as a libp2p multiplexer. `libp2p-yamux` does the same but leaves frames at 16 KiB, and windows at
//! up to 1 GiB for a connection; bytes of blobs want longer frames, and a peer's memory a bound.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::UpgradeInfo;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use yamux::{Config, Connection, ConnectionError, Mode, Stream};

/// Bytes of one frame with its header: four TLS records to the byte, and as much as rustls takes at once. What is
/// more would leave as a tiny record, system call and packet of its own, for each frame.
pub(super) const LONGEST_FRAME: usize = 64 * 1024;
const HEADER: usize = 12;
/// Bytes of a frame's payload.
const FRAME: usize = LONGEST_FRAME - HEADER;
/// Streams on one connection, both directions; more than all protocols at once, and those under negotiation.
const STREAMS: usize = 512;
/// Bytes on the way on all streams of a connection. Each begins with 256 KiB, which grow with the rate at
/// which the reader takes them.
const WINDOWS: usize = 160 << 20;
/// Streams that a peer opened and the swarm has not taken yet. Equals yamux's own bound on streams that wait
/// for an acknowledgement, so only a peer that ignores that one meets this.
const UNTAKEN: usize = 256;

/// Makes a connection carry streams.
#[derive(Clone, Copy)]
pub(super) struct Upgrade;

impl UpgradeInfo for Upgrade {
    type Info = &'static str;
    type InfoIter = std::iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> InboundConnectionUpgrade<C> for Upgrade {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_inbound(self, socket: C, _: Self::Info) -> Self::Future {
        ready(Ok(Muxer::new(socket, Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<C> for Upgrade {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_outbound(self, socket: C, _: Self::Info) -> Self::Future {
        ready(Ok(Muxer::new(socket, Mode::Client)))
    }
}

/// One connection. yamux moves only while it is asked for the next stream of the peer, so those that come
/// while the swarm asks for something else are kept.
pub(super) struct Muxer<C> {
    connection: Connection<C>,
    untaken: VecDeque<Stream>,
    taker: Option<Waker>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    fn new(socket: C, mode: Mode) -> Self {
        let mut config = Config::default();
        config.set_max_num_streams(STREAMS);
        config.set_max_connection_receive_window(Some(WINDOWS));
        config.set_split_send_size(FRAME);
        Self { connection: Connection::new(socket, config, mode), untaken: VecDeque::new(), taker: None }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let next = std::task::ready!(self.connection.poll_next_inbound(cx));
        Poll::Ready(next.unwrap_or(Err(ConnectionError::Closed)).map_err(failed))
    }
}

fn failed(error: ConnectionError) -> io::Error {
    match error {
        ConnectionError::Io(error) => error,
        other => io::Error::other(other),
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = Stream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        if let Some(stream) = self.untaken.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let next = self.poll_next(cx);
        if next.is_pending() {
            self.taker = Some(cx.waker().clone());
        }
        next
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        self.connection.poll_new_outbound(cx).map_err(failed)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_close(cx).map_err(failed)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        let stream = std::task::ready!(self.poll_next(cx))?;
        if self.untaken.len() < UNTAKEN {
            self.untaken.push_back(stream);
            if let Some(taker) = self.taker.take() {
                taker.wake();
            }
        }
        // There may be more; others have their turn first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
