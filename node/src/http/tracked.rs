//! Bodies that tell the connection when they move, and requests that tell it when they are over.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

use super::stream::Activity;

/// A request that is being answered: over when its last clone is dropped.
#[derive(Clone)]
pub(super) struct RequestActivity(Arc<Ends>);

struct Ends(Activity);

impl RequestActivity {
    /// The head was read.
    pub(super) fn begin(activity: Activity) -> Self {
        activity.begin();
        Self(Arc::new(Ends(activity)))
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A body of a request or an answer that reports each part that moves.
pub(super) struct Tracked<B> {
    body: B,
    request: RequestActivity,
}

impl<B> Tracked<B> {
    /// Keeps `request` going as long as it lives.
    pub(super) fn new(body: B, request: RequestActivity) -> Self {
        Self { body, request }
    }
}

impl<B: Body + Unpin> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.request.0.0.progress();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
