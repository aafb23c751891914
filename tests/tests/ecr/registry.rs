//! What is set of a registry bears on docker's requests: creation templates, account settings, pull-time exclusions (ECR
//! specification §11, §13).

use serde_json::{Value, json};
use tests::amazon::access_key;
use tests::content::{media_type, sha256, unique_bytes};
use tests::http::Client;
use tests::principal::{DEFAULT_ACCOUNT, allow, create_user, done, put_policy};
use tests::signed::{SigningClient, error_type};
use tests::{Server, ServerOptions};

struct Ground {
    node: Server,
    signed: SigningClient,
}

impl Ground {
    fn new() -> Self {
        let node = Server::start(ServerOptions::default());
        let signed = SigningClient::new(&access_key(&node));
        Self { node, signed }
    }

    #[track_caller]
    fn call(&self, operation: &str, input: &Value) -> Value {
        let answer = self.signed.call(self.node.host(), operation, input);
        answer.assert_status(200);
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    fn template(&self, prefix: &str, applied_for: &str, more: &Value) {
        let mut input = json!({ "prefix": prefix, "appliedFor": [applied_for] });
        for (name, value) in more.as_object().into_iter().flatten() {
            input[name] = value.clone();
        }
        self.call("CreateRepositoryCreationTemplate", &input);
    }

    fn setting(&self, name: &str, value: &str) {
        self.call("PutAccountSetting", &json!({ "name": name, "value": value }));
    }

    fn mutability(&self, repository: &str) -> String {
        let found = self.call("DescribeRepositories", &json!({ "repositoryNames": [repository] }));
        found["repositories"][0]["imageTagMutability"].as_str().unwrap_or_default().to_owned()
    }
}

#[test]
fn a_push_makes_a_repository_as_the_nearest_template_says() {
    let ground = Ground::new();
    let policy = json!({ "Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": "*", "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    } })
    .to_string();
    let lifecycle = json!({ "rules": [{ "rulePriority": 1, "action": { "type": "expire" }, "selection": {
        "tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 9
    } }] })
    .to_string();
    ground.template(
        "team",
        "CREATE_ON_PUSH",
        &json!({
            "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
            "imageTagMutabilityExclusionFilters": [{ "filterType": "WILDCARD", "filter": "dev-*" }],
            "resourceTags": [{ "Key": "team", "Value": "a" }],
            "customRoleArn": "arn:aws:iam::000000000000:role/x",
            "repositoryPolicy": policy, "lifecyclePolicy": lifecycle,
        }),
    );
    ground.template("team/open", "CREATE_ON_PUSH", &json!({ "imageTagMutability": "MUTABLE" }));
    ground.template("team/open/copies", "REPLICATION", &json!({ "imageTagMutability": "IMMUTABLE" }));
    ground.template("ROOT", "CREATE_ON_PUSH", &json!({ "imageTagMutability": "IMMUTABLE" }));
    let root = ground.node.root();
    for (repository, mutability) in [
        ("team/app", "IMMUTABLE_WITH_EXCLUSION"),
        ("team/open/app", "MUTABLE"),
        ("team/open/copies/app", "MUTABLE"),
        ("team", "IMMUTABLE"),
        ("teams/app", "IMMUTABLE"),
    ] {
        root.push_image(repository, "v1");
        assert_eq!(ground.mutability(repository), mutability, "{repository}");
    }
    let named = json!({ "repositoryName": "team/app" });
    assert_eq!(ground.call("GetRepositoryPolicy", &named)["policyText"], policy.as_str());
    assert_eq!(ground.call("GetLifecyclePolicy", &named)["lifecyclePolicyText"], lifecycle.as_str());
    let arn = "arn:aws:ecr:local:000000000000:repository/team/app";
    let tags = ground.call("ListTagsForResource", &json!({ "resourceArn": arn }));
    assert_eq!(tags["tags"], json!([{ "Key": "team", "Value": "a" }]));
    let image = root.push_image("team/app", "dev-1");
    root.put_manifest("team/app", "v1", media_type::IMAGE, &image.manifest).assert_error(400, "TAG_INVALID");
    root.push_image("team/app", "dev-1");
    Client::anonymous(ground.node.host()).get("/v2/team/app/manifests/v1").send().assert_status(200);
    // A prefix ends with a slash, written or not.
    let again = json!({ "prefix": "team/", "appliedFor": ["CREATE_ON_PUSH"] });
    let again = ground.signed.call(ground.node.host(), "CreateRepositoryCreationTemplate", &again);
    assert_eq!(error_type(&again), "400 TemplateAlreadyExistsException");
    // What is there already stays as it is.
    let update = json!({ "prefix": "team/open", "imageTagMutability": "IMMUTABLE" });
    ground.call("UpdateRepositoryCreationTemplate", &update);
    root.push_image("team/open/app", "v1");
    assert_eq!(ground.mutability("team/open/app"), "MUTABLE");
}

#[test]
fn a_template_that_nothing_could_be_made_of_is_refused() {
    let ground = Ground::new();
    let create = |more: Value| {
        let mut input = json!({ "prefix": "a", "appliedFor": ["CREATE_ON_PUSH"] });
        input
            .as_object_mut()
            .into_iter()
            .for_each(|input| input.extend(more.as_object().cloned().unwrap_or_default()));
        error_type(&ground.signed.call(ground.node.host(), "CreateRepositoryCreationTemplate", &input))
    };
    for more in [
        json!({ "repositoryPolicy": "{}" }),
        json!({ "lifecyclePolicy": "{}" }),
        json!({ "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION" }),
    ] {
        assert_eq!(create(more.clone()), "400 InvalidParameterException", "{more}");
    }
}

/// Else it would say what others' repositories are like.
#[test]
fn who_makes_templates_may_make_such_repositories() {
    let ground = Ground::new();
    create_user(&ground.node, DEFAULT_ACCOUNT, "alice");
    let make = ["key", "create", "--of", "alice", "--output", "json"];
    let key = serde_json::from_str(&done(&ground.node, DEFAULT_ACCOUNT, &make)).expect("a key");
    let alice = SigningClient::new(&key);
    let create = || {
        let input = json!({ "prefix": "a", "appliedFor": ["CREATE_ON_PUSH"] });
        alice.call(ground.node.host(), "CreateRepositoryCreationTemplate", &input)
    };
    let own = "ecr:CreateRepositoryCreationTemplate";
    put_policy(&ground.node, DEFAULT_ACCOUNT, "user/alice", "own", &allow(own, "*"));
    assert_eq!(error_type(&create()), "400 AccessDeniedException");
    for (name, action) in
        [("a", "ecr:CreateRepository"), ("b", "ecr:PutLifecyclePolicy"), ("c", "ecr:SetRepositoryPolicy")]
    {
        put_policy(&ground.node, DEFAULT_ACCOUNT, "user/alice", name, &allow(action, "*"));
    }
    create().assert_status(200);
}

#[test]
fn a_strict_registry_does_what_ecr_does_and_no_more() {
    let ground = Ground::new();
    let root = ground.node.root();
    let image = root.push_image("old/app", "v1");
    let mount = |to: &str| {
        let digest = sha256(&image.layer);
        root.post(format!("/v2/{to}/blobs/uploads/?mount={digest}&from=old/app")).send().status
    };
    let tagged = json!({ "Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage",
        "Condition": { "StringEquals": { "shoal:ImageTag": "v1" } }
    } });
    let set_policy = || {
        let input = json!({ "repositoryName": "old/app", "policyText": tagged.to_string() });
        ground.signed.call(ground.node.host(), "SetRepositoryPolicy", &input)
    };
    let blob_mounting =
        || ground.call("GetAccountSetting", &json!({ "name": "BLOB_MOUNTING" }))["value"].clone();
    set_policy().assert_status(200);
    assert_eq!((mount("old/two"), blob_mounting()), (201, "ENABLED".into()));

    ground.setting("SHOAL_STRICT", "ENABLED");
    assert_eq!(error_type(&set_policy()), "400 InvalidParameterException");
    assert_eq!((mount("old/two"), blob_mounting()), (202, "DISABLED".into()));
    ground.setting("BLOB_MOUNTING", "ENABLED");
    assert_eq!((mount("old/two"), blob_mounting()), (201, "ENABLED".into()));
    root.post("/v2/new/app/blobs/uploads/").send().assert_error(404, "NAME_UNKNOWN");
    let put = root.put_manifest("new/app", "v1", media_type::IMAGE, &image.manifest);
    put.assert_error(404, "NAME_UNKNOWN");
    root.push_image("old/app", "v2");
    ground.template("new", "CREATE_ON_PUSH", &json!({}));
    root.push_image("new/app", "v1");

    ground.setting("SHOAL_STRICT", "DISABLED");
    ground.setting("BLOB_MOUNTING", "DISABLED");
    assert_eq!(mount("old/two"), 202);
    root.push_blob("other/app", &unique_bytes(100));
    let unknown = json!({ "name": "SHOAL_OTHER", "value": "ENABLED" });
    let answer = ground.signed.call(ground.node.host(), "PutAccountSetting", &unknown);
    assert_eq!(error_type(&answer), "400 ValidationException");
}

#[test]
fn pulls_of_excluded_principals_are_not_recorded() {
    let mut ground = Ground::new();
    let root = ground.node.root();
    let (scanned, used) = (root.push_image("team/app", "scanned"), root.push_image("team/app", "used"));
    let scanner = create_user(&ground.node, DEFAULT_ACCOUNT, "scanner");
    put_policy(&ground.node, DEFAULT_ACCOUNT, "user/scanner", "read", &allow("ecr:*", "*"));
    let arn = json!({ "principalArn": "arn:aws:iam::000000000000:user/scanner" });
    ground.call("RegisterPullTimeUpdateExclusion", &arn);
    let pull = |client: &Client, digest: &str| {
        client.get(format!("/v2/team/app/manifests/{digest}")).send().assert_status(200);
    };
    pull(&scanner, &scanned.digest);
    pull(&root, &used.digest);
    // A node tells of pulls once more when it stops.
    ground.node.stop();
    ground.node.restart();
    let described = ground.call("DescribeImages", &json!({ "repositoryName": "team/app" }));
    let details = described["imageDetails"].as_array().cloned().unwrap_or_default();
    for (image, is_recorded) in [(&scanned, false), (&used, true)] {
        let detail = details.iter().find(|detail| detail["imageDigest"] == image.digest.as_str());
        let detail = detail.expect("both are described");
        assert_eq!(detail["lastRecordedPullTime"].is_number(), is_recorded, "{detail}");
    }
}
