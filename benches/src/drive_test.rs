//! The loop and the login against a small server in this process.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::auth::{Credentials, Purpose, login};
use crate::client::Target;
use crate::drive::{Limits, drive};
use crate::report::Outcome;
use crate::workload::{BlobGet, Operation, Read};

type Reply = Response<Full<Bytes>>;

/// Serves until dropped.
struct Server {
    url: String,
    _accepting: JoinSet<()>,
}

async fn serve(handler: fn(&Request<Incoming>, u64) -> Reply) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut accepting = JoinSet::new();
    accepting.spawn(async move {
        let requests = Arc::new(AtomicU64::new(0));
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let requests = Arc::clone(&requests);
            let service = service_fn(move |request| {
                let reply = handler(&request, requests.fetch_add(1, Ordering::Relaxed));
                async move { Ok::<_, Infallible>(reply) }
            });
            connections.spawn(async move {
                drop(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await,
                );
            });
        }
    });
    Server { url, _accepting: accepting }
}

fn status(status: StatusCode) -> Reply {
    Response::builder().status(status).body(Full::from("hello")).unwrap()
}

async fn read(server: &Server, limits: Limits) -> Outcome {
    let target = Arc::new(Target::new(&server.url).unwrap());
    let operation = Operation::Read(Read { method: Method::GET, path: "/x".into() });
    drive(&target, operation.into(), 0, limits).await.unwrap()
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn every_operation_is_counted_once_by_what_became_of_it() {
    let server = serve(|_, number| {
        status(if number % 4 == 3 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK })
    })
    .await;
    let outcome = read(&server, Limits { concurrency: 3, count: 100, duration: LONG }).await;
    assert_eq!((outcome.items, outcome.bytes, outcome.latencies.len()), (75, 375, 75));
    assert_eq!(outcome.errors.into_iter().collect::<Vec<_>>(), [("503".to_owned(), 25)]);
}

#[tokio::test]
async fn a_server_that_only_fails_is_left_alone_soon() {
    let server = serve(|_, _| status(StatusCode::INTERNAL_SERVER_ERROR)).await;
    let outcome = read(&server, Limits { concurrency: 2, count: u64::MAX, duration: LONG }).await;
    assert_eq!(outcome.errors.get("500"), Some(&40));
}

#[tokio::test]
async fn a_slow_read_ends_at_the_deadline_with_what_it_got() {
    let server = serve(|_, _| Response::new(Full::from(vec![0; 4 << 20]))).await;
    let target = Arc::new(Target::new(&server.url).unwrap());
    let operation = Operation::BlobGet(BlobGet::at("/blob".into(), Some(1 << 20)));
    let limits = Limits { concurrency: 1, count: 1, duration: Duration::from_millis(200) };
    let outcome = drive(&target, operation.into(), 0, limits).await.unwrap();
    assert_eq!((outcome.items, outcome.latencies.len()), (0, 0));
    assert!(outcome.bytes > 0 && outcome.bytes < 4 << 20, "{}", outcome.bytes);
}

#[tokio::test]
async fn a_bearer_challenge_is_answered_with_a_token_of_the_endpoint() {
    let server = serve(|request, _| {
        let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        match (request.uri().path(), authorization) {
            ("/token", Some("Basic cm9vdDpzZWNyZXQ=")) => Response::new(Full::from(r#"{"token":"abc"}"#)),
            ("/x", Some("Bearer abc")) => status(StatusCode::OK),
            _ => Response::builder()
                .status(StatusCode::UNAUTHORIZED)
                .header(WWW_AUTHENTICATE, r#"Bearer realm="http://registry/token",service="s""#)
                .body(Full::default())
                .unwrap(),
        }
    })
    .await;
    let credentials = Credentials::parse("root:secret").unwrap();
    let target = Target::new(&server.url).unwrap();
    let target = login(target, Some(&credentials), &Purpose::Repository("a".into())).await.unwrap();
    let operation = Operation::Read(Read { method: Method::GET, path: "/x".into() });
    let limits = Limits { concurrency: 1, count: 5, duration: LONG };
    let outcome = drive(&Arc::new(target), operation.into(), 0, limits).await.unwrap();
    assert_eq!((outcome.items, outcome.errors.len()), (5, 0));
}
