//! Registries of several accounts and regions under one port, by hosts of ECR's shape. The node stands in for the name
//! server: as a proxy for plain HTTP it gets the request with the name in it.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::amazon::access_key_of;
use tests::http::Client;
use tests::layout::{Entry, Layout};
use tests::principal::create_account;
use tests::process::{Finished, finish};
use tests::sandbox::Sandbox;
use tests::signed::SigningClient;
use tests::{Server, ServerOptions};

const OTHER: &str = "111122223333";

fn crane(sandbox: &Sandbox, node: &Server, arguments: &[&str], input: &str) -> Finished {
    let url = format!("http://{}", node.host());
    let mut command = sandbox.command("crane");
    // HTTPS is tried first, and refused: nothing leaves this machine.
    command.args(arguments).arg("--insecure").env("HTTPS_PROXY", &url).env("HTTP_PROXY", &url);
    ended(&mut command, input)
}

fn ended(command: &mut Command, input: &str) -> Finished {
    match finish(command, input.as_bytes(), Duration::from_secs(120)) {
        Ok(finished) => finished,
        Err(error) => panic!("{error:#}"),
    }
}

fn key_of_other(node: &Server) -> Value {
    create_account(node, OTHER);
    access_key_of(node, OTHER)
}

#[test]
fn crane_keeps_the_images_of_two_accounts_apart() {
    let node = Server::start(ServerOptions::default());
    let (key, sandbox) = (key_of_other(&node), Sandbox::new(&node));
    let registries = [("eu-west-1", Entry::Image), ("us-east-1", Entry::Index)].map(|(region, entry)| {
        let signed = SigningClient::new(&key).in_region(region);
        let created = signed.call(node.host(), "CreateRepository", &json!({ "repositoryName": "team/app" }));
        created.assert_status(200);
        let host = format!("{OTHER}.dkr.ecr.{region}.shoal.example");
        let login = ["auth", "login", &host, "-u", "AWS", "--password-stdin"];
        crane(&sandbox, &node, &login, &signed.password(node.host())).assert_success();
        let layout = Layout::write(&sandbox.path(region), entry);
        let image = format!("{host}/team/app:v1");
        crane(&sandbox, &node, &["push", &layout.path(), &image], "").assert_success();
        (image, signed)
    });
    let digests = registries.map(|(image, signed)| {
        let digest = crane(&sandbox, &node, &["digest", &image], "").assert_success().text();
        crane(&sandbox, &node, &["validate", "--remote", &image], "").assert_success();
        let listed = signed.call(node.host(), "ListImages", &json!({ "repositoryName": "team/app" }));
        assert!(String::from_utf8_lossy(&listed.body).contains(&digest), "{image}");
        digest
    });
    assert_ne!(digests[0], digests[1], "the same name in two regions");
    node.root().get("/v2/team/app/manifests/v1").send().assert_error(404, "MANIFEST_UNKNOWN");
}

/// It takes no names but Amazon's, of the registry and in the answer, and nothing but HTTPS, which a proxy in front may
/// speak.
#[test]
fn amazons_credential_helper_gets_a_password_for_a_registry_by_its_name() {
    let arguments = [
        ["--registry-host", "{account}.dkr.ecr.{region}.amazonaws.com"],
        ["--public-url", "https://registry.example"],
    ];
    let arguments = arguments.concat().into_iter().map(str::to_owned).collect();
    let node = Server::start(ServerOptions { arguments, ..ServerOptions::default() });
    let (key, sandbox) = (key_of_other(&node), Sandbox::new(&node));
    let signed = SigningClient::new(&key).in_region("eu-west-1");
    signed.call(node.host(), "CreateRepository", &json!({ "repositoryName": "team/app" })).assert_status(200);
    let name = format!("{OTHER}.dkr.ecr.eu-west-1.amazonaws.com");
    let mut helper = sandbox.command("docker-credential-ecr-login");
    helper.arg("get").envs([
        ("AWS_ENDPOINT_URL_ECR", format!("http://{}", node.host()).as_str()),
        ("AWS_ACCESS_KEY_ID", key["id"].as_str().unwrap_or_default()),
        ("AWS_SECRET_ACCESS_KEY", key["secret"].as_str().unwrap_or_default()),
        ("AWS_ECR_DISABLE_CACHE", "true"),
    ]);
    let got = ended(&mut helper, &name).assert_success().text();
    let got: Value = serde_json::from_str(&got).expect("a document");
    let [user, password] = ["Username", "Secret"].map(|field| got[field].as_str().unwrap_or_default());
    let aws = Client::basic(node.host(), user, password).named(&name);
    let image = aws.push_image("team/app", "v1");
    assert_eq!(aws.get("/v2/team/app/manifests/v1").send().body, image.manifest);
}
