//! TCP as a libp2p transport. libp2p's own is not used since it dials either from no address in particular or
//! from the listening port; the latter makes two nodes that dial each other at once meet in one socket with
//! both as the dialler. This one dials from the listening address and a free port, and has the kernel notice
//! a peer that is gone.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, Ready, ready};
use futures::io::BufReader;
use futures::{AsyncRead, AsyncWrite, FutureExt};
use libp2p::Multiaddr;
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Sleep;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use crate::place;
use crate::protocol::Link;

/// Connections that the kernel accepts ahead of us.
const BACKLOG: i32 = 1024;
/// The peer's kernel is asked after this long without a byte, ...
const PROBE_AFTER: Duration = Duration::from_secs(3);
/// ... then so often, ...
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// ... so many times.
const PROBES: u32 = 3;
/// Bytes not acknowledged by the peer's kernel for so long end the connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
/// Rest after accept failed, which it does while file descriptors are short.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Bytes read from a connection at once.
const READ_BUFFER: usize = 64 * 1024;

/// One bound socket, listening once libp2p says so.
pub(super) struct Tcp {
    listener: TcpListener,
    address: SocketAddr,
    id: Option<ListenerId>,
    announced: bool,
    rest: Option<Pin<Box<Sleep>>>,
}

impl Tcp {
    /// Binds; to be called inside a tokio runtime.
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            // As libp2p binds UDP.
            socket.set_only_v6(true)?;
        }
        // Lets a node that comes back have its port while old connections linger.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, id: None, announced: false, rest: None })
    }

    /// Where it is bound.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        if let Some(rest) = &mut self.rest {
            std::task::ready!(rest.as_mut().poll(cx));
            self.rest = None;
        }
        let accepted = std::task::ready!(self.listener.poll_accept(cx));
        if accepted.is_err() {
            self.rest = Some(Box::pin(tokio::time::sleep(ACCEPT_REST)));
        }
        Poll::Ready(accepted)
    }
}

impl Transport for Tcp {
    type Output = Buffered;
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<Self::Output>>;
    type Dial = BoxFuture<'static, io::Result<Self::Output>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        if place::socket_address(&address) != Some(self.address) {
            return Err(TransportError::MultiaddrNotSupported(address));
        }
        self.id = Some(id);
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let ours = self.id == Some(id);
        if ours {
            self.id = None;
        }
        ours
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let Some(to) = place::socket_address(&address) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let from = self.address.ip();
        Ok(async move { Ok(buffered(connect(from, to).await?)) }.boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let Some(listener_id) = self.id else { return Poll::Pending };
        if !self.announced {
            self.announced = true;
            let listen_addr = place::multiaddr(Link::Bulk, self.address);
            return Poll::Ready(TransportEvent::NewAddress { listener_id, listen_addr });
        }
        let accepted = std::task::ready!(self.poll_accept(cx));
        let event = match accepted.and_then(|(stream, from)| watch(&stream).map(|()| (stream, from))) {
            Ok((stream, from)) => TransportEvent::Incoming {
                listener_id,
                local_addr: place::multiaddr(Link::Bulk, self.address),
                send_back_addr: place::multiaddr(Link::Bulk, from),
                upgrade: ready(Ok(buffered(stream))),
            },
            Err(error) => TransportEvent::ListenerError { listener_id, error },
        };
        Poll::Ready(event)
    }
}

/// A connection whose bytes are read in large pieces: TLS asks for 4 KiB at a time.
pub(super) type Buffered = BufReader<Gathering>;

fn buffered(stream: TcpStream) -> Buffered {
    BufReader::with_capacity(READ_BUFFER, Gathering(stream.compat()))
}

/// A connection that writes several buffers in one system call, which the adapter alone does not: each TLS record
/// would be one of its own.
pub(super) struct Gathering(Compat<TcpStream>);

impl AsyncRead for Gathering {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Gathering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write_vectored(Pin::new(self.0.get_mut()), cx, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// From our address if it is one that can reach there, any port.
async fn connect(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if from.is_ipv4() == to.is_ipv4() && !from.is_unspecified() {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let stream = socket.connect(to).await?;
    watch(&stream)?;
    Ok(stream)
}

/// Small frames go out at once, and the kernel tells when the peer is gone.
fn watch(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(PROBES);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}
