//! Which operations there are, and how a request says which it wants.

use std::fmt;

use crate::ecr::model::Model;

/// The two APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// The private registry.
    Ecr,
    /// The public one.
    EcrPublic,
}

impl Service {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ecr, Self::EcrPublic];

    /// Its name in signatures, actions and ARNs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ecr => "ecr",
            Self::EcrPublic => "ecr-public",
        }
    }

    /// What stands before the dot in `X-Amz-Target`.
    pub fn target_prefix(self) -> &'static str {
        match self {
            Self::Ecr => "AmazonEC2ContainerRegistry_V20150921",
            Self::EcrPublic => "SpencerFrontendService",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

super::names! {
    /// What an operation is called; the services share names where they share a meaning.
    Name, suffix "":
    GetAuthorizationToken
    CreateRepository DeleteRepository DescribeRepositories
    PutImageTagMutability
    SetRepositoryPolicy GetRepositoryPolicy DeleteRepositoryPolicy
    BatchCheckLayerAvailability InitiateLayerUpload UploadLayerPart CompleteLayerUpload GetDownloadUrlForLayer
    PutImage BatchGetImage BatchDeleteImage ListImages DescribeImages DescribeImageTags
    PutLifecyclePolicy GetLifecyclePolicy DeleteLifecyclePolicy
    StartLifecyclePolicyPreview GetLifecyclePolicyPreview
    StartImageScan DescribeImageScanFindings PutImageScanningConfiguration
    BatchGetRepositoryScanningConfiguration GetRegistryScanningConfiguration PutRegistryScanningConfiguration
    DescribeRegistry PutReplicationConfiguration DescribeImageReplicationStatus
    StartReplicationBackfill StopReplicationBackfill DescribeReplicationBackfillResults ListReplicationBackfills
    CreatePullThroughCacheRule DeletePullThroughCacheRule DescribePullThroughCacheRules
    UpdatePullThroughCacheRule ValidatePullThroughCacheRule
    PutRegistryPolicy GetRegistryPolicy DeleteRegistryPolicy
    CreateRepositoryCreationTemplate DeleteRepositoryCreationTemplate
    DescribeRepositoryCreationTemplates UpdateRepositoryCreationTemplate
    PutSigningConfiguration GetSigningConfiguration DeleteSigningConfiguration DescribeImageSigningStatus
    UpdateImageStorageClass
    RegisterPullTimeUpdateExclusion DeregisterPullTimeUpdateExclusion ListPullTimeUpdateExclusions
    ListImageReferrers
    GetAccountSetting PutAccountSetting
    DescribeRegistries GetRegistryCatalogData PutRegistryCatalogData
    GetRepositoryCatalogData PutRepositoryCatalogData
    TagResource UntagResource ListTagsForResource
}

/// An operation that exists. Handlers match on [`name`](Self::name), and on the service where the two differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation {
    service: Service,
    name: Name,
}

impl Operation {
    /// `None` if the service does not have it.
    pub fn new(service: Service, name: Name) -> Option<Self> {
        let operation = Self { service, name };
        Model::of(service).has(name).then_some(operation)
    }

    /// Reads an `X-Amz-Target` header, which is compared byte for byte.
    pub fn from_target(target: &str) -> Option<Self> {
        let (prefix, name) = target.split_once('.')?;
        let service = Service::ALL.into_iter().find(|service| service.target_prefix() == prefix)?;
        Self::new(service, Name::from_wire(name)?)
    }

    /// All of both services.
    pub fn all() -> impl Iterator<Item = Self> {
        let of = |service| Name::ALL.iter().filter_map(move |name| Self::new(service, *name));
        Service::ALL.into_iter().flat_map(of)
    }

    /// Whose it is.
    pub fn service(self) -> Service {
        self.service
    }

    /// What it is called.
    pub fn name(self) -> Name {
        self.name
    }

    /// Its `X-Amz-Target` header.
    pub fn target(self) -> String {
        format!("{}.{}", self.service.target_prefix(), self.name)
    }
}

impl fmt::Display for Operation {
    /// As policies spell it: `ecr:PutImage`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_operations_as_aws_has() {
        let count = |service| Operation::all().filter(|operation| operation.service() == service).count();
        assert_eq!((count(Service::Ecr), count(Service::EcrPublic)), (62, 23));
    }

    #[test]
    fn every_name_is_an_operation_of_some_service() {
        for name in Name::ALL {
            assert!(
                Service::ALL.into_iter().any(|service| Operation::new(service, *name).is_some()),
                "{name}"
            );
        }
    }

    #[test]
    fn a_target_names_its_operation() {
        for operation in Operation::all() {
            assert_eq!(Operation::from_target(&operation.target()), Some(operation));
        }
        let put = Operation::from_target("AmazonEC2ContainerRegistry_V20150921.PutImage").expect("it exists");
        assert_eq!(
            (put.service(), put.name(), put.to_string()),
            (Service::Ecr, Name::PutImage, "ecr:PutImage".into())
        );
    }

    #[test]
    fn a_target_that_is_not_one_names_nothing() {
        for target in [
            "",
            ".",
            "PutImage",
            "SpencerFrontendService.",
            "SpencerFrontendService.ListImages",
            "SpencerFrontendService.putImage",
            "SpencerFrontendService.PutImage ",
            "SpencerFrontendService.PutImage.PutImage",
            "AmazonEC2ContainerRegistry_V20150921.DescribeImageTags",
            "AmazonEC2ContainerRegistry_V20150920.PutImage",
        ] {
            assert_eq!(Operation::from_target(target), None, "{target}");
        }
    }
}
