//! One ask over one stream: request, header, bytes into the sink. The session bounds its time, by stopping it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use proto::identity::NodeId;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Connect, Shared, Shelf, Sink, SinkError, Taken};
use crate::exchange::codec::{self, Answer, CodecError, Request, What};
use crate::exchange::leaves::LEAF;
use crate::exchange::session::{AskId, Class, End, Fact};

/// Time between two words about the progress of a slow leaf.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Bytes of memory that are taken at once for a leaf or list; more only when they come.
const FIRST: usize = LEAF as usize;

/// What a lane tells the task of the fetch.
pub(super) enum Event<T> {
    Fact(Fact),
    /// The stream comes back if it can carry another request.
    Ended {
        ask: AskId,
        holder: NodeId,
        end: End,
        stream: Option<T>,
    },
    Sink(SinkError),
}

/// Everything one ask needs.
pub(super) struct Lane<C: Connect, S: Sink> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) shelf: Arc<Shelf<C, S>>,
    pub(super) events: mpsc::Sender<Event<C::Stream>>,
    pub(super) ask: AskId,
    pub(super) holder: NodeId,
    /// How near the holder is.
    pub(super) class: Class,
}

/// How an ask stopped before its end.
enum Stopped {
    End(End),
    Sink(SinkError),
}

impl From<io::Error> for Stopped {
    fn from(_: io::Error) -> Self {
        Self::End(End::Broken)
    }
}

impl From<CodecError> for Stopped {
    fn from(error: CodecError) -> Self {
        Self::End(match error {
            CodecError::Io(_) => End::Broken,
            CodecError::Version(_) => End::Refused,
            CodecError::TooLong { .. } | CodecError::Malformed => End::Wrong,
        })
    }
}

impl From<SinkError> for Stopped {
    fn from(error: SinkError) -> Self {
        Self::Sink(error)
    }
}

impl<C: Connect, S: Sink> Lane<C, S> {
    /// Asks and takes the answer. Dropping the future closes the stream; a leaf that the sink was given stays there.
    pub(super) async fn run(self, what: What, idle: Option<C::Stream>) {
        let event = match self.exchange(&what, idle).await {
            Ok((end, stream)) => self.ended(end, Some(stream)),
            Err(Stopped::End(end)) => self.ended(end, None),
            Err(Stopped::Sink(error)) => Event::Sink(error),
        };
        // Nobody listens only if the fetch is over.
        _ = self.events.send(event).await;
    }

    fn ended(&self, end: End, stream: Option<C::Stream>) -> Event<C::Stream> {
        Event::Ended { ask: self.ask, holder: self.holder, end, stream }
    }

    async fn exchange(&self, what: &What, idle: Option<C::Stream>) -> Result<(End, C::Stream), Stopped> {
        let (answer, mut stream) = self.request(what, idle).await?;
        let (length, holding) = match answer {
            Answer::Refused => return Err(Stopped::End(End::Refused)),
            Answer::Busy(after) => return Ok((End::Busy(after), stream)),
            Answer::Missing(holding) => {
                self.say(Fact::Header(self.ask, holding)).await;
                return Ok((End::Missing, stream));
            }
            Answer::Elsewhere(holding) => {
                self.say(Fact::Header(self.ask, holding)).await;
                return Ok((End::Elsewhere, stream));
            }
            Answer::Here { length, holding } => (length, holding),
        };
        self.say(Fact::Header(self.ask, holding)).await;
        let cut = &self.shared.cut;
        let (list, leaves) = match what {
            What::Have => (0, 0..0),
            What::List => (cut.list_bytes(), 0..0),
            What::Whole => (cut.list_bytes(), 0..cut.leaves()),
            What::Leaves(leaves) => {
                let fitting = (leaves.start + 1..=leaves.end).map(|end| leaves.start..end);
                (0, fitting.rev().find(|some| cut.bytes(some) == length).unwrap_or(0..0))
            }
        };
        if list + cut.bytes(&leaves) != length {
            return Err(Stopped::End(End::Wrong));
        }
        if matches!(what, What::List | What::Whole) {
            self.take_list(&mut stream, list).await?;
        }
        for leaf in leaves {
            self.take_leaf(&mut stream, leaf).await?;
        }
        Ok((End::Complete, stream))
    }

    /// Sends the request and reads the header; over a new stream if the idle one was closed meanwhile.
    async fn request(&self, what: &What, idle: Option<C::Stream>) -> Result<(Answer, C::Stream), Stopped> {
        let request = Request { blob: self.shared.blob, what: what.clone() };
        if let Some(mut stream) = idle {
            match ask(&mut stream, &request, &self.shared.cut).await {
                Err(CodecError::Io(_)) => {}
                answered => return Ok((answered?, stream)),
            }
        }
        let mut stream = self.shelf.connect.open(self.holder).await?;
        let answer = ask(&mut stream, &request, &self.shared.cut).await?;
        Ok((answer, stream))
    }

    async fn take_list(&self, stream: &mut C::Stream, length: u64) -> Result<(), Stopped> {
        let _held = self.shared.memory.hold(length);
        let list = self.read(stream, length).await?;
        self.say(Fact::Received(self.ask)).await;
        match self.shared.sink.put_list(list).await? {
            Taken::Wrong => Err(Stopped::End(End::Wrong)),
            Taken::Right => {
                self.say(Fact::Listed(self.ask)).await;
                Ok(())
            }
        }
    }

    async fn take_leaf(&self, stream: &mut C::Stream, leaf: u64) -> Result<(), Stopped> {
        let length = self.shared.cut.bytes(&(leaf..leaf + 1));
        let _held = self.shared.memory.hold(length);
        let bytes = self.read(stream, length).await?;
        self.say(Fact::Received(self.ask)).await;
        match self.shared.sink.put_leaf(leaf, bytes).await? {
            Taken::Wrong => Err(Stopped::End(End::Wrong)),
            Taken::Right => {
                self.say(Fact::Stored(self.ask, leaf)).await;
                Ok(())
            }
        }
    }

    async fn read(&self, stream: &mut C::Stream, length: u64) -> Result<Bytes, Stopped> {
        let whole = usize::try_from(length).unwrap_or(usize::MAX);
        // Zeroed once: one that is not initialised would be zeroed to its end at every read of the stream below.
        let mut bytes = BytesMut::zeroed(whole.min(FIRST));
        let (mut told, mut untold) = (Instant::now(), 0);
        let mut filled = 0;
        while filled < whole {
            if filled == bytes.len() {
                bytes.resize(whole.min(filled * 2), 0);
            }
            let count = stream.read(&mut bytes[filled..]).await?;
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            filled += count;
            let read = count as u64;
            untold += read;
            self.shelf.received[self.class.index()].add(read);
            if told.elapsed() >= PROGRESS_EVERY {
                self.say(Fact::Progress(self.ask, untold)).await;
                (told, untold) = (Instant::now(), 0);
            }
        }
        Ok(bytes.freeze())
    }

    async fn say(&self, fact: Fact) {
        // Nobody listens only if the fetch is over.
        _ = self.events.send(Event::Fact(fact)).await;
    }
}

async fn ask<T>(stream: &mut T, request: &Request, cut: &crate::exchange::Cut) -> Result<Answer, CodecError>
where
    T: AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    codec::write_request(stream, request).await?;
    stream.flush().await?;
    codec::read_answer(stream, cut).await
}
