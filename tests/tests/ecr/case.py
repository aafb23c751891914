"""What the scripts share: a client per node, refusals as values, blobs through /v2/."""

import base64
import hashlib
import json
import os
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

HOSTS = os.environ["HOSTS"].split()


def client(service="ecr", host=None, **settings):
    """Of the node at `host`, without retries, which would hide what a node answered."""
    settings.setdefault("config", Config(retries={"total_max_attempts": 1}))
    return boto3.client(service, endpoint_url=f"http://{host or HOSTS[0]}", **settings)


def refused(call, **given):
    """The error's code, message and further members; it is a failure when the call works."""
    try:
        answer = call(**given)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response
    raise AssertionError(f"it worked: {answer}")


def assert_refused(code, call, **given):
    found, response = refused(call, **given)
    assert found == code, response
    return response


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def password(ecr):
    """What `docker login` would take: user and password."""
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    return base64.b64decode(token).decode()


def v2(ecr, method, path, content=None, media_type="application/octet-stream", host=None):
    """A request of a Docker client: status, headers, body."""
    request = urllib.request.Request(f"http://{host or HOSTS[0]}/v2/{path}", content, method=method)
    request.add_header("Authorization", "Basic " + base64.b64encode(password(ecr).encode()).decode())
    request.add_header("Content-Type", media_type)
    request.add_header("Accept", "*/*")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def push_blob(ecr, repository, content):
    status, _, body = v2(ecr, "POST", f"{repository}/blobs/uploads/?digest={digest(content)}", content)
    assert status == 201, body
    return digest(content)


OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def descriptor(content, media_type):
    return {"mediaType": media_type, "digest": digest(content), "size": len(content)}


def manifest(config, layers, **more):
    """The document of an image, as text."""
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(config, OCI_CONFIG),
                       "layers": [descriptor(layer, OCI_LAYER) for layer in layers], **more})
