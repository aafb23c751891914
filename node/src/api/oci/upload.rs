//! `/v2/<name>/blobs/uploads/`: sessions, single requests and mounts (checklist §5).

use axum::body::Body;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::Response;
use blobs::{BlobError, Upload, UploadOwner};
use http_body::Body as _;
use proto::digest::{Algorithm, Digest, DigestError};
use proto::name::RepositoryName;
use proto::range::ChunkRange;
use proto::upload::UploadId;

use super::error::{Code, OciError};
use super::operation::UploadVerb;
use super::{Exchange, reply};
use crate::adapters::relay::RelayError;
use crate::api::body::{BodyError, timed};
use crate::telemetry::metrics::OperationLabels;

const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// `POST`: mount, take the whole blob, or open a session.
pub(super) async fn start(
    exchange: &Exchange<'_>,
    name: &RepositoryName,
    body: Body,
) -> Result<Response, OciError> {
    refuse_encoding(exchange)?;
    super::creation::create_repository(exchange, name).await?;
    let query = exchange.query();
    if let Some(wanted) = query.get("mount") {
        let digest = digest(wanted)?;
        if super::mount::mount(exchange, name, digest, &query).await? {
            return Ok(reply::created(&blob_path(name, &digest), &digest));
        }
    }
    let mut algorithm = match query.get("digest-algorithm") {
        Some(text) => text.parse().map_err(|error: DigestError| invalid_digest(error))?,
        None => Algorithm::Sha256,
    };
    if let Some(wanted) = query.get("digest") {
        let digest = digest(wanted)?;
        if !body.is_end_stream() || digest == Digest::of(digest.algorithm(), b"") {
            return take_whole(exchange, name, digest, body).await;
        }
        // Some clients announce the digest and send the bytes later (U6).
        algorithm = digest.algorithm();
    }
    let upload = exchange.api.registry.blobs.start_upload(owner(exchange, name), algorithm).await?;
    Ok(progress(StatusCode::ACCEPTED, name, &upload))
}

/// Who may continue a session: the same principal, in the same repository (U30).
fn owner(exchange: &Exchange<'_>, name: &RepositoryName) -> UploadOwner {
    let repository = exchange.repository(name).to_string();
    UploadOwner { principal: exchange.identity.caller.to_string(), repository }
}

async fn take_whole(
    exchange: &Exchange<'_>,
    name: &RepositoryName,
    digest: Digest,
    body: Body,
) -> Result<Response, OciError> {
    let (registry, repository) = (&exchange.api.registry, exchange.repository(name));
    let length = content_length(exchange)?;
    let upload = registry.blobs.start_upload(owner(exchange, name), digest.algorithm()).await?;
    // Nobody is told of this session, so nobody could go on with it.
    let upload = CancelledOnDrop(upload);
    let body = registry.copies.send_ahead(upload.0.id(), 0, timed(body));
    let appended = upload.0.append(Some(0), length, body).await;
    count(exchange, upload.0.offset());
    appended.map_err(interrupted)?;
    registry.finish_upload(&repository, &upload.0, digest).await?;
    Ok(reply::created(&blob_path(name, &digest), &digest))
}

/// Cancelling does nothing to a session that was finished.
struct CancelledOnDrop(Upload);

impl Drop for CancelledOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Any verb on a session.
pub(super) async fn session(
    exchange: &Exchange<'_>,
    name: &RepositoryName,
    id: Option<UploadId>,
    verb: UploadVerb,
    body: Body,
) -> Result<Response, OciError> {
    let id = id.ok_or_else(OciError::no_such_upload)?;
    if let Some(relay) = exchange.api.relay.as_ref().filter(|relay| relay.is_elsewhere(id.node())) {
        return relay.pass(id.node(), exchange.parts, exchange.connection, body).await.map_err(not_relayed);
    }
    let (blobs, owner) = (&exchange.api.registry.blobs, owner(exchange, name));
    let upload = match (blobs.upload(id, &owner), verb) {
        (Err(BlobError::UploadUnknown), UploadVerb::Finish) => {
            return finish_again(exchange, name, id, &owner).await;
        }
        (found, _) => found?,
    };
    match verb {
        UploadVerb::Status => Ok(progress(StatusCode::NO_CONTENT, name, &upload)),
        UploadVerb::Cancel => {
            upload.cancel();
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
        UploadVerb::Append => {
            append(exchange, name, &upload, body).await?;
            Ok(progress(StatusCode::ACCEPTED, name, &upload))
        }
        UploadVerb::Finish => finish(exchange, name, &upload, body).await,
    }
}

/// A node that left took its uploads along; one that is away may come back with them.
pub(super) fn not_relayed(error: RelayError) -> OciError {
    match &error {
        RelayError::UnknownNode => OciError::no_such_upload(),
        RelayError::Unreachable(_) | RelayError::Broken(_) => {
            tracing::warn!(reason = %crate::telemetry::log::chain(&error), "upload not passed on");
            OciError::unavailable("the node that holds the upload cannot be reached")
        }
    }
}

/// Adds the body; errors tell where the upload stands, which clients resume from (U11).
async fn append(
    exchange: &Exchange<'_>,
    name: &RepositoryName,
    upload: &Upload,
    body: Body,
) -> Result<(), OciError> {
    refuse_encoding(exchange)?;
    let length = content_length(exchange)?;
    let range =
        match exchange.header(header::CONTENT_RANGE)? {
            Some(text) => Some(text.parse::<ChunkRange>().map_err(|error| {
                located(OciError::new(Code::RangeInvalid, error.to_string()), name, upload)
            })?),
            None => None,
        };
    let announced = match range.map(|range| range.byte_count()) {
        Some(count) if length.is_some() && count != length => {
            let error = OciError::new(Code::SizeInvalid, "Content-Range and Content-Length differ");
            return Err(located(error, name, upload));
        }
        Some(Some(count)) => Some(count),
        _ => length,
    };
    let before = upload.offset();
    let body = exchange.api.registry.copies.send_ahead(upload.id(), before, timed(body));
    let appended = upload.append(range.map(|range| range.start), announced, body).await;
    count(exchange, upload.offset().saturating_sub(before));
    appended.map(|_| ()).map_err(|error| located(interrupted(error), name, upload))
}

async fn finish(
    exchange: &Exchange<'_>,
    name: &RepositoryName,
    upload: &Upload,
    body: Body,
) -> Result<Response, OciError> {
    let digest = asked_digest(exchange)?;
    let ranged = exchange.parts.headers.contains_key(header::CONTENT_RANGE);
    if ranged || !body.is_end_stream() {
        append(exchange, name, upload, body).await?;
    }
    // It may have been deleted meanwhile.
    super::creation::create_repository(exchange, name).await?;
    exchange.api.registry.finish_upload(&exchange.repository(name), upload, digest).await?;
    Ok(reply::created(&blob_path(name, &digest), &digest))
}

/// The session is closed: if it was closed with this digest, the answer was lost on its way (U27).
async fn finish_again(
    exchange: &Exchange<'_>,
    name: &RepositoryName,
    id: UploadId,
    owner: &UploadOwner,
) -> Result<Response, OciError> {
    let digest = asked_digest(exchange)?;
    let closed = exchange.api.registry.blobs.finished(id, owner);
    let copy = closed.filter(|copy| copy.digest == digest).ok_or_else(OciError::no_such_upload)?;
    if exchange.api.registry.finish_again(&exchange.repository(name), &copy).await? {
        Ok(reply::created(&blob_path(name, &digest), &digest))
    } else {
        Err(OciError::no_such_upload())
    }
}

fn asked_digest(exchange: &Exchange<'_>) -> Result<Digest, OciError> {
    let query = exchange.query();
    digest(query.get("digest").ok_or_else(|| OciError::new(Code::DigestInvalid, "digest is missing"))?)
}

fn digest(text: &str) -> Result<Digest, OciError> {
    text.parse().map_err(invalid_digest)
}

fn invalid_digest(error: DigestError) -> OciError {
    OciError::new(Code::DigestInvalid, error.to_string())
}

/// hyper has refused lengths that are no numbers.
fn content_length(exchange: &Exchange<'_>) -> Result<Option<u64>, OciError> {
    Ok(exchange.header(header::CONTENT_LENGTH)?.and_then(|text| text.parse().ok()))
}

fn count(exchange: &Exchange<'_>, bytes: u64) {
    let operation = OperationLabels { operation: "UploadAppend" };
    exchange.api.metrics.request_bytes.get_or_create(&operation).inc_by(bytes);
}

fn blob_path(name: &RepositoryName, digest: &Digest) -> String {
    format!("/v2/{name}/blobs/{digest}")
}

/// Where a session lives and how far it is. `0-0` stands for nothing as well as for one byte: a known gap
/// of the specification (U17).
fn position(name: &RepositoryName, upload: &Upload) -> (String, String) {
    let last = upload.offset().saturating_sub(1);
    (format!("/v2/{name}/blobs/uploads/{}", upload.id()), format!("0-{last}"))
}

fn progress(status: StatusCode, name: &RepositoryName, upload: &Upload) -> Response {
    let (location, range) = position(name, upload);
    let mut response = reply::empty(status);
    reply::set(&mut response, header::LOCATION, &location);
    reply::set(&mut response, header::RANGE, &range);
    reply::set(&mut response, UPLOAD_UUID, &upload.id().to_string());
    response
}

fn located(error: OciError, name: &RepositoryName, upload: &Upload) -> OciError {
    let (location, range) = position(name, upload);
    error.header(header::LOCATION, &location).header(header::RANGE, &range)
}

/// A body that ended early, told apart by why.
fn interrupted(error: BlobError) -> OciError {
    match &error {
        BlobError::Body(source) if matches!(source.downcast_ref(), Some(BodyError::Slow)) => {
            OciError::new(Code::BlobUploadInvalid, "the body comes too slowly")
                .status(StatusCode::REQUEST_TIMEOUT)
                .header(header::CONNECTION, "close")
        }
        _ => error.into(),
    }
}

/// Content is stored as it is named by its digest: an encoding on top would be a second name (XU11).
pub(super) fn refuse_encoding(exchange: &Exchange<'_>) -> Result<(), OciError> {
    match exchange.header(header::CONTENT_ENCODING)? {
        None | Some("identity" | "") => Ok(()),
        Some(_) => Err(OciError::new(
            Code::Unsupported,
            "Content-Encoding is not supported: send the bytes as named",
        )
        .status(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
    }
}
