//! Frames of the blob protocol (`proto/wire/exchange.proto`) into types and back. Every length is checked before memory
//! is taken for it; what does not decode ends the stream.

use std::io;
use std::ops::Range;
use std::time::Duration;

use prost::Message as _;
use proto::digest::Digest;
use proto::identity::NodeId;
use proto::upload::UploadId;
use proto::wire::exchange as wire;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::leaves::{Cut, Leaves};

/// The one version of the protocol so far.
const VERSION: u32 = 1;

/// Largest blob that is exchanged, in bytes: its piece list is 32 MiB.
pub const MAX_SIZE: u64 = 256 * 1024 * 1024 * 1024;

/// Most leaves in one request: the largest piece.
pub const REQUEST_LEAVES: u64 = 32;

/// Blobs below this many bytes go in one request.
pub(super) const SMALL: u64 = 1024 * 1024;

/// Longest request, in bytes.
const REQUEST_MAX: usize = 512;

/// Longest header, in bytes: two bits for each leaf of the largest blob, and the askers.
const HEADER_MAX: usize = 258 * 1024;

/// Most askers in a header.
pub(super) const ASKERS: usize = 32;

/// A blob as its record names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Name of the content.
    pub digest: Digest,
    /// Which copy.
    pub generation: UploadId,
    /// Length in bytes.
    pub size: u64,
    /// Root of the piece list.
    pub pieces_root: [u8; 32],
}

/// What is asked of a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The piece list.
    List,
    /// These leaves, 1 to [`REQUEST_LEAVES`].
    Leaves(Range<u64>),
    /// Only which leaves are there.
    Have,
    /// List and leaves of a blob below [`SMALL`] bytes.
    Whole,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) blob: Blob,
    pub(super) what: What,
}

/// What a holder says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Leaves that are there; `None`: all of them.
    pub leaves: Option<Leaves>,
    /// Leaves given to somebody lately.
    pub given: Leaves,
    /// Nodes that asked for the blob lately.
    pub askers: Vec<NodeId>,
}

/// The header of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// `length` raw bytes follow.
    Here { length: u64, holding: Holding },
    /// Not here, or not yet.
    Missing(Holding),
    /// Stay away for so long.
    Busy(Duration),
    /// Busy, and others were given these leaves: ask for other ones.
    Elsewhere(Holding),
    /// The request broke the protocol.
    Refused,
}

/// Why a frame was not understood.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The stream ended or broke.
    #[error("the stream broke")]
    Io(#[from] io::Error),
    /// Longer than this kind of frame may be.
    #[error("a frame of {length} bytes is longer than allowed")]
    TooLong {
        /// Bytes announced.
        length: u64,
    },
    /// Not a message of this version, or one with impossible values.
    #[error("a frame does not decode")]
    Malformed,
    /// A version that this node does not speak.
    #[error("protocol version {0} is not known")]
    Version(u32),
}

/// Reads a request; `None` at the end of the stream.
pub(super) async fn read_request<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> Result<Option<Request>, CodecError> {
    let Some(frame) = read_frame(stream, REQUEST_MAX).await? else { return Ok(None) };
    let request = wire::Request::decode(frame.as_slice()).map_err(|_| CodecError::Malformed)?;
    check_version(request.version)?;
    parse_request(request).map(Some).ok_or(CodecError::Malformed)
}

/// Reads a header for a request about a blob with this cut.
pub(super) async fn read_answer<S: AsyncRead + Unpin>(
    stream: &mut S,
    cut: &Cut,
) -> Result<Answer, CodecError> {
    let frame = read_frame(stream, HEADER_MAX).await?;
    let frame = frame.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let header = wire::Header::decode(frame.as_slice()).map_err(|_| CodecError::Malformed)?;
    check_version(header.version)?;
    parse_answer(header, cut).ok_or(CodecError::Malformed)
}

/// Writes a request.
pub(super) async fn write_request<S: AsyncWrite + Unpin>(
    stream: &mut S,
    request: &Request,
) -> io::Result<()> {
    let what = match &request.what {
        What::List => wire::request::What::List(wire::List {}),
        What::Have => wire::request::What::Have(wire::Have {}),
        What::Whole => wire::request::What::Whole(wire::Whole {}),
        What::Leaves(leaves) => {
            let count = u32::try_from(leaves.end - leaves.start).unwrap_or(u32::MAX);
            wire::request::What::Leaves(wire::Leaves { first: leaves.start, count })
        }
    };
    let Blob { digest, generation, size, pieces_root } = request.blob;
    let request = wire::Request {
        version: VERSION,
        digest: digest.to_bytes(),
        generation: generation.to_bytes().to_vec(),
        size,
        pieces_root: pieces_root.to_vec(),
        what: Some(what),
    };
    write_frame(stream, &request.encode_to_vec()).await
}

/// Writes a header.
pub(super) async fn write_answer<S: AsyncWrite + Unpin>(stream: &mut S, answer: &Answer) -> io::Result<()> {
    let mut header = wire::Header { version: VERSION, ..wire::Header::default() };
    let status = match answer {
        Answer::Here { length, holding } => {
            header.length = *length;
            header.holding = Some(encode_holding(holding));
            wire::Status::Here
        }
        Answer::Missing(holding) => {
            header.holding = Some(encode_holding(holding));
            wire::Status::Missing
        }
        Answer::Busy(after) => {
            header.retry_after_ms = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
            wire::Status::Busy
        }
        Answer::Elsewhere(holding) => {
            header.holding = Some(encode_holding(holding));
            wire::Status::Busy
        }
        Answer::Refused => wire::Status::Refused,
    };
    header.status = status.into();
    write_frame(stream, &header.encode_to_vec()).await
}

fn check_version(version: u32) -> Result<(), CodecError> {
    if version == VERSION { Ok(()) } else { Err(CodecError::Version(version)) }
}

fn parse_request(request: wire::Request) -> Option<Request> {
    let blob = Blob {
        digest: Digest::from_bytes(&request.digest)?,
        generation: UploadId::from_bytes(&request.generation)?,
        size: Some(request.size).filter(|size| *size <= MAX_SIZE)?,
        pieces_root: request.pieces_root.try_into().ok()?,
    };
    let what = match request.what? {
        wire::request::What::List(_) => What::List,
        wire::request::What::Have(_) => What::Have,
        wire::request::What::Whole(_) => Some(What::Whole).filter(|_| blob.size < SMALL)?,
        wire::request::What::Leaves(wire::Leaves { first, count }) => {
            let end = first.checked_add(count.into())?;
            let fits = (1..=REQUEST_LEAVES).contains(&count.into()) && end <= Cut::of(blob.size).leaves();
            What::Leaves(Some(first..end).filter(|_| fits)?)
        }
    };
    Some(Request { blob, what })
}

fn parse_answer(header: wire::Header, cut: &Cut) -> Option<Answer> {
    match header.status() {
        wire::Status::Unspecified => None,
        wire::Status::Refused => Some(Answer::Refused),
        wire::Status::Busy => match header.holding {
            Some(holding) => Some(Answer::Elsewhere(parse_holding(holding, cut)?)),
            None => Some(Answer::Busy(Duration::from_millis(header.retry_after_ms.into()))),
        },
        wire::Status::Missing => Some(Answer::Missing(parse_holding(header.holding?, cut)?)),
        wire::Status::Here => {
            Some(Answer::Here { length: header.length, holding: parse_holding(header.holding?, cut)? })
        }
    }
}

fn encode_holding(holding: &Holding) -> wire::Holding {
    wire::Holding {
        complete: holding.leaves.is_none(),
        leaves: holding.leaves.as_ref().map(Leaves::to_bytes).unwrap_or_default(),
        given: holding.given.to_bytes(),
        askers: holding.askers.iter().take(ASKERS).map(|node| node.get()).collect(),
    }
}

fn parse_holding(holding: wire::Holding, cut: &Cut) -> Option<Holding> {
    let leaves = Leaves::from_bytes(cut.leaves(), &holding.leaves)?;
    Some(Holding {
        leaves: (!holding.complete).then_some(leaves),
        given: Leaves::from_bytes(cut.leaves(), &holding.given)?,
        askers: holding.askers.into_iter().take(ASKERS).filter_map(NodeId::new).collect(),
    })
}

async fn write_frame<S: AsyncWrite + Unpin>(stream: &mut S, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(message.len() + 4);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(message);
    stream.write_all(&frame).await
}

/// `None` if the stream ends before a frame.
async fn read_frame<S: AsyncRead + Unpin>(stream: &mut S, max: usize) -> Result<Option<Vec<u8>>, CodecError> {
    let mut length = [0; 4];
    if stream.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..]).await?;
    let length = u32::from_be_bytes(length);
    let fits = usize::try_from(length).ok().filter(|length| *length <= max);
    let mut frame = vec![0; fits.ok_or(CodecError::TooLong { length: length.into() })?];
    stream.read_exact(&mut frame).await?;
    Ok(Some(frame))
}

#[cfg(test)]
#[path = "codec_test.rs"]
mod tests;
