use super::*;
use crate::digest::Algorithm;
use crate::ecr::{Model, Operation};

fn place() -> (RepositoryName, AccountId) {
    ("a/b".parse().expect("a name"), "123456789012".parse().expect("an account"))
}

#[test]
fn a_failure_is_rendered_as_type_and_message() {
    let failure = Failure::invalid_parameter("maxResults", "say \"why\"");
    assert_eq!(failure.status(), 400);
    let body = r#"{"__type":"InvalidParameterException","message":"Invalid parameter at 'maxResults' failed to satisfy constraint: 'say \"why\"'"}"#;
    assert_eq!(String::from_utf8(failure.render()).expect("text"), body);
    assert_eq!(Failure::server().status(), 500);
}

#[test]
fn members_beside_the_message_are_rendered_too() {
    let (name, registry) = place();
    let failure = Failure::invalid_layer_part("0b14", &name, &registry, Some(9));
    let body: Value = serde_json::from_slice(&failure.render()).expect("JSON");
    let expected = serde_json::json!({
        "__type": "InvalidLayerPartException", "message": failure.message(), "registryId": "123456789012",
        "repositoryName": "a/b", "uploadId": "0b14", "lastValidByteReceived": 9,
    });
    assert_eq!(body, expected);
    let none = Failure::invalid_layer_part("0b14", &name, &registry, None);
    assert!(!none.members().contains_key("lastValidByteReceived"));
}

#[test]
fn the_texts_are_those_that_scripts_compare() {
    let (name, registry) = place();
    let digest = Digest::of(Algorithm::Sha256, b"{}");
    let tag: Tag = "v1".parse().expect("a tag");
    let image = ImageName { digest: None, tag: Some("v1") };
    let place = "the repository with name 'a/b' in the registry with id '123456789012'";
    let texts = [
        (
            Failure::repository_not_found(&name, &registry),
            "The repository with name 'a/b' does not exist in the registry with id '123456789012'".to_owned(),
        ),
        (
            Failure::repository_already_exists(&name, &registry),
            "The repository with name 'a/b' already exists in the registry with id '123456789012'".to_owned(),
        ),
        (
            Failure::repository_not_empty(&name, &registry),
            "The repository with name 'a/b' in registry with id '123456789012' cannot be deleted because it \
             still contains images"
                .to_owned(),
        ),
        (
            Failure::repository_policy_not_found(&name, &registry),
            format!("Repository policy does not exist for {place}"),
        ),
        (
            Failure::lifecycle_policy_not_found(&name, &registry),
            format!("Lifecycle policy does not exist for {place}"),
        ),
        (
            Failure::registry_policy_not_found(&registry),
            "Registry policy does not exist in the registry with id '123456789012'".to_owned(),
        ),
        (
            Failure::image_not_found(image, &name, &registry),
            format!(
                "The image with imageId {{imageDigest:'null', imageTag:'v1'}} does not exist within {place}"
            ),
        ),
        (
            Failure::scan_not_found(image, &name, &registry),
            format!(
                "Image scan does not exist for the image with '{{imageDigest:'null', imageTag:'v1'}}' in {place}"
            ),
        ),
        (
            Failure::image_already_exists(&digest, Some(&tag), &name, &registry),
            format!(
                "Image with digest '{digest}' and tag 'v1' already exists in the repository with name 'a/b' in \
                 registry with id '123456789012'"
            ),
        ),
    ];
    for (failure, text) in texts {
        assert_eq!(failure.message(), text);
    }
}

#[test]
fn every_shared_failure_is_one_of_the_model() {
    let (name, registry) = place();
    let digest = Digest::of(Algorithm::Sha256, b"{}");
    let tag: Tag = "v1".parse().expect("a tag");
    let image = ImageName { digest: None, tag: None };
    for failure in [
        Failure::invalid_parameter("a", "b"),
        Failure::serialization("a"),
        Failure::unknown_operation("a"),
        Failure::access_denied("a", "b", "c"),
        Failure::throttling(),
        Failure::server(),
        Failure::repository_not_found(&name, &registry),
        Failure::repository_already_exists(&name, &registry),
        Failure::repository_not_empty(&name, &registry),
        Failure::repository_policy_not_found(&name, &registry),
        Failure::lifecycle_policy_not_found(&name, &registry),
        Failure::registry_policy_not_found(&registry),
        Failure::image_not_found(image, &name, &registry),
        Failure::image_already_exists(&digest, None, &name, &registry),
        Failure::image_tag_already_exists(&tag, &name),
        Failure::scan_not_found(image, &name, &registry),
        Failure::scan_quota_exceeded(),
        Failure::upload_not_found("a", &name, &registry),
        Failure::invalid_layer_part("a", &name, &registry, Some(9)),
        Failure::kms("NotFoundException"),
    ] {
        let fits = |operation| Model::check_failure(operation, &failure).is_ok();
        assert!(Operation::all().any(fits), "{failure}");
    }
}
