"""Sends what botocore's models say of every operation of ecr and ecr-public, and what they forbid.

For each operation: one valid input, the input without each required member, and with each constraint of the model
broken (length, number, list size, pattern, enumeration, type), one at a time, at any depth. A valid input may be
refused only in the operation's own words; a broken one must be refused as such. Every answer must be what the model
says. Prints a line for each answer that is not, then a summary; exits with 1 if there was any.

Needs botocore, and AWS_ENDPOINT_URL, AWS_REGION and a key of a root in the environment.
"""

import base64
import copy
import json
import re
import sys

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

# What every operation may answer beside its own errors (ECR specification, section 5).
REFUSALS = {"InvalidParameterException", "ValidationException"}
MISFITS = REFUSALS | {"SerializationException", "InvalidTagParameterException"}
SERVICES = {"ecr": 62, "ecr-public": 23}

# Values that satisfy what a pattern or a semantic rule demands, by the shape's name, for shapes where the general rule
# would not do.
VALUES = {
    "RepositoryName": "sweep/app",
    "RegistryId": "000000000000",
    "RegistryIdOrAlias": "000000000000",
    "ImageDigest": "sha256:" + "a" * 64,
    "LayerDigest": "sha256:" + "b" * 64,
    "BatchedOperationLayerDigest": "sha256:" + "b" * 64,
    "ImageTag": "v1",
    "UploadId": "00000000-0000-0001-0000-000000000001",
    "Arn": "arn:aws:ecr:local:000000000000:repository/sweep/app",
    "PrincipalArn": "arn:aws:iam::000000000000:role/puller",
    "CredentialArn": "arn:aws:secretsmanager:local:000000000000:secret:ecr-pullthroughcache/hub-1",
    "CustomRoleArn": "arn:aws:iam::000000000000:role/custom",
    "SigningProfileArn": "arn:aws:signer:local:000000000000:/signing-profiles/profile",
    "KmsKey": "key",
    "Region": "elsewhere",
    "Prefix": "sweep",
    "PullThroughCacheRuleRepositoryPrefix": "sweep-cache",
    "Url": "registry-1.docker.io",
    "ImageTagMutabilityExclusionFilterValue": "dev-*",
    "NextToken": "bm9uZQ",
    "AccountSettingName": "BASIC_SCAN_TYPE_VERSION",
    "AccountSettingValue": "AWS_NATIVE",
    "ReplicationBackfillId": "00000000-0000-0001-0000-000000000001",
}


def value_of(shape, name=""):
    """A value that the model takes."""
    if shape.name in VALUES:
        return VALUES[shape.name]
    kind, rules = shape.type_name, shape.metadata
    if kind == "structure":
        return {key: value_of(member, key) for key, member in shape.members.items() if key in shape.required_members}
    if kind == "list":
        return [value_of(shape.member, name)] * max(1, rules.get("min", 0))
    if kind == "map":
        return {value_of(shape.key): value_of(shape.value)}
    if kind == "boolean":
        return False
    if kind in ("integer", "long"):
        return max(1, rules.get("min", 0))
    if kind in ("double", "float"):
        return 1.0
    if kind == "timestamp":
        return 1700000000
    if kind == "blob":
        return b"x" * max(1, rules.get("min", 0))
    if shape.enum:
        return shape.enum[0]
    text = "x" * max(1, rules.get("min", 0))
    return text if "pattern" not in rules else matching(rules["pattern"], rules)


def matching(pattern, rules):
    """A text that the pattern takes, of those that the models have."""
    for text in ["sweep", "000000000000", "https://x", "a:1", "sha256:" + "a" * 64, "*", "a" * rules.get("min", 1)]:
        if re.fullmatch(pattern, text):
            return text
    raise ValueError(f"no text for {pattern}")


def wrong_type(shape):
    return {"x": 1} if shape.type_name in ("string", "list", "integer", "long", "boolean", "blob") else "x"


def broken_values(shape):
    """Values that the model does not take, each with the rule that it breaks."""
    kind, rules = shape.type_name, shape.metadata
    yield "type", wrong_type(shape)
    if kind == "string":
        if rules.get("min", 0) > 0:
            yield "min", "x" * (rules["min"] - 1)
        if "max" in rules:
            yield "max", "a" * (rules["max"] + 1)
        if shape.enum:
            yield "enum", "NO_SUCH_VALUE"
        if "pattern" in rules and not re.fullmatch(rules["pattern"], "\u00e9 \n"):
            yield "pattern", "\u00e9 \n"
    elif kind in ("integer", "long"):
        if "min" in rules:
            yield "min", rules["min"] - 1
        if "max" in rules:
            yield "max", rules["max"] + 1
    elif kind == "list":
        if rules.get("min", 0) > 0:
            yield "min", []
        if "max" in rules:
            yield "max", [value_of(shape.member)] * (rules["max"] + 1)


def places(shape, path=(), seen=()):
    """Every member below a structure, as its path, its shape and whether it is required."""
    if shape.name in seen:
        return
    seen += (shape.name,)
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            yield path + (name,), member, name in shape.required_members
            yield from places(member, path + (name,), seen)
    elif shape.type_name == "list":
        yield path + (0,), shape.member, False
        yield from places(shape.member, path + (0,), seen)


def with_value(shape, valid, path, value):
    """A copy of the valid input in which `path` has the value; what is on the way is made valid."""
    changed = copy.deepcopy(valid)
    at, here = changed, shape
    for step in path[:-1]:
        child = here.members[step] if here.type_name == "structure" else here.member
        if here.type_name == "structure" and step not in at:
            at[step] = value_of(child)
        at, here = at[step], child
    at[path[-1]] = value
    return changed


def without(shape, valid, path):
    changed = with_value(shape, valid, path, None)
    at = changed
    for step in path[:-1]:
        at = at[step]
    del at[path[-1]]
    return changed


class Sweep:
    def __init__(self, service):
        session = botocore.session.get_session()
        config = Config(parameter_validation=False, retries={"total_max_attempts": 1})
        self.client = session.create_client(service, config=config)
        self.service, self.model = service, self.client.meta.service_model
        self.sent, self.complaints, self.unsupported = 0, [], []
        self.given = {}
        self.client.meta.events.register("before-call", self.write_body)

    def write_body(self, params, **_):
        """Sends the input as it is: botocore's serializer cannot write values of a wrong type."""
        params["body"] = json.dumps(self.given, default=lambda blob: base64.b64encode(blob).decode()).encode()

    def send(self, operation, what, given, is_valid):
        self.sent += 1
        self.given = given
        model = self.model.operation_model(operation)
        try:
            answer = self.client._make_api_call(operation, {})
        except ClientError as error:
            return self.judge_refusal(model, what, error.response, is_valid)
        except Exception as error:  # What the parser cannot read, or no answer at all.
            return self.complain(operation, what, repr(error))
        answer.pop("ResponseMetadata")
        if not is_valid:
            return self.complain(operation, what, "it was taken")
        if model.output_shape is not None:
            report = ParamValidator().validate(answer, model.output_shape)
            if report.has_errors():
                self.complain(operation, what, report.generate_report())

    def judge_refusal(self, model, what, response, is_valid):
        code, status = response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]
        own = {shape.name for shape in model.error_shapes}
        if status != 400:
            self.complain(model.name, what, f"{status} {response['Error']}")
        elif not is_valid and code not in MISFITS:
            self.complain(model.name, what, f"refused as {response['Error']}")
        elif is_valid and code == "UnsupportedCommandException":
            self.unsupported.append(model.name)
        elif is_valid and code not in own:
            self.complain(model.name, what, f"not its own word: {response['Error']}")
        elif not response["Error"].get("Message"):
            self.complain(model.name, what, f"{code} without a message")

    def complain(self, operation, what, problem):
        self.complaints.append(f"{self.service}:{operation} {what}: {problem}")

    def run(self):
        for operation in self.model.operation_names:
            shape = self.model.operation_model(operation).input_shape
            valid = value_of(shape) if shape is not None else {}
            self.send(operation, "valid", valid, True)
            if shape is None:
                continue
            for path, member, is_required in places(shape):
                name = ".".join(str(step) for step in path)
                if is_required:
                    self.send(operation, f"without {name}", without(shape, valid, path), False)
                for rule, value in broken_values(member):
                    changed = with_value(shape, valid, path, value)
                    self.send(operation, f"{rule} of {name}", changed, False)


def main():
    failed = False
    for service, operations in SERVICES.items():
        sweep = Sweep(service)
        found = len(sweep.model.operation_names)
        if found != operations:
            sweep.complaints.append(f"{service} has {found} operations, not {operations}")
        sweep.run()
        if service == "ecr":
            sweep.complaints += [f"ecr:{operation} is not there" for operation in sweep.unsupported]
        for complaint in sweep.complaints:
            print(complaint[:400])
        failed |= bool(sweep.complaints)
        print(json.dumps({"service": service, "operations": found, "sent": sweep.sent,
                          "complaints": len(sweep.complaints), "unsupported": sweep.unsupported}))
    sys.exit(1 if failed else 0)


main()
