//! Amazon ECR's API: `POST /` with `X-Amz-Target` (ECR specification §1).
//!
//! Every request is read whole, its signature checked, its input held against the model, decided on, and done: a file
//! per noun. Owns how the dialect looks over HTTP; what it may say is known to `proto::ecr`.

mod authorization;
mod repository;
mod signature;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use cluster::ReadError;
use cluster_core::access::{Caller, Resource, Wanted};
use cluster_core::key::RepositoryId;
use proto::credential::AccessKeyId;
use proto::digest::{Algorithm, Digest};
use proto::ecr::{Exception, Failure, Input, Model, Name, Operation, Output};
use proto::identity::{AccountId, RegistryId};
use proto::name::RepositoryName;
use proto::policy::action::ActionName;
use proto::sigv4::{self, SigV4Error};
use signature::{Signatory, SignatureError};
use tracing::Instrument as _;

use crate::api::body::{BodyError, read_all};
use crate::api::oci::Api;
use crate::auth::decider::{Client, Verdict};
use crate::auth::{Identity, Proof};
use crate::http::public_url::is_host;
use crate::http::server::Connection;
use crate::telemetry::log::chain;
use crate::telemetry::metrics::{OperationLabels, RequestLabels};

pub(crate) use signature::Signatures;

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// What the operations work on.
pub(crate) struct Ecr {
    /// What the other dialect works on.
    pub(crate) api: Arc<Api>,
    /// Whose requests they are.
    pub(crate) signatures: Arc<Signatures>,
}

/// One request on its way through a handler.
struct Call<'a> {
    ecr: &'a Ecr,
    parts: &'a Parts,
    connection: &'a Connection,
    caller: Caller,
    /// With which the request is signed.
    key: AccessKeyId,
    /// Whose the resource is: `registryId`, else the caller's own; in the region of the signature.
    registry: RegistryId,
    operation: Operation,
    input: Input<'a>,
}

impl Call<'_> {
    /// Where the client reaches the registry: as it was configured, or as the request says, whose host is signed.
    fn endpoint(&self) -> Result<String, Failure> {
        if let Some(url) = &self.ecr.api.public_url {
            return Ok(url.to_string());
        }
        let header = self.parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = header.or(self.parts.uri.authority().map(|authority| authority.as_str()));
        let scheme = if self.connection.tls { "https" } else { "http" };
        let host = host.filter(|host| is_host(host)).ok_or_else(Failure::server)?;
        Ok(format!("{scheme}://{host}"))
    }

    /// Refuses unless the caller may do what the operation is called to the repository.
    fn authorize(&self, name: &RepositoryName) -> Result<(), Failure> {
        let (registry, name) = (self.registry.clone(), name.clone());
        self.decide(Resource::Repository(RepositoryId { registry, name }))
    }

    /// Refuses unless the caller may do it at all: for operations whose resource is `*`.
    fn authorize_at_all(&self) -> Result<(), Failure> {
        self.decide(Resource::Registry(self.registry.clone()))
    }

    fn decide(&self, resource: Resource) -> Result<(), Failure> {
        // Referrers are read with the right to read images (§9.1).
        let action = match self.operation.name() {
            Name::ListImageReferrers => "ecr:BatchGetImage".to_owned(),
            _ => self.operation.to_string(),
        };
        let action: ActionName = action.parse().map_err(|_| Failure::server())?;
        let identity = Identity::of(self.caller.clone(), Proof::Key);
        let client = Client { address: self.connection.remote.ip(), tls: self.connection.tls };
        let named = resource.named_for(&action);
        let wanted = Wanted::operation(action.clone(), resource);
        let api = &self.ecr.api;
        let reader = api.registry.metadata.local().map_err(unread)?;
        let verdict = api.decider.authorize(&reader, &identity, client, &wanted);
        match verdict.map_err(|error| unread(error.into()))? {
            Verdict::Allowed => Ok(()),
            // Whose key it was is nobody any more.
            Verdict::LoginNeeded => Err(refused(SigV4Error::Unrecognized)),
            Verdict::InsufficientScope | Verdict::Denied => {
                Err(Failure::access_denied(&self.caller, &action, named.as_str()))
            }
        }
    }
}

/// `POST /`.
pub(crate) fn router(ecr: Arc<Ecr>) -> Router {
    Router::new().route("/", post(answer)).with_state(ecr)
}

async fn answer(State(ecr): State<Arc<Ecr>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.headers.get(TARGET).and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = Operation::from_target(target);
    let name = operation.map_or("None", |operation| operation.name().as_str());
    let remote = parts.extensions.get::<Connection>().map(|connection| connection.remote);
    let span = tracing::info_span!("request", operation = name, remote = ?remote);
    async {
        let began = Instant::now();
        let response = match operation {
            None => render(Err(Failure::unknown_operation(target))),
            Some(_) if ecr.api.registry.edge.is_some() => pass(&ecr, &parts, body).await,
            Some(operation) => render(handle(&ecr, &parts, body, operation).await),
        };
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

async fn handle(ecr: &Ecr, parts: &Parts, body: Body, operation: Operation) -> Result<Output, Failure> {
    let connection = parts.extensions.get::<Connection>().ok_or_else(Failure::server)?;
    let limit = Model::body_limit(operation);
    let body = read_all(body, limit).await.map_err(|error| match error {
        BodyError::TooLarge { limit } => {
            Failure::serialization(format!("the body has more than {limit} bytes"))
        }
        BodyError::Broken(_) | BodyError::Slow => Failure::serialization("the body did not come whole"),
    })?;
    let Signatory { caller, key, scope } = signatory(ecr, parts, &body).await?;
    if scope.service.as_str() != operation.service().as_str() {
        return Err(refused(SigV4Error::Invalid(sigv4::Invalid::Scope)));
    }
    let input = Model::check(operation, &body)?;
    let own = caller.account().cloned().ok_or_else(Failure::server)?;
    let named = if input.may_have("registryId") { input.parse_if::<AccountId>("registryId")? } else { None };
    let account = named.unwrap_or(own);
    let registry = RegistryId { account, region: scope.region };
    act(Call { ecr, parts, connection, caller, key, registry, operation, input }).await
}

async fn act(call: Call<'_>) -> Result<Output, Failure> {
    match call.operation.name() {
        Name::GetAuthorizationToken => authorization::token(&call),
        Name::DescribeRepositories => repository::describe(&call).await,
        _ => {
            call.authorize_at_all()?;
            Err(Failure::new(Exception::UnsupportedCommand, "this release does not have the operation yet"))
        }
    }
}

/// Who signed the request.
async fn signatory(ecr: &Ecr, parts: &Parts, body: &[u8]) -> Result<Signatory, Failure> {
    let mut headers: Vec<(&str, &[u8])> =
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    // HTTP/2 says it so.
    if let Some(authority) = parts.uri.authority().filter(|_| !parts.headers.contains_key(header::HOST)) {
        headers.push(("host", authority.as_str().as_bytes()));
    }
    let request = sigv4::Request {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &headers,
    };
    let body = Digest::of(Algorithm::Sha256, body);
    ecr.signatures.signatory(&request, &body).await.map_err(|error| match error {
        SignatureError::Refused(error) => {
            ecr.api.metrics.refused_logins.inc();
            refused(error)
        }
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
    if let Ok(id) = HeaderValue::from_str(&uuid()) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> String {
    let mut bytes = [0; 16];
    // A request is answered without randomness as well; the id only helps to find it.
    let _ = getrandom::fill(&mut bytes);
    let [a, b, c, d] =
        [0, 4, 8, 12].map(|at| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
    let (b, c) = (b & 0xFFFF_0FFF | 0x4000, c & 0x3FFF_FFFF | 0x8000_0000);
    format!("{a:08x}-{:04x}-{:04x}-{:04x}-{:04x}{d:08x}", b >> 16, b & 0xFFFF, c >> 16, c & 0xFFFF)
}
