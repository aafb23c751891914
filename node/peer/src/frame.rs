//! One message on a stream: four bytes of length, most significant first, then the message.
//!
//! The buffer of a message grows as its bytes arrive: an announced length buys nothing. The sixteen
//! greatest lengths, far over every limit, say instead why there is no message.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes in front of a message.
const HEAD: usize = 4;
/// Messages up to this length are copied behind their head, to go out in one write.
const SMALL: usize = 4096;
/// What a buffer may hold before its first byte came.
const FIRST: usize = 16 * 1024;
/// Lengths from here on are refusals.
const REFUSALS: u32 = 0xFFFF_FFF0;

/// Why a peer sends no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not answer this, or not to us.
    Refused,
    /// It has too much to do.
    Overloaded,
    /// Our message is too long for it, or its answer for us.
    TooLarge,
    /// It is about to stop.
    Stopping,
}

/// Why no message could be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side said why.
    #[error("the peer sent no message: {0:?}")]
    Refused(Refusal),
    /// Announced longer than the limit; nothing of it was read.
    #[error("a message of {announced} bytes was announced, {limit} are allowed")]
    TooLarge {
        /// Length announced, in bytes.
        announced: usize,
        /// Length allowed, in bytes.
        limit: usize,
    },
    /// The stream failed or ended early.
    #[error("the stream ended in a message")]
    Io(#[from] io::Error),
}

/// What the first four bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    Message(u32),
    Refusal(Refusal),
}

impl Head {
    fn decode(bytes: [u8; HEAD]) -> Self {
        let refusal = match u32::from_be_bytes(bytes) {
            length if length < REFUSALS => return Self::Message(length),
            0xFFFF_FFFE => Refusal::Overloaded,
            0xFFFF_FFFD => Refusal::TooLarge,
            0xFFFF_FFFC => Refusal::Stopping,
            // A reason of a later release is a refusal.
            _ => Refusal::Refused,
        };
        Self::Refusal(refusal)
    }

    fn encode(self) -> [u8; HEAD] {
        let word = match self {
            Self::Message(length) => length,
            Self::Refusal(Refusal::Refused) => 0xFFFF_FFFF,
            Self::Refusal(Refusal::Overloaded) => 0xFFFF_FFFE,
            Self::Refusal(Refusal::TooLarge) => 0xFFFF_FFFD,
            Self::Refusal(Refusal::Stopping) => 0xFFFF_FFFC,
        };
        word.to_be_bytes()
    }
}

/// Sends one message and flushes. Dropped halfway, the stream is of no further use.
pub async fn write<W: AsyncWrite + Unpin>(stream: &mut W, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).ok().filter(|length| *length < REFUSALS);
    let length = length.ok_or(io::ErrorKind::InvalidInput)?;
    let head = Head::Message(length).encode();
    if message.len() <= SMALL {
        let mut both = Vec::with_capacity(HEAD + message.len());
        both.extend_from_slice(&head);
        both.extend_from_slice(message);
        stream.write_all(&both).await?;
    } else {
        stream.write_all(&head).await?;
        stream.write_all(message).await?;
    }
    stream.flush().await
}

/// Says why there is no message, and flushes.
pub async fn refuse<W: AsyncWrite + Unpin>(stream: &mut W, why: Refusal) -> io::Result<()> {
    stream.write_all(&Head::Refusal(why).encode()).await?;
    stream.flush().await
}

/// Receives one message of at most `limit` bytes. Dropped halfway, the stream is of no further use.
pub async fn read<R: AsyncRead + Unpin>(stream: &mut R, limit: usize) -> Result<Vec<u8>, FrameError> {
    let length = read_head(stream, limit).await?;
    read_body(stream, length).await
}

/// The length of the message that follows, checked.
pub(crate) async fn read_head<R>(stream: &mut R, limit: usize) -> Result<usize, FrameError>
where
    R: AsyncRead + Unpin,
{
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).await?;
    match Head::decode(head) {
        Head::Refusal(why) => Err(FrameError::Refused(why)),
        Head::Message(length) => {
            let announced = usize::try_from(length).unwrap_or(usize::MAX);
            if announced > limit { Err(FrameError::TooLarge { announced, limit }) } else { Ok(announced) }
        }
    }
}

/// A message whose length was read before.
pub(crate) async fn read_body<R>(stream: &mut R, length: usize) -> Result<Vec<u8>, FrameError>
where
    R: AsyncRead + Unpin,
{
    let mut message = Vec::with_capacity(length.min(FIRST));
    let got = stream.take(length as u64).read_to_end(&mut message).await?;
    if got < length { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) } else { Ok(message) }
}

#[cfg(test)]
#[path = "frame_test.rs"]
mod tests;
