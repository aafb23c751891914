//! What later parts bring: scans, previews of lifecycle policies, replication and signatures of images. Each operation
//! tells truly what there is of it, which is nothing.

use cluster_core::state;
use proto::ecr::{Exception, Failure, Output};
use proto::name::RepositoryName;
use serde_json::Value;

use super::call::Call;
use super::{image, repository, unread};

/// The repository and the digest of its image that the request is about.
async fn subject(call: &Call<'_>) -> Result<(RepositoryName, Output), Failure> {
    let name = call.repository()?;
    let reader = call.exists(&name).await?;
    let id = call.input.structure("imageId");
    let digest = image::named(&reader, call, &name, id)?;
    let id = Output::new().with("imageDigest", digest.to_string()).with("imageTag", id.text_if("imageTag"));
    Ok((name, id))
}

fn not_yet(what: &str) -> Failure {
    Failure::new(Exception::Validation, format!("This release does not {what} yet"))
}

/// `DescribeImageReplicationStatus`, `DescribeImageSigningStatus`: nothing was done with the image, so there is no entry.
pub(super) async fn no_statuses(call: &Call<'_>, member: &str) -> Result<Output, Failure> {
    let (name, id) = subject(call).await?;
    let output = Output::new()
        .with("repositoryName", name.as_str())
        .with("imageId", id)
        .with(member, Vec::<Value>::new());
    Ok(if member == "signingStatuses" {
        output.with("registryId", call.registry.account.as_str())
    } else {
        output
    })
}

/// `DescribeImageScanFindings`: no image was scanned.
pub(super) async fn no_findings(call: &Call<'_>) -> Result<Output, Failure> {
    let (name, _) = subject(call).await?;
    let id = call.input.structure("imageId");
    let image = proto::ecr::ImageName { digest: id.text_if("imageDigest"), tag: id.text_if("imageTag") };
    Err(Failure::scan_not_found(image, &name, &call.registry.account))
}

/// `StartImageScan`.
pub(super) async fn no_scan(call: &Call<'_>) -> Result<Output, Failure> {
    subject(call).await?;
    Err(not_yet("scan images"))
}

/// `StartLifecyclePolicyPreview`.
pub(super) async fn no_preview(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    drop(call.exists(&name).await?);
    Err(not_yet("evaluate lifecycle policies"))
}

/// `GetLifecyclePolicyPreview`: none was started.
pub(super) async fn preview(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    drop(call.exists(&name).await?);
    let text = format!(
        "There is no lifecycle policy preview for the repository with name '{name}' in the registry with id '{}'",
        call.registry.account
    );
    Err(Failure::new(Exception::LifecyclePolicyPreviewNotFound, text))
}

/// `StartReplicationBackfill`.
pub(super) fn no_backfill(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    Err(not_yet("replicate images"))
}

/// `StopReplicationBackfill`, `DescribeReplicationBackfillResults`: none was started.
pub(super) fn backfill(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    let text = format!("There is no replication backfill '{}'", call.input.text("replicationBackfillId"));
    Err(Failure::new(Exception::ReplicationBackfillNotFound, text))
}

/// `ListReplicationBackfills`.
pub(super) fn backfills(call: &Call<'_>) -> Result<Output, Failure> {
    call.authorize_at_all()?;
    Ok(call.of_registry().with("backfills", Vec::<Value>::new()))
}

/// `BatchGetRepositoryScanningConfiguration`: as the repositories say. Rules of the registry take no part until scans do.
pub(super) async fn scanning(call: &Call<'_>) -> Result<Output, Failure> {
    let names: Vec<&str> = call.input.texts("repositoryNames").collect();
    let reader = call.use_cases().metadata.read().await.map_err(unread)?;
    let (mut configurations, mut failures) = (Vec::new(), Vec::new());
    for text in names {
        let name: RepositoryName =
            text.parse().map_err(|error| Failure::invalid_parameter("repositoryNames", error))?;
        call.authorize(&name)?;
        let found = state::repository::repository(&reader, &call.id(&name));
        match found.map_err(|error| unread(error.into()))? {
            Some(record) => {
                let scans = record.settings.scans_on_push;
                configurations.push(
                    Output::new()
                        .with("repositoryArn", repository::arn(call, &name))
                        .with("repositoryName", text)
                        .with("scanOnPush", scans)
                        .with("scanFrequency", if scans { "SCAN_ON_PUSH" } else { "MANUAL" })
                        .with("appliedScanFilters", Vec::<Value>::new()),
                );
            }
            None => failures.push(
                Output::new().with("repositoryName", text).with("failureCode", "REPOSITORY_NOT_FOUND").with(
                    "failureReason",
                    Failure::repository_not_found(&name, &call.registry.account).message(),
                ),
            ),
        }
    }
    Ok(Output::new().with_list("scanningConfigurations", configurations).with_list("failures", failures))
}
