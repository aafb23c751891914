//! What operators and their machines ask: health and metrics, and the admin API below `/api/v1/` with its
//! documents of `proto::admin`. A file per noun; each request is authenticated and decided on here.

mod accounts;
mod audit;
mod backup;
mod blobs;
mod health;
mod iam;
mod layout;
mod nodes;
mod problem;
mod scrub;
mod secrets;
mod status;
mod tokens;
mod view;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ::blobs::BlobStore;
use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::routing::{delete, get, post};
use cluster::Metadata;
use cluster_core::access::{Action, Facts, Resource, Wanted};
use cluster_core::command::{Command, Response};
use peer::PeerAddress;

use crate::adapters::secrets::Secrets;
use crate::auth::decider::{Decider, Verdict};
use crate::auth::{AuthError, Authenticator, Identity, Proof};
use crate::http::server::Connection;
use crate::jobs::scrub::Progress;
use crate::registry::Registry;
use crate::registry::edge::Edge;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::Metrics;
use problem::Refusal;

/// Largest document that is read, in bytes.
const MAX_DOCUMENT: usize = 64 << 10;

/// What these pages tell about.
pub(crate) struct Admin {
    /// Ready only with a leader and working storage.
    pub(crate) metadata: Metadata,
    /// Ready only with a volume that takes writes.
    pub(crate) blobs: BlobStore,
    /// The bytes that a backup needs.
    pub(crate) registry: Registry,
    /// Who asks.
    pub(crate) authenticator: Arc<Authenticator>,
    /// Whether they may.
    pub(crate) decider: Arc<Decider>,
    /// What the decision depends on, beside policies.
    pub(crate) facts: Facts,
    /// For `/metrics`.
    pub(crate) metrics: Arc<Metrics>,
    /// Set once the node drains.
    pub(crate) draining: Arc<AtomicBool>,
    /// Of the cluster; part of join tokens.
    pub(crate) cluster_id: [u8; 16],
    /// Where other nodes reach this one; part of join tokens.
    pub(crate) here: PeerAddress,
    /// Set on an edge.
    pub(crate) edge: Option<Edge>,
    /// Seals the secrets of access keys.
    pub(crate) secrets: Secrets,
    /// What was decided on this node.
    pub(crate) audit: Arc<Audit>,
    /// Asked about, and for a pass.
    pub(crate) scrub: Arc<Progress>,
}

/// A request: from where it came, with which credentials, and for what.
struct AdminRequest {
    connection: Connection,
    headers: HeaderMap,
    /// Method and path, for the audit log.
    target: String,
}

impl<S: Sync> FromRequestParts<S> for AdminRequest {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let connection = parts.extensions.get::<Connection>().cloned();
        let connection = connection.ok_or(Refusal::Unavailable("no connection"))?;
        let target = format!("{} {}", parts.method, parts.uri.path());
        Ok(Self { connection, headers: parts.headers.clone(), target })
    }
}

/// `/healthz` and `/readyz` say that something is wrong and not what, so anybody may ask; the rest is for
/// those who may (XP11).
pub(crate) fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/api/v1/status", get(status::show))
        .route("/api/v1/tokens", get(tokens::list).post(tokens::create))
        .route("/api/v1/tokens/{id}", delete(tokens::revoke))
        .route("/api/v1/iam", post(iam::call))
        .route("/api/v1/accounts", get(accounts::list).post(accounts::create))
        .route("/api/v1/accounts/{id}/root", post(accounts::set_root_password))
        .route("/api/v1/layout", post(layout::apply))
        .route("/api/v1/layout/plan", post(layout::plan))
        .route("/api/v1/backup", get(backup::save))
        .route("/api/v1/backup/blobs/{digest}", get(backup::blob))
        .route("/api/v1/blobs/damaged", get(blobs::damaged))
        .route("/api/v1/audit", get(audit::list))
        .route("/api/v1/secrets", get(secrets::list).post(secrets::rotate))
        .route("/api/v1/scrub", get(scrub::show).post(scrub::start))
        .route("/api/v1/nodes", get(nodes::list))
        .route("/api/v1/nodes/{id}", get(nodes::show).delete(nodes::remove))
        .route("/api/v1/nodes/{id}/drain", post(nodes::drain))
        .route("/api/v1/nodes/{id}/undrain", post(nodes::undrain))
        .route("/api/v1/nodes/{id}/pin", post(nodes::pin).delete(nodes::unpin))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_DOCUMENT))
        .with_state(admin)
}

impl Admin {
    /// Changes the cluster, which no edge may: others would refuse it, and not say so as clearly.
    async fn propose(&self, command: Command) -> Result<Response, Refusal> {
        if self.edge.is_some() {
            return Err(Refusal::Conflict("this node is an edge: ask one that is not".to_owned()));
        }
        Ok(self.metadata.propose(command).await?)
    }

    /// Lets only those through who may do `action` to the cluster.
    async fn authorize(&self, action: Action, asked: &AdminRequest) -> Result<Identity, Refusal> {
        let identity = self.authenticate(asked).await?;
        let cluster = Resource::Registry(self.facts.default_registry.clone());
        let wanted = Wanted::call(action, cluster).about(asked.target.clone());
        self.decide(&identity, &asked.connection, &wanted)?;
        Ok(identity)
    }

    /// Who asks. Tokens are for pulls and pushes (XT10).
    async fn authenticate(&self, asked: &AdminRequest) -> Result<Identity, Refusal> {
        let (registry, address) = (&self.facts.default_registry, asked.connection.remote.ip());
        match self.authenticator.authenticate(&asked.headers, address, registry).await {
            Ok(Identity { proof: Proof::Robot(_) | Proof::Token, .. }) | Err(AuthError::Invalid) => {
                Err(Refusal::LoginNeeded)
            }
            Ok(identity) => Ok(identity),
            Err(AuthError::Unavailable(_)) => Err(Refusal::Unavailable("logins cannot be checked now")),
            Err(AuthError::Throttled) => Err(Refusal::Throttled),
        }
    }

    /// Whether they may.
    fn decide(&self, identity: &Identity, connection: &Connection, wanted: &Wanted) -> Result<(), Refusal> {
        match self.decider.authorize(&self.metadata.local()?, identity, connection.into(), wanted)? {
            Verdict::Allowed => Ok(()),
            Verdict::LoginNeeded => Err(Refusal::LoginNeeded),
            Verdict::InsufficientScope | Verdict::Denied => Err(Refusal::Denied),
        }
    }
}

/// Random bytes for ids and secrets.
fn random<const BYTES: usize>() -> Result<[u8; BYTES], Refusal> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|_| Refusal::Unavailable("the system gives no randomness"))?;
    Ok(bytes)
}
