//! `GET /v2/<name>/tags/list` (checklist §7).

use axum::http::{StatusCode, header};
use axum::response::Response;
use proto::name::{RepositoryName, Tag};
use serde_json::json;

use super::error::{Code, OciError};
use super::query::target;
use super::{Exchange, reply};

pub(super) async fn list(exchange: &Exchange<'_>, name: &RepositoryName) -> Result<Response, OciError> {
    let query = exchange.query();
    let limit = query.page_size()?;
    let found = exchange.api.registry.tags(&exchange.repository(name), query.get("last"), limit).await?;
    let page = found.ok_or_else(|| OciError::new(Code::NameUnknown, "no such repository"))?;
    let tags: Vec<&str> = page.items.iter().map(Tag::as_str).collect();
    let mut response = reply::json(StatusCode::OK, json!({"name": name.as_str(), "tags": tags}).to_string());
    if let (true, Some(last)) = (page.more, tags.last()) {
        let next = target(&format!("/v2/{name}/tags/list"), &[("n", &limit.to_string()), ("last", last)]);
        reply::set(&mut response, header::LINK, &format!("<{next}>; rel=\"next\""));
    }
    Ok(response)
}
