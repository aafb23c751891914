//! ListImageReferrers (ECR specification §6.4).

use cluster_core::record::StorageClass;
use cluster_core::state;
use proto::digest::Digest;
use proto::ecr::{Failure, Output};
use serde_json::{Map, Value};

use super::call::Call;
use super::{image, unmade, unread};

/// Referrers of a page if the request does not say.
const PAGE: i64 = 20;
/// Most bytes of annotations in one answer.
const MAX_ANSWER: usize = 4 << 20;

/// What refers to an image; nothing if there is no such image.
pub(super) async fn list(call: &Call<'_>) -> Result<Output, Failure> {
    let name = call.repository()?;
    drop(call.exists(&name).await?);
    let subject: Digest = call.input.structure("subjectId").parse("imageDigest")?;
    let filter = call.input.structure_if("filter");
    let types: Vec<&str> = filter.map(|filter| filter.texts("artifactTypes").collect()).unwrap_or_default();
    let status = filter.and_then(|filter| filter.text_if("artifactStatus")).unwrap_or("ACTIVE");
    let subject_text = subject.to_string();
    let told_apart: Vec<&str> =
        [name.as_str(), &subject_text, status].into_iter().chain(types.clone()).collect();
    let pages = call.pages(&told_apart);
    let after = call.input.text_if("nextToken").map(|text| pages.open(text)).transpose()?;
    let after: Option<Digest> = after
        .map(|text| text.parse())
        .transpose()
        .map_err(|error| Failure::invalid_parameter("nextToken", error))?;
    let (registry, repository) = (call.use_cases(), call.id(&name));
    // One type is looked for by the index; several are told apart here.
    let only = if let [one] = types.as_slice() { Some((*one).to_owned()) } else { None };
    let found = registry.referrers(&repository, &subject, only, after, MAX_ANSWER).await;
    let (rows, mut next) = found.map_err(unmade)?;
    let limit = call.limit(PAGE);
    if rows.len() > limit {
        next = rows.get(limit - 1).map(|(digest, _)| *digest);
    }
    let reader = registry.metadata.local().map_err(unread)?;
    let mut referrers = Vec::new();
    for (digest, row) in rows.into_iter().take(limit) {
        let is_wanted =
            types.is_empty() || row.artifact_type.as_deref().is_some_and(|kind| types.contains(&kind));
        let found = state::image::image(&reader, &repository, &digest);
        let class = found
            .map_err(|error| unread(error.into()))?
            .map_or(StorageClass::Active, |image| image.state.class);
        if !is_wanted || (status != "ANY" && status != image::status(class)) {
            continue;
        }
        let annotations: Map<String, Value> =
            row.annotations.into_iter().map(|(key, value)| (key, value.into())).collect();
        referrers.push(
            Output::new()
                .with("digest", digest.to_string())
                .with("mediaType", row.media_type)
                .with("size", row.size)
                .with("artifactType", row.artifact_type)
                .with("annotations", (!annotations.is_empty()).then_some(annotations))
                .with("artifactStatus", image::status(class)),
        );
    }
    let next = next.map(|last| pages.seal(&last.to_string()));
    Ok(Output::new().with_list("referrers", referrers).with("nextToken", next))
}
