//! The HTTP/1.1 client of the load tool: one connection, used by one worker, kept alive.
//!
//! Owns sockets and request framing. Knows nothing of registries. Never buffers a body, never follows
//! a redirect, never retries a request that reached the server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::LoadError;
use crate::content::Payload;

/// How much hyper reads from the socket at once, in bytes.
const READ_BUFFER: usize = 512 * 1024;
/// Headers in one reply: a server may repeat `OCI-Tag` for each of a hundred tags.
const MAX_HEADERS: usize = 256;
/// A small reply (token, listing, upload state) larger than this is an error, in bytes.
const SMALL_REPLY: usize = 64 * 1024 * 1024;
/// How long to wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A server and how to present oneself to it.
#[derive(Clone)]
pub struct Target {
    authority: String,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
}

impl Target {
    /// Reads `http://host[:port]`.
    ///
    /// # Errors
    /// [`LoadError::BadAddress`] when `url` has another scheme or no host.
    pub fn new(url: &str) -> Result<Self, LoadError> {
        let bad = || LoadError::BadAddress(url.into());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        if uri.scheme_str() != Some("http") {
            return Err(bad());
        }
        let authority = uri.authority().ok_or_else(bad)?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| bad())?;
        let authority = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
        Ok(Self { authority, host, authorization: None })
    }

    /// The same server with an `Authorization` header on every request.
    #[must_use]
    pub fn with_authorization(&self, value: HeaderValue) -> Self {
        Self { authorization: Some(value), ..self.clone() }
    }
}

/// One keep-alive connection to a [`Target`].
pub struct Connection {
    target: Arc<Target>,
    open: Open,
}

struct Open {
    sender: SendRequest<Payload>,
    /// Moves bytes for `sender`; ends with it.
    _io: AbortOnDropHandle<()>,
}

impl Connection {
    /// Connects. Dropping the future closes the socket.
    ///
    /// # Errors
    /// [`LoadError::Unreachable`], [`LoadError::Broken`] or [`LoadError::TimedOut`] after 10 s.
    pub async fn open(target: Arc<Target>) -> Result<Self, LoadError> {
        let open = connect(&target).await?;
        Ok(Self { target, open })
    }

    /// Sends one request and returns the reply's head with its unread body. A connection that the
    /// server closed while it was idle is opened anew. Dropping the future makes the connection
    /// useless; the next call opens another.
    ///
    /// # Errors
    /// Any variant but [`LoadError::Refused`]: statuses are the caller's to judge.
    pub async fn send(
        &mut self,
        request: hyper::http::request::Builder,
        body: Payload,
    ) -> Result<Response<Incoming>, LoadError> {
        let mut request = request.body(body).map_err(LoadError::BadRequest)?;
        self.present(&mut request);
        if self.open.sender.ready().await.is_err() {
            self.open = connect(&self.target).await?;
        }
        let mut error = match self.open.sender.try_send_request(request).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let Some(unsent) = error.take_message() else { return Err(LoadError::Broken(error.into_error())) };
        self.open = connect(&self.target).await?;
        self.open.sender.send_request(unsent).await.map_err(LoadError::Broken)
    }

    /// Sends one request, requires the status `expected` and reads the reply's body to its end.
    ///
    /// # Errors
    /// As [`Connection::send`], and [`LoadError::Refused`] for another status.
    pub async fn call(
        &mut self,
        request: hyper::http::request::Builder,
        body: Payload,
        expected: StatusCode,
    ) -> Result<Response<Bytes>, LoadError> {
        let what = describe(&request);
        let (head, body) = self.send(request, body).await?.into_parts();
        let body = read_small(body).await?;
        if head.status != expected {
            return Err(LoadError::Refused { status: head.status, request: what });
        }
        Ok(Response::from_parts(head, body))
    }

    fn present(&self, request: &mut Request<Payload>) {
        request.headers_mut().insert(HOST, self.target.host.clone());
        if let Some(value) = &self.target.authorization {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
    }
}

async fn connect(target: &Target) -> Result<Open, LoadError> {
    let socket = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(&target.authority))
        .await
        .map_err(|_| LoadError::TimedOut)?
        .map_err(LoadError::Unreachable)?;
    socket.set_nodelay(true).map_err(LoadError::Unreachable)?;
    let (sender, io) = Builder::new()
        .max_buf_size(READ_BUFFER)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(socket))
        .await
        .map_err(LoadError::Broken)?;
    // The error of the connection also reaches the request under way, which reports it.
    let io = AbortOnDropHandle::new(tokio::spawn(async move { drop(io.await) }));
    Ok(Open { sender, _io: io })
}

async fn read_small(mut body: Incoming) -> Result<Bytes, LoadError> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame.map_err(LoadError::Broken)?.into_data() else { continue };
        if part.len() > SMALL_REPLY - read.len() {
            return Err(LoadError::BadReply("size"));
        }
        read.extend_from_slice(&part);
    }
    Ok(read.into())
}

/// Method and path of a request, for messages.
pub(crate) fn describe(request: &hyper::http::request::Builder) -> String {
    let method = request.method_ref().map_or("?", |method| method.as_str());
    let path = request.uri_ref().map_or("?", Uri::path);
    format!("{method} {path}")
}
