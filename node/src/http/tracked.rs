//! A response body that ends the connection's activity with itself.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use http_body::{Frame, SizeHint};

use super::stream::Activity;

/// A body that tells the connection when the answer is over.
pub(super) struct Tracked {
    body: Body,
    activity: Activity,
}

impl Tracked {
    /// `activity` ends when the body is dropped, whether or not it was sent.
    pub(super) fn new(body: Body, activity: Activity) -> Self {
        Self { body, activity }
    }
}

impl http_body::Body for Tracked {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.activity.end();
    }
}
