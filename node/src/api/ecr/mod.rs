//! Amazon ECR's API: `POST /` with `X-Amz-Target` (ECR specification §1).
//!
//! Every request is read whole, its signature checked, its input held against the model, decided on, and done: a file
//! per noun. Owns how the dialect looks over HTTP; what it may say is known to `proto::ecr`.

mod absent;
mod act;
mod authorization;
mod call;
mod cursor;
mod document;
mod image;
mod images;
mod layer;
mod policy;
mod put_image;
mod referrer;
mod registry;
mod repository;
mod rule;
mod session;
mod settings;
mod signature;
mod sts;
mod tag;
mod template;
mod upload;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use call::Call;
use cluster::{Metadata, ReadError};
use proto::digest::{Algorithm, Digest};
use proto::ecr::{Exception, Failure, Model, Name, Operation, Output, Service};
use proto::identity::{AccountId, RegistryId};
use proto::sigv4::{self, SigV4Error};
use signature::{Signatory, SignatureError, Signatures};
use tracing::Instrument as _;
use upload::ShortParts;

use crate::adapters::secrets::Secrets;
use crate::api::body::{BodyError, read_all};
use crate::api::oci::Api;
use crate::http::server::Connection;
use crate::registry::RegistryError;
use crate::telemetry::log::chain;
use crate::telemetry::metrics::{OperationLabels, RequestLabels};

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// What a node knows of signed requests and of uploads that began with them. Clones share it.
#[derive(Clone)]
pub(crate) struct Signed {
    /// Whose requests they are.
    signatures: Arc<Signatures>,
    /// Seals the credentials of sessions.
    secrets: Secrets,
    /// Which uploads of this node have parts that are too small.
    short_parts: Arc<ShortParts>,
}

impl Signed {
    pub(crate) fn new(metadata: Metadata, secrets: Secrets) -> Result<Self, SigV4Error> {
        let signatures = Arc::new(Signatures::new(metadata, secrets.clone())?);
        Ok(Self { signatures, secrets, short_parts: Arc::new(ShortParts::new()) })
    }
}

/// What the operations work on.
struct Ecr {
    /// What the other dialect works on.
    api: Arc<Api>,
    signed: Signed,
}

/// `POST /`.
pub(crate) fn router(api: Arc<Api>, signed: Signed) -> Router {
    Router::new().route("/", post(answer)).with_state(Arc::new(Ecr { api, signed }))
}

async fn answer(State(ecr): State<Arc<Ecr>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.headers.get(TARGET).and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = Operation::from_target(target);
    let is_sts = target.is_empty() && sts::is_query(&parts);
    let name = if is_sts { "Sts" } else { operation.map_or("None", |operation| operation.name().as_str()) };
    let known = parts.extensions.get::<Connection>();
    let (remote, id) = (known.map(|known| known.remote), known.map(|known| known.request.to_string()));
    let span = tracing::info_span!("request", operation = name, remote = ?remote, id);
    async {
        let began = Instant::now();
        let mut response = match operation {
            None if is_sts && ecr.api.registry.edge.is_none() => sts::answer(&ecr, &parts, body).await,
            None if is_sts => pass(&ecr, &parts, body).await,
            None => render(Err(Failure::unknown_operation(target))),
            Some(_) if ecr.api.registry.edge.is_some() => pass(&ecr, &parts, body).await,
            Some(operation) => {
                handle(&ecr, &parts, body, operation).await.unwrap_or_else(|failure| render(Err(failure)))
            }
        };
        if let Some(id) = id.as_ref().and_then(|id| HeaderValue::from_str(id).ok()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        let (status, elapsed) = (response.status().as_u16(), began.elapsed());
        ecr.api.metrics.total.get_or_create(&RequestLabels { operation: name, status }).inc();
        ecr.api
            .metrics
            .duration
            .get_or_create(&OperationLabels { operation: name })
            .observe(elapsed.as_secs_f64());
        tracing::info!(status, duration_ms = elapsed.as_millis(), "request answered");
        response
    }
    .instrument(span)
    .await
}

/// An edge has no secrets to check a signature with, and what it signs counts nowhere else: the leader answers.
async fn pass(ecr: &Ecr, parts: &Parts, body: Body) -> Response {
    let way = ecr
        .api
        .relay
        .as_ref()
        .zip(ecr.api.registry.metadata.leader())
        .zip(parts.extensions.get::<Connection>());
    let Some(((relay, leader), connection)) = way else { return render(Err(Failure::server())) };
    let answered = relay.pass(leader, parts, connection, body).await;
    answered.unwrap_or_else(|error| render(Err(unavailable(&error))))
}

async fn handle(ecr: &Ecr, parts: &Parts, body: Body, operation: Operation) -> Result<Response, Failure> {
    let connection = parts.extensions.get::<Connection>().ok_or_else(Failure::server)?;
    // Before anything is read: who signs nothing, or not as one does, is not listened to.
    let signed = as_signed(parts, sigv4::Signed::parse).map_err(|error| {
        ecr.api.metrics.refused_logins.inc();
        refused(error)
    })?;
    let limit = Model::body_limit(operation);
    let body = read_all(body, limit).await.map_err(|error| match error {
        BodyError::TooLarge { limit } => {
            Failure::serialization(format!("the body has more than {limit} bytes"))
        }
        BodyError::Broken(_) | BodyError::Slow => Failure::serialization("the body did not come whole"),
    })?;
    let Signatory { caller, key, ends_ms, index, scope } = signatory(ecr, &signed, body.clone()).await?;
    if scope.service.as_str() != operation.service().as_str() {
        return Err(refused(SigV4Error::Invalid(sigv4::Invalid::Scope)));
    }
    let input = Model::check(operation, &body)?;
    let own = caller.account().cloned().ok_or_else(Failure::server)?;
    let named = if input.may_have("registryId") { input.parse_if::<AccountId>("registryId")? } else { None };
    let account = named.unwrap_or(own);
    let registry = RegistryId { account, region: scope.region };
    let mut call = Call { ecr, parts, connection, caller, key, ends_ms, index, registry, operation, input };
    if operation.service() == Service::Ecr
        && matches!(operation.name(), Name::UploadLayerPart | Name::CompleteLayerUpload)
        && let Some(answered) = upload::elsewhere(&call, &body).await
    {
        return answered;
    }
    act::act(&mut call).await.map(|output| render(Ok(output)))
}

/// What `ask` says of the request as its signature covers it.
fn as_signed<T>(parts: &Parts, ask: impl FnOnce(&sigv4::Request<'_>) -> T) -> T {
    let mut headers: Vec<(&str, &[u8])> =
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    // HTTP/2 says it so.
    if let Some(authority) = parts.uri.authority().filter(|_| !parts.headers.contains_key(header::HOST)) {
        headers.push(("host", authority.as_str().as_bytes()));
    }
    ask(&sigv4::Request {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &headers,
    })
}

/// Who signed the request, whose body is this.
async fn signatory(ecr: &Ecr, signed: &sigv4::Signed, body: Bytes) -> Result<Signatory, Failure> {
    // Up to 28 MiB: not on a thread that serves others.
    let hashed = tokio::task::spawn_blocking(move || Digest::of(Algorithm::Sha256, &body)).await;
    let body = hashed.map_err(|_| Failure::server())?;
    ecr.signed.signatures.signatory(signed, &body).await.map_err(|error| match error {
        SignatureError::Refused(error) => {
            ecr.api.metrics.refused_logins.inc();
            refused(error)
        }
        SignatureError::Over => Failure::new(Exception::ExpiredToken, error.to_string()),
        error => unavailable(&error),
    })
}

fn refused(error: SigV4Error) -> Failure {
    let exception = match error {
        SigV4Error::Missing => Exception::MissingAuthenticationToken,
        SigV4Error::Incomplete(_) => Exception::IncompleteSignature,
        SigV4Error::Unrecognized => Exception::UnrecognizedClient,
        SigV4Error::Invalid(_) => Exception::InvalidSignature,
    };
    Failure::new(exception, error.to_string())
}

/// 500, which clients try again; the reason is for the log.
fn unavailable(error: &(dyn std::error::Error + 'static)) -> Failure {
    tracing::warn!(reason = %chain(error), "request failed");
    Failure::server()
}

fn unread(error: ReadError) -> Failure {
    unavailable(&error)
}

fn unmade(error: RegistryError) -> Failure {
    unavailable(&error)
}

fn render(answered: Result<Output, Failure>) -> Response {
    let (status, body) = match answered {
        Ok(output) => (StatusCode::OK, output.render()),
        Err(failure) => {
            let status = StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, failure.render())
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}
