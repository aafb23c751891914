//! Registries by their hosts (ECR specification §8.3): each account has its own in each region, under one port.

use serde_json::{Value, json};
use tests::amazon::access_key_of;
use tests::http::Client;
use tests::principal::{DEFAULT_ACCOUNT, allow, create_account, create_user, put_policy};
use tests::signed::SigningClient;
use tests::{Server, ServerOptions};

const OTHER: &str = "111111111111";
const REGION: &str = "eu-west-1";

/// A node on which root of another account has a key.
fn ground(options: ServerOptions) -> (Server, SigningClient) {
    let node = Server::start(options);
    create_account(&node, OTHER);
    let signed = SigningClient::new(&access_key_of(&node, OTHER)).in_region(REGION);
    (node, signed)
}

fn created(signed: &SigningClient, node: &Server) -> String {
    let answer = signed.call(node.host(), "CreateRepository", &json!({ "repositoryName": "team/app" }));
    answer.assert_status(200);
    let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    answer["repository"]["repositoryUri"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_host_of_ecrs_shape_is_the_registry_of_its_account_and_region_and_of_no_other() {
    let (node, signed) = ground(ServerOptions::default());
    let name = format!("{OTHER}.dkr.ecr.{REGION}.{}", node.host());
    assert_eq!(created(&signed, &node), format!("{name}/team/app"));
    let aws = Client::basic(node.host(), "AWS", &signed.password(node.host()));
    let image = aws.named(&name).push_image("team/app", "v1");
    let described = signed.call(node.host(), "DescribeImages", &json!({ "repositoryName": "team/app" }));
    assert!(String::from_utf8_lossy(&described.body).contains(&image.digest), "both dialects mean one image");

    let manifest = "/v2/team/app/manifests/v1";
    node.root().get(manifest).send().assert_error(404, "MANIFEST_UNKNOWN");
    let elsewhere = format!("{OTHER}.dkr.ecr.us-east-1.example");
    for host in [node.host(), &elsewhere] {
        aws.named(host).get(manifest).send().assert_error(401, "UNAUTHORIZED");
    }
    for host in [format!("{OTHER}.dkr-ecr.{REGION}.on.aws"), format!("{OTHER}.DKR.ECR.{REGION}.example:1")] {
        aws.named(&host).get(manifest).send().assert_status(200);
    }
    // Nobody's registry holds nothing, and says no more to those who may nothing there.
    let nobodys = format!("222222222222.dkr.ecr.{REGION}.example");
    node.root().named(&nobodys).get(manifest).send().assert_error(401, "UNAUTHORIZED");
    let root = Client::basic(node.host(), &format!("{DEFAULT_ACCOUNT}/root"), node.password());
    root.named(&nobodys).get(manifest).send().assert_error(403, "DENIED");
    Client::anonymous(node.host()).named(&nobodys).get(manifest).send().assert_error(401, "UNAUTHORIZED");
}

#[test]
fn users_of_a_registry_log_in_by_their_names_at_its_host_and_tokens_count_there_only() {
    let (node, signed) = ground(ServerOptions::default());
    let name = format!("{OTHER}.dkr.ecr.{REGION}.{}", node.host());
    created(&signed, &node);
    let aws = Client::basic(node.host(), "AWS", &signed.password(node.host()));
    aws.named(&name).push_image("team/app", "v1");
    create_user(&node, OTHER, "carol");
    put_policy(&node, OTHER, "user/carol", "all", &allow("ecr:*", "*"));
    create_user(&node, DEFAULT_ACCOUNT, "alice");
    put_policy(&node, DEFAULT_ACCOUNT, "user/alice", "all", &allow("ecr:*", "*"));

    let manifest = "/v2/team/app/manifests/v1";
    let carol = Client::basic(node.host(), "carol", "the password of carol");
    carol.named(&name).get(manifest).send().assert_status(200);
    carol.get(manifest).send().assert_error(401, "UNAUTHORIZED");
    let alice = Client::basic(node.host(), "alice", "the password of alice");
    alice.named(&name).get(manifest).send().assert_error(401, "UNAUTHORIZED");
    let alice = Client::basic(node.host(), &format!("{DEFAULT_ACCOUNT}/alice"), "the password of alice");
    alice.named(&name).get(manifest).send().assert_error(403, "DENIED");

    let challenge = Client::anonymous(node.host()).named(&name).get("/v2/").send();
    let challenge = challenge.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains(&format!("realm=\"http://{name}/token\"")), "{challenge}");
    let token = carol.named(&name).token(&["repository:team/app:pull"]);
    let bearer = Client::bearer(node.host(), &token);
    bearer.named(&name).get(manifest).send().assert_status(200);
    bearer.get(manifest).send().assert_error(401, "UNAUTHORIZED");
    let same_account = format!("{OTHER}.dkr.ecr.us-east-1.example");
    bearer.named(&same_account).get(manifest).send().assert_error(401, "UNAUTHORIZED");
    // The same token asked for at the default registry is for that one.
    let login = Client::basic(node.host(), &format!("{OTHER}/carol"), "the password of carol");
    let bearer = Client::bearer(node.host(), &login.token(&["repository:team/app:pull"]));
    bearer.named(&name).get(manifest).send().assert_error(401, "UNAUTHORIZED");
}

#[test]
fn what_hosts_are_called_is_a_setting() {
    let arguments = ["--registry-host", "{account}.images.{region}.registry.example"];
    let arguments = arguments.map(str::to_owned).to_vec();
    let (node, signed) = ground(ServerOptions { arguments, ..ServerOptions::default() });
    let name = format!("{OTHER}.images.{REGION}.registry.example");
    assert_eq!(created(&signed, &node), format!("{name}/team/app"));
    let answer = signed.call(node.host(), "GetAuthorizationToken", &json!({ "registryIds": [OTHER] }));
    let answer: Value = serde_json::from_slice(&answer.body).expect("a document");
    assert_eq!(answer["authorizationData"][0]["proxyEndpoint"], format!("http://{name}"));
    let aws = Client::basic(node.host(), "AWS", &signed.password(node.host()));
    let image = aws.named(&name).push_image("team/app", "v1");
    let shaped = format!("{OTHER}.dkr.ecr.{REGION}.example");
    let answer = aws.named(&shaped).get("/v2/team/app/manifests/v1").send();
    assert_eq!(answer.body, image.manifest);
    // Layers are read where the client came, whatever the images are called.
    let layer = json!({ "repositoryName": "team/app", "layerDigest": tests::content::sha256(&image.layer) });
    let answer = signed.call(node.host(), "GetDownloadUrlForLayer", &layer);
    let answer: Value = serde_json::from_slice(&answer.body).expect("a document");
    let url = answer["downloadUrl"].as_str().expect("a URL");
    let path = url.strip_prefix(&format!("http://{}", node.host())).expect("this node");
    assert_eq!(Client::anonymous(node.host()).get(path).send().body, image.layer);
}
