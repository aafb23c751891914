//! `GET /v2/_catalog`: repositories of the registry (T12 of the checklist). Who may list at all is told every name, as
//! ECR's DescribeRepositories does: what policies say of single repositories does not thin out the list.

use axum::http::{StatusCode, header};
use axum::response::Response;
use proto::name::RepositoryName;
use serde_json::json;

use super::error::OciError;
use super::query::target;
use super::{Exchange, reply};

pub(super) async fn list(exchange: &Exchange<'_>) -> Result<Response, OciError> {
    let query = exchange.query();
    let limit = query.page_size()?;
    let page = exchange.api.registry.repositories(&exchange.registry, query.get("last"), limit).await?;
    let names: Vec<&str> = page.items.iter().map(RepositoryName::as_str).collect();
    let mut response = reply::json(StatusCode::OK, json!({"repositories": names}).to_string());
    if let (true, Some(last)) = (page.more, names.last()) {
        let next = target("/v2/_catalog", &[("n", &limit.to_string()), ("last", last)]);
        reply::set(&mut response, header::LINK, &format!("<{next}>; rel=\"next\""));
    }
    Ok(response)
}
