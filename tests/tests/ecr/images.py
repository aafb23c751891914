"""Images by the JSON API and by /v2/: what one stores the other reads, listings, deletion, storage classes."""

import json
import os

from case import (OCI_INDEX, OCI_LAYER, OCI_MANIFEST, assert_refused, client, descriptor, digest, manifest, push_blob, v2)

ecr = client()
REPOSITORY = "team/images"


def ids(*names):
    """`ImageIdentifier`s of digests and tags."""
    return [{"imageDigest": name} if name.startswith("sha256:") else {"imageTag": name} for name in names]


def put(content, tag=None, **more):
    given = {"repositoryName": REPOSITORY, "imageManifest": content, **more}
    return {**given, "imageTag": tag} if tag else given


def layer(size=2000):
    """Pushed in parts, as the JSON API does it."""
    content = os.urandom(size)
    upload = ecr.initiate_layer_upload(repositoryName=REPOSITORY)["uploadId"]
    ecr.upload_layer_part(repositoryName=REPOSITORY, uploadId=upload, partFirstByte=0, partLastByte=size - 1, layerPartBlob=content)
    ecr.complete_layer_upload(repositoryName=REPOSITORY, uploadId=upload, layerDigests=[digest(content)])
    return content


def names(**filters):
    pages = ecr.get_paginator("list_images").paginate(repositoryName=REPOSITORY, PaginationConfig={"PageSize": 2}, **filters)
    return sorted((entry["imageDigest"], entry.get("imageTag")) for page in pages for entry in page["imageIds"])


assert_refused("RepositoryNotFoundException", ecr.put_image, **put("{}", "v1"))
push_blob(ecr, REPOSITORY, b"{}")

# What PutImage stores /v2/ gives, byte for byte, and the other way round.
one = manifest(b"{}", [layer()])
assert_refused("LayersNotFoundException", ecr.put_image, **put(manifest(b"{}", [b"missing"]), "v1"))
for wrong in ["{", "[]", '{"schemaVersion": 1}', "x"]:
    assert_refused("InvalidParameterException", ecr.put_image, **put(wrong, "v1"))
assert_refused("ImageDigestDoesNotMatchException", ecr.put_image, **put(one, "v1", imageDigest=digest(b"other")))
image = ecr.put_image(**put(one, "v1", imageManifestMediaType=OCI_MANIFEST))["image"]
assert image["imageId"] == {"imageDigest": digest(one.encode()), "imageTag": "v1"} and image["imageManifest"] == one, image
status, headers, body = v2(ecr, "GET", f"{REPOSITORY}/manifests/v1")
assert (status, body.decode(), headers["docker-content-digest"]) == (200, one, digest(one.encode())), (status, body)
two = manifest(b"{}", [layer(3000)], annotations={"number": "two"})
assert v2(ecr, "PUT", f"{REPOSITORY}/manifests/v2", two.encode(), OCI_MANIFEST)[0] == 201
found = ecr.batch_get_image(repositoryName=REPOSITORY, imageIds=ids("v2", digest(one.encode())))
assert [image["imageManifest"] for image in found["images"]] == [two, one] and not found["failures"], found

# The decision table of PutImage for tags that may move.
first, second = digest(one.encode()), digest(two.encode())
assert_refused("ImageAlreadyExistsException", ecr.put_image, **put(one, "v1"))
assert_refused("ImageAlreadyExistsException", ecr.put_image, **put(one))
ecr.put_image(**put(one, "also"))
ecr.put_image(**put(two, "also"))
assert names() == sorted([(first, "v1"), (second, "also"), (second, "v2")])
assert v2(ecr, "PUT", f"{REPOSITORY}/manifests/v1", one.encode(), OCI_MANIFEST)[0] == 201, "builders push again"

# An index needs its images, and keeps them.
index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
    descriptor(one.encode(), OCI_MANIFEST), descriptor(two.encode(), OCI_MANIFEST)]})
absent = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(b"absent", OCI_MANIFEST)]})
assert_refused("ReferencedImagesNotFoundException", ecr.put_image, **put(absent, "all"))
ecr.put_image(**put(index, "all"))
failures = ecr.batch_delete_image(repositoryName=REPOSITORY, imageIds=ids(first))["failures"]
assert [failure["failureCode"] for failure in failures] == ["ImageReferencedByManifestList"], failures
untagged = manifest(b"{}", [], subject=descriptor(one.encode(), OCI_MANIFEST), artifactType="text/signature")
ecr.put_image(**put(untagged))

# Descriptions.
details = {detail["imageDigest"]: detail for page in
           ecr.get_paginator("describe_images").paginate(repositoryName=REPOSITORY, PaginationConfig={"PageSize": 1})
           for detail in page["imageDetails"]}
assert set(details) == {first, second, digest(index.encode()), digest(untagged.encode())}, details
assert details[first]["imageTags"] == ["v1"] and details[first]["imageSizeInBytes"] == 2002, details[first]
assert details[digest(index.encode())]["imageSizeInBytes"] == 3002, "the largest of its images"
assert details[digest(untagged.encode())]["subjectManifestDigest"] == first and "imageTags" not in details[digest(untagged.encode())]
assert details[first]["imageStatus"] == "ACTIVE" and details[first]["imageManifestMediaType"] == OCI_MANIFEST
assert [entry[0] for entry in names(filter={"tagStatus": "UNTAGGED"})] == [digest(untagged.encode())]
assert len(names(filter={"tagStatus": "TAGGED"})) == 4
assert_refused("ImageNotFoundException", ecr.describe_images, repositoryName=REPOSITORY, imageIds=ids("nope"))
assert_refused("InvalidParameterException", ecr.describe_images, repositoryName=REPOSITORY, imageIds=ids("v1"), maxResults=1)
token = ecr.list_images(repositoryName=REPOSITORY, maxResults=1)["nextToken"]
for call, more in [(ecr.describe_images, {}), (ecr.list_images, {"filter": {"tagStatus": "TAGGED"}})]:
    assert_refused("InvalidParameterException", call, repositoryName=REPOSITORY, nextToken=token, **more)

# Referrers.
found = ecr.list_image_referrers(repositoryName=REPOSITORY, subjectId={"imageDigest": first})["referrers"]
assert [(entry["digest"], entry["artifactType"]) for entry in found] == [(digest(untagged.encode()), "text/signature")], found
for types, count in [(["text/signature", "a/b"], 1), (["a/b"], 0)]:
    found = ecr.list_image_referrers(repositoryName=REPOSITORY, subjectId={"imageDigest": first}, filter={"artifactTypes": types})
    assert len(found["referrers"]) == count, found
assert not ecr.list_image_referrers(repositoryName=REPOSITORY, subjectId={"imageDigest": digest(b"x")})["referrers"]

# Names that are none, one at a time.
found = ecr.batch_get_image(repositoryName=REPOSITORY, imageIds=[
    {"imageDigest": "sha256:zz"}, {"imageTag": "no/tag"}, {}, {"imageTag": "nope"}, {"imageDigest": second, "imageTag": "v1"}])
assert [failure["failureCode"] for failure in found["failures"]] == [
    "InvalidImageDigest", "InvalidImageTag", "MissingDigestAndTag", "ImageNotFound", "ImageTagDoesNotMatchDigest"], found

# Archived images are there, but nobody pulls them; an index goes first.
archive = {"repositoryName": REPOSITORY, "targetStorageClass": "ARCHIVE"}
assert_refused("ImageStorageClassUpdateNotSupportedException", ecr.update_image_storage_class, imageId=ids("v1")[0], **archive)
assert ecr.update_image_storage_class(imageId=ids("all")[0], **archive)["imageStatus"] == "ARCHIVED"
assert v2(ecr, "GET", f"{REPOSITORY}/manifests/all")[0] == 404
assert v2(ecr, "HEAD", f"{REPOSITORY}/manifests/{digest(index.encode())}")[0] == 404
assert (digest(index.encode()), "all") not in names()
assert (digest(index.encode()), "all") in names(filter={"imageStatus": "ARCHIVED"})
failures = ecr.batch_get_image(repositoryName=REPOSITORY, imageIds=ids("all"))["failures"]
assert [failure["failureCode"] for failure in failures] == ["ImageInaccessible"], failures
ecr.update_image_storage_class(repositoryName=REPOSITORY, imageId=ids("all")[0], targetStorageClass="STANDARD")
assert v2(ecr, "GET", f"{REPOSITORY}/manifests/all")[0] == 200
assert "lastActivatedAt" in ecr.describe_images(repositoryName=REPOSITORY, imageIds=ids("all"))["imageDetails"][0]

# Deletion: a tag; the last tag, which takes the image along; a digest, which takes its tags along.
gone = ecr.batch_delete_image(repositoryName=REPOSITORY, imageIds=ids("also"))
assert gone["imageIds"] == [{"imageDigest": second, "imageTag": "also"}] and (second, "v2") in names(), gone
ecr.batch_delete_image(repositoryName=REPOSITORY, imageIds=ids("all"))
assert digest(index.encode()) not in {entry[0] for entry in names()}
gone = ecr.batch_delete_image(repositoryName=REPOSITORY, imageIds=[{"imageDigest": first, "imageTag": "v2"}] + ids(first, second, "v1", first))
assert [failure["failureCode"] for failure in gone["failures"]] == ["ImageTagDoesNotMatchDigest", "ImageNotFound", "ImageNotFound"], gone
assert names() == [(digest(untagged.encode()), None)], names()
assert v2(ecr, "GET", f"{REPOSITORY}/manifests/v1")[0] == 404
print("images: done")
