//! etcd's own protocol, gRPC over HTTP/2, as far as a put needs it: no gateway stands between.
//!
//! Owns the framing of one unary call and the two messages (etcd's `rpc.proto`).

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, TE};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::LoadError;

/// `etcdserverpb.PutRequest`.
#[derive(Clone, PartialEq, Message)]
struct Put {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// One connection to one etcd.
pub struct Etcd {
    sender: SendRequest<Full<Bytes>>,
    uri: String,
    _io: AbortOnDropHandle<()>,
}

impl Etcd {
    /// Connects to `authority`, a host and a port.
    ///
    /// # Errors
    /// [`LoadError::Unreachable`] or [`LoadError::Broken`].
    pub async fn connect(authority: &str) -> Result<Self, LoadError> {
        let socket = TcpStream::connect(authority).await.map_err(LoadError::Unreachable)?;
        socket.set_nodelay(true).map_err(LoadError::Unreachable)?;
        let (sender, io) =
            handshake(TokioExecutor::new(), TokioIo::new(socket)).await.map_err(LoadError::Broken)?;
        let io = AbortOnDropHandle::new(tokio::spawn(async move { drop(io.await) }));
        Ok(Self { sender, uri: format!("http://{authority}/etcdserverpb.KV/Put"), _io: io })
    }

    /// Writes one key; returns once etcd has acknowledged.
    ///
    /// # Errors
    /// [`LoadError::BadReply`] when etcd refuses, [`LoadError::Broken`] when the connection ends.
    pub async fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), LoadError> {
        let put = Put { key: key.into(), value: value.into() };
        let mut body = BytesMut::with_capacity(put.encoded_len() + 5);
        body.put_u8(0); // not compressed
        body.put_u32(u32::try_from(put.encoded_len()).map_err(|_| LoadError::BadReply("size"))?);
        body.put_slice(&put.encode_to_vec());
        let request =
            Request::post(&self.uri).header(CONTENT_TYPE, "application/grpc").header(TE, "trailers");
        let request = request.body(Full::new(body.freeze())).map_err(LoadError::BadRequest)?;
        let reply = self.sender.send_request(request).await.map_err(LoadError::Broken)?;
        let (head, body) = reply.into_parts();
        let body = body.collect().await.map_err(LoadError::Broken)?;
        // A refusal comes in the head when there is no body.
        let status = body.trailers().and_then(|trailers| trailers.get("grpc-status"));
        let status = status.or_else(|| head.headers.get("grpc-status"));
        if head.status == StatusCode::OK && status.is_some_and(|status| status == "0") {
            return Ok(());
        }
        Err(LoadError::BadReply("grpc-status"))
    }
}
