//! `GET`, `HEAD`, `PUT` and `DELETE /v2/<name>/manifests/<reference>` (checklist §4, §6, §8).

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use proto::digest::{Algorithm, Digest};
use proto::manifest::{MAX_MANIFEST_BYTES, Manifest, Oddity};
use proto::name::{Reference, RepositoryName, Tag};
use serde_json::json;

use super::error::{Code, OciError};
use super::{Exchange, conditions, reply};
use crate::api::body::{self, BodyError};
use crate::registry::{FoundManifest, ManifestPut, ManifestRefusal};
use crate::telemetry::metrics::OperationLabels;

/// Most tags of one push (end-7b).
pub(super) const MAX_TAGS: usize = 256;
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

pub(super) async fn read(
    exchange: &Exchange<'_>,
    name: &RepositoryName,
    reference: &Reference,
) -> Result<Response, OciError> {
    let (registry, repository) = (&exchange.api.registry, exchange.repository(name));
    let found = if exchange.is_head() {
        registry.find_manifest(&repository, reference).await?.map(|found| (found, None))
    } else {
        let found = registry.read_manifest(&repository, reference).await?;
        found.map(|(found, content)| (found, Some(content)))
    };
    let (found, content) = found.ok_or_else(OciError::no_such_manifest)?;
    let cache = match reference {
        Reference::Tag(_) => "no-cache",
        Reference::Digest(_) => "private, max-age=31536000, immutable",
    };
    if conditions::not_modified(&exchange.parts.headers, &found.digest) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(describe(response, &found, cache));
    }
    if content.is_some() {
        registry.note_pull(&exchange.identity.caller, &repository, &found.digest)?;
        let operation = OperationLabels { operation: "ReadManifest" };
        exchange.api.metrics.response_bytes.get_or_create(&operation).inc_by(found.size);
    }
    let body = content.map_or_else(Body::empty, Body::from);
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_LENGTH, found.size.into());
    reply::set(&mut response, header::CONTENT_TYPE, &found.media_type);
    Ok(describe(response, &found, cache))
}

fn describe(mut response: Response, found: &FoundManifest, cache: &'static str) -> Response {
    reply::set(&mut response, reply::CONTENT_DIGEST, &found.digest.to_string());
    reply::set(&mut response, header::ETAG, &conditions::etag(&found.digest));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

pub(super) async fn put(
    exchange: &Exchange<'_>,
    name: &RepositoryName,
    reference: Reference,
    body: Body,
) -> Result<Response, OciError> {
    let (tags, multi) = tags(exchange, &reference)?;
    let condition = conditions::write_condition(&exchange.parts.headers)?;
    let content = content(exchange, body).await?;
    let (algorithm, named) = match reference {
        Reference::Digest(named) => (named.algorithm(), Some(named)),
        Reference::Tag(_) => (Algorithm::Sha256, None),
    };
    let content_type = exchange.header(header::CONTENT_TYPE)?.map(str::to_owned);
    // Up to 4 MiB are parsed and hashed: not on a thread that serves others.
    let work = move || {
        let parsed = Manifest::parse(content_type.as_deref(), &content);
        (parsed, Digest::of(algorithm, &content), content)
    };
    let worked = tokio::task::spawn_blocking(work).await;
    let (parsed, digest, content) = worked.map_err(|_| OciError::unavailable("the node is stopping"))?;
    let manifest = parsed?;
    if named.is_some_and(|named| named != digest) {
        return Err(OciError::new(Code::DigestInvalid, "the manifest has another digest"));
    }
    let (subject, oddities) = (manifest.subject, manifest.oddities.clone());
    let put = ManifestPut { digest, content: content.to_vec(), manifest, tags: tags.clone(), condition };
    super::creation::create_repository(exchange, name).await?;
    match exchange.api.registry.put_manifest(&exchange.repository(name), put).await? {
        Ok(()) => {}
        Err(refusal) => return Err(refused(name, refusal)),
    }
    let mut response = reply::created(&format!("/v2/{name}/manifests/{digest}"), &digest);
    if let Some(subject) = subject {
        reply::set(&mut response, OCI_SUBJECT, &subject.to_string());
    }
    if multi {
        // One list: a header for each would be more than some clients take.
        let list: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        reply::set(&mut response, OCI_TAG, &list.join(", "));
    }
    oddities.iter().for_each(|oddity| warn(&mut response, oddity));
    Ok(response)
}

/// `Warning` as the OCI distribution-spec allows it: code 299, no agent, no date (H7).
fn warn(response: &mut Response, oddity: &Oddity) {
    reply::set(response, header::WARNING, &format!("299 - \"{oddity}\""));
}

/// The tags to move, and whether they came as parameters (end-7b). With a tag in the path, `tag=` is
/// ignored (M18).
fn tags(exchange: &Exchange<'_>, reference: &Reference) -> Result<(Vec<Tag>, bool), OciError> {
    if let Reference::Tag(tag) = reference {
        return Ok((vec![tag.clone()], false));
    }
    let query = exchange.query();
    if query.all("tag").count() > MAX_TAGS {
        let error = OciError::new(Code::TagInvalid, format!("at most {MAX_TAGS} tags can be pushed at once"));
        return Err(error.status(StatusCode::URI_TOO_LONG));
    }
    let parsed: Result<Vec<Tag>, _> = query.all("tag").map(str::parse).collect();
    let mut tags = parsed.map_err(|error| OciError::new(Code::TagInvalid, error.to_string()))?;
    tags.sort();
    tags.dedup();
    let multi = !tags.is_empty();
    Ok((tags, multi))
}

async fn content(exchange: &Exchange<'_>, body: Body) -> Result<bytes::Bytes, OciError> {
    super::upload::refuse_encoding(exchange)?;
    let too_large = || {
        OciError::new(
            Code::ManifestInvalid,
            format!("a manifest may have at most {MAX_MANIFEST_BYTES} bytes"),
        )
        .status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    let announced = exchange.header(header::CONTENT_LENGTH)?.and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_MANIFEST_BYTES as u64) {
        return Err(too_large());
    }
    let content = body::read_all(body, MAX_MANIFEST_BYTES).await.map_err(|error| match error {
        BodyError::TooLarge { .. } => too_large(),
        BodyError::Slow => {
            OciError::new(Code::ManifestInvalid, error.to_string()).status(StatusCode::REQUEST_TIMEOUT)
        }
        BodyError::Broken(_) => OciError::new(Code::ManifestInvalid, error.to_string()),
    })?;
    let operation = OperationLabels { operation: "PutManifest" };
    exchange.api.metrics.request_bytes.get_or_create(&operation).inc_by(content.len() as u64);
    Ok(content)
}

fn refused(name: &RepositoryName, refusal: ManifestRefusal) -> OciError {
    match refusal {
        ManifestRefusal::MissingBlobs(digests) => {
            let details = digests.iter().map(|digest| json!({"digest": digest.to_string()})).collect();
            OciError::new(Code::ManifestBlobUnknown, "the repository does not have this blob")
                .details(details)
        }
        ManifestRefusal::SizeMismatch(sizes) => {
            let detail = |(digest, size): &(Digest, u64)| json!({"digest": digest.to_string(), "size": size});
            let details = sizes.iter().map(detail).collect();
            OciError::new(Code::SizeInvalid, "the manifest states another size than the blob has")
                .details(details)
        }
        ManifestRefusal::ConditionFailed(current) => {
            let error = OciError::new(Code::ManifestInvalid, "the condition of the request does not hold")
                .status(StatusCode::PRECONDITION_FAILED);
            match current {
                Some(current) => error.header(header::ETAG, &conditions::etag(&current)),
                None => error,
            }
        }
        // Amazon ECR's words, which builders look for (ECR specification §6.2).
        ManifestRefusal::TagImmutable(tag) => OciError::new(
            Code::TagInvalid,
            format!(
                "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because \
                 the tag is immutable."
            ),
        ),
    }
}

pub(super) async fn delete(
    exchange: &Exchange<'_>,
    name: &RepositoryName,
    reference: Reference,
) -> Result<Response, OciError> {
    if exchange.api.registry.delete_manifest(&exchange.repository(name), reference).await? {
        Ok(reply::empty(StatusCode::ACCEPTED))
    } else {
        Err(OciError::no_such_manifest())
    }
}
