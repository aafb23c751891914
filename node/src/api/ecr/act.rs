//! Which handler does which operation.

use proto::ecr::{Exception, Failure, Name, Output, Service};

use super::call::Call;
use super::{
    absent, authorization, image, images, layer, policy, put_image, referrer, registry, repository, rule,
    tag, template, upload,
};

/// Does what was asked, once the caller is known and the input is checked; each handler asks whether the caller may.
pub(super) async fn act(call: &mut Call<'_>) -> Result<Output, Failure> {
    use Name as N;
    // Public repositories come later: what is kept here is private.
    if call.operation.service() == Service::EcrPublic && call.operation.name() != N::GetAuthorizationToken {
        call.authorize_at_all()?;
        return Err(Failure::new(
            Exception::UnsupportedCommand,
            "this release has no public repositories yet",
        ));
    }
    match call.operation.name() {
        N::GetAuthorizationToken => authorization::token(call),
        N::BatchCheckLayerAvailability => layer::availability(call).await,
        N::GetDownloadUrlForLayer => layer::download_url(call).await,
        N::InitiateLayerUpload => upload::initiate(call).await,
        N::UploadLayerPart => upload::part(call).await,
        N::CompleteLayerUpload => upload::complete(call).await,
        N::PutImage => put_image::put(call).await,
        N::BatchGetImage => image::batch_get(call).await,
        N::BatchDeleteImage => image::batch_delete(call).await,
        N::UpdateImageStorageClass => image::set_storage_class(call).await,
        N::ListImages => images::list(call).await,
        N::DescribeImages => images::describe(call).await,
        N::DescribeImageTags => images::describe_tags(call).await,
        N::ListImageReferrers => referrer::list(call).await,
        _ => act_on_repository(call).await,
    }
}

/// Operations about repositories and what is set of them.
async fn act_on_repository(call: &Call<'_>) -> Result<Output, Failure> {
    use Name as N;
    match call.operation.name() {
        N::CreateRepository => repository::create(call).await,
        N::DeleteRepository => repository::delete(call).await,
        N::DescribeRepositories => repository::describe(call).await,
        N::PutImageTagMutability => repository::set_mutability(call).await,
        N::PutImageScanningConfiguration => repository::set_scanning(call).await,
        N::BatchGetRepositoryScanningConfiguration => absent::scanning(call).await,
        N::TagResource => tag::tag(call).await,
        N::UntagResource => tag::untag(call).await,
        N::ListTagsForResource => tag::list(call).await,
        N::SetRepositoryPolicy => policy::set(call).await,
        N::GetRepositoryPolicy => policy::get(call).await,
        N::DeleteRepositoryPolicy => policy::delete(call).await,
        N::PutLifecyclePolicy => policy::set_lifecycle(call).await,
        N::GetLifecyclePolicy => policy::get_lifecycle(call).await,
        N::DeleteLifecyclePolicy => policy::delete_lifecycle(call).await,
        N::StartLifecyclePolicyPreview => absent::no_preview(call).await,
        N::GetLifecyclePolicyPreview => absent::preview(call).await,
        N::StartImageScan => absent::no_scan(call).await,
        N::DescribeImageScanFindings => absent::no_findings(call).await,
        N::DescribeImageReplicationStatus => absent::no_statuses(call, "replicationStatuses").await,
        N::DescribeImageSigningStatus => absent::no_statuses(call, "signingStatuses").await,
        _ => act_on_registry(call).await,
    }
}

/// Operations about a registry as a whole.
async fn act_on_registry(call: &Call<'_>) -> Result<Output, Failure> {
    use Name as N;
    match call.operation.name() {
        N::PutRegistryPolicy => policy::set_registry(call).await,
        N::GetRegistryPolicy => policy::get_registry(call).await,
        N::DeleteRegistryPolicy => policy::delete_registry(call).await,
        N::DescribeRegistry => registry::describe(call).await,
        N::PutReplicationConfiguration => registry::set_replication(call).await,
        N::StartReplicationBackfill => absent::no_backfill(call),
        N::StopReplicationBackfill | N::DescribeReplicationBackfillResults => absent::backfill(call),
        N::ListReplicationBackfills => absent::backfills(call),
        N::GetRegistryScanningConfiguration => registry::scanning(call).await,
        N::PutRegistryScanningConfiguration => registry::set_scanning(call).await,
        N::PutSigningConfiguration => registry::set_signing(call).await,
        N::GetSigningConfiguration => registry::signing(call).await,
        N::DeleteSigningConfiguration => registry::delete_signing(call).await,
        N::GetAccountSetting => registry::account_setting(call).await,
        N::PutAccountSetting => registry::set_account_setting(call).await,
        N::RegisterPullTimeUpdateExclusion => registry::exclude(call).await,
        N::DeregisterPullTimeUpdateExclusion => registry::include(call).await,
        N::ListPullTimeUpdateExclusions => registry::exclusions(call).await,
        N::CreateRepositoryCreationTemplate => template::create(call).await,
        N::UpdateRepositoryCreationTemplate => template::update(call).await,
        N::DeleteRepositoryCreationTemplate => template::delete(call).await,
        N::DescribeRepositoryCreationTemplates => template::describe(call).await,
        N::CreatePullThroughCacheRule => rule::create_cache_rule(call).await,
        N::UpdatePullThroughCacheRule => rule::update_cache_rule(call).await,
        N::DeletePullThroughCacheRule => rule::delete_cache_rule(call).await,
        N::DescribePullThroughCacheRules => rule::describe_cache_rules(call).await,
        N::ValidatePullThroughCacheRule => rule::validate_cache_rule(call).await,
        _ => {
            call.authorize_at_all()?;
            Err(Failure::new(Exception::UnsupportedCommand, "this release does not have the operation yet"))
        }
    }
}
