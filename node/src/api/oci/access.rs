//! Authentication and the decision, with the challenges that tell clients how to get further
//! (checklist §11.1).

use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use cluster::ReadError;
use cluster_core::access::{Action, Verb, Wanted};
use proto::name::{Reference, RepositoryName, Tag};

use super::Exchange;
use super::error::{Code, OciError};
use super::manifest::MAX_TAGS;
use super::mount::MAX_SOURCES;
use super::operation::{Operation, UploadVerb};
use super::query::Query;
use crate::auth::decider::Verdict;
use crate::auth::token::SERVICE;
use crate::auth::{AuthError, Identity};
use crate::http::public_url::is_host;
use crate::http::registry_host::Came;

/// Who asks for `operation`, if they may.
pub(super) async fn authorize(exchange: &Exchange<'_>, operation: &Operation) -> Result<Identity, OciError> {
    let Exchange { api, parts, connection, registry, .. } = exchange;
    let realm = realm(exchange)?;
    let challenge = |problem| challenge(parts, &realm, operation, problem);
    let known = api.authenticator.authenticate(&parts.headers, connection.remote.ip(), registry).await;
    let identity = match known {
        Ok(identity) => identity,
        Err(AuthError::Invalid) => {
            api.metrics.refused_logins.inc();
            return Err(challenge(Some("invalid_token")));
        }
        Err(error) => return Err(error.into()),
    };
    // Clients learn the login scheme from this one path only, even where reading needs none (A1).
    if *operation == Operation::Base && identity == Identity::ANONYMOUS {
        return Err(challenge(None));
    }
    if *operation == Operation::Base && identity.grants.is_some() {
        return Ok(identity);
    }
    match decide(exchange, operation, &identity)? {
        Verdict::Allowed => Ok(identity),
        Verdict::LoginNeeded if identity.grants.is_some() => Err(challenge(Some("insufficient_scope"))),
        Verdict::LoginNeeded => Err(challenge(None)),
        Verdict::InsufficientScope => Err(challenge(Some("insufficient_scope"))),
        Verdict::Denied => Err(OciError::new(Code::Denied, "not allowed")),
    }
}

/// Whether all of it may be done: what moves several tags is decided on for each.
fn decide(exchange: &Exchange<'_>, operation: &Operation, identity: &Identity) -> Result<Verdict, ReadError> {
    let Exchange { api, connection, .. } = exchange;
    let (reader, wanted) =
        (api.registry.metadata.local()?, exchange.wanted(action(operation), operation.repository()));
    let mut each: Vec<Wanted> =
        tags(exchange.parts, operation).into_iter().map(|tag| wanted.clone().of_tag(tag)).collect();
    if each.is_empty() {
        each.push(wanted);
    }
    for wanted in &each {
        let verdict = api.decider.authorize(&reader, identity, (*connection).into(), wanted)?;
        if verdict != Verdict::Allowed {
            return Ok(verdict);
        }
    }
    Ok(Verdict::Allowed)
}

/// The tags that it reads, moves or removes by name. Those of an image that is named by digest are not asked about.
fn tags(parts: &Parts, operation: &Operation) -> Vec<Tag> {
    match operation {
        Operation::ReadManifest(_, Reference::Tag(tag))
        | Operation::DeleteManifest(_, Reference::Tag(tag))
        | Operation::PutManifest(_, Reference::Tag(tag)) => vec![tag.clone()],
        Operation::PutManifest(_, Reference::Digest(_)) => {
            let query = Query::parse(parts.uri.query());
            // Bad ones, and too many, are refused as such.
            query.all("tag").take(MAX_TAGS).filter_map(|tag| tag.parse().ok()).collect()
        }
        _ => Vec::new(),
    }
}

/// The challenge for a mount whose sources the caller may read, though not with this token (A8).
pub(super) fn mount_challenge(exchange: &Exchange<'_>, name: &RepositoryName) -> OciError {
    let operation = Operation::StartUpload(name.clone());
    match realm(exchange) {
        Ok(realm) => challenge(exchange.parts, &realm, &operation, Some("insufficient_scope")),
        Err(error) => error,
    }
}

pub(super) fn action(operation: &Operation) -> Action {
    match operation {
        Operation::Base => Action::Connect,
        Operation::Catalog | Operation::Extensions(None) => Action::ListCatalog,
        Operation::Extensions(Some(_)) | Operation::ListTags(_) => Action::ListTags,
        Operation::ListReferrers(..) => Action::ListReferrers,
        Operation::ReadBlob { head: false, .. } => Action::ReadBlob,
        Operation::ReadBlob { head: true, .. } => Action::StatBlob,
        Operation::ReadManifest(..) => Action::ReadManifest,
        Operation::DeleteBlob(..) => Action::DeleteBlob,
        Operation::DeleteManifest(..) => Action::DeleteManifest,
        Operation::PutManifest(..) => Action::PutManifest,
        Operation::StartUpload(_) => Action::StartUpload,
        Operation::Upload { verb: UploadVerb::Finish, .. } => Action::FinishUpload,
        // Whoever may push may also cancel what they began (checklist §17).
        Operation::Upload { .. } => Action::WriteUpload,
    }
}

fn scope(operation: &Operation) -> Option<String> {
    let of = |name: &RepositoryName, actions| Some(format!("repository:{name}:{actions}"));
    match (action(operation).verb()?, operation.repository()) {
        (Verb::Catalog, _) => Some("registry:catalog:*".to_owned()),
        (Verb::Pull, Some(name)) => of(name, "pull"),
        (Verb::Push, Some(name)) => of(name, "pull,push"),
        (Verb::Delete, Some(name)) => of(name, "delete"),
        _ => None,
    }
}

/// The token endpoint as the client reaches us.
fn realm(exchange: &Exchange<'_>) -> Result<String, OciError> {
    let came = Came { host: host(exchange.parts)?, tls: exchange.connection.tls };
    Ok(format!("{}/token", exchange.api.hosts.url(came)))
}

/// 401 with where to get a token, and for what.
fn challenge(parts: &Parts, realm: &str, operation: &Operation, problem: Option<&str>) -> OciError {
    let mut value = format!("Bearer realm=\"{realm}\",service=\"{SERVICE}\"");
    if let Some(mut scope) = scope(operation) {
        for source in mount_sources(parts, operation) {
            scope.push_str(&format!(" repository:{source}:pull"));
        }
        value.push_str(&format!(",scope=\"{scope}\""));
    }
    if let Some(problem) = problem {
        value.push_str(&format!(",error=\"{problem}\""));
    }
    OciError::new(Code::Unauthorized, "authentication required").header(header::WWW_AUTHENTICATE, &value)
}

/// Repositories that a mount wants to read (A8).
fn mount_sources(parts: &Parts, operation: &Operation) -> Vec<RepositoryName> {
    let Operation::StartUpload(_) = operation else {
        return Vec::new();
    };
    let query = Query::parse(parts.uri.query());
    query.all("from").take(MAX_SOURCES).filter_map(|name| name.parse().ok()).collect()
}

/// The one host that the request names (RFC 9112 §3.2).
pub(super) fn host(parts: &Parts) -> Result<&str, OciError> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next(), parts.uri.authority()) {
        (Some(host), None, _) => host.to_str().unwrap_or_default(),
        (None, None, Some(authority)) => authority.as_str(),
        _ => "",
    };
    let error = || OciError::new(Code::Unsupported, "one Host header with a host and port is needed");
    if is_host(host) { Ok(host) } else { Err(error().status(StatusCode::BAD_REQUEST)) }
}

impl From<AuthError> for OciError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Invalid => Self::new(Code::Unauthorized, "the credentials are not valid"),
            AuthError::Throttled => {
                Self::new(Code::TooManyRequests, "too many wrong passwords: wait a little")
                    .header(header::RETRY_AFTER, "2")
            }
            AuthError::Unavailable(error) => error.into(),
        }
    }
}
