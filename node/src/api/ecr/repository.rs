//! DescribeRepositories (ECR specification §4, §6).

use cluster_core::key::RepositoryId;
use cluster_core::state;
use proto::arn::Arn;
use proto::ecr::{Failure, Output, PageToken};
use proto::name::RepositoryName;

use super::call::Call;
use super::unread;

/// Repositories of a page if the request does not say.
const PAGE: i64 = 100;

/// Those that are named, of which each must exist, or a page of all.
pub(super) async fn describe(call: &Call<'_>) -> Result<Output, Failure> {
    let named: Result<Vec<RepositoryName>, _> = call.input.texts("repositoryNames").map(str::parse).collect();
    let named = named.map_err(|error| Failure::invalid_parameter("repositoryNames", error))?;
    if named.is_empty() {
        return page(call).await;
    }
    if call.input.has("nextToken") || call.input.has("maxResults") {
        let reason = "may not be given together with repositoryNames";
        return Err(Failure::invalid_parameter("nextToken", reason));
    }
    let reader = call.ecr.api.registry.metadata.read().await.map_err(unread)?;
    let mut repositories = Vec::new();
    for name in named {
        call.authorize(&name)?;
        let id = RepositoryId { registry: call.registry.clone(), name };
        let found = state::repository::repository(&reader, &id).map_err(|error| unread(error.into()))?;
        let missing = || Failure::repository_not_found(&id.name, &id.registry.account);
        repositories.push(one(call, &id.name, found.ok_or_else(missing)?.created_ms)?);
    }
    Ok(Output::new().with_list("repositories", repositories))
}

async fn page(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let token = PageToken { registry: &call.registry, operation: call.operation, filter: &[] };
    let after = call.input.text_if("nextToken").map(|text| token.open(text)).transpose()?;
    let limit = usize::try_from(call.input.integer_if("maxResults").unwrap_or(PAGE)).unwrap_or(0);
    let reader = call.ecr.api.registry.metadata.read().await.map_err(unread)?;
    let page = state::repository::repositories(&reader, &call.registry, after.as_deref(), limit);
    let page = page.map_err(|error| unread(error.into()))?;
    let mut repositories = Vec::new();
    for name in &page.items {
        let id = RepositoryId { registry: call.registry.clone(), name: name.clone() };
        let record = state::repository::repository(&reader, &id).map_err(|error| unread(error.into()))?;
        repositories.push(one(call, name, record.map_or(0, |record| record.created_ms))?);
    }
    let next = page.more.then(|| page.items.last().map(|last| token.seal(last.as_str()))).flatten();
    Ok(Output::new().with_list("repositories", repositories).with("nextToken", next))
}

fn one(call: &Call<'_>, name: &RepositoryName, created_ms: u64) -> Result<Output, Failure> {
    let arn = Arn::repository(call.operation.service().as_str(), &call.registry, name);
    let endpoint = call.endpoint()?;
    let host = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, host)| host);
    Ok(Output::new()
        .with("repositoryArn", arn.as_str())
        .with("registryId", call.registry.account.as_str())
        .with("repositoryName", name.as_str())
        .with("repositoryUri", format!("{host}/{name}"))
        .with_time("createdAt", created_ms)
        .with("imageTagMutability", "MUTABLE")
        .with("imageScanningConfiguration", Output::new().with("scanOnPush", false))
        .with("encryptionConfiguration", Output::new().with("encryptionType", "AES256")))
}
