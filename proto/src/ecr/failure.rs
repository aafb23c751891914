//! What a client is told that does not get what it asked for.
//!
//! The texts are AWS's where they are known, for scripts and other projects' tests compare them (§5, §6.2; moto,
//! `moto/ecr/exceptions.py`); the others are ours. A text names nothing that the client did not name itself.

use std::fmt::{self, Display};

use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::ecr::exception::Exception;
use crate::identity::AccountId;
use crate::name::{RepositoryName, Tag};

/// An answer that refuses.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{exception}: {message}")]
pub struct Failure {
    exception: Exception,
    message: String,
    /// What the shape has beside the message.
    members: Map<String, Value>,
}

/// How an image is called in the texts of failures: `{imageDigest:'null', imageTag:'latest'}`.
#[derive(Clone, Copy, Debug)]
pub struct ImageName<'a> {
    /// As the request had it.
    pub digest: Option<&'a str>,
    /// As the request had it.
    pub tag: Option<&'a str>,
}

impl Display for ImageName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digest, tag) = (self.digest.unwrap_or("null"), self.tag.unwrap_or("null"));
        write!(f, "{{imageDigest:'{digest}', imageTag:'{tag}'}}")
    }
}

impl Failure {
    /// One with a text of its own.
    pub fn new(exception: Exception, message: impl Into<String>) -> Self {
        Self { exception, message: message.into(), members: Map::new() }
    }

    /// Adds a member that the shape has beside its message.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// What it is.
    pub fn exception(&self) -> Exception {
        self.exception
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What it has beside the message.
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.exception.status()
    }

    /// The body: `{"__type": ..., "message": ...}` and what else the shape has.
    pub fn render(&self) -> Vec<u8> {
        let mut body = self.members.clone();
        body.insert("__type".to_owned(), self.exception.as_str().into());
        body.insert("message".to_owned(), self.message.as_str().into());
        Value::Object(body).to_string().into_bytes()
    }
}

/// Those that many operations share.
impl Failure {
    /// A member violates a constraint; the member by its path.
    pub fn invalid_parameter(member: &str, reason: impl Display) -> Self {
        let text = format!("Invalid parameter at '{member}' failed to satisfy constraint: '{reason}'");
        Self::new(Exception::InvalidParameter, text)
    }

    /// The body is not JSON, or has a value of the wrong type.
    pub fn serialization(reason: impl Display) -> Self {
        Self::new(Exception::Serialization, reason.to_string())
    }

    /// The target is no operation.
    pub fn unknown_operation(target: &str) -> Self {
        let shown: String = target.chars().take(128).collect();
        Self::new(Exception::UnknownOperation, format!("There is no operation '{shown}'"))
    }

    /// Policy says no; `principal` and `resource` are ARNs, `action` is like `ecr:PutImage`.
    pub fn access_denied(principal: impl Display, action: impl Display, resource: impl Display) -> Self {
        let text =
            format!("User: {principal} is not authorized to perform: {action} on resource: {resource}");
        Self::new(Exception::AccessDenied, text)
    }

    /// The client asks too fast.
    pub fn throttling() -> Self {
        Self::new(Exception::Throttling, "Rate exceeded")
    }

    /// Our fault, and no business of the client's what it is; it tries again.
    pub fn server() -> Self {
        Self::new(Exception::Server, "An internal error occurred. Try again.")
    }

    /// There is no such repository.
    pub fn repository_not_found(name: &RepositoryName, registry: &AccountId) -> Self {
        let text =
            format!("The repository with name '{name}' does not exist in the registry with id '{registry}'");
        Self::new(Exception::RepositoryNotFound, text)
    }

    /// There is such a repository.
    pub fn repository_already_exists(name: &RepositoryName, registry: &AccountId) -> Self {
        let text =
            format!("The repository with name '{name}' already exists in the registry with id '{registry}'");
        Self::new(Exception::RepositoryAlreadyExists, text)
    }

    /// A repository with images is not deleted unless that is forced.
    pub fn repository_not_empty(name: &RepositoryName, registry: &AccountId) -> Self {
        let text = format!(
            "The repository with name '{name}' in registry with id '{registry}' cannot be deleted because it \
             still contains images"
        );
        Self::new(Exception::RepositoryNotEmpty, text)
    }

    /// The repository has no policy.
    pub fn repository_policy_not_found(name: &RepositoryName, registry: &AccountId) -> Self {
        let text = format!(
            "Repository policy does not exist for the repository with name '{name}' in the registry with id \
             '{registry}'"
        );
        Self::new(Exception::RepositoryPolicyNotFound, text)
    }

    /// The repository has no lifecycle policy.
    pub fn lifecycle_policy_not_found(name: &RepositoryName, registry: &AccountId) -> Self {
        let text = format!(
            "Lifecycle policy does not exist for the repository with name '{name}' in the registry with id \
             '{registry}'"
        );
        Self::new(Exception::LifecyclePolicyNotFound, text)
    }

    /// The registry has no policy.
    pub fn registry_policy_not_found(registry: &AccountId) -> Self {
        let text = format!("Registry policy does not exist in the registry with id '{registry}'");
        Self::new(Exception::RegistryPolicyNotFound, text)
    }

    /// There is no such image.
    pub fn image_not_found(image: ImageName<'_>, name: &RepositoryName, registry: &AccountId) -> Self {
        let text = format!(
            "The image with imageId {image} does not exist within the repository with name '{name}' in the \
             registry with id '{registry}'"
        );
        Self::new(Exception::ImageNotFound, text)
    }

    /// The image is there already, under that tag.
    pub fn image_already_exists(
        digest: &Digest,
        tag: Option<&Tag>,
        name: &RepositoryName,
        registry: &AccountId,
    ) -> Self {
        let tag = tag.map_or("null", Tag::as_str);
        let text = format!(
            "Image with digest '{digest}' and tag '{tag}' already exists in the repository with name '{name}' in \
             registry with id '{registry}'"
        );
        Self::new(Exception::ImageAlreadyExists, text)
    }

    /// The tag is immutable, and points to another image.
    pub fn image_tag_already_exists(tag: &Tag, name: &RepositoryName) -> Self {
        let text = format!(
            "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because \
             the tag is immutable."
        );
        Self::new(Exception::ImageTagAlreadyExists, text)
    }

    /// The image was never scanned.
    pub fn scan_not_found(image: ImageName<'_>, name: &RepositoryName, registry: &AccountId) -> Self {
        let text = format!(
            "Image scan does not exist for the image with '{image}' in the repository with name '{name}' in the \
             registry with id '{registry}'"
        );
        Self::new(Exception::ScanNotFound, text)
    }

    /// The image was scanned within the last day.
    pub fn scan_quota_exceeded() -> Self {
        let text = "The scan quota per image has been exceeded. Wait and try again.";
        Self::new(Exception::LimitExceeded, text)
    }

    /// There is no such upload, or it is somebody else's.
    pub fn upload_not_found(upload: &str, name: &RepositoryName, registry: &AccountId) -> Self {
        let text = format!(
            "Upload '{upload}' does not exist in the repository with name '{name}' in the registry with id \
             '{registry}'"
        );
        Self::new(Exception::UploadNotFound, text)
    }

    /// A layer part does not follow on what was received. `last_valid` is the place of the last byte that was; none
    /// was if it is absent.
    pub fn invalid_layer_part(
        upload: &str,
        name: &RepositoryName,
        registry: &AccountId,
        last_valid: Option<u64>,
    ) -> Self {
        let text = "The layer part size is not valid, or the first byte specified is not consecutive to the last \
                    byte of a previous layer part upload.";
        let failure = Self::new(Exception::InvalidLayerPart, text)
            .with("registryId", registry.as_str())
            .with("repositoryName", name.as_str())
            .with("uploadId", upload);
        match last_valid {
            Some(last) => failure.with("lastValidByteReceived", last),
            None => failure,
        }
    }

    /// A key cannot be used; `error` is what the key service calls that.
    pub fn kms(error: &str) -> Self {
        let text = "The operation failed due to a KMS exception.";
        Self::new(Exception::Kms, text).with("kmsError", error)
    }
}

#[cfg(test)]
#[path = "failure_test.rs"]
mod tests;
