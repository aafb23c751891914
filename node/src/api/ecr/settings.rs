//! Settings of repositories as the dialect writes them, from requests and into answers.

use std::collections::BTreeMap;

use proto::ecr::{Exception, Failure, Input, Output};
use proto::settings::{Encryption, MAX_RESOURCE_TAGS, Mutability, ResourceTagKey, ResourceTagValue};
use serde_json::{Value, json};

/// A repository's resource tags.
pub(super) type ResourceTags = BTreeMap<ResourceTagKey, ResourceTagValue>;

const MODE: &str = "imageTagMutability";
const FILTERS: &str = "imageTagMutabilityExclusionFilters";

/// Which tags may move; every tag if the request does not say (§6.3).
pub(super) fn mutability(input: &Input<'_>) -> Result<Mutability, Failure> {
    let filters: Result<Vec<_>, _> =
        input.structures(FILTERS).map(|filter| filter.text("filter").parse()).collect();
    let filters = filters.map_err(|error| Failure::invalid_parameter(FILTERS, error))?;
    // The model has no other modes.
    let mode = input.text_if(MODE).unwrap_or("MUTABLE");
    Mutability::named(mode, filters).map_err(|error| Failure::invalid_parameter(FILTERS, error))
}

/// Adds both members that tell which tags may move.
pub(super) fn with_mutability(output: Output, mutability: &Mutability) -> Output {
    let filters: Vec<Value> = mutability
        .exclusions()
        .iter()
        .map(|filter| json!({"filterType": "WILDCARD", "filter": filter.as_str()}))
        .collect();
    output.with(MODE, mutability.name()).with(FILTERS, (!filters.is_empty()).then_some(filters))
}

/// How a repository is to be encrypted. There is no key management service, so its keys cannot be used.
pub(super) fn encryption(input: &Input<'_>) -> Result<Encryption, Failure> {
    let Some(asked) = input.structure_if("encryptionConfiguration") else { return Ok(Encryption::Aes256) };
    match asked.text("encryptionType") {
        "AES256" if asked.has("kmsKey") => {
            Err(Failure::invalid_parameter("encryptionConfiguration", "AES256 takes no KMS key"))
        }
        "AES256" => Ok(Encryption::Aes256),
        _ => Err(Failure::kms("KMSNotAvailable")),
    }
}

/// An `EncryptionConfiguration`.
pub(super) fn encryption_output(encryption: &Encryption) -> Output {
    let (kind, key) = match encryption {
        Encryption::Aes256 => ("AES256", None),
        Encryption::Kms(key) => ("KMS", key.as_ref()),
        Encryption::KmsDsse(key) => ("KMS_DSSE", key.as_ref()),
    };
    Output::new().with("encryptionType", kind).with("kmsKey", key.map(|key| key.as_str()))
}

/// Resource tags, of which each key is given once, and none is one that AWS keeps for itself (§13).
pub(super) fn resource_tags(input: &Input<'_>, member: &str) -> Result<ResourceTags, Failure> {
    let invalid = |text: String| Failure::new(Exception::InvalidTagParameter, text);
    let mut tags = ResourceTags::new();
    for tag in input.structures(member) {
        let (key, value) = (tag.text("Key"), tag.text("Value"));
        if key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
            return Err(invalid(format!("The tag key '{key}' begins with 'aws:', which is reserved")));
        }
        let key: ResourceTagKey =
            key.parse().map_err(|error| invalid(format!("Invalid tag key: {error}")))?;
        let value = value.parse().map_err(|error| invalid(format!("Invalid tag value: {error}")))?;
        if tags.insert(key, value).is_some() {
            return Err(invalid("A tag key is given twice".to_owned()));
        }
    }
    if tags.len() > MAX_RESOURCE_TAGS { Err(too_many_tags()) } else { Ok(tags) }
}

/// `TooManyTagsException`.
pub(super) fn too_many_tags() -> Failure {
    let text = format!("A resource has at most {MAX_RESOURCE_TAGS} tags");
    Failure::new(Exception::TooManyTags, text)
}

/// A `TagList`.
pub(super) fn tag_list(tags: &ResourceTags) -> Vec<Value> {
    tags.iter().map(|(key, value)| json!({"Key": key.as_str(), "Value": value.as_str()})).collect()
}
