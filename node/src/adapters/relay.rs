//! Requests about an upload, for the node that holds its bytes: HTTP over a stream between peers.
//!
//! The request goes on as it came, credentials included, and is authenticated and decided on again over
//! there; only the client's address and whether it came by TLS are added, which no client can: what it sends
//! under that name is replaced here. The body streams through; nothing is kept. Never retried: the client
//! asks where the upload stands and goes on from there.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use axum::response::Response;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use peer::{ByteStream, CallError, Peers, Protocol};
use proto::identity::NodeId;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::members::Directory;
use crate::http::server::{Connection, RequestId};

/// To connect to the other node.
const PATIENCE: Duration = Duration::from_secs(2);
/// `http` or `https`, a space, and the client's address.
const CLIENT: HeaderName = HeaderName::from_static("shoal-client");
/// Meant for one connection only (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Why a request was not passed on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    /// No member has this id.
    #[error("no such node")]
    UnknownNode,
    /// The node is a member, but not reached.
    #[error("the node that holds the upload cannot be reached")]
    Unreachable(#[from] CallError),
    /// The stream broke before the head of an answer came.
    #[error("the node that holds the upload did not answer")]
    Broken(#[from] hyper::Error),
}

/// The way to other nodes' uploads.
#[derive(Clone)]
pub(crate) struct Relay {
    peers: Peers,
    directory: Directory,
    tasks: TaskTracker,
}

impl Relay {
    /// Over `peers`, to the nodes of `directory`; what drives a relayed request runs in `tasks`.
    pub(crate) fn new(peers: Peers, directory: Directory, tasks: TaskTracker) -> Self {
        Self { peers, directory, tasks }
    }

    /// Whether uploads of `node` are elsewhere.
    pub(crate) fn is_elsewhere(&self, node: NodeId) -> bool {
        node != self.directory.this_node()
    }

    /// Lets `node` answer. Dropped, the request ends over there as a client's that went away.
    pub(crate) async fn pass(
        &self,
        node: NodeId,
        parts: &Parts,
        connection: &Connection,
        body: Body,
    ) -> Result<Response, RelayError> {
        let address = self.directory.address(node).ok_or(RelayError::UnknownNode)?;
        let stream = self.peers.open(&address, Protocol::Upload, PATIENCE).await?;
        let (mut sender, driver) =
            hyper::client::conn::http1::Builder::new().handshake(TokioIo::new(stream)).await?;
        // Ends with the stream, which ends with the request, its answer or the peers.
        self.tasks.spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "relayed request ended early");
            }
        });
        let answer = sender.send_request(onward(parts, connection, body)).await?;
        let (mut head, body) = answer.into_parts();
        HOP_BY_HOP.iter().for_each(|name| drop(head.headers.remove(name)));
        Ok(Response::from_parts(head, Body::new(body)))
    }
}

fn onward(parts: &Parts, connection: &Connection, body: Body) -> Request {
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.version_mut() = Version::HTTP_11;
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    // It was part of a URI, so it is one.
    *request.uri_mut() = target.parse().unwrap_or_default();
    let mut headers = parts.headers.clone();
    HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(name)));
    // HTTP/2 says it in the target; challenges are made of it.
    if let (None, Some(authority)) = (headers.get(header::HOST), parts.uri.authority())
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(header::HOST, host);
    }
    let scheme = if connection.tls { "https" } else { "http" };
    if let Ok(client) = HeaderValue::from_str(&format!("{scheme} {}", connection.remote)) {
        headers.insert(CLIENT, client);
    }
    *request.headers_mut() = headers;
    request
}

/// Answers requests that other nodes pass on, by `router`.
pub(crate) fn serve(peers: &Peers, router: Router) {
    peers.serve_streams(Protocol::Upload, move |_, stream| answer(router.clone(), stream));
}

async fn answer(router: Router, stream: ByteStream) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut router = router.clone();
        async move {
            let mut request: Request = request.map(Body::new);
            let Some(connection) = client_of(request.headers()) else {
                let mut refusal = Response::new(Body::empty());
                *refusal.status_mut() = axum::http::StatusCode::BAD_REQUEST;
                return Ok::<_, Infallible>(refusal);
            };
            request.headers_mut().remove(CLIENT);
            request.extensions_mut().insert(connection);
            router.call(request).await
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "relayed request ended early");
    }
}

/// As the other node says, who is trusted with it.
fn client_of(headers: &HeaderMap) -> Option<Connection> {
    let (scheme, remote) = headers.get(CLIENT)?.to_str().ok()?.split_once(' ')?;
    let remote: SocketAddr = remote.parse().ok()?;
    Some(Connection { remote, tls: scheme == "https", frames: None, request: RequestId::next() })
}
