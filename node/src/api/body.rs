//! Request bodies: bounded in size where they are kept, and in time always.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use tokio::time::{Instant, timeout};

/// A client must send [`MIN_BYTES`] in each of these, counting only time in which we wait for it.
const PERIOD: Duration = Duration::from_secs(10);
/// See [`PERIOD`]: 1 KiB a second (faults E31).
const MIN_BYTES: usize = 10 << 10;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The connection broke, or the framing was wrong.
    #[error("the body could not be read")]
    Broken(#[source] axum::Error),
    /// Less than the minimum rate.
    #[error("the body comes too slowly")]
    Slow,
    /// More than what may be kept.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
}

/// The body's bytes as they come; ends with [`BodyError::Slow`] when they come too slowly.
pub(crate) fn timed(body: Body) -> impl Stream<Item = Result<Bytes, BodyError>> + Send + Unpin {
    let start = (Some(body.into_data_stream()), Duration::ZERO, 0);
    Box::pin(stream::unfold(start, |(body, mut waited, mut received)| async move {
        let mut body = body?;
        let began = Instant::now();
        let next = timeout(PERIOD.saturating_sub(waited), body.next()).await;
        waited += began.elapsed();
        match next {
            Ok(None) => None,
            Ok(Some(Err(error))) => Some((Err(BodyError::Broken(error)), (None, waited, 0))),
            Ok(Some(Ok(bytes))) => {
                received += bytes.len();
                if received >= MIN_BYTES {
                    (waited, received) = (Duration::ZERO, 0);
                }
                Some((Ok(bytes), (Some(body), waited, received)))
            }
            Err(_) => Some((Err(BodyError::Slow), (None, waited, 0))),
        }
    }))
}

/// The whole body when it has at most `limit` bytes; stops reading one frame past the limit.
pub(crate) async fn read_all(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let mut body = timed(body);
    let mut whole = BytesMut::new();
    while let Some(part) = body.next().await {
        let part = part?;
        if whole.len() + part.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.freeze())
}
