//! Creation templates: what repositories are like that something else than CreateRepository makes (ECR specification §11).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    DocumentId, Encryption, MAX_RESOURCE_TAGS, Mutability, ResourceTagKey, ResourceTagValue, SettingsError,
};
use crate::name::RepositoryName;

/// Where no other template fits.
const ROOT: &str = "ROOT";

/// What makes a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Scenario {
    /// Its images come from another registry of ours.
    Replication,
    /// They are fetched from an upstream registry.
    PullThroughCache,
    /// Somebody pushes to it.
    CreateOnPush,
}

/// A template, as `CreateRepositoryCreationTemplate` took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreationTemplate {
    /// Which tags may move.
    pub mutability: Mutability,
    /// How bytes are encrypted.
    pub encryption: Encryption,
    /// Resource tags.
    pub tags: BTreeMap<ResourceTagKey, ResourceTagValue>,
    /// Who else may use it.
    pub repository_policy: Option<String>,
    /// Which images go by themselves.
    pub lifecycle_policy: Option<String>,
}

/// Why a text is no template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is not such a document.
    #[error("no creation template")]
    Json(#[from] serde_json::Error),
    /// What it sets cannot be set.
    #[error("the creation template sets what cannot be set")]
    Settings(#[from] SettingsError),
}

impl CreationTemplate {
    /// Reads the stored JSON; `None`: it is not meant for repositories that are made so. Members that are about the template
    /// itself are passed over.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn read(text: &str, scenario: Scenario) -> Result<Option<Self>, TemplateError> {
        let document: Document = serde_json::from_str(text)?;
        if !document.applied_for.contains(&scenario) {
            return Ok(None);
        }
        let filters: Result<Vec<_>, _> = document
            .image_tag_mutability_exclusion_filters
            .iter()
            .map(|filter| filter.filter.parse())
            .collect();
        let mode = document.image_tag_mutability.as_deref().unwrap_or("MUTABLE");
        let mut tags = BTreeMap::new();
        for tag in document.resource_tags {
            tags.insert(tag.key.parse()?, tag.value.parse()?);
        }
        if tags.len() > MAX_RESOURCE_TAGS {
            return Err(SettingsError::ResourceTags.into());
        }
        let encryption = match document.encryption_configuration {
            Some(asked) if asked.encryption_type != "AES256" => return Err(SettingsError::KmsKey.into()),
            _ => Encryption::Aes256,
        };
        // An empty one is none: updates take one away with it.
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Some(Self {
            mutability: Mutability::named(mode, filters?)?,
            encryption,
            tags,
            repository_policy: given(document.repository_policy),
            lifecycle_policy: given(document.lifecycle_policy),
        }))
    }

    /// The ids of the templates that may be meant for a repository, the one that counts first: the longest prefix, of
    /// which `/` is the end, then the one for all.
    pub fn ids_for(name: &RepositoryName) -> impl Iterator<Item = DocumentId> {
        let name = name.as_str();
        let prefixes = name.rmatch_indices('/').map(|(at, _)| &name[..at]);
        prefixes.chain([ROOT]).filter_map(|prefix| prefix.parse().ok())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    applied_for: Vec<Scenario>,
    image_tag_mutability: Option<String>,
    #[serde(default)]
    image_tag_mutability_exclusion_filters: Vec<Filter>,
    encryption_configuration: Option<EncryptionConfiguration>,
    #[serde(default)]
    resource_tags: Vec<Tag>,
    repository_policy: Option<String>,
    lifecycle_policy: Option<String>,
}

#[derive(Deserialize)]
struct Filter {
    filter: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EncryptionConfiguration {
    encryption_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::MutabilityMode;

    #[test]
    fn the_longest_prefix_counts_and_the_root_last() {
        let ids = |name: &str| -> Vec<String> {
            let name = name.parse().expect("a name");
            CreationTemplate::ids_for(&name).map(|id| id.as_str().to_owned()).collect()
        };
        assert_eq!(ids("a/b/c"), ["a/b", "a", "ROOT"]);
        assert_eq!(ids("team"), ["ROOT"], "a prefix ends with a slash");
    }

    #[test]
    fn what_a_template_sets_is_read_and_what_it_is_is_not() {
        let text = r#"{
            "appliedFor": ["CREATE_ON_PUSH", "REPLICATION"], "description": "x", "customRoleArn": "y",
            "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
            "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "dev-*"}],
            "encryptionConfiguration": {"encryptionType": "AES256"},
            "resourceTags": [{"Key": "team", "Value": "a"}], "repositoryPolicy": "", "lifecyclePolicy": "{}"
        }"#;
        let read = |text: &str| CreationTemplate::read(text, Scenario::CreateOnPush);
        let template = read(text).expect("readable").expect("meant for it");
        assert_eq!(template.mutability.mode(), MutabilityMode::Immutable);
        assert_eq!(template.mutability.exclusions().len(), 1);
        assert_eq!(template.tags.get("team").map(ResourceTagValue::as_str), Some("a"));
        assert_eq!((template.repository_policy, template.lifecycle_policy.as_deref()), (None, Some("{}")));
        let other = CreationTemplate::read(text, Scenario::PullThroughCache);
        assert_eq!(other.expect("readable"), None);
        for text in ["", "[]", r#"{"appliedFor": ["X"]}"#] {
            assert!(read(text).is_err(), "{text}");
        }
        for what in
            [r#""imageTagMutability": "X""#, r#""encryptionConfiguration": {"encryptionType": "KMS"}"#]
        {
            let text = format!(r#"{{"appliedFor": ["CREATE_ON_PUSH"], {what}}}"#);
            assert!(read(&text).is_err(), "{text}");
            // It is in nobody's way.
            let text = format!(r#"{{"appliedFor": ["REPLICATION"], {what}}}"#);
            assert_eq!(read(&text).expect("passed over"), None);
        }
    }
}
