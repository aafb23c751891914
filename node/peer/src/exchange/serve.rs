//! The answering side: leaves that this node has, to nodes that ask.
//!
//! Owns how many answers run at once and how fast bytes leave for each class of link, and what was given to whom lately. Answers only parsed
//! digests and leaf numbers; never takes a path or an address from a peer, never sends a byte that the source did not
//! check just now.

mod given;

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::identity::NodeId;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::codec::{self, Answer, Blob, CodecError, Holding, Request, What};
use super::leaves::{Cut, Leaves};
use super::rate::Bucket;
use super::session::{Class, PROGRESS};
use crate::metrics::Counter;
use given::Given;

/// Where the served leaves come from: finished copies and incoming ones.
pub trait Source: Send + Sync + 'static {
    /// A copy that is open for serving.
    type Copy: Copy;

    /// The copy of exactly this blob, size and root included; `None` if it is not here.
    fn open(&self, blob: &Blob) -> impl Future<Output = Option<Self::Copy>> + Send;
}

/// One copy, whole or partial.
pub trait Copy: Send + Sync {
    /// The proven piece list, if it is there already.
    fn list(&self) -> Option<Bytes>;

    /// Which leaves are there; `None`: all.
    fn leaves(&self) -> Option<Leaves>;

    /// Whether nothing more comes of a partial one, so that the source may have a better one.
    fn is_over(&self) -> bool;

    /// One whole leaf, checked just now; `None` if it is not there or is damaged.
    fn leaf(&self, index: u64) -> impl Future<Output = Option<Bytes>> + Send;
}

/// Bounds of the answering side.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Answers with bytes that run at once, to nodes of this site, this region and other regions. Few: whoever waits
    /// for its turn learns with the header what was given away meanwhile, and asks for something else next.
    pub answers: [usize; 3],
    /// Bytes a second that leave for each of the same, all answers together; `None`: as many as go. Below
    /// [`RATE_MIN`] a fetch would take this node for a silent one.
    pub rates: [Option<NonZeroU64>; 3],
    /// How long a request waits for its turn before it is told to come later. Below the two seconds after which the
    /// other side gives up.
    pub turn: Duration,
    /// How long a stream may stand idle between two requests.
    pub idle: Duration,
    /// How long one write may take; then the reader is gone or far too slow.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answers: [8, 8, 16],
            rates: [None; 3],
            turn: Duration::from_millis(500),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(30),
        }
    }
}

/// Lowest rate in bytes a second. Every running answer must make progress in the eyes of the other side.
pub const RATE_MIN: u64 = 64 * 1024;

/// Bytes that one answer sends at once over a link with a rate.
const SHARE: usize = PROGRESS as usize;

/// Requests for leaves that wait for each answer that runs. Few: what all of many fetchers wait for would else count as
/// given before it is, and be given twice while there are leaves that nobody has.
pub(super) const PLACES: usize = 2;

/// Pause that a busy node asks for.
const BUSY: Duration = Duration::from_millis(200);

/// Answers any number of streams. Memory: one leaf for each running answer.
pub struct Server<S> {
    source: S,
    limits: Limits,
    turns: [Semaphore; 3],
    /// Places of those who wait for a turn.
    places: [Semaphore; 3],
    rates: [Bucket; 3],
    sent: [Counter; 3],
    given: Given,
}

impl<S: Source> Server<S> {
    /// Serves what `source` has.
    pub fn new(source: S, limits: Limits) -> Arc<Self> {
        let answers = [0, 1, 2].map(|class| answers(limits.answers[class], limits.rates[class]));
        Arc::new(Self {
            source,
            limits,
            turns: answers.map(Semaphore::new),
            places: answers.map(|answers| Semaphore::new(PLACES * answers)),
            rates: limits.rates.map(Bucket::new),
            sent: Default::default(),
            given: Given::default(),
        })
    }

    #[cfg(test)]
    pub(super) fn source(&self) -> &S {
        &self.source
    }

    /// Bytes of lists and leaves that were sent to nodes of this class.
    pub fn sent_bytes(&self, class: Class) -> u64 {
        self.sent[class.index()].get()
    }

    /// How often bytes for nodes of this class had to wait for the class's rate.
    pub fn rate_waits(&self, class: Class) -> u64 {
        self.rates[class.index()].waits()
    }

    /// Nodes that asked for this blob in the last minute: holders or soon to be. At most 32.
    pub fn askers(&self, blob: &Blob) -> Vec<NodeId> {
        self.given.holding(blob, None).askers
    }

    /// Answers the requests of one stream, one after the other, until the other side closes it. `asker` is who the
    /// transport says it is, `class` how near it is.
    ///
    /// # Errors
    /// The stream broke, or the other side broke the protocol. Dropping the future is safe: the other side sees the
    /// stream close.
    pub async fn serve<T>(&self, mut stream: T, asker: NodeId, class: Class) -> Result<(), CodecError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send,
    {
        // Opened once for a run of requests about one blob.
        let mut open = None;
        loop {
            let request = match timeout(self.limits.idle, codec::read_request(&mut stream)).await {
                Err(_) | Ok(Ok(None)) => return Ok(()),
                Ok(Ok(Some(request))) => request,
                Ok(Err(error)) => {
                    if !matches!(error, CodecError::Io(_)) {
                        _ = self.write_answer(&mut stream, &Answer::Refused).await;
                    }
                    return Err(error);
                }
            };
            let blob = request.blob;
            let copy = match open.take().filter(|(of, copy): &(Blob, S::Copy)| *of == blob && !copy.is_over())
            {
                Some((_, copy)) => Some(copy),
                None => self.source.open(&blob).await,
            };
            self.answer(&mut stream, &request, copy.as_ref(), (asker, class)).await?;
            open = copy.map(|copy| (blob, copy));
        }
    }

    async fn answer<T>(
        &self,
        stream: &mut T,
        request: &Request,
        copy: Option<&S::Copy>,
        (asker, class): (NodeId, Class),
    ) -> Result<(), CodecError>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let blob = &request.blob;
        let cut = Cut::of(blob.size);
        let Some(copy) = copy else {
            let nothing = self.given.holding(blob, Some(Leaves::none(cut.leaves())));
            self.given.ask(blob, asker);
            return Ok(self.write_answer(stream, &Answer::Missing(nothing)).await?);
        };
        let holding = self.given.holding(blob, copy.leaves().filter(|leaves| !leaves.is_full()));
        self.given.ask(blob, asker);
        let leaves = match &request.what {
            What::Have => {
                return Ok(self.write_answer(stream, &Answer::Here { length: 0, holding }).await?);
            }
            What::List => 0..0,
            What::Whole => 0..cut.leaves(),
            What::Leaves(asked) => {
                let has = |leaf| holding.leaves.as_ref().is_none_or(|leaves| leaves.has(leaf));
                asked.start..asked.clone().find(|leaf| !has(*leaf)).unwrap_or(asked.end)
            }
        };
        let list = match &request.what {
            What::List | What::Whole if cut.has_list() => copy.list(),
            _ => Some(Bytes::new()),
        };
        let is_missing = match &request.what {
            What::Leaves(_) => leaves.is_empty(),
            What::Whole => holding.leaves.is_some(),
            What::List | What::Have => false,
        };
        let Some(list) = list.filter(|_| !is_missing) else {
            return Ok(self.write_answer(stream, &Answer::Missing(holding)).await?);
        };
        let turns = &self.turns[class.index()];
        let turn = match turns.try_acquire() {
            Ok(turn) => Some(turn),
            Err(_) if is_elsewhere(&holding, &request.what) => {
                return Ok(self.write_answer(stream, &Answer::Elsewhere(holding)).await?);
            }
            Err(_) => {
                let place = self.places[class.index()].try_acquire();
                if place.is_err() && matches!(request.what, What::Leaves(_)) {
                    return Ok(self.write_answer(stream, &Answer::Busy(BUSY)).await?);
                }
                // Before the wait, so that nobody else asks for the same.
                self.given.give(blob, leaves.clone());
                timeout(self.limits.turn, turns.acquire()).await.ok().and_then(Result::ok)
            }
        };
        let Some(_turn) = turn else {
            self.given.take_back(blob, leaves);
            return Ok(self.write_answer(stream, &Answer::Busy(BUSY)).await?);
        };
        self.given.give(blob, leaves.clone());
        // As of now, not of when the wait began.
        let holding = Holding { leaves: holding.leaves, ..self.given.holding(blob, None) };
        let length = list.len() as u64 + cut.bytes(&leaves);
        self.write_answer(stream, &Answer::Here { length, holding }).await?;
        self.write(stream, &list, class).await?;
        for leaf in leaves {
            // The header is out: what cannot be sent any more can only be cut off.
            let leaf = copy.leaf(leaf).await.ok_or(io::Error::from(io::ErrorKind::NotFound))?;
            self.write(stream, &leaf, class).await?;
        }
        Ok(stream.flush().await?)
    }

    /// Sends as fast as the class may.
    async fn write<T: AsyncWrite + Unpin>(
        &self,
        stream: &mut T,
        bytes: &[u8],
        class: Class,
    ) -> io::Result<()> {
        let rate = &self.rates[class.index()];
        let share = if rate.is_limited() { SHARE } else { bytes.len().max(1) };
        for share in bytes.chunks(share) {
            rate.take(share.len() as u64).await;
            let sent = async {
                stream.write_all(share).await?;
                if rate.is_limited() { stream.flush().await } else { Ok(()) }
            };
            timeout(self.limits.write, sent).await.map_err(io::Error::from)??;
            self.sent[class.index()].add(share.len() as u64);
        }
        Ok(())
    }

    async fn write_answer<T: AsyncWrite + Unpin>(&self, stream: &mut T, answer: &Answer) -> io::Result<()> {
        let written = async {
            codec::write_answer(stream, answer).await?;
            stream.flush().await
        };
        timeout(self.limits.write, written).await.map_err(io::Error::from)?
    }
}

/// Answers that run at once: with a rate, no more than each can make progress in half of the other side's patience.
fn answers(most: usize, rate: Option<NonZeroU64>) -> usize {
    let fitting = rate.map_or(u64::MAX, |rate| rate.get() / (2 * PROGRESS));
    most.min(usize::try_from(fitting).unwrap_or(usize::MAX)).max(1)
}

/// Whether a busy node should rather give something else: others were given what is asked for, and it has leaves that
/// nobody was given yet. So each leaf leaves the first holder once before any leaves it twice.
pub(super) fn is_elsewhere(holding: &Holding, what: &What) -> bool {
    let has_fresh = match &holding.leaves {
        None => !holding.given.is_full(),
        Some(leaves) => !leaves.without(&holding.given).is_empty(),
    };
    has_fresh && matches!(what, What::Leaves(leaves) if holding.given.has(leaves.start))
}
