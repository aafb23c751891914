//! `/token`: bearer tokens by Docker's protocol (GET) and OAuth 2 (POST); checklist §11.2.

use std::cell::Cell;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use cluster::{ReadError, StateReader};
use cluster_core::access::{Action, Verb};
use proto::name::RepositoryName;
use serde_json::{Map, Value};

use super::error::{Code, OciError};
use super::query::Query;
use super::{Api, Exchange};
use crate::api::body::read_all;
use crate::auth::decider::Verdict;
use crate::auth::login::{self, Login};
use crate::auth::scope::Grant;
use crate::auth::token::ACCESS_SECONDS;
use crate::auth::{AuthError, Identity, Proof, Secret};

/// Largest form in bytes.
const MAX_FORM: usize = 64 << 10;

pub(super) async fn handle(api: &Api, parts: &Parts, body: Body) -> Result<Response, OciError> {
    let exchange = &Exchange::begin(api, parts)?;
    let body = read_all(body, MAX_FORM).await.map_err(|_| {
        OciError::new(Code::Unsupported, "the form is too large or broken").status(StatusCode::BAD_REQUEST)
    })?;
    if let Some(issued) = issued_by_leader(exchange, &body).await {
        return Ok(issued);
    }
    match parts.method {
        Method::GET => get(exchange).await,
        Method::POST => post(exchange, &body).await,
        _ => Err(OciError::new(Code::Unsupported, "use GET or POST").header(header::ALLOW, "GET, POST")),
    }
}

/// At an edge, the leader's answer while it can be reached: what an edge signs counts nowhere else.
async fn issued_by_leader(exchange: &Exchange<'_>, body: &Bytes) -> Option<Response> {
    let Exchange { api, parts, connection, .. } = exchange;
    api.registry.edge.as_ref()?;
    let leader = api.registry.metadata.leader()?;
    api.relay.as_ref()?.pass(leader, parts, connection, Body::from(body.clone())).await.ok()
}

/// Basic credentials or none; wrong ones are never answered with an anonymous token (A24).
async fn get(exchange: &Exchange<'_>) -> Result<Response, OciError> {
    let Exchange { api, parts, connection, registry, .. } = exchange;
    let known = api.authenticator.authenticate(&parts.headers, connection.remote.ip(), registry).await;
    let identity = match known {
        Ok(identity) if identity.grants.is_none() => identity,
        // A token is not what gets a token (XT10).
        Ok(_) => return Err(refuse(api, AuthError::Invalid)),
        Err(error) => return Err(refuse(api, error)),
    };
    let query = Query::parse(parts.uri.query());
    let kind =
        if query.get("offline_token") == Some("true") { Issue::WithRefresh } else { Issue::AccessOnly };
    issue(exchange, &identity, &query, kind)
}

async fn post(exchange: &Exchange<'_>, form: &[u8]) -> Result<Response, OciError> {
    let Exchange { api, parts, connection, registry, .. } = exchange;
    let bad =
        |message: &'static str| OciError::new(Code::Unsupported, message).status(StatusCode::BAD_REQUEST);
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return Err(bad("a form is needed"));
    }
    let form = std::str::from_utf8(form).map_err(|_| bad("the form is not UTF-8"))?;
    let form = Query::parse(Some(form));
    let identity = match form.get("grant_type") {
        Some("password") => {
            let password = Secret::new(form.get("password").unwrap_or_default().to_owned());
            let user = form.get("username").unwrap_or_default();
            api.authenticator.log_in(user, &password, connection.remote.ip(), &registry.account).await
        }
        Some("refresh_token") => {
            let reader = api.registry.metadata.local()?;
            api.authenticator.tokens.verify_refresh(&reader, form.get("refresh_token").unwrap_or_default())
        }
        _ => return Err(bad("grant_type must be password or refresh_token")),
    };
    let identity = identity.map_err(|error| refuse(api, error))?;
    let kind =
        if form.get("access_type") == Some("offline") { Issue::WithRefresh } else { Issue::AccessOnly };
    issue(exchange, &identity, &form, kind)
}

fn refuse(api: &Api, error: AuthError) -> OciError {
    api.metrics.refused_logins.inc();
    error.into()
}

/// What a client asked for besides its scopes.
#[derive(Clone, Copy)]
enum Issue {
    AccessOnly,
    WithRefresh,
}

/// A token for what is asked and allowed, which may be nothing (A23).
fn issue(
    exchange: &Exchange<'_>,
    identity: &Identity,
    asked: &Query<'_>,
    kind: Issue,
) -> Result<Response, OciError> {
    let api = exchange.api;
    let reader = api.registry.metadata.local()?;
    let grants = grants(exchange, &reader, identity, asked)?;
    let scope: Vec<String> = grants.iter().map(Grant::to_scope).collect();
    let tokens = &api.authenticator.tokens;
    let failed = |error| {
        tracing::error!(reason = %crate::telemetry::log::chain(&error), "no token issued");
        OciError::unavailable("tokens cannot be issued now")
    };
    let token = tokens.issue(identity, &exchange.registry, grants, exchange.index).map_err(failed)?;
    let mut reply = Map::new();
    reply.insert("token".into(), token.clone().into());
    reply.insert("access_token".into(), token.into());
    reply.insert("expires_in".into(), ACCESS_SECONDS.into());
    reply.insert(
        "issued_at".into(),
        humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string().into(),
    );
    reply.insert("scope".into(), scope.join(" ").into());
    // What ends soon, or narrows, does not buy what stays.
    if let (Issue::WithRefresh, Proof::Password) = (kind, identity.proof) {
        let login = login::login(&reader, identity.caller.clone()).map_err(ReadError::from)?;
        if let Some(Login { caller, password_hash }) = login {
            let token = tokens.issue_refresh(&caller, &password_hash, exchange.index).map_err(failed)?;
            reply.insert("refresh_token".into(), token.into());
        }
    }
    let mut response = super::reply::json(StatusCode::OK, Value::Object(reply).to_string());
    super::reply::set(&mut response, header::CACHE_CONTROL, "no-store");
    Ok(response)
}

/// What of the scopes that are asked for is allowed. Every request is decided on again: a token for a verb of which only
/// some is allowed allows no more.
fn grants(
    exchange: &Exchange<'_>,
    reader: &StateReader,
    identity: &Identity,
    asked: &Query<'_>,
) -> Result<Vec<Grant>, ReadError> {
    let failed = Cell::new(None);
    let may = |action: Action, name: Option<&RepositoryName>| {
        let wanted = exchange.wanted(action, name);
        let verdict = exchange.api.decider.may(reader, identity, exchange.connection.into(), &wanted);
        verdict.unwrap_or_else(|error| {
            failed.set(Some(error));
            Verdict::Denied
        })
    };
    let allowed = |verb: Verb, name: Option<&RepositoryName>| {
        verb.actions().any(|action| may(action, name) == Verdict::Allowed)
    };
    let grants = Grant::intersect(asked.all("scope"), allowed);
    failed.into_inner().map_or(Ok(grants), |error| Err(error.into()))
}
