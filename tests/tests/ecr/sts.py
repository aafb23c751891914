"""STS: who somebody is, roles, temporary credentials, and what they are good for at ECR. Prints what outlives the script."""

import datetime

from case import assert_refused, client

ROLE = "arn:aws:iam::000000000000:role/ci/deploy"


def of(service, credentials):
    return client(service, aws_access_key_id=credentials["AccessKeyId"],
                  aws_secret_access_key=credentials["SecretAccessKey"], aws_session_token=credentials["SessionToken"])


def left(until):
    return (until - datetime.datetime.now(datetime.timezone.utc)).total_seconds()


sts, ecr = client("sts"), client("ecr")
me = sts.get_caller_identity()
assert me["Arn"] == "arn:aws:iam::000000000000:user/dev/alice" and me["Account"] == "000000000000", me
assert me["UserId"].startswith("AIDA") and len(me["UserId"]) == 20, me

# A role: trusted, asked for, and no more than it may.
assumed = sts.assume_role(RoleArn=ROLE, RoleSessionName="run-1", DurationSeconds=900)
credentials, session = assumed["Credentials"], assumed["AssumedRoleUser"]["Arn"]
assert session == "arn:aws:sts::000000000000:assumed-role/deploy/run-1", session
assert 800 < left(credentials["Expiration"]) <= 900
deploy, deploying = of("sts", credentials), of("ecr", credentials)
assert deploy.get_caller_identity()["Arn"] == session
assert deploy.get_caller_identity()["UserId"] == assumed["AssumedRoleUser"]["AssumedRoleId"]
deploying.create_repository(repositoryName="team/new")
assert_refused("AccessDeniedException", deploying.delete_repository, repositoryName="team/new")
assert_refused("AccessDeniedException", ecr.create_repository, repositoryName="team/other")
token = deploying.get_authorization_token()["authorizationData"][0]
assert left(token["expiresAt"]) <= 901, "a token ends with its session"
print("TOKEN", token["authorizationToken"])

# What is refused.
assume = sts.assume_role
assert_refused("AccessDenied", assume, RoleArn=ROLE.replace("deploy", "other"), RoleSessionName="run-1")
assert_refused("AccessDenied", assume, RoleArn=ROLE + "s", RoleSessionName="run-1")
assert_refused("ValidationError", assume, RoleArn=ROLE, RoleSessionName="run-1", DurationSeconds=7200)
assert_refused("ValidationError", assume, RoleArn=ROLE, RoleSessionName="run-1", Policy="{}")
assert_refused("ValidationError", assume, RoleArn=ROLE.replace("role", "user"), RoleSessionName="run-1")
assert_refused("AccessDenied", deploy.assume_role, RoleArn=ROLE, RoleSessionName="run-2")
assert_refused("InvalidAction", sts.get_access_key_info, AccessKeyId="AKIAAAAAAAAAAAAAAAAA")
own = sts.get_session_token()["Credentials"]
assert_refused("SignatureDoesNotMatch", of("sts", {**credentials, "SecretAccessKey": "x" * 40}).get_caller_identity)
assert_refused("InvalidClientTokenId", of("sts", {**credentials, "SessionToken": own["SessionToken"]}).get_caller_identity)
forged = credentials["SessionToken"][:-4] + "AAAA"
assert_refused("UnrecognizedClientException", of("ecr", {**credentials, "SessionToken": forged}).describe_repositories)

# One's own, for a while.
assert of("sts", own).get_caller_identity()["Arn"] == me["Arn"]
assert_refused("AccessDenied", of("sts", own).get_session_token)
