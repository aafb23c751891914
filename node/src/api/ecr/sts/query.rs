//! The query protocol (STS API, "Common Parameters", "Common Errors"): a form in, XML out.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use cluster_core::access::Caller;
use proto::sigv4::SigV4Error;

use super::super::signature::SignatureError;
use crate::telemetry::log::chain;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
/// Shortest session in seconds.
const LEAST: u64 = 900;

/// An error of STS: status, code, message.
#[derive(Debug)]
pub(super) struct Fault(pub(super) StatusCode, pub(super) &'static str, pub(super) String);

impl Fault {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, "ValidationError", message.into())
    }

    pub(super) fn denied(caller: &Caller, action: &str, resource: &str) -> Self {
        let message =
            format!("User: {caller} is not authorized to perform: {action} on resource: {resource}");
        Self(StatusCode::FORBIDDEN, "AccessDenied", message)
    }

    /// Clients try again; the reason is for the log.
    pub(super) fn unavailable(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::warn!(reason = %chain(error), "request failed");
        Self::server()
    }

    pub(super) fn server() -> Self {
        Self(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalFailure",
            "The request processing has failed.".into(),
        )
    }
}

impl From<SigV4Error> for Fault {
    fn from(error: SigV4Error) -> Self {
        let (status, code) = match error {
            SigV4Error::Missing => (StatusCode::FORBIDDEN, "MissingAuthenticationToken"),
            SigV4Error::Incomplete(_) => (StatusCode::BAD_REQUEST, "IncompleteSignature"),
            SigV4Error::Unrecognized => (StatusCode::FORBIDDEN, "InvalidClientTokenId"),
            SigV4Error::Invalid(_) => (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
        };
        Self(status, code, error.to_string())
    }
}

impl From<SignatureError> for Fault {
    fn from(error: SignatureError) -> Self {
        match error {
            SignatureError::Refused(error) => error.into(),
            SignatureError::Over => Self(StatusCode::BAD_REQUEST, "ExpiredToken", error.to_string()),
            error => Self::unavailable(&error),
        }
    }
}

/// Whether the request is one of the query protocol.
pub(in crate::api::ecr) fn is_query(parts: &Parts) -> bool {
    let kind =
        parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The parameters of a form; of one that is given twice the first.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(body: &[u8]) -> Self {
        Self(
            form_urlencoded::parse(body)
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn needed(&self, name: &str) -> Result<&str, Fault> {
        self.get(name).ok_or_else(|| {
            Fault::invalid(format!(
                "Value null at '{name}' failed to satisfy constraint: Member must not be null"
            ))
        })
    }

    /// A number of seconds.
    pub(super) fn seconds(&self, default: u64, most: u64) -> Result<u64, Fault> {
        let Some(text) = self.get("DurationSeconds") else { return Ok(default.min(most)) };
        let seconds = text.parse().ok().filter(|seconds| (LEAST..=most).contains(seconds));
        seconds.ok_or_else(|| Fault::invalid(format!("DurationSeconds must be between {LEAST} and {most}")))
    }

    /// Refuses what would narrow the session: it is not known here, and must not be passed over.
    pub(super) fn refuse_narrowing(&self) -> Result<(), Fault> {
        const NARROWING: [&str; 6] =
            ["Policy", "PolicyArns.", "Tags.", "SourceIdentity", "SerialNumber", "TokenCode"];
        let found = self.0.iter().find(|(name, _)| NARROWING.iter().any(|known| name.starts_with(known)));
        match found {
            Some((name, _)) => Err(Fault::invalid(format!("{name} is not supported"))),
            None => Ok(()),
        }
    }
}

/// The answer to the request of that id: which action, and what its result is.
pub(super) fn render(id: &str, answered: Result<(&'static str, String), Fault>) -> Response {
    let (status, text) = match answered {
        Ok((action, result)) => {
            let name = format!("{action}Response");
            let text = format!(
                "<{name} xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
                 <ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{name}>\n"
            );
            (StatusCode::OK, text)
        }
        Err(Fault(status, code, message)) => {
            let side = if status.is_server_error() { "Receiver" } else { "Sender" };
            let text = format!(
                "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{side}</Type>{}{}</Error>\
                 <RequestId>{id}</RequestId></ErrorResponse>\n",
                element("Code", code),
                element("Message", &message)
            );
            (status, text)
        }
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    response
}

/// An element with that text (XML 1.0 §2.4). Control characters have no form in XML.
pub(super) fn element(name: &str, text: &str) -> String {
    let escaped: String = text
        .chars()
        .filter(|character| !character.is_control())
        .map(|character| match character {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            other => other.to_string(),
        })
        .collect();
    format!("<{name}>{escaped}</{name}>")
}
