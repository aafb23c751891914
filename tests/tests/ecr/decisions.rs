//! The cases A1 to A12 of the decision (ECR specification §9.2), by a user's pulls and by what operators are told; and
//! the commands that make principals.

use serde_json::{Value, json};
use tests::amazon::access_key;
use tests::http::Client;
use tests::principal::{
    DEFAULT_ACCOUNT, allow, create_account, create_user, done, file, put_policy, refused,
};
use tests::signed::{SigningClient, error_type};
use tests::{Server, ServerOptions};

/// The other account.
const OTHER: &str = "111111111111";
const APP: &str = "arn:aws:ecr:local:000000000000:repository/team/app";
const PULL: &str = "ecr:BatchGetImage";

/// A node with an image, a user of its account, and one of another's.
struct Ground {
    node: Server,
    signed: SigningClient,
    alice: Client,
    carol: Client,
}

impl Ground {
    fn new() -> Self {
        let node = Server::start(ServerOptions::default());
        let signed = SigningClient::new(&access_key(&node));
        node.root().push_image("team/app", "v1");
        create_account(&node, OTHER);
        let alice = create_user(&node, DEFAULT_ACCOUNT, "alice");
        let carol = create_user(&node, OTHER, "carol");
        Self { node, signed, alice, carol }
    }

    fn call(&self, operation: &str, input: &Value) {
        self.signed.call(self.node.host(), operation, input).assert_status(200);
    }

    fn repository_policy(&self, statement: &Value) {
        let text = json!({ "Version": "2012-10-17", "Statement": statement }).to_string();
        self.call("SetRepositoryPolicy", &json!({ "repositoryName": "team/app", "policyText": text }));
    }

    fn no_repository_policy(&self) {
        self.call("DeleteRepositoryPolicy", &json!({ "repositoryName": "team/app" }));
    }

    fn identity(&self, account: &str, user: &str, text: &str) {
        put_policy(&self.node, account, &format!("user/{user}"), "own", text);
    }

    fn no_identity(&self, account: &str, user: &str) {
        let of = format!("user/{user}");
        done(&self.node, account, &["policy", "delete", "own", "--of", &of]);
    }

    /// Whether this one gets the image, and is told the same beforehand.
    #[track_caller]
    fn pulls(&self, client: &Client, principal: &str) -> bool {
        let status = client.get("/v2/team/app/manifests/v1").send().status;
        assert!(matches!(status, 200 | 403), "{status}");
        let told = self.told(principal, &[]);
        assert_eq!(told.starts_with("decision  allowed"), status == 200, "{told}");
        status == 200
    }

    fn told(&self, principal: &str, context: &[&str]) -> String {
        let question = ["policy", "test", "--action", PULL, "--resource", APP, "--principal", principal];
        let context: Vec<&str> = context.iter().flat_map(|pair| ["--context", pair]).collect();
        done(&self.node, DEFAULT_ACCOUNT, &[&question[..], &context].concat())
    }
}

const ALICE: &str = "arn:aws:iam::000000000000:user/alice";
const CAROL: &str = "arn:aws:iam::111111111111:user/carol";

fn to(principal: &str) -> Value {
    json!({ "Effect": "Allow", "Principal": { "AWS": principal }, "Action": PULL })
}

#[test]
fn in_the_own_account_one_side_is_enough() {
    let ground = Ground::new();
    assert!(!ground.pulls(&ground.alice, ALICE), "nobody allows it");
    ground.identity(DEFAULT_ACCOUNT, "alice", &allow(PULL, APP));
    assert!(ground.pulls(&ground.alice, ALICE), "A1");
    ground.no_identity(DEFAULT_ACCOUNT, "alice");
    ground.repository_policy(&to(ALICE));
    assert!(ground.pulls(&ground.alice, ALICE), "A2");
    ground.repository_policy(&to("arn:aws:iam::000000000000:root"));
    assert!(!ground.pulls(&ground.alice, ALICE), "A3");
    ground.identity(DEFAULT_ACCOUNT, "alice", &allow(PULL, APP));
    ground.repository_policy(&json!({ "Effect": "Deny", "Principal": "*", "Action": PULL }));
    assert!(!ground.pulls(&ground.alice, ALICE), "A8");
    assert!(!ground.pulls(&ground.node.root(), "arn:aws:iam::000000000000:root"), "A8, root included");
}

#[test]
fn across_accounts_both_sides_must_allow_it() {
    let ground = Ground::new();
    ground.identity(OTHER, "carol", &allow(PULL, APP));
    ground.repository_policy(&to(OTHER));
    assert!(ground.pulls(&ground.carol, CAROL), "A4");
    ground.no_identity(OTHER, "carol");
    assert!(!ground.pulls(&ground.carol, CAROL), "A5");
    ground.identity(OTHER, "carol", &allow("ecr:*", "*"));
    ground.no_repository_policy();
    assert!(!ground.pulls(&ground.carol, CAROL), "A6");
    let registry = json!({ "Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": { "AWS": OTHER }, "Action": PULL, "Resource": APP,
    }});
    ground.call("PutRegistryPolicy", &json!({ "policyText": registry.to_string() }));
    assert!(ground.pulls(&ground.carol, CAROL), "A7");
    ground.call("DeleteRegistryPolicy", &json!({}));
    ground.repository_policy(&json!({
        "Effect": "Allow", "Principal": "*", "Action": PULL,
        "Condition": { "StringEquals": { "aws:PrincipalOrgID": "o-1234567890" } },
    }));
    let told = |organization| ground.told(CAROL, &[&format!("aws:PrincipalOrgID={organization}")]);
    assert!(told("o-1234567890").contains("allowed"), "A9");
    assert!(told("o-0987654321").contains("denied"), "A9");
}

#[test]
fn conditions_hold_of_the_request_and_of_the_repository() {
    let ground = Ground::new();
    ground.identity(DEFAULT_ACCOUNT, "alice", &allow("ecr:*", "*"));
    ground.repository_policy(&json!({
        "Effect": "Deny", "Principal": "*", "Action": PULL,
        "Condition": { "NotIpAddress": { "aws:SourceIp": "127.0.0.0/31" } },
    }));
    let status = |client: &Client| client.get("/v2/team/app/manifests/v1").send().status;
    assert_eq!(status(&ground.alice), 200, "A10, from 127.0.0.1");
    let elsewhere = ground.alice.clone().at([127, 0, 0, 9]);
    assert_eq!(status(&elsewhere), 403, "A10, from 127.0.0.9");
    ground.no_repository_policy();
    let deny = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "ecr:*", "Resource": "*" },
        { "Effect": "Deny", "Action": "ecr:*", "Resource": "*",
          "Condition": { "StringEquals": { "ecr:ResourceTag/env": "prod" } } },
    ]});
    ground.identity(DEFAULT_ACCOUNT, "alice", &deny.to_string());
    for (env, expected) in [("prod", false), ("dev", true)] {
        ground.call("TagResource", &json!({ "resourceArn": APP, "tags": [{ "Key": "env", "Value": env }] }));
        assert_eq!(ground.pulls(&ground.alice, ALICE), expected, "A11, {env}");
    }
}

#[test]
fn who_may_not_ask_for_a_token_does_not_log_in_with_one() {
    let ground = Ground::new();
    let node = &ground.node;
    ground.repository_policy(&to(ALICE));
    let key = done(node, DEFAULT_ACCOUNT, &["key", "create", "--of", "alice", "--output", "json"]);
    let alice = SigningClient::new(&serde_json::from_str(&key).expect("a document"));
    let token = || alice.call(node.host(), "GetAuthorizationToken", &json!({}));
    assert_eq!(error_type(&token()), "400 AccessDeniedException", "A12");
    ground.identity(DEFAULT_ACCOUNT, "alice", &allow("ecr:GetAuthorizationToken", "*"));
    let password = alice.password(node.host());
    let docker = Client::basic(node.host(), "AWS", &password);
    docker.get("/v2/team/app/manifests/v1").send().assert_status(200);
    docker.get("/v2/other/app/manifests/v1").send().assert_error(403, "DENIED");
    // What signs and pulls is not what manages.
    let admin = docker.post("/api/v1/iam").header("content-type", "application/json");
    admin.body(r#"{"call":"ListAccessKeys"}"#).send().assert_status(401);
}

#[test]
fn principals_are_managed_as_policies_allow() {
    let ground = Ground::new();
    let node = &ground.node;
    let own = |arguments: &[&str]| done(node, DEFAULT_ACCOUNT, arguments);
    let no = |arguments: &[&str]| refused(node, DEFAULT_ACCOUNT, arguments);
    // Root of one account is nobody in another.
    let other = refused(node, OTHER, &["user", "list", "--account", DEFAULT_ACCOUNT]);
    assert!(other.contains("not allowed"), "{other}");
    assert!(refused(node, OTHER, &["account", "list"]).contains("not allowed"));
    assert!(own(&["account", "list"]).contains(OTHER));
    // Groups.
    own(&["group", "create", "ops"]);
    own(&["user", "join", "alice", "--group", "ops"]);
    assert!(own(&["group", "show", "ops"]).contains("alice"));
    put_policy(node, DEFAULT_ACCOUNT, "group/ops", "pull", &allow(PULL, "*"));
    assert!(ground.pulls(&ground.alice, ALICE));
    assert!(no(&["group", "delete", "ops"]).contains("not while there is this: user"));
    own(&["user", "leave", "alice", "--group", "ops"]);
    assert!(!ground.pulls(&ground.alice, ALICE));
    own(&["group", "delete", "ops", "--force"]);
    // A policy of IAM's actions delegates, by ARN and by variable, and nothing more.
    let call = |document: &str| {
        let request = ground.alice.post("/api/v1/iam").header("content-type", "application/json");
        request.body(document).send()
    };
    let keys = r#"{"call":"ListAccessKeys"}"#;
    call(keys).assert_status(403);
    let self_service = allow("iam:ListAccessKeys", "arn:aws:iam::000000000000:user/${aws:username}");
    ground.identity(DEFAULT_ACCOUNT, "alice", &self_service);
    call(keys).assert_status(200);
    call(r#"{"call":"ListAccessKeys","user":"bob"}"#).assert_status(403);
    call(r#"{"call":"CreateAccessKey"}"#).assert_status(403);
    ground.identity(DEFAULT_ACCOUNT, "alice", &allow("*", "*"));
    call(r#"{"call":"CreateUser","name":"bob"}"#).assert_status(200);
    let root = r#"{"call":"ListAccessKeys","user":"root"}"#;
    // A user of that name, not root: there is none. And another path is another user.
    call(root).assert_status(404);
    let other = r#"{"call":"GetPolicy","entity":{"kind":"user","name":"x/alice"},"policy":"own"}"#;
    call(other).assert_status(404);
    // Wrong input says what would be right.
    for (arguments, words) in [
        (&["user", "create", "a b"][..], "letters, digits"),
        (&["user", "show", "nobody"], "no such principal"),
        (&["user", "password", "nobody", "--remove"], "no such user"),
        (&["user", "create", "ALICE"], "not the same"),
        (&["role", "create", "ci", "--trust", "/dev/null"], "no policy"),
        (&["robot", "revoke", "0"], "no such robot token"),
        (&["key", "delete", "AKIAAAAAAAAAAAAAAAAA"], "no such access key"),
        (&["policy", "test", "--principal", "x", "--action", PULL], "an ARN is"),
    ] {
        let said = no(arguments);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let short = file(node, "short", "1234567");
    assert!(no(&["user", "create", "dave", "--new-password", &short]).contains("8 characters"));
    let bad = file(node, "bad", r#"{"Statement":{"Effect":"Allow","Action":"ecr:Nothing","Resource":"*"}}"#);
    assert!(no(&["policy", "put", "p", "--of", "user/alice", "--file", &bad]).contains("not an action"));
    for body in ["", "{}", r#"{"call":"Nothing"}"#, r#"{"call":"CreateUser","name":"x","more":1}"#] {
        assert!(matches!(call(body).status, 400 | 415 | 422), "{body}");
    }
}

#[test]
fn what_is_changed_and_what_is_denied_is_written_down_without_secrets() {
    let ground = Ground::new();
    let node = &ground.node;
    let denied = ground.alice.put("/v2/team/app/manifests/v9").body("{}").send();
    denied.assert_status(403);
    let robot = done(node, DEFAULT_ACCOUNT, &["robot", "create", "ci", "--of", "alice", "--output", "json"]);
    let robot: Value = serde_json::from_str(&robot).expect("a document");
    node.root().push_image("team/app", "v2");
    let entries = |arguments: &[&str]| -> Vec<Value> {
        let told = done(node, DEFAULT_ACCOUNT, &[&["audit", "--output", "json"], arguments].concat());
        told.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
    };
    let find = |entries: &[Value], action: &str| {
        let found = entries.iter().find(|entry| entry["action"] == action).cloned();
        found.unwrap_or_else(|| panic!("no {action} in {entries:#?}"))
    };
    tests::wait_until("the entries to be written", std::time::Duration::from_secs(10), || {
        entries(&[]).iter().any(|entry| entry["tag"] == "v2")
    });
    let all = entries(&[]);
    let put = find(&entries(&["--denied"]), "ecr:PutImage");
    assert_eq!(
        (&put["principal"], &put["tag"], &put["is_allowed"]),
        (&json!(ALICE), &json!("v9"), &json!(false))
    );
    assert_eq!((&put["resource"], &put["source"]), (&json!(APP), &json!("127.0.0.1")));
    assert_eq!(put["request_id"].as_str(), denied.header("x-request-id"));
    assert!(put["reason"].as_str().is_some_and(|reason| reason.contains("no identity-based")));
    for action in
        ["iam:CreateUser", "shoal:ManageCluster", "shoal:CreateRobotToken", "ecr:InitiateLayerUpload"]
    {
        assert_eq!(find(&all, action)["is_allowed"], true, "{action}");
    }
    assert_eq!(find(&all, "shoal:CreateRobotToken")["detail"], "ci");
    assert_eq!(find(&all, "shoal:ManageCluster")["detail"], "POST /api/v1/accounts");
    assert!(!all.iter().any(|entry| entry["action"] == "ecr:BatchGetImage"), "reading changes nothing");
    assert!(entries(&["--principal", ALICE]).iter().all(|entry| entry["principal"] == ALICE));
    assert_eq!(entries(&["--since", "0s"]).len(), 0);
    let log = node.log();
    let files = std::fs::read_dir(node.data_dir().join("audit")).expect("the log");
    let written: String =
        files.map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("text")).collect();
    for secret in ["the password of alice", robot["password"].as_str().expect("a password"), node.password()]
    {
        assert!(!written.contains(secret) && !log.contains(secret), "a secret was written");
    }
    // Only who may read it does.
    ground.alice.get("/api/v1/audit").send().assert_status(403);
    ground.identity(DEFAULT_ACCOUNT, "alice", &allow("shoal:ReadAudit", "*"));
    ground.alice.get("/api/v1/audit").send().assert_status(200);
    ground.alice.get("/api/v1/audit?next=x").send().assert_status(400);
    ground.alice.get("/api/v1/audit?other=1").send().assert_status(400);
}

#[test]
fn roles_are_assumed_by_whom_they_trust_and_end_with_their_rights() {
    let ground = Ground::new();
    let node = &ground.node;
    let own = |arguments: &[&str]| done(node, DEFAULT_ACCOUNT, arguments);
    own(&["user", "delete", "alice", "--force"]);
    own(&["user", "create", "dev/alice"]);
    let trust = |principal: &str| {
        let statement =
            json!({ "Effect": "Allow", "Principal": { "AWS": principal }, "Action": "sts:AssumeRole" });
        file(node, "trust", &json!({ "Version": "2012-10-17", "Statement": statement }).to_string())
    };
    own(&["role", "create", "ci/deploy", "--trust", &trust("arn:aws:iam::000000000000:user/dev/alice")]);
    put_policy(node, DEFAULT_ACCOUNT, "role/ci/deploy", "create", &allow("ecr:CreateRepository", "*"));
    put_policy(node, DEFAULT_ACCOUNT, "role/ci/deploy", "log-in", &allow("ecr:GetAuthorizationToken", "*"));
    put_policy(node, DEFAULT_ACCOUNT, "role/ci/deploy", "pull", &allow(PULL, "*"));
    own(&["role", "create", "ci/other", "--trust", &trust("arn:aws:iam::000000000000:user/bob")]);
    put_policy(node, DEFAULT_ACCOUNT, "user/dev/alice", "assume", &allow("sts:AssumeRole", "*"));
    let key = own(&["key", "create", "--of", "dev/alice", "--output", "json"]);
    let key: Value = serde_json::from_str(&key).expect("a document");
    let finished = tests::amazon::run("sts.py", &[], &key, &[node.host()]);
    let said = String::from_utf8_lossy(&finished.stdout).into_owned();
    assert!(finished.status.success(), "{said}\n{}", finished.stderr);
    // Docker with the role's token: as the role, until what the role's sessions have is void.
    let token = said.lines().find_map(|line| line.strip_prefix("TOKEN ")).expect("a token");
    let docker = Client::authorized(node.host(), &format!("Basic {token}"));
    docker.get("/v2/team/app/manifests/none").send().assert_error(404, "MANIFEST_UNKNOWN");
    docker.put("/v2/team/app/manifests/v1").body("{}").send().assert_error(403, "DENIED");
    own(&["role", "update", "ci/deploy", "--max-session", "2h"]);
    docker.get("/v2/team/app/manifests/none").send().assert_error(401, "UNAUTHORIZED");
}
