//! Listings: ListImages, DescribeImages, and DescribeImageTags of ecr-public (ECR specification §4, §6.4).

use cluster::{StateReader, StorageError};
use cluster_core::key::RepositoryId;
use cluster_core::record::StorageClass;
use cluster_core::state::image::{Image, ImageCursor};
use cluster_core::state::{self, StateError};
use proto::digest::Digest;
use proto::ecr::{Failure, Output, Service};
use proto::name::Tag;

use super::call::Call;
use super::{cursor, image, unread};

/// Items of a page if the request does not say.
const PAGE: i64 = 100;
/// Images that are looked at for one page: a filter may leave all of them out, and then the page is empty and says
/// where to go on.
const LOOKED_AT: usize = 5000;

/// Which images are listed.
#[derive(Clone, Copy)]
struct Filter<'a> {
    tags: &'a str,
    status: &'a str,
}

impl<'a> Filter<'a> {
    /// Active images are meant if the request does not say.
    fn of(call: &'a Call<'_>) -> Self {
        let filter = if call.input.may_have("filter") { call.input.structure_if("filter") } else { None };
        Self {
            tags: filter.and_then(|filter| filter.text_if("tagStatus")).unwrap_or("ANY"),
            status: match call.operation.service() {
                Service::Ecr => filter.and_then(|filter| filter.text_if("imageStatus")).unwrap_or("ACTIVE"),
                Service::EcrPublic => "ANY",
            },
        }
    }

    fn takes(self, is_tagged: bool, class: StorageClass) -> bool {
        let tags = match self.tags {
            "TAGGED" => is_tagged,
            "UNTAGGED" => !is_tagged,
            _ => true,
        };
        tags && (self.status == "ANY" || self.status == image::status(class))
    }
}

/// An entry for each tag, and one for each image without any.
pub(super) async fn list(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    let (reader, repository) = (call.exists(&name).await?, call.id(&name));
    let filter = Filter::of(call);
    let told_apart = [name.as_str(), filter.tags, filter.status];
    let pages = call.pages(&told_apart);
    let token = call.input.text_if("nextToken").map(|text| pages.open(text)).transpose()?;
    let mut after = token.map(|text| cursor::name_from_text(&text)).transpose()?;
    let limit = call.limit(PAGE);
    let (mut ids, mut looked_at) = (Vec::new(), 0);
    while ids.len() < limit && looked_at < LOOKED_AT {
        let wanted = limit - ids.len();
        let page = state::image::names(&reader, &repository, after.as_ref(), wanted).map_err(lost)?;
        looked_at += wanted;
        let taken = page.items.iter().filter(|entry| filter.takes(entry.tag.is_some(), entry.class));
        ids.extend(taken.map(|entry| {
            let tag = entry.tag.as_ref().map(Tag::as_str);
            Output::new().with("imageDigest", entry.digest.to_string()).with("imageTag", tag)
        }));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let next = after.map(|after| pages.seal(&cursor::name_to_text(&after)));
    Ok(Output::new().with_list("imageIds", ids).with("nextToken", next))
}

fn lost(error: StateError<StorageError>) -> Failure {
    unread(error.into())
}

/// Images with all that is known of them: those that are named, of which each must exist, or a page of all.
pub(super) async fn describe(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    let (reader, repository) = (call.exists(&name).await?, call.id(&name));
    if !call.input.has("imageIds") {
        // A page reads some thousand records: not on a thread that serves others.
        return tokio::task::block_in_place(|| page(call, &reader, &repository));
    }
    if call.input.has("nextToken") || call.input.has("maxResults") {
        let reason = "may not be given together with imageIds";
        return Err(Failure::invalid_parameter("nextToken", reason));
    }
    let mut details = Vec::new();
    for id in call.input.structures("imageIds") {
        let digest = image::named(&reader, call, &name, id)?;
        let found = state::image::image(&reader, &repository, &digest).map_err(lost)?;
        let found = found.ok_or_else(Failure::server)?;
        let tags = state::tag::tags_of_manifest(&reader, &repository, &digest).map_err(lost)?;
        details.push(detail(call, &reader, &repository, &digest, &found, &tags)?);
    }
    Ok(Output::new().with_list("imageDetails", details))
}

fn page(call: &Call<'_>, reader: &StateReader, repository: &RepositoryId) -> Result<Output, Failure> {
    let filter = Filter::of(call);
    let told_apart = [repository.name.as_str(), filter.tags, filter.status];
    let pages = call.pages(&told_apart);
    let token = call.input.text_if("nextToken").map(|text| pages.open(text)).transpose()?;
    let mut after: Option<ImageCursor> = token.map(|text| cursor::image_from_text(&text)).transpose()?;
    let limit = call.limit(PAGE);
    let (mut details, mut looked_at) = (Vec::new(), 0);
    while details.len() < limit && looked_at < LOOKED_AT {
        let wanted = limit - details.len();
        let page = state::image::images(reader, repository, after.as_ref(), wanted).map_err(lost)?;
        looked_at += wanted;
        for found in &page.items {
            let tags = state::tag::tags_of_manifest(reader, repository, &found.digest).map_err(lost)?;
            if filter.takes(!tags.is_empty(), found.image.state.class) {
                details.push(detail(call, reader, repository, &found.digest, &found.image, &tags)?);
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let next = after.map(|after| pages.seal(&cursor::image_to_text(&after)));
    Ok(Output::new().with_list("imageDetails", details).with("nextToken", next))
}

/// An `ImageDetail`.
fn detail(
    call: &Call<'_>,
    reader: &StateReader,
    repository: &RepositoryId,
    digest: &Digest,
    found: &Image,
    tags: &[Tag],
) -> Result<Output, Failure> {
    let (manifest, state) = (&found.manifest, &found.state);
    let size = state::image::size(reader, repository, manifest).map_err(lost)?;
    let names: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    let output = call
        .about(&repository.name)
        .with("imageDigest", digest.to_string())
        .with("imageTags", (!names.is_empty()).then_some(names))
        .with("imageSizeInBytes", size)
        .with_time("imagePushedAt", manifest.pushed_ms)
        .with("imageManifestMediaType", manifest.media_type.as_str())
        .with("artifactMediaType", manifest.artifact_type.as_deref());
    if call.operation.service() == Service::EcrPublic {
        return Ok(output);
    }
    Ok(output
        .with_time("lastRecordedPullTime", state.last_pull_ms)
        .with("subjectManifestDigest", manifest.subject.map(|subject| subject.to_string()))
        .with("imageStatus", image::status(state.class))
        .with_time("lastArchivedAt", state.archived_ms)
        .with_time("lastActivatedAt", state.activated_ms))
}

/// A page of the tags, by name.
pub(super) async fn describe_tags(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    let (reader, repository) = (call.exists(&name).await?, call.id(&name));
    let told_apart = [name.as_str()];
    let pages = call.pages(&told_apart);
    let after = call.input.text_if("nextToken").map(|text| pages.open(text)).transpose()?;
    let page = state::tag::tags(&reader, &repository, after.as_deref(), call.limit(PAGE)).map_err(lost)?;
    let mut details = Vec::new();
    for tag in &page.items {
        let Some(record) = state::tag::tag(&reader, &repository, tag).map_err(lost)? else { continue };
        let found = state::image::image(&reader, &repository, &record.digest).map_err(lost)?;
        let found = found.ok_or_else(Failure::server)?;
        let size = state::image::size(&reader, &repository, &found.manifest).map_err(lost)?;
        let image = Output::new()
            .with("imageDigest", record.digest.to_string())
            .with("imageSizeInBytes", size)
            .with_time("imagePushedAt", found.manifest.pushed_ms)
            .with("imageManifestMediaType", found.manifest.media_type)
            .with("artifactMediaType", found.manifest.artifact_type);
        let detail = Output::new().with("imageTag", tag.as_str()).with_time("createdAt", record.pushed_ms);
        details.push(detail.with("imageDetail", image));
    }
    let next = page.more.then(|| page.items.last().map(|last| pages.seal(last.as_str()))).flatten();
    Ok(Output::new().with_list("imageTagDetails", details).with("nextToken", next))
}
