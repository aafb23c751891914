//! `/api/v1/backup`: the state at one index as one stream (format: `proto::backup`), and the bytes of the
//! blobs that it needs, through the same checks as for clients. Holds a page at a time.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use blobs::{BlobCopy, Reader};
use bytes::Bytes;
use cluster::{StateReader, StorageError};
use cluster_core::access::Action;
use cluster_core::record::BlobRecord;
use cluster_core::state::{self, StateError};
use cluster_core::view::{key_after, some_pairs};
use futures::stream;
use proto::backup::{Encoder, Head, NeededBlob};
use proto::digest::Digest;

use super::problem::Refusal;
use super::{Admin, AdminRequest};
use crate::registry::{OpenBlob, RegistryError};

/// Bytes of the state in one part of the stream, about.
const PART: usize = 256 << 10;
/// Blobs in one part of the stream.
const BLOBS: usize = 512;
/// After every key.
const ALL_END: &[u8] = &[0xff];
/// First byte of keys that belong to the place where the state is kept, not to the state.
const OWN: u8 = 0;

/// `GET`: all that was acknowledged before the request, and nothing later than one entry.
pub(super) async fn save(State(admin): State<Arc<Admin>>, asked: AdminRequest) -> Result<Response, Refusal> {
    admin.authorize(Action::ManageCluster, &asked).await?;
    let reader = admin.metadata.read().await?;
    let position = cluster::position(&reader).map_err(StateError::View)?;
    let head = Head {
        cluster_id: format!("{:032x}", u128::from_be_bytes(admin.cluster_id)),
        index: position.index,
        term: position.term,
        time_ms: state::log_time(&reader)?,
        release: env!("CARGO_PKG_VERSION").to_owned(),
    };
    tracing::info!(index = head.index, "backup begun");
    let export = Export { reader, encoder: Encoder::new(&head), step: Step::Blobs(None) };
    let parts = stream::unfold(Some(export), |export| async move {
        let mut export = export?;
        if export.step == Step::Over {
            return None;
        }
        let made = tokio::task::spawn_blocking(move || export.part().map(|part| (part, export))).await;
        let failed = match made {
            Ok(Ok((part, export))) => return Some((Ok(Bytes::from(part)), Some(export))),
            Ok(Err(error)) => crate::telemetry::log::chain(&error),
            Err(error) => error.to_string(),
        };
        tracing::error!(reason = failed, "backup not sent to its end");
        Some((Err(std::io::Error::other("the state cannot be read")), None))
    });
    Ok(octets(Body::from_stream(parts), None))
}

/// A backup on its way out.
struct Export {
    reader: StateReader,
    encoder: Encoder,
    step: Step,
}

#[derive(PartialEq, Eq)]
enum Step {
    /// Blobs after this one.
    Blobs(Option<Digest>),
    /// Pairs from this key on.
    Pairs(Vec<u8>),
    Over,
}

impl Export {
    /// The next part; never empty before the end. Blocks.
    fn part(&mut self) -> Result<Vec<u8>, StateError<StorageError>> {
        self.step = match std::mem::replace(&mut self.step, Step::Over) {
            Step::Blobs(after) => {
                let page = state::blob::blobs(&self.reader, after.as_ref(), BLOBS)?;
                page.items.iter().for_each(|(digest, record)| self.encoder.blob(&needed(digest, record)));
                match page.items.last() {
                    Some((last, _)) if page.more => Step::Blobs(Some(*last)),
                    _ => Step::Pairs(Vec::new()),
                }
            }
            Step::Pairs(from) => {
                let pairs = some_pairs(&self.reader, &from, ALL_END, PART).map_err(StateError::View)?;
                let ours = pairs.iter().filter(|(key, _)| key.first() != Some(&OWN));
                ours.for_each(|(key, value)| self.encoder.pair(key, value));
                match pairs.last() {
                    Some((last, _)) => Step::Pairs(key_after(last)),
                    None => {
                        self.encoder.end();
                        Step::Over
                    }
                }
            }
            Step::Over => Step::Over,
        };
        Ok(self.encoder.take())
    }
}

fn needed(digest: &Digest, record: &BlobRecord) -> NeededBlob {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    NeededBlob {
        digest: digest.to_string(),
        size: record.size,
        generation: record.generation.to_string(),
        pieces_root: hex(&record.pieces_root),
        copies: record.copies.iter().map(ToString::to_string).collect(),
    }
}

/// `GET`: the bytes of one blob, from here or from other nodes.
pub(super) async fn blob(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
    Path(digest): Path<String>,
) -> Result<Response, Refusal> {
    admin.authorize(Action::ManageCluster, &asked).await?;
    let digest: Digest = digest.parse().map_err(|_| Refusal::Invalid("this is no digest".to_owned()))?;
    let record = state::blob::blob(&admin.metadata.local()?, &digest)?;
    let record = record.ok_or(Refusal::NotFound("there is no such blob"))?;
    let BlobRecord { size, generation, pieces_root, .. } = record;
    let copy = BlobCopy { digest, size, generation, pieces_root };
    let body = match admin.registry.open_blob(&copy, &record).await {
        Ok(OpenBlob::Here(reader)) => Body::from_stream(whole(reader)),
        Ok(OpenBlob::Coming(fetch)) => Body::from_stream(admin.registry.coming(&fetch, &copy, 0..size)),
        Err(error) => {
            tracing::warn!(%digest, reason = %crate::telemetry::log::chain(&error), "blob not sent");
            return Err(Refusal::Unavailable("no whole copy of the blob can be read just now"));
        }
    };
    Ok(octets(body, Some(size)))
}

/// All bytes of a blob that is here, each checked.
fn whole(reader: Reader) -> impl futures::Stream<Item = Result<Bytes, RegistryError>> + Send {
    stream::unfold(Some((reader, 0)), |rest| async move {
        let (reader, at) = rest?;
        if at >= reader.size() {
            return None;
        }
        match reader.read(at, PART).await {
            Ok(bytes) if bytes.is_empty() => Some((Err(blobs::BlobError::Damaged.into()), None)),
            Ok(bytes) => {
                let next = at + bytes.len() as u64;
                Some((Ok(bytes), Some((reader, next))))
            }
            Err(error) => Some((Err(error.into()), None)),
        }
    })
}

fn octets(body: Body, length: Option<u64>) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    response
}
