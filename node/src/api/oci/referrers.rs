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
    let repository = exchange.repository(name);
    let registry = &exchange.api.registry;
    let (rows, more) = registry.referrers(&repository, subject, filter.clone(), last, MAX_REPLY).await?;
    let mut known: HashSet<Digest> = rows.iter().map(|row| row.0).collect();
    let mut entries: Vec<Value> = rows.into_iter().map(descriptor).collect();
    if last.is_none() {
        let older = fallback(exchange, name, subject, filter.as_deref()).await?;
        let digest =
            |entry: &Value| entry.get("digest").and_then(Value::as_str).and_then(|text| text.parse().ok());
        entries.extend(
            older.into_iter().filter(|entry| digest(entry).is_some_and(|digest| known.insert(digest))),
        );
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
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
