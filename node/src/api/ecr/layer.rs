//! Layers that are there: BatchCheckLayerAvailability, GetDownloadUrlForLayer (ECR specification §6.1).

use cluster_core::state;
use proto::digest::Digest;
use proto::ecr::{Exception, Failure, Output};

use super::call::Call;
use super::{unavailable, unmade, unread};
use crate::telemetry::log::chain;

/// Which of the layers the repository has, so that they need not be sent. Their leases are renewed, since who asks
/// goes on to name them in an image; a layer whose bytes are nowhere is told to be missing, so that it is sent again.
pub(super) async fn availability(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    call.exists(&name).await?;
    let (registry, repository) = (&call.ecr.api.registry, call.id(&name));
    let (mut layers, mut failures) = (Vec::new(), Vec::new());
    for text in call.input.texts("layerDigests") {
        let Ok(digest) = text.parse::<Digest>() else {
            let code = if text.is_empty() { "MissingLayerDigest" } else { "InvalidLayerDigest" };
            let reason = format!("Invalid request parameters: layer digest '{text}' is not valid");
            let failure = Output::new().with("layerDigest", text).with("failureCode", code);
            failures.push(failure.with("failureReason", reason));
            continue;
        };
        let layer = Output::new().with("layerDigest", text);
        let found = registry.find_blob(&repository, &digest).await.map_err(unmade)?;
        layers.push(match found {
            Some((copy, record)) if registry.has_bytes(&copy, &record).await => {
                if let Err(error) = registry.renew_lease(digest, &record).await {
                    // As for HEAD: the link keeps the blob.
                    tracing::warn!(reason = %chain(&error), "lease not renewed");
                }
                layer.with("layerAvailability", "AVAILABLE").with("layerSize", copy.size)
            }
            _ => layer.with("layerAvailability", "UNAVAILABLE"),
        });
    }
    Ok(Output::new().with_list("layers", layers).with_list("failures", failures))
}

/// An address from which the layer can be read for an hour, by whoever has it.
pub(super) async fn download_url(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    call.exists(&name).await?;
    let digest: Digest = call.input.parse("layerDigest")?;
    let repository = call.id(&name);
    let references = {
        let reader = call.ecr.api.registry.metadata.read().await.map_err(unread)?;
        let found = state::blob::linked_blob(&reader, &repository, &digest);
        found.map_err(|error| unread(error.into()))?.map(|(link, _)| link.references)
    };
    match references {
        None => {
            let text = format!(
                "The layer with digest '{digest}' does not exist in the repository with name '{name}'"
            );
            Err(Failure::new(Exception::LayersNotFound, text))
        }
        Some(0) => {
            let text =
                format!("No image of the repository with name '{name}' has the layer with digest '{digest}'");
            Err(Failure::new(Exception::LayerInaccessible, text))
        }
        Some(_) => {
            let tokens = &call.ecr.api.authenticator.tokens;
            let token = tokens.issue_download(&repository, &digest).map_err(|error| unavailable(&error))?;
            let url = format!("{}/download/{token}", call.endpoint()?);
            Ok(Output::new().with("downloadUrl", url).with("layerDigest", digest.to_string()))
        }
    }
}
