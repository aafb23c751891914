//! Access keys, and the passwords that they buy, at every node of a cluster.

use std::time::Duration;

use serde_json::{Value, json};
use tests::cluster::{Cluster, operate};
use tests::http::Client;
use tests::signed::{Headers, SigningClient, error_type};
use tests::{Server, wait_until};

use crate::alone;

/// How long a key or token may go on counting at a node after it was disabled (issue of access: 1 s), and then some
/// for a busy machine.
const SOON: Duration = Duration::from_secs(5);

fn make(node: &Server) -> (String, SigningClient) {
    let made = operate(node, &["key", "create", "--output", "json"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let key: Value = serde_json::from_slice(&made.stdout).expect("a document");
    (key["id"].as_str().expect("an id").to_owned(), SigningClient::new(&key))
}

fn log_in(node: &Server, password: &str) -> u16 {
    Client::basic(node.host(), "AWS", password).get("/v2/").send().status
}

#[test]
fn a_key_made_at_one_node_signs_at_all_and_its_passwords_log_in_everywhere() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let edge = cluster.join_edge(&[]);
    let (id, client) = make(&cluster.nodes[1]);
    cluster.nodes[0].root().push_image("team/app", "v1");
    // The secret was sealed at one node: the others were given what opens it.
    let mut passwords = Vec::new();
    for node in cluster.nodes.iter().chain([&edge]) {
        let answer =
            client.call(node.host(), "DescribeRepositories", &json!({"repositoryNames": ["team/app"]}));
        answer.assert_status(200);
        let answer: Value = serde_json::from_slice(&answer.body).expect("a document");
        let repository = &answer["repositories"][0];
        assert_eq!(repository["repositoryArn"], "arn:aws:ecr:local:000000000000:repository/team/app");
        let missing =
            client.call(node.host(), "DescribeRepositories", &json!({"repositoryNames": ["no/app"]}));
        assert_eq!(error_type(&missing), "400 RepositoryNotFoundException");
        passwords.push(client.password(node.host()));
    }
    for (node, password) in cluster
        .nodes
        .iter()
        .chain([&edge])
        .flat_map(|node| passwords.iter().map(move |password| (node, password)))
    {
        assert!(!password.contains(':'), "the client splits at it");
        assert_eq!(log_in(node, password), 200);
        assert_eq!(log_in(node, &password.replace('.', "-")), 401);
    }
    // It ends with its key, and so does all that it buys.
    let renewable = "/token?service=shoal&offline_token=true";
    let bought = Client::basic(edge.host(), "AWS", &passwords[0]).get(renewable).send();
    bought.assert_status(200);
    assert_eq!(bought.json()["refresh_token"], Value::Null);
    let full = Client::basic(cluster.nodes[1].host(), "AWS", &passwords[0]);
    let bearer = full.token(&["repository:team/app:pull"]);
    let with_bearer =
        |node: &Server| Client::bearer(node.host(), &bearer).get("/v2/team/app/manifests/v1").send().status;
    assert_eq!(with_bearer(&cluster.nodes[0]), 200);
    // Another region's password is for another registry.
    let elsewhere = client.clone().in_region("eu-west-1").password(cluster.nodes[0].host());
    assert_eq!(log_in(&cluster.nodes[0], &elsewhere), 401);
    // A node that starts again needs nobody to tell it the secrets' keys.
    cluster.nodes[2].kill9();
    cluster.nodes[2].restart();
    wait_until("the node to answer signed requests again", SOON * 6, || {
        client.call(cluster.nodes[2].host(), "DescribeRepositories", &json!({})).status == 200
    });
    // Disabled: nothing counts any more, anywhere.
    assert!(operate(&cluster.nodes[0], &["key", "disable", &id]).status.success());
    for node in cluster.nodes.iter().chain([&edge]) {
        wait_until("the key to be worth nothing", SOON, || {
            let answer = client.call(node.host(), "DescribeRepositories", &json!({}));
            error_type(&answer) == "400 UnrecognizedClientException"
        });
        wait_until("its passwords to be worth nothing", SOON, || log_in(node, &passwords[0]) == 401);
        wait_until("what they bought to be worth nothing", SOON, || with_bearer(node) == 401);
    }
    assert!(operate(&cluster.nodes[2], &["key", "enable", &id]).status.success());
    wait_until("the key to count again", SOON, || log_in(&cluster.nodes[0], &passwords[0]) == 200);
    // Two are the most; and gone is gone.
    make(&cluster.nodes[0]);
    let third = operate(&cluster.nodes[0], &["key", "create"]);
    assert!(String::from_utf8_lossy(&third.stderr).contains("delete one first"));
    assert!(operate(&cluster.nodes[0], &["key", "delete", &id]).status.success());
    wait_until("the key to be gone", SOON, || log_in(&cluster.nodes[1], &passwords[1]) == 401);
    let again = operate(&cluster.nodes[0], &["key", "enable", &id]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("no such access key"));
}

#[test]
fn requests_that_were_changed_or_not_signed_are_refused_by_ecrs_names() {
    let _alone = alone();
    let cluster = Cluster::start(1);
    let (_, client) = make(&cluster.nodes[0]);
    let host = cluster.nodes[0].host();
    let call = |body: &[u8], change: &dyn Fn(&mut Headers)| {
        error_type(&client.call_with(host, "DescribeRepositories", body, change))
    };
    let set = |name: &'static str, to: &'static str| {
        move |headers: &mut Headers| {
            headers.retain(|(known, _)| known != name);
            headers.push((name.to_owned(), to.to_owned()));
        }
    };
    assert_eq!(call(b"{}", &|_| {}), "200 ");
    let unsigned = |headers: &mut Headers| headers.retain(|(name, _)| name != "authorization");
    assert_eq!(call(b"{}", &unsigned), "400 MissingAuthenticationTokenException");
    assert_eq!(call(b"{}", &set("authorization", "AWS4-HMAC-SHA256 x")), "400 IncompleteSignatureException");
    let target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
    assert_eq!(call(b"{}", &set("x-amz-target", target)), "400 InvalidSignatureException");
    assert_eq!(call(b"{}", &set("x-amz-target", "Other.Thing")), "400 UnknownOperationException");
    assert_eq!(call(b"{}", &set("x-amz-date", "20200101T000000Z")), "400 InvalidSignatureException");
    assert_eq!(call(b"{}", &set("x-amz-security-token", "x")), "400 InvalidSignatureException");
    assert_eq!(call(b"[]", &|_| {}), "400 SerializationException");
    assert_eq!(call(br#"{"maxResults": 0}"#, &|_| {}), "400 InvalidParameterException");
    assert_eq!(call(br#"{"nextToken": "x"}"#, &|_| {}), "400 InvalidParameterException");
    assert_eq!(call(br#"{"registryId": "111122223333"}"#, &|_| {}), "400 AccessDeniedException");
}

#[test]
fn the_key_of_secrets_is_rotated_while_access_keys_go_on() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let clients: Vec<_> = (0..2).map(|_| make(&cluster.nodes[1])).collect();
    let listed = |node: &Server| -> Vec<(String, u64)> {
        let shown = operate(node, &["secrets", "list", "--output", "json"]);
        let shown: Value = serde_json::from_slice(&shown.stdout).expect("a document");
        let keys = shown["keys"].as_array().cloned().unwrap_or_default();
        let row =
            |key: &Value| (key["key"].as_str().unwrap_or_default().to_owned(), key["access_keys"].as_u64());
        keys.iter().map(row).map(|(key, count)| (key, count.unwrap_or(0))).collect()
    };
    let old = listed(&cluster.nodes[1])[0].0.clone();
    assert_eq!(listed(&cluster.nodes[1]), [(old.clone(), 2)]);
    cluster.nodes[2].stop();
    let rotated = operate(&cluster.nodes[0], &["secrets", "rotate", "--output", "json"]);
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    let rotated: Value = serde_json::from_slice(&rotated.stdout).expect("a document");
    assert_eq!((&rotated["is_new"], &rotated["access_keys"]), (&json!(true), &json!(2)));
    let new = rotated["key"].as_str().expect("a key").to_owned();
    assert_eq!(listed(&cluster.nodes[0]), [(new.clone(), 2), (old.clone(), 0)]);
    // Who was away gets it when it is needed, and what is made there is sealed with it.
    cluster.nodes[2].restart();
    for node in &cluster.nodes {
        for (_, client) in &clients {
            wait_until("what it seals to be opened", SOON * 6, || {
                client.call(node.host(), "DescribeRepositories", &json!({})).status == 200
            });
        }
    }
    assert!(operate(&cluster.nodes[0], &["key", "delete", &clients[0].0]).status.success());
    make(&cluster.nodes[2]);
    assert_eq!(listed(&cluster.nodes[1]), [(new, 2), (old, 0)]);
    // Nobody but who runs the cluster may.
    let secrets = Client::anonymous(cluster.nodes[0].host()).post("/api/v1/secrets").send();
    assert_eq!(secrets.status, 401);
}
