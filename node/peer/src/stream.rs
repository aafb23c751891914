//! A stream of bytes to or from a peer, with its slot, its clock and its counters.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use crate::metrics::{LinkMetrics, Metrics};
use crate::protocol::{Link, Protocol};

/// Bytes both ways. Reads and writes that wait while nothing moves in either direction for the time in
/// [`crate::Limits::stream_idle`] fail with `TimedOut`; time in which nobody reads or writes here does not
/// count. Dropping it ends both directions: the peer reads what was flushed, then the end.
pub struct ByteStream {
    inner: Compat<libp2p::Stream>,
    link: Link,
    metrics: Arc<Metrics>,
    clock: Option<Clock>,
    slots: Slots,
}

/// What a stream gives back when it ends: its place in its lane and, if a peer opened it, in all.
pub(crate) type Slots = [Option<OwnedSemaphorePermit>; 2];

impl ByteStream {
    pub(crate) fn new(
        stream: libp2p::Stream,
        protocol: Protocol,
        metrics: Arc<Metrics>,
        idle: Option<Duration>,
        slots: Slots,
    ) -> Self {
        let clock = idle.map(Clock::new);
        Self { inner: stream.compat(), link: protocol.link(), metrics, clock, slots }
    }

    /// Its lane may take the next one already.
    pub(crate) fn free_lane(&mut self) {
        self.slots[0] = None;
    }

    fn metrics(&self) -> &LinkMetrics {
        self.metrics.link(self.link)
    }

    fn moved(&mut self, side: Side) {
        if let Some(clock) = &mut self.clock {
            clock.moved(side);
        }
    }

    fn waits<T>(&mut self, side: Side, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        match &mut self.clock {
            Some(clock) => clock.poll_over(side, cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            None => Poll::Pending,
        }
    }
}

impl std::fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByteStream").field("link", &self.link).finish_non_exhaustive()
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let Poll::Ready(result) = Pin::new(&mut self.inner).poll_read(cx, buf) else {
            return self.waits(Side::Read, cx);
        };
        self.moved(Side::Read);
        self.metrics().received_bytes_total.add((buf.filled().len() - before) as u64);
        Poll::Ready(result)
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Poll::Ready(result) = Pin::new(&mut self.inner).poll_write(cx, bytes) else {
            return self.waits(Side::Write, cx);
        };
        self.moved(Side::Write);
        if let Ok(written) = result {
            self.metrics().sent_bytes_total.add(written as u64);
        }
        Poll::Ready(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Poll::Ready(result) = Pin::new(&mut self.inner).poll_flush(cx) else {
            return self.waits(Side::Write, cx);
        };
        self.moved(Side::Write);
        Poll::Ready(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Poll::Ready(result) = Pin::new(&mut self.inner).poll_shutdown(cx) else {
            return self.waits(Side::Write, cx);
        };
        self.moved(Side::Write);
        Poll::Ready(result)
    }
}

#[derive(Clone, Copy)]
enum Side {
    Read,
    Write,
}

/// Since when nothing moves. Each side has its own alarm, since two tasks may hold the halves.
struct Clock {
    limit: Duration,
    moved: Instant,
    sides: [Waiting; 2],
}

#[derive(Default)]
struct Waiting {
    since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    fn new(limit: Duration) -> Self {
        Self { limit, moved: Instant::now(), sides: Default::default() }
    }

    fn moved(&mut self, side: Side) {
        self.moved = Instant::now();
        self.sides[side as usize].since = None;
    }

    /// Ready once this side has waited, and nothing moved, for the limit. The alarm is set late: progress
    /// costs no timer.
    fn poll_over(&mut self, side: Side, cx: &mut Context<'_>) -> Poll<()> {
        let waiting = &mut self.sides[side as usize];
        let since = *waiting.since.get_or_insert_with(Instant::now);
        let due = since.max(self.moved) + self.limit;
        let alarm = waiting.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        loop {
            ready!(alarm.as_mut().poll(cx));
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    async fn over(clock: &mut Clock, side: Side) -> Instant {
        poll_fn(|cx| clock.poll_over(side, cx)).await;
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_without_progress_ends_at_the_limit() {
        let (mut clock, start) = (Clock::new(LIMIT), Instant::now());
        let end = over(&mut clock, Side::Read).await;
        assert!(end - start >= LIMIT && end - start < LIMIT * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_of_either_side_starts_anew() {
        let (mut clock, start) = (Clock::new(LIMIT), Instant::now());
        let early = tokio::time::timeout(LIMIT / 2, over(&mut clock, Side::Read)).await;
        assert!(early.is_err());
        clock.moved(Side::Write);
        let end = over(&mut clock, Side::Read).await;
        assert!(end - start >= LIMIT + LIMIT / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_waits_does_not_count() {
        let mut clock = Clock::new(LIMIT);
        tokio::time::advance(LIMIT * 5).await;
        let start = Instant::now();
        let end = over(&mut clock, Side::Write).await;
        assert!(end - start >= LIMIT);
    }
}
