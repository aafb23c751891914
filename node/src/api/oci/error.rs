//! The error table of the OCI dialect: code to status and body (OCI distribution-spec, "Error Codes";
//! checklist §3). Inner layers know nothing of it.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use blobs::BlobError;
use cluster::{ProposeError, ReadError};
use proto::manifest::ManifestError;
use serde_json::{Value, json};

use super::operation::NoOperation;
use crate::registry::RegistryError;

/// Seconds after which a client may try again what could not be done now.
const RETRY_AFTER_SECONDS: &str = "2";

/// The codes in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PageSizeInvalid,
    RangeInvalid,
    SizeInvalid,
    TagInvalid,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unsupported,
}

impl Code {
    /// The name on the wire and the status it usually goes with.
    fn row(self) -> (&'static str, StatusCode) {
        match self {
            Self::BlobUnknown => ("BLOB_UNKNOWN", StatusCode::NOT_FOUND),
            Self::BlobUploadInvalid => ("BLOB_UPLOAD_INVALID", StatusCode::BAD_REQUEST),
            Self::BlobUploadUnknown => ("BLOB_UPLOAD_UNKNOWN", StatusCode::NOT_FOUND),
            Self::Denied => ("DENIED", StatusCode::FORBIDDEN),
            Self::DigestInvalid => ("DIGEST_INVALID", StatusCode::BAD_REQUEST),
            Self::ManifestBlobUnknown => ("MANIFEST_BLOB_UNKNOWN", StatusCode::BAD_REQUEST),
            Self::ManifestInvalid => ("MANIFEST_INVALID", StatusCode::BAD_REQUEST),
            Self::ManifestUnknown => ("MANIFEST_UNKNOWN", StatusCode::NOT_FOUND),
            Self::NameInvalid => ("NAME_INVALID", StatusCode::BAD_REQUEST),
            Self::NameUnknown => ("NAME_UNKNOWN", StatusCode::NOT_FOUND),
            Self::PageSizeInvalid => ("PAGINATION_NUMBER_INVALID", StatusCode::BAD_REQUEST),
            Self::RangeInvalid => ("RANGE_INVALID", StatusCode::RANGE_NOT_SATISFIABLE),
            Self::SizeInvalid => ("SIZE_INVALID", StatusCode::BAD_REQUEST),
            Self::TagInvalid => ("TAG_INVALID", StatusCode::BAD_REQUEST),
            Self::TooManyRequests => ("TOOMANYREQUESTS", StatusCode::TOO_MANY_REQUESTS),
            Self::Unauthorized => ("UNAUTHORIZED", StatusCode::UNAUTHORIZED),
            Self::Unavailable => ("UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE),
            Self::Unsupported => ("UNSUPPORTED", StatusCode::METHOD_NOT_ALLOWED),
        }
    }
}

/// An answer that is an error. Its texts go to the client: nothing in them is secret or internal.
#[derive(Debug)]
pub(crate) struct OciError {
    status: StatusCode,
    code: Code,
    message: Cow<'static, str>,
    /// One error entry each; a single entry without detail when empty.
    details: Vec<Value>,
    headers: HeaderMap,
}

impl OciError {
    /// Whether this node's disk has no room for what was asked.
    pub(crate) fn is_out_of_space(&self) -> bool {
        self.status == StatusCode::INSUFFICIENT_STORAGE
    }

    /// An error with its usual status.
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let headers = HeaderMap::new();
        Self { status: code.row().1, code, message: message.into(), details: Vec::new(), headers }
    }

    /// With another status than the usual one.
    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// With one entry for each of `details`.
    pub(crate) fn details(self, details: Vec<Value>) -> Self {
        Self { details, ..self }
    }

    /// With a header more. Values that no header can hold are left out.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// 503 with a time to try again.
    pub(crate) fn unavailable(message: &'static str) -> Self {
        Self::new(Code::Unavailable, message).header(header::RETRY_AFTER, RETRY_AFTER_SECONDS)
    }

    /// 404 for a session that is not there, not this caller's, or over.
    pub(crate) fn no_such_upload() -> Self {
        Self::new(Code::BlobUploadUnknown, "no such upload session")
    }

    /// 404 for a blob that this repository does not have.
    pub(crate) fn no_such_blob() -> Self {
        Self::new(Code::BlobUnknown, "no such blob in this repository")
    }

    /// 404 for a manifest that this repository does not have.
    pub(crate) fn no_such_manifest() -> Self {
        Self::new(Code::ManifestUnknown, "no such manifest in this repository")
    }
}

impl IntoResponse for OciError {
    fn into_response(self) -> Response {
        let name = self.code.row().0;
        let entry = |detail: Option<Value>| match detail {
            Some(detail) => json!({"code": name, "message": self.message, "detail": detail}),
            None => json!({"code": name, "message": self.message}),
        };
        let errors: Vec<Value> = if self.details.is_empty() {
            vec![entry(None)]
        } else {
            self.details.iter().cloned().map(Some).map(entry).collect()
        };
        let mut response = Response::new(Body::from(json!({ "errors": errors }).to_string()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

impl From<NoOperation> for OciError {
    fn from(reason: NoOperation) -> Self {
        match reason {
            NoOperation::NotFound => {
                Self::new(Code::Unsupported, "nothing here").status(StatusCode::NOT_FOUND)
            }
            NoOperation::Method(allow) => {
                Self::new(Code::Unsupported, "this method is not allowed here").header(header::ALLOW, allow)
            }
            NoOperation::Name => Self::new(Code::NameInvalid, proto::name::NameError::Repository.to_string()),
            NoOperation::Digest => {
                Self::new(Code::DigestInvalid, "a digest is sha256:<64 hex> or sha512:<128 hex>")
            }
            NoOperation::Tag => Self::new(Code::TagInvalid, proto::name::NameError::Tag.to_string()),
            NoOperation::NoSuchTag => Self::no_such_manifest(),
        }
    }
}

impl From<ProposeError> for OciError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::TooLarge => Self::new(Code::ManifestInvalid, "too large to be stored")
                .status(StatusCode::PAYLOAD_TOO_LARGE),
            ProposeError::Full => out_of_space(),
            other => {
                tracing::warn!(reason = %crate::telemetry::log::chain(&other), "write not agreed");
                Self::unavailable("the write could not be agreed on; it may still take effect")
            }
        }
    }
}

impl From<ReadError> for OciError {
    fn from(error: ReadError) -> Self {
        tracing::warn!(reason = %crate::telemetry::log::chain(&error), "metadata not readable");
        Self::unavailable("metadata cannot be read now")
    }
}

/// 507: the client can do nothing, and nothing is lost.
fn out_of_space() -> OciError {
    OciError::new(Code::Unavailable, "the registry is out of disk space")
        .status(StatusCode::INSUFFICIENT_STORAGE)
        .header(header::RETRY_AFTER, "30")
}

impl From<BlobError> for OciError {
    /// Errors whose answer needs the session's offset are answered where the offset is at hand.
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::UploadUnknown => Self::no_such_upload(),
            BlobError::Busy => Self::new(Code::RangeInvalid, "the session is in use by another request"),
            BlobError::OffsetMismatch { .. } => {
                Self::new(Code::RangeInvalid, "the chunk does not continue where the upload stands")
            }
            BlobError::LengthMismatch { .. } => {
                Self::new(Code::SizeInvalid, "the body has another length than announced")
            }
            BlobError::TooManyUploads { .. } => {
                Self::new(Code::TooManyRequests, "too many open uploads: finish or cancel some")
                    .header(header::RETRY_AFTER, "60")
            }
            BlobError::DigestMismatch { .. } => {
                Self::new(Code::DigestInvalid, "the content has another digest")
            }
            BlobError::Body(_) => Self::new(Code::BlobUploadInvalid, "the body ended early"),
            BlobError::Full => out_of_space(),
            BlobError::Missing | BlobError::Damaged => {
                Self::unavailable("this blob's copy is damaged: push it again")
            }
            other => {
                tracing::error!(reason = %crate::telemetry::log::chain(&other), "blob storage failed");
                Self::unavailable("blob storage does not work now")
            }
        }
    }
}

impl From<ManifestError> for OciError {
    fn from(error: ManifestError) -> Self {
        let code = match &error {
            ManifestError::Digest { .. } => Code::DigestInvalid,
            _ => Code::ManifestInvalid,
        };
        let status = match &error {
            ManifestError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(code, crate::telemetry::log::chain(&error)).status(status)
    }
}

impl From<RegistryError> for OciError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Read(error) => error.into(),
            RegistryError::Propose(error) => error.into(),
            RegistryError::Blob(error) => error.into(),
            RegistryError::StagingExpired => {
                Self::new(Code::BlobUploadInvalid, "the upload took too long: push the blob again")
            }
            RegistryError::TooFewCopies { copies, zones } => {
                tracing::warn!(copies, zones, "blob not acknowledged: too few copies");
                Self::unavailable("too few nodes could take a copy of the blob: push it again")
            }
            RegistryError::Fetch(error) => {
                tracing::warn!(reason = %crate::telemetry::log::chain(&error), "blob not fetched");
                Self::unavailable("the nodes that have the blob cannot be reached")
            }
            RegistryError::Template(error) => {
                tracing::warn!(reason = %crate::telemetry::log::chain(&error), "repository not created");
                Self::unavailable("the creation template for this repository cannot be used: put it again")
            }
            RegistryError::Unexpected => {
                tracing::error!("the state machine gave an answer of another command");
                Self::unavailable("the registry is confused: see its log")
            }
        }
    }
}
