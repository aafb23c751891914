"""What is set of repositories and registries is what is read: the calls that Terraform's provider makes, the tables of
tag mutability by the JSON API and by /v2/, deletion."""

import json

from case import OCI_MANIFEST, assert_refused, client, digest, manifest, push_blob, v2

ecr = client()
ACCOUNT = "000000000000"
FILTERS = [{"filterType": "WILDCARD", "filter": "latest"}, {"filterType": "WILDCARD", "filter": "dev-*"}]
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": "pull", "Effect": "Allow", "Principal": "*",
                     "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]}]})


def describe(name):
    return ecr.describe_repositories(repositoryNames=[name])["repositories"][0]


def tags(arn):
    return {tag["Key"]: tag["Value"] for tag in ecr.list_tags_for_resource(resourceArn=arn)["tags"]}


# A repository with everything.
created = ecr.create_repository(
    repositoryName="team/full", imageTagMutability="IMMUTABLE_WITH_EXCLUSION", imageTagMutabilityExclusionFilters=FILTERS,
    imageScanningConfiguration={"scanOnPush": True}, encryptionConfiguration={"encryptionType": "AES256"},
    tags=[{"Key": "env", "Value": "prod"}, {"Key": "Größe", "Value": ""}])["repository"]
arn = f"arn:aws:ecr:local:{ACCOUNT}:repository/team/full"
assert created["repositoryArn"] == arn and created["registryId"] == ACCOUNT, created
assert describe("team/full") == created, (describe("team/full"), created)
assert created["imageTagMutabilityExclusionFilters"] == FILTERS and created["imageScanningConfiguration"] == {"scanOnPush": True}
assert tags(arn) == {"env": "prod", "Größe": ""}
plain = ecr.create_repository(repositoryName="team/plain")["repository"]
assert (plain["imageTagMutability"], plain["encryptionConfiguration"]) == ("MUTABLE", {"encryptionType": "AES256"}), plain

# What a repository cannot be made of.
assert_refused("RepositoryAlreadyExistsException", ecr.create_repository, repositoryName="team/plain")
for wrong in [{"imageTagMutability": "IMMUTABLE", "imageTagMutabilityExclusionFilters": FILTERS},
              {"imageTagMutability": "MUTABLE_WITH_EXCLUSION"}, {"imageTagMutabilityExclusionFilters": FILTERS},
              {"encryptionConfiguration": {"encryptionType": "AES256", "kmsKey": "key"}}]:
    assert_refused("InvalidParameterException", ecr.create_repository, repositoryName="team/wrong", **wrong)
assert_refused("KmsException", ecr.create_repository, repositoryName="team/wrong", encryptionConfiguration={"encryptionType": "KMS"})
for wrong in [[{"Key": "aws:x", "Value": "v"}], [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}], [{"Key": "a" * 129, "Value": ""}]]:
    assert_refused("InvalidTagParameterException", ecr.create_repository, repositoryName="team/wrong", tags=wrong)
many = [{"Key": f"k{number}", "Value": "v"} for number in range(51)]
assert_refused("TooManyTagsException", ecr.create_repository, repositoryName="team/wrong", tags=many)
assert_refused("RepositoryNotFoundException", ecr.describe_repositories, repositoryNames=["team/wrong"])

# Resource tags.
ecr.tag_resource(resourceArn=arn, tags=[{"Key": "env", "Value": "dev"}, {"Key": "owner", "Value": "a"}])
ecr.untag_resource(resourceArn=arn, tagKeys=["Größe", "absent"])
assert tags(arn) == {"env": "dev", "owner": "a"}
assert_refused("TooManyTagsException", ecr.tag_resource, resourceArn=arn, tags=many[:49])
for wrong in [f"arn:aws:ecr:local:{ACCOUNT}:image/team/full", f"arn:aws:ecr:elsewhere:{ACCOUNT}:repository/team/full", "arn:aws:ecr:local:111122223333:repository/team/full"]:
    assert_refused("InvalidParameterException", ecr.list_tags_for_resource, resourceArn=wrong)

# Policies.
assert_refused("RepositoryPolicyNotFoundException", ecr.get_repository_policy, repositoryName="team/plain")
assert ecr.set_repository_policy(repositoryName="team/plain", policyText=POLICY)["policyText"] == POLICY
assert ecr.get_repository_policy(repositoryName="team/plain")["policyText"] == POLICY
for wrong in ["{", "{}", POLICY.replace("ecr:BatchGetImage", "s3:GetObject"), POLICY.replace('"Principal": "*", ', "")]:
    assert_refused("InvalidParameterException", ecr.set_repository_policy, repositoryName="team/plain", policyText=wrong)
assert ecr.delete_repository_policy(repositoryName="team/plain")["policyText"] == POLICY
assert_refused("RepositoryPolicyNotFoundException", ecr.delete_repository_policy, repositoryName="team/plain")
assert_refused("RegistryPolicyNotFoundException", ecr.get_registry_policy)
registry_policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": "replicate", "Effect": "Allow",
                              "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": ["ecr:ReplicateImage"],
                              "Resource": f"arn:aws:ecr:local:{ACCOUNT}:repository/*"}]})
ecr.put_registry_policy(policyText=registry_policy)
assert ecr.get_registry_policy()["policyText"] == registry_policy
assert ecr.delete_registry_policy()["policyText"] == registry_policy

# Lifecycle policies.
lifecycle = json.dumps({"rules": [{"rulePriority": 1, "description": "few drafts", "selection": {
    "tagStatus": "tagged", "tagPatternList": ["dev-*"], "countType": "imageCountMoreThan", "countNumber": 3}, "action": {"type": "expire"}}]})
assert ecr.put_lifecycle_policy(repositoryName="team/plain", lifecyclePolicyText=lifecycle)["lifecyclePolicyText"] == lifecycle
assert ecr.get_lifecycle_policy(repositoryName="team/plain")["lifecyclePolicyText"] == lifecycle
for old, new in [('"expire"', '"burn"'), ('"countNumber": 3', '"countNumber": 0'), ('"rulePriority": 1, ', ""), ('"tagged"', '"untagged"')]:
    error = assert_refused("InvalidParameterException", ecr.put_lifecycle_policy, repositoryName="team/plain", lifecyclePolicyText=lifecycle.replace(old, new))
    assert "Lifecycle policy validation failure: " in error["Error"]["Message"], error
assert ecr.delete_lifecycle_policy(repositoryName="team/plain")["lifecyclePolicyText"] == lifecycle
assert_refused("LifecyclePolicyNotFoundException", ecr.delete_lifecycle_policy, repositoryName="team/plain")

# The registry.
assert ecr.describe_registry()["replicationConfiguration"] == {"rules": []}
rules = {"rules": [{"destinations": [{"region": "eu-west-1", "registryId": ACCOUNT}],
                    "repositoryFilters": [{"filter": "prod/", "filterType": "PREFIX_MATCH"}], "deleteReplication": {"enabled": True}}]}
assert ecr.put_replication_configuration(replicationConfiguration=rules)["replicationConfiguration"] == rules
assert ecr.describe_registry()["replicationConfiguration"] == rules
assert_refused("InvalidParameterException", ecr.put_replication_configuration, replicationConfiguration={
    "rules": [{"destinations": [{"region": "local", "registryId": ACCOUNT}]}]})
assert ecr.get_registry_scanning_configuration()["scanningConfiguration"] == {"scanType": "BASIC", "rules": []}
scanning = {"scanType": "ENHANCED", "rules": [{"scanFrequency": "CONTINUOUS_SCAN", "repositoryFilters": [{"filter": "*", "filterType": "WILDCARD"}]}]}
assert ecr.put_registry_scanning_configuration(**scanning)["registryScanningConfiguration"] == scanning
assert ecr.get_registry_scanning_configuration()["scanningConfiguration"] == scanning
assert_refused("ValidationException", ecr.put_registry_scanning_configuration, scanType="BASIC", rules=scanning["rules"])
assert_refused("SigningConfigurationNotFoundException", ecr.get_signing_configuration)
signing = {"rules": [{"signingProfileArn": f"arn:aws:signer:local:{ACCOUNT}:/signing-profiles/team"}]}
ecr.put_signing_configuration(signingConfiguration=signing)
assert ecr.get_signing_configuration()["signingConfiguration"] == signing
assert ecr.delete_signing_configuration()["signingConfiguration"] == signing
# As long as nobody says otherwise; Amazon begins with the other one.
assert ecr.get_account_setting(name="BLOB_MOUNTING")["value"] == "ENABLED"
ecr.put_account_setting(name="BLOB_MOUNTING", value="DISABLED")
assert ecr.get_account_setting(name="BLOB_MOUNTING")["value"] == "DISABLED"
for name, value in [("BLOB_MOUNTING", "PERHAPS"), ("NO_SUCH", "X")]:
    assert_refused("ValidationException", ecr.put_account_setting, name=name, value=value)
role = f"arn:aws:iam::{ACCOUNT}:role/scanner"
ecr.register_pull_time_update_exclusion(principalArn=role)
assert_refused("ExclusionAlreadyExistsException", ecr.register_pull_time_update_exclusion, principalArn=role)
assert ecr.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"] == [role]
ecr.deregister_pull_time_update_exclusion(principalArn=role)
assert_refused("ExclusionNotFoundException", ecr.deregister_pull_time_update_exclusion, principalArn=role)

# Templates and cache rules.
given = {"prefix": "team", "description": "of the team", "appliedFor": ["CREATE_ON_PUSH", "REPLICATION"], "imageTagMutability": "IMMUTABLE",
         "repositoryPolicy": POLICY, "resourceTags": [{"Key": "env", "Value": "prod"}], "customRoleArn": role}
made = ecr.create_repository_creation_template(**given)["repositoryCreationTemplate"]
assert {key: made[key] for key in given} == given and "createdAt" in made, made
assert_refused("TemplateAlreadyExistsException", ecr.create_repository_creation_template, prefix="team", appliedFor=["REPLICATION"])
changed = ecr.update_repository_creation_template(prefix="team", description="another")["repositoryCreationTemplate"]
assert changed["description"] == "another" and changed["imageTagMutability"] == "IMMUTABLE" and changed["createdAt"] == made["createdAt"]
ecr.create_repository_creation_template(prefix="ROOT", appliedFor=["PULL_THROUGH_CACHE"])
found = [one["prefix"] for page in ecr.get_paginator("describe_repository_creation_templates").paginate(PaginationConfig={"PageSize": 1})
         for one in page["repositoryCreationTemplates"]]
assert found == ["ROOT", "team"], found
ecr.delete_repository_creation_template(prefix="team")
assert_refused("TemplateNotFoundException", ecr.delete_repository_creation_template, prefix="team")
rule = ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")
assert rule["upstreamRegistry"] == "quay" and rule["registryId"] == ACCOUNT, rule
assert_refused("PullThroughCacheRuleAlreadyExistsException", ecr.create_pull_through_cache_rule, ecrRepositoryPrefix="quay", upstreamRegistryUrl="quay.io")
assert_refused("UnsupportedUpstreamRegistryException", ecr.create_pull_through_cache_rule, ecrRepositoryPrefix="odd", upstreamRegistryUrl="example.com")
assert ecr.describe_pull_through_cache_rules(ecrRepositoryPrefixes=["quay"])["pullThroughCacheRules"][0]["upstreamRegistryUrl"] == "quay.io"
assert ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="quay")["isValid"] is False, "nothing fetches yet"
ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix="quay")
assert_refused("PullThroughCacheRuleNotFoundException", ecr.describe_pull_through_cache_rules, ecrRepositoryPrefixes=["quay"])

# Tags that must not move (§6.3), by both dialects.
images = [manifest(b"{}", [], annotations={"number": str(number)}) for number in range(2)]


def moves(name, tag):
    """Whether the tag may move, as both dialects say it."""
    by_api = ecr.put_image(repositoryName=name, imageManifest=images[0], imageTag=tag)
    assert by_api["image"]["imageId"]["imageTag"] == tag
    status, _, body = v2(ecr, "PUT", f"{name}/manifests/{tag}", images[1].encode(), OCI_MANIFEST)
    try:
        # Back again: of the other image if /v2/ moved it.
        ecr.put_image(repositoryName=name, imageManifest=images[0 if status == 201 else 1], imageTag=tag)
        moved = True
    except ecr.exceptions.ImageTagAlreadyExistsException:
        moved = False
    assert moved == (status == 201), (name, tag, status, body)
    if not moved:
        error = json.loads(body)["errors"][0]
        words = f"The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the tag is immutable."
        assert (status, error["code"], error["message"]) == (400, "TAG_INVALID", words), body
    ecr.batch_delete_image(repositoryName=name, imageIds=[{"imageTag": tag}])
    ecr.put_image(repositoryName=name, imageManifest=images[1], imageTag=tag)  # After its deletion it may be pushed again.
    ecr.batch_delete_image(repositoryName=name, imageIds=[{"imageTag": tag}])
    return moved


def filters(*texts):
    return {"imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": text} for text in texts]} if texts else {}


for name in ["team/plain", "team/full"]:
    push_blob(ecr, name, b"{}")
for mode, excluded, table in [
        ("MUTABLE", [], {"v1": True}), ("IMMUTABLE", [], {"v1": False, "latest": False}),
        ("IMMUTABLE_WITH_EXCLUSION", ["latest", "dev-*"], {"latest": True, "dev-7": True, "v1": False, "devel": False}),
        ("MUTABLE_WITH_EXCLUSION", ["v*.*"], {"v1": True, "v1.2": False}), ("MUTABLE_WITH_EXCLUSION", ["rc.1"], {"rc-1": True, "rc.1": False})]:
    ecr.put_image_tag_mutability(repositoryName="team/plain", imageTagMutability=mode, **filters(*excluded))
    found = {tag: moves("team/plain", tag) for tag in table}
    assert found == table, (mode, excluded, found)

# Honest about what is not there yet.
ecr.put_image(repositoryName="team/full", imageManifest=images[0], imageTag="v1")
image = {"repositoryName": "team/full", "imageId": {"imageTag": "v1"}}
assert_refused("ScanNotFoundException", ecr.describe_image_scan_findings, **image)
assert_refused("ValidationException", ecr.start_image_scan, **image)
assert ecr.describe_image_replication_status(**image)["replicationStatuses"] == []
assert ecr.describe_image_signing_status(**image)["signingStatuses"] == []
assert_refused("LifecyclePolicyNotFoundException", ecr.get_lifecycle_policy, repositoryName="team/full")
found = ecr.batch_get_repository_scanning_configuration(repositoryNames=["team/full", "team/none"])
assert found["scanningConfigurations"][0]["scanFrequency"] == "SCAN_ON_PUSH" and found["failures"][0]["failureCode"] == "REPOSITORY_NOT_FOUND"

# Deletion, and pages of what is left.
assert_refused("RepositoryNotEmptyException", ecr.delete_repository, repositoryName="team/full")
assert ecr.delete_repository(repositoryName="team/full", force=True)["repository"]["repositoryName"] == "team/full"
assert_refused("RepositoryNotFoundException", ecr.describe_images, repositoryName="team/full")
assert v2(ecr, "GET", f"team/full/manifests/{digest(images[0].encode())}")[0] == 404
ecr.create_repository(repositoryName="team/full")
assert ecr.list_images(repositoryName="team/full")["imageIds"] == [] and tags(arn) == {}, "nothing comes back"
names = [one["repositoryName"] for page in ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 1}) for one in page["repositories"]]
assert names == ["team/full", "team/plain"], names
print("settings: done")
