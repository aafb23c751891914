//! `GET`, `HEAD` and `DELETE /v2/<name>/blobs/<digest>` (checklist §4, §8).

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use blobs::BlobCopy;
use bytes::Bytes;
use cluster_core::access::Action;
use cluster_core::key::RepositoryId;
use cluster_core::record::BlobRecord;
use proto::digest::Digest;
use proto::name::RepositoryName;
use proto::range::{ByteRange, Selection};

use super::error::{Code, OciError};
use super::serving::{self, Segment};
use super::{Exchange, conditions, reply};
use crate::auth::decider::Verdict;
use crate::registry::BlobDeletion;
use crate::telemetry::metrics::OperationLabels;

const OCTETS: &str = "application/octet-stream";

pub(super) async fn read(
    exchange: &Exchange<'_>,
    name: &RepositoryName,
    digest: Digest,
    head: bool,
) -> Result<Response, OciError> {
    let registry = &exchange.api.registry;
    let found = registry.find_blob(&exchange.repository(name), &digest).await?;
    let (copy, record) = found.ok_or_else(OciError::no_such_blob)?;
    if head {
        // A pusher that is told it is not there pushes it again, which heals it (promise 14). Only pushers
        // make us look at the file.
        let pusher = pusher(exchange, name)?;
        let suspect = pusher || registry.blobs.is_damaged(&digest);
        if suspect && !registry.has_bytes(&copy, &record).await {
            return Err(OciError::no_such_blob());
        }
        if pusher && let Err(error) = registry.renew_lease(digest, &record).await {
            // The link keeps the blob; only a later link elsewhere would have needed the lease.
            tracing::warn!(reason = %crate::telemetry::log::chain(&error), "lease not renewed");
        }
    }
    answer(exchange, copy, &record, head).await
}

/// What a token of GetDownloadUrlForLayer names.
pub(super) async fn download(
    exchange: &Exchange<'_>,
    repository: &RepositoryId,
    digest: Digest,
) -> Result<Response, OciError> {
    let found = exchange.api.registry.find_blob(repository, &digest).await?;
    let (copy, record) = found.ok_or_else(OciError::no_such_blob)?;
    answer(exchange, copy, &record, exchange.is_head()).await
}

/// The bytes that are asked for, from here or another node.
async fn answer(
    exchange: &Exchange<'_>,
    copy: BlobCopy,
    record: &BlobRecord,
    head: bool,
) -> Result<Response, OciError> {
    let digest = copy.digest;
    if conditions::not_modified(&exchange.parts.headers, &digest) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        describe(&mut response, &digest);
        return Ok(response);
    }
    let selection = match exchange.header(header::RANGE)? {
        Some(range) if conditions::range_applies(&exchange.parts.headers, &digest) => {
            Selection::parse(range, copy.size)
        }
        _ => Selection::Whole,
    };
    let mut response = match send(exchange, &copy, record, selection, head).await {
        Err(error) if error.is_out_of_space() => return elsewhere(exchange, record).await.ok_or(error),
        sent => sent?,
    };
    describe(&mut response, &digest);
    Ok(response)
}

/// The answer of a node that has the blob: a full disk here, on which no copy fits, stops no pull.
async fn elsewhere(exchange: &Exchange<'_>, record: &BlobRecord) -> Option<Response> {
    let relay = exchange.api.relay.as_ref()?;
    for node in record.copies.iter().filter(|node| relay.is_elsewhere(**node)) {
        match relay.pass(*node, exchange.parts, exchange.connection, Body::empty()).await {
            Ok(response) if !response.status().is_server_error() => return Some(response),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(node.id = %node, reason = %crate::telemetry::log::chain(&error), "pull not passed on");
            }
        }
    }
    None
}

/// Whether this caller could go on to link the blob.
fn pusher(exchange: &Exchange<'_>, name: &RepositoryName) -> Result<bool, OciError> {
    Ok(exchange.may(Action::FinishUpload, Some(name))? == Verdict::Allowed)
}

/// Headers of every answer about this content.
fn describe(response: &mut Response, digest: &Digest) {
    reply::set(response, reply::CONTENT_DIGEST, &digest.to_string());
    reply::set(response, header::ETAG, &conditions::etag(digest));
    let headers = response.headers_mut();
    // A browser must not take what somebody pushed for a page of ours (XU17).
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let forever = HeaderValue::from_static("private, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, forever);
}

async fn send(
    exchange: &Exchange<'_>,
    copy: &BlobCopy,
    record: &BlobRecord,
    selection: Selection,
    head: bool,
) -> Result<Response, OciError> {
    let size = copy.size;
    let (status, content_type, content_range, segments) = match selection {
        Selection::Unsatisfiable => {
            return Err(OciError::new(Code::RangeInvalid, "the range lies outside the blob")
                .header(header::CONTENT_RANGE, &format!("bytes */{size}")));
        }
        Selection::Whole => (StatusCode::OK, OCTETS.to_owned(), None, whole(size)),
        Selection::Parts(parts) if parts.len() == 1 => {
            let range = content_range(&parts[0], size);
            (StatusCode::PARTIAL_CONTENT, OCTETS.to_owned(), Some(range), vec![Segment::Blob(parts[0])])
        }
        Selection::Parts(parts) => {
            let boundary = boundary()?;
            let content_type = format!("multipart/byteranges; boundary={boundary}");
            (StatusCode::PARTIAL_CONTENT, content_type, None, multipart(&parts, size, &boundary))
        }
    };
    let length: u64 = segments.iter().map(Segment::len).sum();
    let body =
        if head || length == 0 { Body::empty() } else { open(exchange, copy, record, segments).await? };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    reply::set(&mut response, header::CONTENT_TYPE, &content_type);
    if let Some(range) = content_range {
        reply::set(&mut response, header::CONTENT_RANGE, &range);
    }
    if !head {
        let operation = OperationLabels { operation: "GetBlob" };
        exchange.api.metrics.response_bytes.get_or_create(&operation).inc_by(length);
    }
    Ok(response)
}

/// The body, once its first bytes are there and checked: what cannot be had is found before the status is
/// sent.
async fn open(
    exchange: &Exchange<'_>,
    copy: &BlobCopy,
    record: &BlobRecord,
    segments: Vec<Segment>,
) -> Result<Body, OciError> {
    let registry = exchange.api.registry.clone();
    let opened = registry.open_blob(copy, record).await?;
    let frames = exchange.connection.frames.clone();
    let sending = serving::Sending { registry, copy: *copy, record: record.clone(), frames };
    Ok(serving::body(sending, opened, segments).await?)
}

fn whole(size: u64) -> Vec<Segment> {
    if size == 0 { Vec::new() } else { vec![Segment::Blob(ByteRange { start: 0, end: size })] }
}

fn content_range(part: &ByteRange, size: u64) -> String {
    format!("bytes {}-{}/{size}", part.start, part.end - 1)
}

/// RFC 9110 §14.6.
fn multipart(parts: &[ByteRange], size: u64, boundary: &str) -> Vec<Segment> {
    let mut segments = Vec::with_capacity(parts.len() * 2 + 1);
    for part in parts {
        let range = content_range(part, size);
        let head = format!("\r\n--{boundary}\r\nContent-Type: {OCTETS}\r\nContent-Range: {range}\r\n\r\n");
        segments.push(Segment::Text(Bytes::from(head)));
        segments.push(Segment::Blob(*part));
    }
    segments.push(Segment::Text(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    segments
}

/// Random, so that no blob can contain it on purpose.
fn boundary() -> Result<String, OciError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| OciError::unavailable("no randomness"))?;
    Ok(format!("shoal-{:032x}", u128::from_be_bytes(random)))
}

pub(super) async fn delete(
    exchange: &Exchange<'_>,
    name: &RepositoryName,
    digest: Digest,
) -> Result<Response, OciError> {
    match exchange.api.registry.delete_blob(&exchange.repository(name), digest).await? {
        BlobDeletion::Deleted => Ok(reply::empty(StatusCode::ACCEPTED)),
        BlobDeletion::NotFound => Err(OciError::no_such_blob()),
        BlobDeletion::InUse => {
            Err(OciError::new(Code::Unsupported, "a manifest of this repository needs the blob")
                .header(header::ALLOW, "GET, HEAD"))
        }
    }
}
