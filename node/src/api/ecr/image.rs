//! Images by name: BatchGetImage, BatchDeleteImage, UpdateImageStorageClass (ECR specification §6.4, §6.5).

use cluster::{StateReader, StorageError};
use cluster_core::command::image::{ImageCommand, ImageName, ImageRefusal};
use cluster_core::command::{Command, Response};
use cluster_core::record::StorageClass;
use cluster_core::state::{self, StateError};
use proto::digest::Digest;
use proto::ecr::{Exception, Failure, ImageName as NamedImage, Input, Output};
use proto::name::{RepositoryName, Tag};

use super::call::Call;
use super::{unmade, unread};

/// Most bytes of manifests in one answer; a hundred could have 400 MiB.
const MAX_ANSWER: usize = 16 << 20;

/// Why an item of a batch is not done: an `ImageFailureCode`, and words.
pub(super) struct Refused {
    code: &'static str,
    reason: String,
}

impl Refused {
    fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    fn not_found() -> Self {
        Self::new("ImageNotFound", "Requested image not found")
    }

    /// As an entry of `failures`.
    fn entry(self, id: &Input<'_>) -> Output {
        let id = Output::new()
            .with("imageDigest", id.text_if("imageDigest"))
            .with("imageTag", id.text_if("imageTag"));
        Output::new().with("imageId", id).with("failureCode", self.code).with("failureReason", self.reason)
    }
}

/// What an `ImageIdentifier` names.
pub(super) fn parse(id: &Input<'_>) -> Result<ImageName, Refused> {
    let digest = id.text_if("imageDigest").map(str::parse::<Digest>).transpose();
    let digest = digest.map_err(|error| Refused::new("InvalidImageDigest", error.to_string()))?;
    let tag = id.text_if("imageTag").map(str::parse::<Tag>).transpose();
    let tag = tag.map_err(|error| Refused::new("InvalidImageTag", error.to_string()))?;
    match (digest, tag) {
        (Some(digest), None) => Ok(ImageName::Digest(digest)),
        (None, Some(tag)) => Ok(ImageName::Tag(tag)),
        (Some(digest), Some(tag)) => Ok(ImageName::TagOf(digest, tag)),
        (None, None) => {
            let reason = "Invalid request parameters: both tag and digest cannot be null";
            Err(Refused::new("MissingDigestAndTag", reason))
        }
    }
}

/// The digest of the image that has the name; `None` if there is no such image.
pub(super) fn resolve(
    reader: &StateReader,
    call: &Call<'_>,
    repository: &RepositoryName,
    name: &ImageName,
) -> Result<Result<Digest, Refused>, Failure> {
    let unread = |error: StateError<StorageError>| unread(error.into());
    let id = call.id(repository);
    let digest = match name {
        ImageName::Digest(digest) => *digest,
        ImageName::Tag(tag) | ImageName::TagOf(_, tag) => {
            match state::tag::tag(reader, &id, tag).map_err(unread)? {
                Some(record) => record.digest,
                None => return Ok(Err(Refused::not_found())),
            }
        }
    };
    if let ImageName::TagOf(named, _) = name
        && *named != digest
    {
        let reason = "The tag stands for an image with another digest";
        return Ok(Err(Refused::new("ImageTagDoesNotMatchDigest", reason)));
    }
    let found = state::manifest::manifest(reader, &id, &digest).map_err(unread)?;
    Ok(if found.is_some() { Ok(digest) } else { Err(Refused::not_found()) })
}

/// Refuses a batch with a tag that the caller may not do this to.
fn authorize_tags(call: &Call<'_>, name: &RepositoryName) -> Result<(), Failure> {
    let tags = call.input.structures("imageIds").filter_map(|id| id.text_if("imageTag")?.parse::<Tag>().ok());
    tags.into_iter().try_for_each(|tag| call.authorize_tag(name, &tag))
}

/// The manifests as they were pushed. One that is archived is refused until it is active again.
pub(super) async fn batch_get(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    authorize_tags(call, &name)?;
    let (reader, repository) = (call.exists(&name).await?, call.id(&name));
    let (mut images, mut failures, mut bytes) = (Vec::new(), Vec::new(), 0);
    for id in call.input.structures("imageIds") {
        let digest = match parse(id) {
            Ok(wanted) => resolve(&reader, call, &name, &wanted)?,
            Err(refused) => Err(refused),
        };
        let digest = match digest {
            Ok(digest) => digest,
            Err(refused) => {
                failures.push(refused.entry(id));
                continue;
            }
        };
        let unread = |error: StateError<StorageError>| unread(error.into());
        let image = state::image::image(&reader, &repository, &digest).map_err(unread)?;
        let content = state::manifest::manifest_content(&reader, &repository, &digest).map_err(unread)?;
        let (Some(image), Some(content)) = (image, content) else { return Err(Failure::server()) };
        if image.state.class == StorageClass::Archived {
            let refused = Refused::new("ImageInaccessible", "The image is archived");
            failures.push(refused.entry(id));
            continue;
        }
        bytes += content.len();
        if bytes > MAX_ANSWER {
            let text =
                format!("The images' manifests have more than {MAX_ANSWER} bytes together: ask for fewer");
            return Err(Failure::new(Exception::LimitExceeded, text));
        }
        call.use_cases().note_pull(&call.caller, &repository, &digest).map_err(unmade)?;
        images.push(one(call, &name, &digest, id.text_if("imageTag"), content, &image.manifest.media_type)?);
    }
    Ok(Output::new().with_list("images", images).with_list("failures", failures))
}

/// An `Image`.
pub(super) fn one(
    call: &Call<'_>,
    repository: &RepositoryName,
    digest: &Digest,
    tag: Option<&str>,
    content: Vec<u8>,
    media_type: &str,
) -> Result<Output, Failure> {
    let content = String::from_utf8(content).map_err(|_| Failure::server())?;
    let id = Output::new().with("imageDigest", digest.to_string()).with("imageTag", tag);
    Ok(call
        .about(repository)
        .with("imageId", id)
        .with("imageManifest", content)
        .with("imageManifestMediaType", media_type))
}

/// Deletes tags and images, one after the other; each is judged when it is applied.
pub(super) async fn batch_delete(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    authorize_tags(call, &name)?;
    drop(call.exists(&name).await?);
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for id in call.input.structures("imageIds") {
        let outcome = match parse(id) {
            Ok(image) => call.use_cases().delete_image(&call.id(&name), image).await.map_err(unmade)?,
            Err(refused) => {
                failures.push(refused.entry(id));
                continue;
            }
        };
        match outcome {
            Ok(removed) => deleted.extend(removed),
            Err(refusal) => failures.push(refused(&refusal)?.entry(id)),
        }
    }
    if !deleted.is_empty() {
        call.use_cases().settle().await;
    }
    let ids = deleted.iter().map(|(digest, tag)| {
        Output::new()
            .with("imageDigest", digest.to_string())
            .with("imageTag", tag.as_ref().map(|tag| tag.as_str()))
    });
    Ok(Output::new().with_list("imageIds", ids).with_list("failures", failures))
}

fn refused(refusal: &ImageRefusal) -> Result<Refused, Failure> {
    match refusal {
        ImageRefusal::NotFound | ImageRefusal::NoRepository => Ok(Refused::not_found()),
        ImageRefusal::TagDoesNotMatchDigest => {
            let reason = "The tag stands for an image with another digest";
            Ok(Refused::new("ImageTagDoesNotMatchDigest", reason))
        }
        ImageRefusal::ReferencedByIndex(index) => {
            let reason = format!("Requested image referenced by manifest list: [{index}]");
            Ok(Refused::new("ImageReferencedByManifestList", reason))
        }
        _ => Err(Failure::server()),
    }
}

/// Archives an image, or makes it active again.
pub(super) async fn set_storage_class(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    let reader = call.exists(&name).await?;
    let id = call.input.structure("imageId");
    let digest = named(&reader, call, &name, id)?;
    drop(reader);
    let target = match call.input.text("targetStorageClass") {
        "ARCHIVE" => StorageClass::Archived,
        _ => StorageClass::Active,
    };
    let repository = call.id(&name);
    let command = ImageCommand::SetStorageClass { repository, digest, target };
    let proposed = call.use_cases().metadata.propose(Command::Image(Box::new(command))).await;
    match proposed.map_err(|error| unmade(error.into()))? {
        Response::ImageChanged => {}
        Response::ImageRefused(ImageRefusal::NotFound | ImageRefusal::NoRepository) => {
            return Err(not_found(call, &name, id));
        }
        Response::ImageRefused(ImageRefusal::IndexNotArchived(index)) => {
            let text = format!("The image list {index}, which has the image, must be archived first");
            return Err(Failure::new(Exception::ImageStorageClassUpdateNotSupported, text));
        }
        _ => return Err(Failure::server()),
    }
    let id = Output::new().with("imageDigest", digest.to_string()).with("imageTag", id.text_if("imageTag"));
    Ok(call.about(&name).with("imageId", id).with("imageStatus", status(target)))
}

/// An `ImageStatus`.
pub(super) fn status(class: StorageClass) -> &'static str {
    match class {
        StorageClass::Active => "ACTIVE",
        StorageClass::Archived => "ARCHIVED",
    }
}

/// The digest of the one image that the request is about.
pub(super) fn named(
    reader: &StateReader,
    call: &Call<'_>,
    name: &RepositoryName,
    id: &Input<'_>,
) -> Result<Digest, Failure> {
    let wanted = parse(id).map_err(|refused| Failure::invalid_parameter("imageId", refused.reason))?;
    let found = resolve(reader, call, name, &wanted)?;
    found.map_err(|_| not_found(call, name, id))
}

/// `ImageNotFoundException` about what the client named.
pub(super) fn not_found(call: &Call<'_>, name: &RepositoryName, id: &Input<'_>) -> Failure {
    let image = NamedImage { digest: id.text_if("imageDigest"), tag: id.text_if("imageTag") };
    Failure::image_not_found(image, name, &call.registry.account)
}
