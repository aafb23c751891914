//! The socket under hyper: deadlines for silent and slow clients, and sendfile for file frames.
//!
//! Deadlines (faults E31, hostile rows XH5, XU16): a request's head must be complete [`HEAD_TIMEOUT`] after
//! the connection, or after its first byte on a connection kept alive; a connection on which nothing
//! happens ends after [`IDLE_TIMEOUT`]; a client that takes nothing for [`WRITE_TIMEOUT`] is cut. Request
//! bodies are timed where they are read (`api::oci::body`). On HTTP/2 a reader can stall its streams while
//! the socket is fine, so there a connection whose bodies make no progress counts as idle.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::file_frames::FileFrames;
use crate::telemetry::metrics::SentBytes;

/// From the first byte of a request to the last byte of its head.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a request, a byte of an answer or, on HTTP/2, a part of a body.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// A write that makes no progress. With at most [`UNSENT_BYTES`] unsent in the kernel the socket turns
/// writable after every half of that, so this cuts clients slower than about 1 KiB/s.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that the kernel may hold and not have sent yet (`TCP_NOTSENT_LOWAT`): bounds the memory of a
/// slow reader and makes its progress visible.
pub(crate) const UNSENT_BYTES: u32 = 64 << 10;

/// What the connection is doing, shared between the socket, the service and the bodies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activity(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Requests that are being answered.
    requests: AtomicU32,
    /// Grows whenever a request begins or ends or a body moves; 0 before the first request.
    progress: AtomicU64,
    /// Whether this is HTTP/2: pings come and go, and many requests share the socket.
    multiplexed: AtomicBool,
}

impl Activity {
    /// Says that HTTP/2 is spoken.
    pub(crate) fn multiplex(&self) {
        self.0.multiplexed.store(true, Ordering::Relaxed);
    }

    /// A head was read; the request is being answered until [`Activity::end`].
    pub(crate) fn begin(&self) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.progress();
    }

    /// A part of a body moved.
    pub(crate) fn progress(&self) {
        self.0.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// The answer is over.
    pub(crate) fn end(&self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.progress();
    }
}

/// A TCP connection with deadlines and file frames.
#[derive(Debug)]
pub(crate) struct GuardedStream {
    tcp: TcpStream,
    frames: FileFrames,
    activity: Activity,
    /// The progress after which `read_deadline` was set.
    seen: u64,
    /// Whether `read_deadline` is that of a head.
    in_head: bool,
    read_deadline: Pin<Box<Sleep>>,
    write_deadline: Option<Pin<Box<Sleep>>>,
    sent: Arc<SentBytes>,
}

impl GuardedStream {
    /// Takes over an accepted connection. Must be called inside the runtime.
    pub(crate) fn new(tcp: TcpStream, frames: FileFrames, sent: Arc<SentBytes>) -> Self {
        Self {
            tcp,
            frames,
            activity: Activity::default(),
            seen: 0,
            in_head: true,
            read_deadline: Box::pin(tokio::time::sleep(HEAD_TIMEOUT)),
            write_deadline: None,
            sent,
        }
    }

    /// The handle by which the service says when a request begins and ends.
    pub(crate) fn activity(&self) -> Activity {
        self.activity.clone()
    }

    /// Ready when nothing has happened for too long.
    fn poll_read_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let state = &self.activity.0;
        let answering =
            state.requests.load(Ordering::Relaxed) > 0 && !state.multiplexed.load(Ordering::Relaxed);
        // One request at a time: its body and its answer have deadlines of their own.
        if answering || self.write_deadline.is_some() {
            return Poll::Pending;
        }
        let progress = state.progress.load(Ordering::Relaxed);
        if progress != self.seen {
            self.seen = progress;
            self.in_head = false;
            self.read_deadline.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
        }
        self.read_deadline.as_mut().poll(cx)
    }

    /// Bytes came: on an idle HTTP/1 connection they begin a head, which keeps its clock while it goes on.
    fn note_read(&mut self) {
        let state = &self.activity.0;
        let idle = state.requests.load(Ordering::Relaxed) == 0;
        if idle && !self.in_head && !state.multiplexed.load(Ordering::Relaxed) {
            self.in_head = true;
            self.seen = state.progress.load(Ordering::Relaxed);
            self.read_deadline.as_mut().reset(Instant::now() + HEAD_TIMEOUT);
        }
    }

    /// Bytes left: the end of an answer may leave long after hyper was given it.
    fn note_write(&mut self) {
        self.write_deadline = None;
        let state = &self.activity.0;
        if !self.in_head && !state.multiplexed.load(Ordering::Relaxed) {
            self.read_deadline.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
        }
    }

    /// Notes a write that had to wait; an error when it has waited for too long. The socket is then reset
    /// when it is closed: what the kernel still holds would otherwise leave at the reader's pace.
    fn poll_write_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let deadline = self.write_deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIMEOUT)));
        deadline.as_mut().poll(cx).map(|()| {
            // A socket that takes no options is gone already.
            let _ = socket2::SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
            io::Error::from(io::ErrorKind::TimedOut)
        })
    }

    fn poll_send_file(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<io::Result<usize>> {
        loop {
            if self.tcp.poll_write_ready(cx)?.is_pending() {
                return self.poll_write_deadline(cx).map(Err);
            }
            let attempt = self.frames.send_next(limit, |file, offset, len| {
                self.tcp.try_io(Interest::WRITABLE, || {
                    let mut at = offset;
                    Ok(rustix::fs::sendfile(&self.tcp, file, Some(&mut at), len)?)
                })
            });
            match attempt {
                // Better no answer than the placeholder's bytes.
                None => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                // The file became shorter than its record says.
                Some(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Some(Ok(sent)) => {
                    self.note_write();
                    self.sent.by_sendfile.fetch_add(sent as u64, Ordering::Relaxed);
                    return Poll::Ready(Ok(sent));
                }
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Some(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if Pin::new(&mut self.tcp).poll_read(cx, buffer)?.is_pending() {
            return self.poll_read_deadline(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        if buffer.filled().len() > before {
            self.note_read();
            if self.poll_read_deadline(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices = &slices[slices.iter().take_while(|slice| slice.is_empty()).count()..];
        let memory = slices.iter().take_while(|slice| !FileFrames::is_placeholder(slice)).count();
        if let (0, Some(frame)) = (memory, slices.first()) {
            return self.poll_send_file(cx, frame.len());
        }
        match Pin::new(&mut self.tcp).poll_write_vectored(cx, &slices[..memory])? {
            Poll::Ready(sent) => {
                self.note_write();
                self.sent.by_copy.fetch_add(sent as u64, Ordering::Relaxed);
                Poll::Ready(Ok(sent))
            }
            Poll::Pending => self.poll_write_deadline(cx).map(Err),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
