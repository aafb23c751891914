//! `GET /v2/<name>/referrers/<digest>` (checklist §7, R1–R13).

use std::collections::HashSet;

use axum::http::{HeaderName, StatusCode, header};
use axum::response::Response;
use proto::digest::Digest;
use proto::manifest::OCI_INDEX;
use proto::name::{Reference, RepositoryName};
use proto::referrer::fallback_tag;
use serde_json::{Map, Value, json};

use super::error::{Code, OciError};
use super::query::target;
use super::{Exchange, reply};
use crate::registry::ReferrerRow;

/// Entries that are read at once.
const BATCH: usize = 256;
/// A reply grows to this size before it is paged: some clients do not follow `Link` (R12).
const MAX_REPLY: usize = 4 << 20;

pub(super) async fn list(
    exchange: &Exchange<'_>,
    name: &RepositoryName,
    subject: &Digest,
) -> Result<Response, OciError> {
    let query = exchange.query();
    let asked = query.get("artifactType").filter(|text| !text.is_empty());
    // A + that was not encoded arrives as a space, which no artifact type has (R6).
    let filter = asked.map(|text| text.replace(' ', "+"));
    let last = query.get("last").map(str::parse::<Digest>).transpose();
    let last = last.map_err(|_| OciError::new(Code::DigestInvalid, "last must be a digest"))?;
    let mut page = Page::default();
    if last.is_none() {
        let older = fallback(exchange, name, subject, filter.as_deref()).await?;
        page.add_older(older);
    }
    let more = fill(exchange, name, subject, filter.as_deref(), last, &mut page).await?;
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page.entries});
    let mut response = reply::typed(StatusCode::OK, OCI_INDEX, index.to_string());
    if filter.is_some() {
        reply::set(&mut response, HeaderName::from_static("oci-filters-applied"), "artifactType");
    }
    if let Some(last) = more {
        let last = last.to_string();
        let path = format!("/v2/{name}/referrers/{subject}");
        let next = match &filter {
            Some(kind) => target(&path, &[("artifactType", kind), ("last", &last)]),
            None => target(&path, &[("last", &last)]),
        };
        reply::set(&mut response, header::LINK, &format!("<{next}>; rel=\"next\""));
    }
    Ok(response)
}

/// Descriptors gathered so far.
#[derive(Default)]
struct Page {
    entries: Vec<Value>,
    bytes: usize,
    known: HashSet<String>,
}

impl Page {
    fn add(&mut self, entry: Value) {
        let digest = entry.get("digest").and_then(Value::as_str).unwrap_or_default().to_owned();
        if self.known.insert(digest) {
            self.bytes += entry.to_string().len();
            self.entries.push(entry);
        }
    }

    fn add_older(&mut self, entries: Vec<Value>) {
        entries.into_iter().for_each(|entry| self.add(entry));
    }
}

/// Adds rows until the page is full; then gives the last one that is in it.
async fn fill(
    exchange: &Exchange<'_>,
    name: &RepositoryName,
    subject: &Digest,
    filter: Option<&str>,
    mut after: Option<Digest>,
    page: &mut Page,
) -> Result<Option<Digest>, OciError> {
    let repository = exchange.repository(name);
    loop {
        let registry = &exchange.api.registry;
        let found = registry.referrers(&repository, subject, filter, after.as_ref(), BATCH).await?;
        for row in found.items {
            let digest = row.0;
            let entry = descriptor(row);
            if page.bytes + entry.to_string().len() > MAX_REPLY && after.is_some() {
                return Ok(after);
            }
            page.add(entry);
            after = Some(digest);
        }
        if !found.more {
            return Ok(None);
        }
    }
}

fn descriptor((digest, row): ReferrerRow) -> Value {
    let mut entry = Map::new();
    entry.insert("mediaType".into(), row.media_type.into());
    entry.insert("digest".into(), digest.to_string().into());
    entry.insert("size".into(), row.size.into());
    if let Some(kind) = row.artifact_type {
        entry.insert("artifactType".into(), kind.into());
    }
    if !row.annotations.is_empty() {
        let annotations = row.annotations.into_iter().map(|(key, value)| (key, value.into()));
        entry.insert("annotations".into(), Value::Object(annotations.collect()));
    }
    Value::Object(entry)
}

/// What clients older than this API recorded under the fallback tag (R11).
async fn fallback(
    exchange: &Exchange<'_>,
    name: &RepositoryName,
    subject: &Digest,
    filter: Option<&str>,
) -> Result<Vec<Value>, OciError> {
    let (registry, repository) = (&exchange.api.registry, exchange.repository(name));
    let Some(tag) = fallback_tag(subject) else {
        return Ok(Vec::new());
    };
    let found = registry.read_manifest(&repository, &Reference::Tag(tag)).await?;
    let Some((_, content)) = found.filter(|(found, _)| found.media_type == OCI_INDEX) else {
        return Ok(Vec::new());
    };
    let index: Value = serde_json::from_slice(&content).unwrap_or_default();
    let entries = index.get("manifests").and_then(Value::as_array).cloned().unwrap_or_default();
    let kind = |entry: &Value| entry.get("artifactType").and_then(Value::as_str).map(str::to_owned);
    Ok(entries.into_iter().filter(|entry| filter.is_none() || kind(entry).as_deref() == filter).collect())
}
