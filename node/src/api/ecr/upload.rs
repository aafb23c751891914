//! Layers that come in parts: InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload (ECR specification §6.1).
//!
//! The sessions are those of `/v2/`: they live on the node where they began, and other nodes pass their requests on.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::response::Response;
use blobs::{BlobError, Upload, UploadOwner};
use bytes::Bytes;
use futures::stream;
use lru::LruCache;
use proto::digest::Digest;
use proto::ecr::{Exception, Failure, Output};
use proto::name::RepositoryName;
use proto::upload::UploadId;

use super::call::Call;
use super::{unavailable, unmade};
use crate::adapters::relay::RelayError;
use crate::api::body::BodyError;
use crate::registry::RegistryError;
use crate::telemetry::metrics::OperationLabels;

/// The size of parts that clients are told to send, bytes; AWS's.
const PART_BYTES: u64 = 10 << 20;
/// Of all parts but the last.
const MIN_PART_BYTES: u64 = 5 << 20;
/// Sessions of which the short parts are remembered.
const REMEMBERED: usize = 4096;

/// Which sessions of this node got a part that only a last one may be. Forgotten with the process, and when there are
/// many: then a layer of small parts is taken, which harms nobody.
pub(super) struct ShortParts(Mutex<LruCache<UploadId, Short>>);

/// What was seen of a session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Short {
    /// The newest part is short.
    Newest,
    /// One before it was.
    Earlier,
}

impl ShortParts {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN))))
    }

    fn took(&self, upload: UploadId, bytes: u64) {
        let mut seen = self.seen();
        if seen.get(&upload).is_some() {
            seen.put(upload, Short::Earlier);
        } else if bytes < MIN_PART_BYTES {
            seen.put(upload, Short::Newest);
        }
    }

    fn is_broken(&self, upload: UploadId) -> bool {
        self.seen().get(&upload) == Some(&Short::Earlier)
    }

    fn seen(&self) -> MutexGuard<'_, LruCache<UploadId, Short>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a session.
pub(super) async fn initiate(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    call.exists(&name).await?;
    let upload = call.blobs().start_uuid_upload(owner(call, &name)).await;
    let upload = upload.map_err(|error| match error {
        BlobError::TooManyUploads { .. } => Failure::throttling(),
        error => unavailable(&error),
    })?;
    let id = upload.id().to_uuid().ok_or_else(Failure::server)?;
    Ok(Output::new().with("uploadId", id).with("partSize", PART_BYTES))
}

/// Who may continue a session; the same as for `/v2/`.
fn owner(call: &Call<'_>, name: &RepositoryName) -> UploadOwner {
    UploadOwner { principal: call.caller.to_string(), repository: call.id(name).to_string() }
}

/// The session, if this node has it.
fn session(call: &Call<'_>, name: &RepositoryName) -> Result<Upload, Failure> {
    let id = UploadId::from_uuid(call.input.text("uploadId")).ok_or_else(|| no_upload(call, name))?;
    call.blobs().upload(id, &owner(call, name)).map_err(|error| refused(call, name, error))
}

fn no_upload(call: &Call<'_>, name: &RepositoryName) -> Failure {
    Failure::upload_not_found(call.input.text("uploadId"), name, &call.registry.account)
}

fn refused(call: &Call<'_>, name: &RepositoryName, error: BlobError) -> Failure {
    match error {
        BlobError::UploadUnknown => no_upload(call, name),
        BlobError::Busy => Failure::throttling(),
        error => unavailable(&error),
    }
}

/// What the node says that has the session, if that is another one. Who may not upload is not passed on.
pub(super) async fn elsewhere(call: &Call<'_>, body: &Bytes) -> Option<Result<Response, Failure>> {
    if let Err(refused) = call.repository() {
        return Some(Err(refused));
    }
    let relay = call.ecr.api.relay.as_ref()?;
    let id = UploadId::from_uuid(call.input.text("uploadId"))?;
    if !relay.is_elsewhere(id.node()) {
        return None;
    }
    let passed = relay.pass(id.node(), call.parts, call.connection, Body::from(body.clone())).await;
    Some(match passed {
        Ok(response) => Ok(response),
        Err(RelayError::UnknownNode) => call.repository().and_then(|name| Err(no_upload(call, &name))),
        Err(error) => Err(unavailable(&error)),
    })
}

/// Adds one part, which must begin where the one before ended.
pub(super) async fn part(call: &mut Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    drop(call.exists(&name).await?);
    let upload = session(call, &name)?;
    let bytes = call.input.take_blob("layerPartBlob");
    let length = bytes.len() as u64;
    let first = u64::try_from(call.input.integer("partFirstByte")).ok();
    let last = u64::try_from(call.input.integer("partLastByte")).ok();
    let uuid = call.input.text("uploadId");
    let invalid = |upload: &Upload| {
        Failure::invalid_layer_part(uuid, &name, &call.registry.account, upload.offset().checked_sub(1))
    };
    let (Some(first), Some(last)) = (first, last) else { return Err(invalid(&upload)) };
    if length == 0 || first.checked_add(length - 1) != Some(last) {
        return Err(invalid(&upload));
    }
    let body = stream::iter([Ok::<_, BodyError>(Bytes::from(bytes))]);
    let body = call.ecr.api.registry.copies.send_ahead(upload.id(), first, body);
    let end = upload.append(Some(first), Some(length), body).await.map_err(|error| match error {
        BlobError::OffsetMismatch { .. } => invalid(&upload),
        error => refused(call, &name, error),
    })?;
    call.ecr.signed.short_parts.took(upload.id(), length);
    let operation = OperationLabels { operation: "UploadLayerPart" };
    call.ecr.api.metrics.request_bytes.get_or_create(&operation).inc_by(length);
    Ok(call.about(&name).with("uploadId", uuid).with("lastByteReceived", end.saturating_sub(1)))
}

/// Makes a layer of the parts; the first of the given digests is the one that it must have.
pub(super) async fn complete(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    let wanted: Result<Vec<Digest>, _> = call.input.texts("layerDigests").map(str::parse).collect();
    let wanted = wanted.map_err(|error| Failure::invalid_parameter("layerDigests", error))?;
    let digest = *wanted.first().ok_or_else(|| Failure::invalid_parameter("layerDigests", "is empty"))?;
    let uuid = call.input.text("uploadId");
    let (registry, repository) = (&call.ecr.api.registry, call.id(&name));
    let done = call.about(&name).with("uploadId", uuid).with("layerDigest", digest.to_string());
    if was_completed(call, &name, &digest).await? {
        return Ok(done);
    }
    let upload = session(call, &name)?;
    if upload.offset() == 0 {
        let text = format!("The specified layer upload '{uuid}' does not contain any layer parts");
        return Err(Failure::new(Exception::EmptyUpload, text));
    }
    if call.ecr.signed.short_parts.is_broken(upload.id()) {
        let text = format!("Layer parts other than the last one must have at least {MIN_PART_BYTES} bytes");
        return Err(Failure::new(Exception::LayerPartTooSmall, text));
    }
    drop(call.exists(&name).await?);
    let found = registry.find_blob(&repository, &digest).await.map_err(unmade)?;
    // A layer whose bytes are nowhere any more is healed by these.
    if let Some((copy, record)) = found
        && registry.has_bytes(&copy, &record).await
    {
        // The client need not send the bytes again, so the session is of no use any more.
        upload.cancel();
        let text = format!(
            "The layer with digest '{digest}' already exists in the repository with name '{name}' in registry \
             with id '{}'",
            call.registry.account
        );
        return Err(Failure::new(Exception::LayerAlreadyExists, text));
    }
    registry.finish_upload(&repository, &upload, digest).await.map_err(|error| match error {
        RegistryError::Blob(BlobError::DigestMismatch { .. }) => {
            let text = "The digest of the uploaded layer is not the expected one";
            Failure::new(Exception::InvalidLayer, text)
        }
        RegistryError::Blob(error) => refused(call, &name, error),
        error => unmade(error),
    })?;
    Ok(done)
}

/// Whether the session ended in this layer already, so that only the answer was lost on its way.
async fn was_completed(call: &Call<'_>, name: &RepositoryName, digest: &Digest) -> Result<bool, Failure> {
    let id = UploadId::from_uuid(call.input.text("uploadId"));
    match id.and_then(|id| call.blobs().finished(id, &owner(call, name))) {
        Some(copy) if copy.digest == *digest => {
            call.ecr.api.registry.finish_again(&call.id(name), &copy).await.map_err(unmade)
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::identity::NodeId;

    #[test]
    fn only_a_last_part_may_be_short() {
        let id = |random| UploadId::short(NodeId::new(7).expect("not zero"), random);
        let parts = ShortParts::new();
        parts.took(id(1), MIN_PART_BYTES);
        parts.took(id(1), MIN_PART_BYTES - 1);
        assert!(!parts.is_broken(id(1)));
        parts.took(id(1), MIN_PART_BYTES);
        assert!(parts.is_broken(id(1)));
        assert!(!parts.is_broken(id(2)), "another session");
    }
}
