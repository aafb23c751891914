//! Creation templates: what repositories are like that something else than CreateRepository makes (ECR specification §11).
//! `registry/creation` carries those of `CREATE_ON_PUSH` out; the other scenarios come later.

use cluster_core::command::repository::{DocumentCondition, RepositoryRefusal};
use cluster_core::record::RegistryDocument;
use proto::ecr::{Exception, Failure, Output};
use proto::lifecycle::LifecyclePolicy;
use proto::policy::{Kind, Policy};
use serde_json::{Map, Value};

use super::call::Call;
use super::document::{self, Key, Stored};
use super::rule::{described, limit_exceeded, members};
use super::settings;

/// Templates of a registry: ours, AWS says no number.
const MOST_TEMPLATES: u32 = 1000;

/// Checks what of a template a repository could not be made of.
fn check(call: &Call<'_>) -> Result<(), Failure> {
    settings::mutability(&call.input)?;
    settings::encryption(&call.input)?;
    settings::resource_tags(&call.input, "resourceTags")?;
    if let Some(text) = call.input.text_if("repositoryPolicy").filter(|text| !text.is_empty())
        && Policy::parse(text.as_bytes(), Kind::Repository, call.account_settings()?.extensions()).is_err()
    {
        return Err(Failure::invalid_parameter("repositoryPolicy", "Invalid repository policy provided"));
    }
    if let Some(text) = call.input.text_if("lifecyclePolicy").filter(|text| !text.is_empty()) {
        text.parse::<LifecyclePolicy>()
            .map_err(|error| Failure::invalid_parameter("lifecyclePolicy", error))?;
    }
    let needs_role = call.input.has("resourceTags") && !call.input.has("customRoleArn");
    if needs_role && call.input.structures("resourceTags").next().is_some() {
        return Err(Failure::new(Exception::Validation, "Resource tags in a template need a customRoleArn"));
    }
    Ok(())
}

fn template(id: &str, stored: &Stored) -> Output {
    stored
        .output()
        .with("prefix", id)
        .with_time("createdAt", stored.created_ms)
        .with_time("updatedAt", stored.changed_ms)
}

fn not_found(call: &Call<'_>) -> Failure {
    let text =
        format!("There is no repository creation template with the prefix '{}'", call.input.text("prefix"));
    Failure::new(Exception::TemplateNotFound, text)
}

/// A prefix ends with `/`, whether it is written or not.
fn key_of(call: &Call<'_>) -> Result<Key, Failure> {
    let prefix = call.input.text("prefix").trim_end_matches('/');
    let id = prefix.parse().map_err(|error| Failure::invalid_parameter("prefix", error))?;
    Ok(Key { kind: RegistryDocument::CreationTemplate, id })
}

/// Whoever says what others' repositories are like may make such ones (§9.1).
fn authorize(call: &Call<'_>) -> Result<(), Failure> {
    call.authorize_at_all()?;
    for action in ["ecr:CreateRepository", "ecr:PutLifecyclePolicy", "ecr:SetRepositoryPolicy"] {
        call.authorize_also(action)?;
    }
    Ok(())
}

/// `CreateRepositoryCreationTemplate`.
pub(super) async fn create(call: &Call<'_>) -> Result<Output, Failure> {
    authorize(call)?;
    check(call)?;
    let key = key_of(call)?;
    let mut given = members(call, "prefix");
    given.entry("imageTagMutability").or_insert_with(|| "MUTABLE".into());
    given.entry("encryptionConfiguration").or_insert_with(|| serde_json::json!({"encryptionType": "AES256"}));
    store(call, &key, given, DocumentCondition::Create).await
}

async fn store(
    call: &Call<'_>,
    key: &Key,
    members: Map<String, Value>,
    condition: DocumentCondition,
) -> Result<Output, Failure> {
    let put = document::put(call, key, Value::Object(members), condition, MOST_TEMPLATES).await?;
    let stored = put.map_err(|refusal| match refusal {
        RepositoryRefusal::DocumentExists => {
            let text =
                format!("There is a repository creation template with the prefix '{}' already", key.id);
            Failure::new(Exception::TemplateAlreadyExists, text)
        }
        RepositoryRefusal::DocumentNotFound => not_found(call),
        RepositoryRefusal::Limit => limit_exceeded(MOST_TEMPLATES),
        RepositoryRefusal::DocumentTooLong => Failure::new(Exception::Validation, "The template is too long"),
        _ => Failure::server(),
    })?;
    Ok(call.of_registry().with("repositoryCreationTemplate", template(key.id.as_str(), &stored)))
}

/// `UpdateRepositoryCreationTemplate`: what is not given stays.
pub(super) async fn update(call: &Call<'_>) -> Result<Output, Failure> {
    authorize(call)?;
    check(call)?;
    let key = key_of(call)?;
    let mut stored = document::get(call, &key).await?.ok_or_else(|| not_found(call))?;
    let given = members(call, "prefix");
    if given.contains_key("imageTagMutability") {
        stored.members.remove("imageTagMutabilityExclusionFilters");
    }
    stored.members.extend(given);
    store(call, &key, stored.members, DocumentCondition::Replace).await
}

/// `DeleteRepositoryCreationTemplate`.
pub(super) async fn delete(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let key = key_of(call)?;
    let stored = document::delete(call, &key).await?.ok_or_else(|| not_found(call))?;
    Ok(call.of_registry().with("repositoryCreationTemplate", template(key.id.as_str(), &stored)))
}

/// `DescribeRepositoryCreationTemplates`: those of the prefixes that are named, or a page of all.
pub(super) async fn describe(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let kind = RegistryDocument::CreationTemplate;
    let (items, next) = described(call, kind, "prefixes").await?;
    let templates = items.iter().map(|(id, stored)| template(id, stored));
    Ok(call.of_registry().with_list("repositoryCreationTemplates", templates).with("nextToken", next))
}
