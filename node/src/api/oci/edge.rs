//! What clients see of the log's index, and what is different at an edge: changes go to the leader, and
//! answers of a node that is cut off say how old they are (consistency promises 7, 21 to 23).

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use proto::identity::NodeId;
use proto::name::Reference;

use super::access::action;
use super::error::{Code, OciError};
use super::operation::Operation;
use super::{Exchange, reply, upload};
use crate::auth::Identity;
use crate::auth::decider::Verdict;
use crate::registry::edge::{Audience, CutOff, Sight, Wanted};

/// The state of an answer holds every entry up to this one.
const INDEX: HeaderName = HeaderName::from_static("shoal-index");
/// The largest [`INDEX`] that the client was given.
const MIN_INDEX: HeaderName = HeaderName::from_static("shoal-min-index");
/// For this node to apply the entry that a client knows of (promise 7).
const PATIENCE: Duration = Duration::from_secs(2);
/// Digits of the largest index.
const MAX_DIGITS: usize = 20;

/// Waits until this node's state holds what the client has seen already.
pub(super) async fn reach_index(exchange: &Exchange<'_>) -> Result<(), OciError> {
    let Some(text) = exchange.header(MIN_INDEX)? else { return Ok(()) };
    let is_number = (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let index = text.parse().ok().filter(|_| is_number).ok_or_else(|| {
        let message = "Shoal-Min-Index must be the number that Shoal-Index gave";
        OciError::new(Code::Unsupported, message).status(StatusCode::BAD_REQUEST)
    })?;
    let reached = exchange.api.registry.metadata.applied(index, PATIENCE).await;
    reached.map_err(|_| OciError::unavailable("this node does not know what you have seen yet"))
}

/// How true the answer to `operation` can be. Other nodes than edges always answer, or fail while they do.
pub(super) async fn look(exchange: &Exchange<'_>, operation: &Operation) -> Result<Sight, OciError> {
    let (Some(edge), Some(wanted)) = (&exchange.api.registry.edge, wanted(operation)) else {
        return Ok(Sight::Current);
    };
    Ok(edge.look(wanted, audience(exchange, operation)?).await?)
}

/// `None`: the answer is always the same.
fn wanted(operation: &Operation) -> Option<Wanted> {
    match operation {
        Operation::Base | Operation::Extensions(_) => None,
        Operation::ReadBlob { .. } | Operation::ReadManifest(_, Reference::Digest(_)) => {
            Some(Wanted::Content)
        }
        Operation::Catalog
        | Operation::ListTags(_)
        | Operation::ListReferrers(..)
        | Operation::ReadManifest(_, Reference::Tag(_)) => Some(Wanted::Name),
        Operation::DeleteBlob(..)
        | Operation::PutManifest(..)
        | Operation::DeleteManifest(..)
        | Operation::StartUpload(_)
        | Operation::Upload { .. } => Some(Wanted::Change),
    }
}

fn audience(exchange: &Exchange<'_>, operation: &Operation) -> Result<Audience, OciError> {
    match exchange.might(&Identity::ANONYMOUS, action(operation), operation.repository())? {
        Verdict::Allowed => Ok(Audience::Public),
        _ => Ok(Audience::Private),
    }
}

/// The node that answers instead of an edge: the leader makes changes. Uploads know their node themselves.
pub(super) fn goes_to(exchange: &Exchange<'_>, operation: &Operation) -> Result<Option<NodeId>, OciError> {
    let registry = &exchange.api.registry;
    let is_upload = matches!(operation, Operation::Upload { .. });
    if registry.edge.is_none() || is_upload || wanted(operation) != Some(Wanted::Change) {
        return Ok(None);
    }
    registry.metadata.leader().map(Some).ok_or_else(|| CutOff.into())
}

/// Lets `leader` answer.
pub(super) async fn pass(exchange: &Exchange<'_>, leader: NodeId, body: Body) -> Result<Response, OciError> {
    // What was passed on here already came to the wrong node: the sender will find the leader.
    let relay = exchange.api.relay.as_ref().ok_or(CutOff)?;
    relay.pass(leader, exchange.parts, exchange.connection, body).await.map_err(upload::not_relayed)
}

/// Says how old an answer is, errors included: what is not there may be new.
pub(super) fn mark(
    exchange: &Exchange<'_>,
    sight: Sight,
    answered: Result<Response, OciError>,
) -> Result<Response, OciError> {
    let mut response = match (sight, answered) {
        (Sight::Current, answered) => answered?,
        (Sight::Stale(age), answered) => {
            let mut response = answered.unwrap_or_else(IntoResponse::into_response);
            // RFC 9111 §5.1: seconds; the OCI distribution-spec allows only code 299 and no agent.
            reply::set(&mut response, header::AGE, &age.as_secs().to_string());
            reply::set(&mut response, header::WARNING, "299 - \"stale\"");
            response
        }
    };
    // One that was passed on has the other node's.
    if !response.headers().contains_key(INDEX) {
        let index = exchange.api.registry.metadata.applied_index();
        reply::set(&mut response, INDEX, &index.to_string());
    }
    Ok(response)
}

impl From<CutOff> for OciError {
    fn from(_: CutOff) -> Self {
        Self::unavailable("this site cannot reach the cluster just now")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Method;

    #[test]
    fn operations_are_told_apart_by_what_can_be_old() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (method, path, expected) in [
            (Method::GET, "/v2/".to_owned(), None),
            (Method::GET, "/v2/a/manifests/latest".to_owned(), Some(Wanted::Name)),
            (Method::GET, "/v2/a/tags/list".to_owned(), Some(Wanted::Name)),
            (Method::GET, "/v2/_catalog".to_owned(), Some(Wanted::Name)),
            (Method::GET, format!("/v2/a/referrers/{digest}"), Some(Wanted::Name)),
            (Method::HEAD, format!("/v2/a/manifests/{digest}"), Some(Wanted::Content)),
            (Method::GET, format!("/v2/a/blobs/{digest}"), Some(Wanted::Content)),
            (Method::PUT, "/v2/a/manifests/latest".to_owned(), Some(Wanted::Change)),
            (Method::POST, "/v2/a/blobs/uploads/".to_owned(), Some(Wanted::Change)),
            (Method::DELETE, format!("/v2/a/blobs/{digest}"), Some(Wanted::Change)),
        ] {
            let operation = Operation::parse(&method, &path).expect("an operation");
            assert_eq!(wanted(&operation), expected, "{method} {path}");
        }
    }
}
