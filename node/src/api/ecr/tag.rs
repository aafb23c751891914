//! Resource tags: TagResource, UntagResource, ListTagsForResource (ECR specification §13).

use std::collections::BTreeSet;

use cluster_core::command::repository::RepositoryCommand;
use proto::arn::Arn;
use proto::ecr::{Exception, Failure, Output};
use proto::name::RepositoryName;
use proto::settings::ResourceTagKey;

use super::call::Call;
use super::{repository, settings};

/// The repository that the ARN names; tags belong to nothing else. It must be of the caller's registry, in the region
/// of the signature.
fn named(call: &Call<'_>) -> Result<RepositoryName, Failure> {
    let invalid = || Failure::invalid_parameter("resourceArn", "Invalid ARN");
    let text = call.input.text("resourceArn");
    let name = text.split_once(":repository/").and_then(|(_, name)| name.parse::<RepositoryName>().ok());
    let name = name.ok_or_else(invalid)?;
    let own = Arn::repository(call.operation.service().as_str(), &call.registry, &name);
    if own.as_str() != text {
        return Err(invalid());
    }
    call.authorize(&name)?;
    Ok(name)
}

/// Adds tags; of a key that is there the value is replaced.
pub(super) async fn tag(call: &Call<'_>) -> Result<Output, Failure> {
    let name = named(call)?;
    let tags = settings::resource_tags(&call.input, "tags")?;
    let command = RepositoryCommand::Tag { repository: call.id(&name), tags };
    repository::change(call, &name, command).await?;
    Ok(Output::new())
}

/// Takes tags away; those that are not there are no error.
pub(super) async fn untag(call: &Call<'_>) -> Result<Output, Failure> {
    let name = named(call)?;
    let keys: Result<BTreeSet<ResourceTagKey>, _> = call.input.texts("tagKeys").map(str::parse).collect();
    let keys = keys
        .map_err(|error| Failure::new(Exception::InvalidTagParameter, format!("Invalid tag key: {error}")))?;
    let command = RepositoryCommand::Untag { repository: call.id(&name), keys };
    repository::change(call, &name, command).await?;
    Ok(Output::new())
}

/// All tags, by key.
pub(super) async fn list(call: &Call<'_>) -> Result<Output, Failure> {
    let name = named(call)?;
    let reader = call.exists(&name).await?;
    let record = repository::record(&reader, call, &name)?;
    Ok(Output::new().with("tags", settings::tag_list(&record.settings.tags)))
}
