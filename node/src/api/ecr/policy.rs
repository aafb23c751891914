//! Policies: of repositories, of the registry, and of the life of images (ECR specification §7, §9.2).

use cluster_core::command::Response;
use cluster_core::command::repository::{DocumentCondition, RepositoryCommand, RepositoryRefusal};
use cluster_core::record::{RegistryDocument, RepositoryDocument};
use cluster_core::state;
use proto::ecr::{Failure, Output};
use proto::lifecycle::LifecyclePolicy;
use proto::name::RepositoryName;
use proto::policy::{Kind, Policy};

use super::call::Call;
use super::document::{self, Key};
use super::{repository, unread};

/// `SetRepositoryPolicy`.
pub(super) async fn set(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    let text = call.input.text("policyText");
    if Policy::parse(text.as_bytes(), Kind::Repository, call.account_settings()?.extensions()).is_err() {
        return Err(Failure::invalid_parameter("PolicyText", "Invalid repository policy provided"));
    }
    store(call, &name, RepositoryDocument::Policy, text).await?;
    Ok(call.about(&name).with("policyText", text))
}

async fn store(
    call: &Call<'_>,
    name: &RepositoryName,
    kind: RepositoryDocument,
    text: &str,
) -> Result<(), Failure> {
    let (repository, text) = (call.id(name), text.to_owned());
    repository::change(call, name, RepositoryCommand::SetDocument { repository, kind, text }).await.map(drop)
}

/// `GetRepositoryPolicy`.
pub(super) async fn get(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    let text = text_of(call, &name, RepositoryDocument::Policy).await?;
    let missing = || Failure::repository_policy_not_found(&name, &call.registry.account);
    Ok(call.about(&name).with("policyText", text.ok_or_else(missing)?))
}

/// `DeleteRepositoryPolicy`.
pub(super) async fn delete(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    let text = remove(call, &name, RepositoryDocument::Policy).await?;
    let missing = || Failure::repository_policy_not_found(&name, &call.registry.account);
    Ok(call.about(&name).with("policyText", text.ok_or_else(missing)?))
}

/// The document's text as of now.
async fn text_of(
    call: &Call<'_>,
    name: &RepositoryName,
    kind: RepositoryDocument,
) -> Result<Option<String>, Failure> {
    let reader = call.exists(name).await?;
    let found = state::repository::document(&reader, &call.id(name), kind);
    Ok(found.map_err(|error| unread(error.into()))?.map(|record| record.text))
}

/// Deletes the document and gives its text back; `None` if there was none.
async fn remove(
    call: &Call<'_>,
    name: &RepositoryName,
    kind: RepositoryDocument,
) -> Result<Option<String>, Failure> {
    let Some(text) = text_of(call, name, kind).await? else { return Ok(None) };
    let command = RepositoryCommand::DeleteDocument { repository: call.id(name), kind };
    match repository::change(call, name, command).await? {
        // Somebody else deleted it a moment before.
        Response::NotFound => Ok(None),
        _ => Ok(Some(text)),
    }
}

/// `PutLifecyclePolicy`: stored, and evaluated by nobody yet.
pub(super) async fn set_lifecycle(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    let text = call.input.text("lifecyclePolicyText");
    text.parse::<LifecyclePolicy>().map_err(|error| {
        Failure::invalid_parameter(
            "LifecyclePolicyText",
            format_args!("Lifecycle policy validation failure: {error}"),
        )
    })?;
    store(call, &name, RepositoryDocument::LifecyclePolicy, text).await?;
    Ok(call.about(&name).with("lifecyclePolicyText", text))
}

/// `GetLifecyclePolicy`. Nothing evaluates policies yet, so there is no time of the last evaluation.
pub(super) async fn get_lifecycle(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    let text = text_of(call, &name, RepositoryDocument::LifecyclePolicy).await?;
    let missing = || Failure::lifecycle_policy_not_found(&name, &call.registry.account);
    Ok(call.about(&name).with("lifecyclePolicyText", text.ok_or_else(missing)?))
}

/// `DeleteLifecyclePolicy`.
pub(super) async fn delete_lifecycle(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    let text = remove(call, &name, RepositoryDocument::LifecyclePolicy).await?;
    let missing = || Failure::lifecycle_policy_not_found(&name, &call.registry.account);
    Ok(call.about(&name).with("lifecyclePolicyText", text.ok_or_else(missing)?))
}

/// `PutRegistryPolicy`.
pub(super) async fn set_registry(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let text = call.input.text("policyText");
    if Policy::parse(text.as_bytes(), Kind::Registry, call.account_settings()?.extensions()).is_err() {
        return Err(Failure::invalid_parameter("PolicyText", "Invalid registry policy provided"));
    }
    let key = Key::only(RegistryDocument::Policy);
    match document::put_text(call, &key, text.to_owned(), DocumentCondition::Any, 1).await? {
        Ok(_) => Ok(call.of_registry().with("policyText", text)),
        Err(RepositoryRefusal::DocumentTooLong) => {
            Err(Failure::invalid_parameter("PolicyText", "the policy is too long"))
        }
        Err(_) => Err(Failure::server()),
    }
}

/// `GetRegistryPolicy`.
pub(super) async fn get_registry(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let stored = document::record(call, &Key::only(RegistryDocument::Policy)).await?;
    let missing = || Failure::registry_policy_not_found(&call.registry.account);
    Ok(call.of_registry().with("policyText", stored.ok_or_else(missing)?.text))
}

/// `DeleteRegistryPolicy`.
pub(super) async fn delete_registry(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let key = Key::only(RegistryDocument::Policy);
    let stored = document::record(call, &key).await?;
    let removed = document::remove(call, &key).await?;
    let missing = || Failure::registry_policy_not_found(&call.registry.account);
    let stored = stored.filter(|_| removed).ok_or_else(missing)?;
    Ok(call.of_registry().with("policyText", stored.text))
}
