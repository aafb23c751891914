//! The accept loop: bounded connections, one task each, drained on stop.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::file_frames::FileFrames;
use super::stream::{Activity, GuardedStream, UNSENT_BYTES};
use super::tracked::{RequestActivity, Tracked};
use crate::telemetry::metrics::ConnectionMetrics;
pub(crate) use crate::telemetry::request_id::RequestId;

/// Most connections at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16_384;
/// From the connection to the end of the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most headers of a request.
const MAX_HEADERS: usize = 128;
/// Most bytes of a request's head; more are answered 431.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// hyper's buffer per connection and direction.
const BUFFER_BYTES: usize = 256 << 10;
/// How long, and how much, is still read of a client that was answered before it had sent everything,
/// so that it sees the answer instead of a reset.
const LINGER_TIME: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 8 << 20;
/// On every answer: what logs and the audit log call the request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the service learns of a request and the connection that it came by.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// The other end's address.
    pub(crate) remote: SocketAddr,
    /// Whether it is encrypted.
    pub(crate) tls: bool,
    /// Present where file frames can be sent.
    pub(crate) frames: Option<FileFrames>,
    /// Of the request.
    pub(crate) request: RequestId,
}

/// Everything that a connection's task needs.
struct Shared {
    router: Router,
    tls: Option<tokio_rustls::TlsAcceptor>,
    metrics: ConnectionMetrics,
}

/// Serves `router` on `listener` until `stop`; then ends idle connections, lets running requests finish
/// until `drain` has passed, and returns whether all had finished by then.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<rustls::ServerConfig>,
    router: Router,
    metrics: ConnectionMetrics,
    stop: CancellationToken,
    drain: Duration,
) -> bool {
    let tls = tls.map(|config| Arc::new(config).into());
    let shared = Arc::new(Shared { router, tls, metrics });
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    let kill = CancellationToken::new();
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &permits)).await {
        let Some((tcp, remote, permit)) = accepted else { continue };
        let task = connection(shared.clone(), tcp, remote, stop.clone());
        let kill = kill.clone();
        connections.spawn(async move {
            kill.run_until_cancelled(task).await;
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    let drained = tokio::time::timeout(drain, connections.wait()).await.is_ok();
    kill.cancel();
    connections.wait().await;
    drained
}

/// The next connection, once there is room for it; `None` after a failure that may pass.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((tcp, remote)) => Some((tcp, remote, permit)),
        Err(error) => {
            // Out of descriptors or memory: waiting is all that helps, and must not spin.
            tracing::warn!(%error, "connection not accepted");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn connection(shared: Arc<Shared>, tcp: TcpStream, remote: SocketAddr, stop: CancellationToken) {
    shared.metrics.opened.inc();
    shared.metrics.open.inc();
    // A socket that takes no options is about to fail anyway.
    let _ = tcp.set_nodelay(true);
    let _ = socket2::SockRef::from(&tcp).set_tcp_notsent_lowat(UNSENT_BYTES);
    let frames = FileFrames::default();
    let stream = GuardedStream::new(tcp, frames.clone(), shared.metrics.sent.clone());
    let activity = stream.activity();
    let known = Connection {
        remote,
        tls: shared.tls.is_some(),
        frames: None,
        // Each request gets another one.
        request: RequestId::next(),
    };
    match &shared.tls {
        None => {
            let known = Connection { frames: Some(frames), ..known };
            http1(stream, activity, &shared, known, stop).await;
        }
        Some(tls) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                http2(stream, activity, &shared, known, stop).await;
            }
            Ok(Ok(stream)) => http1(stream, activity, &shared, known, stop).await,
            Ok(Err(_)) | Err(_) => {
                shared.metrics.failed.inc();
            }
        },
    }
    shared.metrics.open.dec();
}

async fn http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    activity: Activity,
    shared: &Shared,
    known: Connection,
    stop: CancellationToken,
) {
    let router = shared.router.clone();
    let service =
        service_fn(move |request| Box::pin(call(router.clone(), request, known.clone(), activity.clone())));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(BUFFER_BYTES)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut draining = false;
    let result = loop {
        tokio::select! {
            result = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break result,
            () = stop.cancelled(), if !draining => {
                draining = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    if let Err(error) = &result {
        shared.metrics.failed.inc();
        if is_timeout(error) {
            return;
        }
    }
    linger(connection.into_parts().io.into_inner()).await;
}

async fn http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    activity: Activity,
    shared: &Shared,
    known: Connection,
    stop: CancellationToken,
) {
    activity.multiplex();
    let router = shared.router.clone();
    let service = service_fn(move |request| call(router.clone(), request, known.clone(), activity.clone()));
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .max_frame_size(64 << 10)
        .max_concurrent_streams(128)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .max_send_buf_size(512 << 10)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut draining = false;
    let result = loop {
        tokio::select! {
            result = connection.as_mut() => break result,
            () = stop.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if result.is_err() {
        shared.metrics.failed.inc();
    }
}

async fn call(
    mut router: Router,
    request: hyper::Request<hyper::body::Incoming>,
    known: Connection,
    activity: Activity,
) -> Result<Response<Tracked<Body>>, Infallible> {
    let request_activity = RequestActivity::begin(activity);
    if has_odd_framing(request.headers()) {
        let mut refusal = Response::new(Body::empty());
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return Ok(refusal.map(|body| Tracked::new(body, request_activity)));
    }
    let mut request: Request = request.map(|body| Body::new(Tracked::new(body, request_activity.clone())));
    let id = RequestId::next();
    request.extensions_mut().insert(Connection { request: id, ..known });
    let mut response = router.call(request).await?;
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    Ok(response.map(|body| Tracked::new(body, request_activity)))
}

/// Whether the body is framed by anything but a length or chunks alone: what stands before us might read it
/// otherwise and see other requests (RFC 9112 §11.2).
fn has_odd_framing(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) => !coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => true,
    }
}

/// Whether a deadline of [`GuardedStream`] ended the connection.
fn is_timeout(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|source| source.kind() == std::io::ErrorKind::TimedOut)
}

/// Ends a connection so that the client can read the last answer.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let discard = async {
        stream.shutdown().await?;
        let mut buffer = vec![0; 16 << 10];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match stream.read(&mut buffer).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        std::io::Result::Ok(())
    };
    // Whatever goes wrong here, the connection is over.
    let _ = tokio::time::timeout(LINGER_TIME, discard).await;
}
