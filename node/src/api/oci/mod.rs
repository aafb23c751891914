//! The OCI and Docker registry API, version 2: each request becomes one operation, is authenticated,
//! decided on and answered here; a file per noun does the rest.

mod access;
mod blob;
mod catalog;
mod conditions;
mod creation;
mod download;
mod edge;
mod error;
mod manifest;
mod mount;
mod operation;
mod query;
mod referrers;
mod reply;
mod serving;
mod tags;
mod token;
mod upload;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use cluster::ReadError;
use cluster_core::access::{Action, Facts, Resource, Wanted};
use cluster_core::key::RepositoryId;
use proto::identity::RegistryId;
use proto::name::RepositoryName;
use tracing::Instrument;

use crate::adapters::relay::Relay;
use crate::auth::decider::{Decider, Verdict};
use crate::auth::{Authenticator, Identity};
use crate::http::registry_host::Hosts;
use crate::http::server::Connection;
use crate::registry::Registry;
use crate::telemetry::metrics::{OperationLabels, RequestLabels, RequestMetrics};
use error::{Code, OciError};
use operation::Operation;
use query::Query;

/// Longest request target in bytes: path and query.
const MAX_TARGET: usize = 8 << 10;

/// What handlers need.
pub(crate) struct Api {
    /// The use cases.
    pub(crate) registry: Registry,
    /// Who asks.
    pub(crate) authenticator: Arc<Authenticator>,
    /// Whether they may.
    pub(crate) decider: Arc<Decider>,
    /// What decisions depend on, beside policies.
    pub(crate) facts: Facts,
    /// The names under which clients reach it.
    pub(crate) hosts: Hosts,
    /// What is counted.
    pub(crate) metrics: RequestMetrics,
    /// The way to uploads and blobs that other nodes hold; none for requests that were passed on already.
    pub(crate) relay: Option<Relay>,
}

/// One request on its way through a handler.
struct Exchange<'a> {
    api: &'a Api,
    parts: &'a Parts,
    connection: &'a Connection,
    /// Whose repositories its names mean.
    registry: RegistryId,
    /// Of a state no newer than the one that says who asks: tokens are dated by it.
    index: u64,
    /// Nobody, until it is known who asks.
    identity: Identity,
}

impl<'a> Exchange<'a> {
    /// Of a request whose host says which registry it is about.
    fn begin(api: &'a Api, parts: &'a Parts) -> Result<Self, OciError> {
        let connection =
            parts.extensions.get::<Connection>().ok_or_else(|| OciError::unavailable("no connection"))?;
        let named = api.hosts.registry(access::host(parts)?);
        let registry = named.unwrap_or_else(|| api.facts.default_registry.clone());
        let index = api.registry.metadata.applied_index();
        Ok(Self { api, parts, connection, registry, index, identity: Identity::ANONYMOUS })
    }
}

impl Exchange<'_> {
    fn repository(&self, name: &RepositoryName) -> RepositoryId {
        RepositoryId { registry: self.registry.clone(), name: name.clone() }
    }

    /// The repository of that name, or the whole registry.
    fn wanted(&self, action: Action, name: Option<&RepositoryName>) -> Wanted {
        let resource = match name {
            Some(name) => Resource::Repository(self.repository(name)),
            None => Resource::Registry(self.registry.clone()),
        };
        Wanted::call(action, resource)
    }

    /// Whether the caller may do this as well, in the repository of that name or the whole registry.
    fn may(&self, action: Action, name: Option<&RepositoryName>) -> Result<Verdict, OciError> {
        self.might(&self.identity, action, name)
    }

    /// Whether `identity` might do that.
    fn might(
        &self,
        identity: &Identity,
        action: Action,
        name: Option<&RepositoryName>,
    ) -> Result<Verdict, OciError> {
        let (reader, wanted) = (self.api.registry.metadata.local()?, self.wanted(action, name));
        let verdict = self.api.decider.may(&reader, identity, self.connection.into(), &wanted);
        Ok(verdict.map_err(ReadError::from)?)
    }

    fn query(&self) -> Query<'_> {
        Query::parse(self.parts.uri.query())
    }

    /// The value of a header that decides something: given twice, or not readable, it cannot be obeyed and
    /// must not be passed over.
    fn header(&self, name: header::HeaderName) -> Result<Option<&str>, OciError> {
        let mut values = self.parts.headers.get_all(&name).iter();
        let unclear = || {
            let message = format!("the header {name} is not one readable value");
            OciError::new(Code::Unsupported, message).status(StatusCode::BAD_REQUEST)
        };
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(Some).map_err(|_| unclear()),
            (Some(_), Some(_)) => Err(unclear()),
        }
    }

    fn is_head(&self) -> bool {
        self.parts.method == Method::HEAD
    }
}

/// Everything below `/v2`, and the token endpoint.
pub(crate) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/token", any(token_endpoint))
        .route("/v2", any(answer))
        .route("/v2/", any(answer))
        .route("/v2/{*rest}", any(answer))
        .route("/download/{token}", get(download::answer))
        .with_state(api)
}

async fn token_endpoint(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    observe(&api, &parts, "Token", "/token", token::handle(&api, &parts, body)).await
}

async fn answer(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET {
        let error = OciError::new(Code::NameInvalid, "the request target is too long");
        return reply::finish(error.status(StatusCode::URI_TOO_LONG).into_response());
    }
    let operation = Operation::parse(&parts.method, parts.uri.path());
    let name = operation.as_ref().map_or("None", Operation::name);
    let work = async {
        match operation {
            Ok(operation) => handle(&api, &parts, body, operation).await,
            Err(reason) => Err(reason.into()),
        }
    };
    observe(&api, &parts, name, parts.uri.path(), work).await
}

/// Authenticates, decides, acts.
async fn handle(api: &Api, parts: &Parts, body: Body, operation: Operation) -> Result<Response, OciError> {
    let mut exchange = Exchange::begin(api, parts)?;
    exchange.identity = access::authorize(&exchange, &operation).await?;
    edge::reach_index(&exchange).await?;
    let sight = edge::look(&exchange, &operation).await?;
    if let Some(leader) = edge::goes_to(&exchange, &operation)? {
        return edge::pass(&exchange, leader, body).await;
    }
    let answered = act(&exchange, operation, body).await;
    edge::mark(&exchange, sight, answered)
}

async fn act(exchange: &Exchange<'_>, operation: Operation, body: Body) -> Result<Response, OciError> {
    match operation {
        Operation::Base => Ok(reply::json(StatusCode::OK, "{}".into())),
        Operation::Catalog => catalog::list(exchange).await,
        Operation::Extensions(_) => Ok(reply::json(StatusCode::OK, r#"{"extensions":[]}"#.into())),
        Operation::ListTags(name) => tags::list(exchange, &name).await,
        Operation::ListReferrers(name, subject) => referrers::list(exchange, &name, &subject).await,
        Operation::ReadBlob { repository, digest, head } => {
            blob::read(exchange, &repository, digest, head).await
        }
        Operation::DeleteBlob(name, digest) => blob::delete(exchange, &name, digest).await,
        Operation::ReadManifest(name, reference) => manifest::read(exchange, &name, &reference).await,
        Operation::PutManifest(name, reference) => manifest::put(exchange, &name, reference, body).await,
        Operation::DeleteManifest(name, reference) => manifest::delete(exchange, &name, reference).await,
        Operation::StartUpload(name) => upload::start(exchange, &name, body).await,
        Operation::Upload { repository, id, verb } => {
            upload::session(exchange, &repository, id, verb, body).await
        }
    }
}

impl Operation {
    /// For metrics and logs.
    fn name(&self) -> &'static str {
        match self {
            Self::Base => "Base",
            Self::Catalog => "Catalog",
            Self::Extensions(_) => "Extensions",
            Self::ListTags(_) => "ListTags",
            Self::ListReferrers(..) => "ListReferrers",
            Self::ReadBlob { head: false, .. } => "GetBlob",
            Self::ReadBlob { head: true, .. } => "HeadBlob",
            Self::DeleteBlob(..) => "DeleteBlob",
            Self::ReadManifest(..) => "ReadManifest",
            Self::PutManifest(..) => "PutManifest",
            Self::DeleteManifest(..) => "DeleteManifest",
            Self::StartUpload(_) => "StartUpload",
            Self::Upload { verb, .. } => match verb {
                operation::UploadVerb::Status => "UploadStatus",
                operation::UploadVerb::Append => "UploadAppend",
                operation::UploadVerb::Finish => "UploadFinish",
                operation::UploadVerb::Cancel => "UploadCancel",
            },
        }
    }

    /// The repository it is about.
    fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Base | Self::Catalog | Self::Extensions(None) => None,
            Self::Extensions(Some(name))
            | Self::ListTags(name)
            | Self::ListReferrers(name, _)
            | Self::ReadBlob { repository: name, .. }
            | Self::DeleteBlob(name, _)
            | Self::ReadManifest(name, _)
            | Self::PutManifest(name, _)
            | Self::DeleteManifest(name, _)
            | Self::StartUpload(name)
            | Self::Upload { repository: name, .. } => Some(name),
        }
    }
}

/// Runs `work` in a span, counts it, and logs writes and failures once.
async fn observe(
    api: &Api,
    parts: &Parts,
    operation: &'static str,
    path: &str,
    work: impl Future<Output = Result<Response, OciError>>,
) -> Response {
    let began = Instant::now();
    let known = parts.extensions.get::<Connection>();
    let (remote, id) = (known.map(|known| known.remote), known.map(|known| known.request.to_string()));
    let path: String = path.chars().take(512).collect();
    let span = tracing::info_span!("request", operation, method = %parts.method, host = ?access::host(parts).ok(), path = ?path, remote = ?remote, id);
    async {
        let response = reply::finish(work.await.unwrap_or_else(IntoResponse::into_response));
        let status = response.status();
        let elapsed = began.elapsed();
        api.metrics.total.get_or_create(&RequestLabels { operation, status: status.as_u16() }).inc();
        api.metrics.duration.get_or_create(&OperationLabels { operation }).observe(elapsed.as_secs_f64());
        let duration_ms = elapsed.as_millis();
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), duration_ms, "request failed");
        } else if status.is_client_error()
            && status != StatusCode::NOT_FOUND
            && status != StatusCode::UNAUTHORIZED
        {
            tracing::info!(status = status.as_u16(), duration_ms, "request refused");
        } else if parts.method.is_safe() {
            tracing::debug!(status = status.as_u16(), duration_ms, "request answered");
        } else {
            tracing::info!(status = status.as_u16(), duration_ms, "request answered");
        }
        response
    }
    .instrument(span)
    .await
}
