//! The socket under hyper: deadlines for silent and slow clients, and sendfile for file frames.
//!
//! Deadlines (faults E31, hostile rows XH5, XU16): a request's head must be complete
//! [`HEAD_TIMEOUT`] after the connection, or after its first byte on a connection kept alive; an idle
//! connection ends after [`IDLE_TIMEOUT`]; a client that takes nothing for [`WRITE_TIMEOUT`] is cut.
//! Request bodies are timed where they are read (`api::oci::body`).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::file_frames::FileFrames;
use crate::telemetry::metrics::SentBytes;

/// From the first byte of a request to the last byte of its head.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two requests of a connection.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// A write that makes no progress. With at most [`UNSENT_BYTES`] unsent in the kernel the socket turns
/// writable after every half of that, so this cuts clients slower than about 1 KiB/s.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that the kernel may hold and not have sent yet (`TCP_NOTSENT_LOWAT`): bounds the memory of a
/// slow reader and makes its progress visible.
pub(crate) const UNSENT_BYTES: u32 = 64 << 10;

/// What the connection is doing, shared between the socket and the service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activity(Arc<AtomicU8>);

const AWAITING_HEAD: u8 = 0;
const IN_HEAD: u8 = 1;
const IN_REQUEST: u8 = 2;
const IDLE: u8 = 3;

impl Activity {
    /// The head was read and the request is being answered until [`Activity::end`].
    pub(crate) fn begin(&self) {
        self.0.store(IN_REQUEST, Ordering::Relaxed);
    }

    /// The answer was written.
    pub(crate) fn end(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }
}

/// A TCP connection with deadlines and file frames.
#[derive(Debug)]
pub(crate) struct GuardedStream {
    tcp: TcpStream,
    frames: FileFrames,
    activity: Activity,
    /// The state for which `read_deadline` was set.
    timed: u8,
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
            timed: AWAITING_HEAD,
            read_deadline: Box::pin(tokio::time::sleep(HEAD_TIMEOUT)),
            write_deadline: None,
            sent,
        }
    }

    /// The handle by which the service says when a request begins and ends.
    pub(crate) fn activity(&self) -> Activity {
        self.activity.clone()
    }

    /// Ready when the client was silent for too long in the present state.
    fn poll_read_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.activity.0.load(Ordering::Relaxed);
        if now == IN_REQUEST {
            self.timed = now;
            return Poll::Pending;
        }
        if now != self.timed {
            self.timed = now;
            let limit = if now == IDLE { IDLE_TIMEOUT } else { HEAD_TIMEOUT };
            self.read_deadline.as_mut().reset(Instant::now() + limit);
        }
        self.read_deadline.as_mut().poll(cx)
    }

    /// Notes a write that had to wait; an error when it has waited for too long.
    fn poll_write_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let deadline = self.write_deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIMEOUT)));
        deadline.as_mut().poll(cx).map(|()| io::Error::from(io::ErrorKind::TimedOut))
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
                    self.write_deadline = None;
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
            let state = &self.activity.0;
            // From idle the clock of a head starts; a head that goes on keeps its clock.
            let _ = state.compare_exchange(IDLE, IN_HEAD, Ordering::Relaxed, Ordering::Relaxed);
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
                self.write_deadline = None;
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
