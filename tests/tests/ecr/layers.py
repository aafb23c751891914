"""Layers in parts, their availability, and the addresses from which they are read."""

import os
import urllib.error
import urllib.request

from case import (OCI_MANIFEST, assert_refused, client, digest, manifest, push_blob, v2)

ecr = client()
MIB = 1 << 20
REPOSITORY = "team/layers"


def begin():
    return ecr.initiate_layer_upload(repositoryName=REPOSITORY)["uploadId"]


def part(upload, first, content):
    return ecr.upload_layer_part(repositoryName=REPOSITORY, uploadId=upload, partFirstByte=first,
                                 partLastByte=first + len(content) - 1, layerPartBlob=content)["lastByteReceived"]


def completion(upload, content):
    return {"repositoryName": REPOSITORY, "uploadId": upload, "layerDigests": [digest(content)]}


assert_refused("RepositoryNotFoundException", ecr.initiate_layer_upload, repositoryName=REPOSITORY)
push_blob(ecr, REPOSITORY, b"a first push makes the repository")

layer = os.urandom(12 * MIB)
upload = begin()
assert_refused("EmptyUploadException", ecr.complete_layer_upload, **completion(upload, layer))
assert part(upload, 0, layer[: 6 * MIB]) == 6 * MIB - 1
for first, last, content in [(0, 0, b"x"), (6 * MIB + 1, 6 * MIB + 1, b"x"), (6 * MIB, 6 * MIB + 7, b"x"), (6 * MIB, 6 * MIB, b"")]:
    error = assert_refused("InvalidLayerPartException", ecr.upload_layer_part, repositoryName=REPOSITORY, uploadId=upload,
                           partFirstByte=first, partLastByte=last, layerPartBlob=content)
    assert error["lastValidByteReceived"] == 6 * MIB - 1 and error["uploadId"] == upload, error
assert part(upload, 6 * MIB, layer[6 * MIB:]) == 12 * MIB - 1
for _ in range(2):  # Again, as after a lost answer.
    assert ecr.complete_layer_upload(**completion(upload, layer))["layerDigest"] == digest(layer)

unknown = "00000000-0000-0001-0000-000000000001"
assert_refused("UploadNotFoundException", ecr.complete_layer_upload, **completion(unknown, layer))
upload = begin()
part(upload, 0, b"x")
assert_refused("LayerAlreadyExistsException", ecr.complete_layer_upload, **completion(upload, layer))
upload = begin()
part(upload, 0, b"x")
assert_refused("InvalidLayerException", ecr.complete_layer_upload, **completion(upload, b"y"))
upload = begin()
part(upload, 0, b"x")
part(upload, 1, b"y")
assert_refused("LayerPartTooSmallException", ecr.complete_layer_upload, **completion(upload, b"xy"))

missing = digest(b"missing")
found = ecr.batch_check_layer_availability(repositoryName=REPOSITORY, layerDigests=[digest(layer), missing, "odd", ""])
assert [entry["layerAvailability"] for entry in found["layers"]] == ["AVAILABLE", "UNAVAILABLE"], found
assert found["layers"][0]["layerSize"] == len(layer), found
assert [entry["failureCode"] for entry in found["failures"]] == ["InvalidLayerDigest", "MissingLayerDigest"], found

url = {"repositoryName": REPOSITORY, "layerDigest": digest(layer)}
assert_refused("LayerInaccessibleException", ecr.get_download_url_for_layer, **url)
assert_refused("LayersNotFoundException", ecr.get_download_url_for_layer, repositoryName=REPOSITORY, layerDigest=missing)
push_blob(ecr, REPOSITORY, b"{}")
status, _, body = v2(ecr, "PUT", f"{REPOSITORY}/manifests/v1", manifest(b"{}", [layer]).encode(), OCI_MANIFEST)
assert status == 201, body
address = ecr.get_download_url_for_layer(**url)["downloadUrl"]
with urllib.request.urlopen(address) as answer:
    assert answer.read() == layer
with urllib.request.urlopen(urllib.request.Request(address, headers={"Range": "bytes=5-9"})) as answer:
    assert answer.status == 206 and answer.read() == layer[5:10]
head, body, seal = address.rsplit("/", 1)[1].split(".")
for wrong in [f"{head}.{body}.{seal[::-1]}", f"{head}.{body}", "x", ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]]:
    try:
        urllib.request.urlopen(address.rsplit("/", 1)[0] + "/" + wrong)
        raise AssertionError(f"read by {wrong}")
    except urllib.error.HTTPError as error:
        assert error.code == 401, error

# What is deleted meanwhile does not come back.
ecr.create_repository(repositoryName="team/gone")
upload = ecr.initiate_layer_upload(repositoryName="team/gone")["uploadId"]
given = {"repositoryName": "team/gone", "uploadId": upload}
ecr.upload_layer_part(partFirstByte=0, partLastByte=0, layerPartBlob=b"x", **given)
ecr.delete_repository(repositoryName="team/gone")
assert_refused("RepositoryNotFoundException", ecr.upload_layer_part, partFirstByte=1, partLastByte=1, layerPartBlob=b"y", **given)
assert_refused("RepositoryNotFoundException", ecr.complete_layer_upload, layerDigests=[digest(b"x")], **given)
print("layers: done")
