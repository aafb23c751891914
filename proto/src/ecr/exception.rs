//! What an answer that refuses may be called.

super::names! {
    /// The shape of an error. [`Model::allows`](crate::ecr::Model::allows) says which operation may answer with which.
    Exception, suffix "Exception":
    AccessDenied ExpiredToken IncompleteSignature InvalidSignature MissingAuthenticationToken
    Serialization Throttling UnknownOperation UnrecognizedClient
    InvalidParameter Validation Server UnsupportedCommand LimitExceeded Kms
    RegistryNotFound
    RepositoryAlreadyExists RepositoryNotEmpty RepositoryNotFound
    RepositoryPolicyNotFound RegistryPolicyNotFound RepositoryCatalogDataNotFound
    EmptyUpload InvalidLayer InvalidLayerPart LayerAlreadyExists LayerInaccessible LayerPartTooSmall LayersNotFound
    UploadNotFound
    ImageAlreadyExists ImageArchived ImageDigestDoesNotMatch ImageNotFound ImageStorageClassUpdateNotSupported
    ImageTagAlreadyExists ReferencedImagesNotFound UnsupportedImageType
    LifecyclePolicyNotFound LifecyclePolicyPreviewInProgress LifecyclePolicyPreviewNotFound
    ScanNotFound BlockedByOrganizationPolicy
    ReplicationBackfillInProgress ReplicationBackfillInvalidStatus ReplicationBackfillNotFound
    PullThroughCacheRuleAlreadyExists PullThroughCacheRuleNotFound SecretNotFound UnableToAccessSecret
    UnableToDecryptSecretValue UnableToGetUpstreamImage UnableToGetUpstreamLayer
    UnableToListUpstreamImageReferrers UnsupportedUpstreamRegistry
    TemplateAlreadyExists TemplateNotFound
    SigningConfigurationNotFound
    ExclusionAlreadyExists ExclusionNotFound
    InvalidTagParameter TooManyTags
}

impl Exception {
    /// The HTTP status: 400, and 500 where it is our fault (§1).
    pub fn status(self) -> u16 {
        if self == Self::Server { 500 } else { 400 }
    }

    /// Whether every operation may answer with it, although the model names it nowhere ("Common Errors" of the API
    /// reference).
    pub fn is_common(self) -> bool {
        matches!(
            self,
            Self::AccessDenied
                | Self::ExpiredToken
                | Self::IncompleteSignature
                | Self::InvalidSignature
                | Self::MissingAuthenticationToken
                | Self::Serialization
                | Self::Throttling
                | Self::UnknownOperation
                | Self::UnrecognizedClient
        )
    }

    /// Reads a name of the table, which abbreviates the frequent ones.
    pub(super) fn from_table(word: &str) -> Option<Self> {
        Some(match word {
            "IP" => Self::InvalidParameter,
            "SV" => Self::Server,
            "VE" => Self::Validation,
            "RNF" => Self::RepositoryNotFound,
            "INF" => Self::ImageNotFound,
            "LE" => Self::LimitExceeded,
            "KMS" => Self::Kms,
            "UC" => Self::UnsupportedCommand,
            "RGNF" => Self::RegistryNotFound,
            word => Self::from_wire(&format!("{word}Exception"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecr::{Model, Operation};

    #[test]
    fn every_exception_is_common_or_that_of_some_operation() {
        for exception in Exception::ALL {
            let used = Operation::all().any(|operation| Model::allows(operation, *exception));
            assert!(used, "{exception}");
        }
    }

    #[test]
    fn only_our_own_fault_is_a_500() {
        let faults: Vec<_> = Exception::ALL.iter().filter(|exception| exception.status() == 500).collect();
        assert_eq!(faults, [&Exception::Server]);
    }
}
