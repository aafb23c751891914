//! PutImage (ECR specification §6.2).

use proto::digest::{Algorithm, Digest};
use proto::ecr::{Exception, Failure, Output};
use proto::manifest::{Manifest, ManifestError};
use proto::name::{RepositoryName, Tag};

use super::call::Call;
use super::{image, unmade};
use crate::registry::{ImageRefused, ManifestPut, ManifestRefusal};

/// Stores a manifest whose layers, and of an index whose images, are there.
pub(super) async fn put(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    drop(call.exists(&name).await?);
    let tag: Option<Tag> = call.input.parse_if("imageTag")?;
    tag.as_ref().map_or(Ok(()), |tag| call.authorize_tag(&name, tag))?;
    let named: Option<Digest> = call.input.parse_if("imageDigest")?;
    let content = call.input.text("imageManifest").to_owned();
    let media_type = call.input.text_if("imageManifestMediaType").map(str::to_owned);
    let algorithm = named.map_or(Algorithm::Sha256, |digest| digest.algorithm());
    // Up to 4 MiB are parsed and hashed: not on a thread that serves others.
    let work = move || {
        let bytes = content.into_bytes();
        // What the document says of itself counts; the member is for documents that say nothing.
        let parsed = Manifest::parse(None, &bytes).or_else(|error| match (&error, &media_type) {
            (ManifestError::Json(_), _) | (_, None) => Err(error),
            (_, Some(media_type)) => Manifest::parse(Some(media_type), &bytes),
        });
        (parsed, Digest::of(algorithm, &bytes), bytes)
    };
    let worked = tokio::task::spawn_blocking(work).await;
    let (parsed, digest, content) = worked.map_err(|_| Failure::server())?;
    let manifest = parsed.map_err(|error| match error {
        ManifestError::Json(_) => Failure::invalid_parameter("imageManifest", "Invalid JSON syntax"),
        error => Failure::invalid_parameter("imageManifest", error),
    })?;
    if let Some(named) = named.filter(|named| *named != digest) {
        let text = format!("The image has the digest '{digest}', not '{named}'");
        return Err(Failure::new(Exception::ImageDigestDoesNotMatch, text));
    }
    let media_type = manifest.kind.media_type().to_owned();
    let tags = tag.iter().cloned().collect();
    let put = ManifestPut { digest, content: content.clone(), manifest, tags, condition: None };
    let stored = call.use_cases().put_image(&call.id(&name), put).await.map_err(unmade)?;
    stored.map_err(|refused| failure(call, &name, &digest, tag.as_ref(), refused))?;
    let tag = tag.as_ref().map(Tag::as_str);
    Ok(Output::new().with("image", image::one(call, &name, &digest, tag, content, &media_type)?))
}

fn failure(
    call: &Call<'_>,
    name: &RepositoryName,
    digest: &Digest,
    tag: Option<&Tag>,
    refused: ImageRefused,
) -> Failure {
    let account = &call.registry.account;
    let list = |digests: Vec<Digest>| digests.iter().map(Digest::to_string).collect::<Vec<_>>().join(", ");
    match refused {
        ImageRefused::NoRepository => Failure::repository_not_found(name, account),
        ImageRefused::AlreadyThere => Failure::image_already_exists(digest, tag, name, account),
        ImageRefused::MissingChildren(children) => {
            let text = format!(
                "The images with the digests [{}], which the manifest names, do not exist in the repository with \
                 name '{name}'",
                list(children)
            );
            Failure::new(Exception::ReferencedImagesNotFound, text)
        }
        ImageRefused::Manifest(ManifestRefusal::MissingBlobs(digests)) => {
            let text = format!(
                "Layers with digests '[{}]' required for pushing image into repository with name '{name}' in the \
                 registry with id '{account}' do not exist",
                list(digests)
            );
            Failure::new(Exception::LayersNotFound, text)
        }
        ImageRefused::Manifest(ManifestRefusal::SizeMismatch(_)) => {
            Failure::invalid_parameter("imageManifest", "a layer has another size than the manifest states")
        }
        ImageRefused::Manifest(ManifestRefusal::TagImmutable(tag)) => {
            Failure::image_tag_already_exists(&tag, name)
        }
        // There is no condition.
        ImageRefused::Manifest(ManifestRefusal::ConditionFailed(_)) => Failure::server(),
    }
}
