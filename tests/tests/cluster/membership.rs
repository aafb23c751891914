//! Who belongs to the cluster, by the operator's commands.

use std::time::SystemTime;

use tests::cluster::{Cluster, PATIENCE, operate};
use tests::{Server, ServerOptions, wait_until};

use crate::alone;

fn joining(token: &str) -> ServerOptions {
    let arguments = vec!["--join".to_owned(), token.to_owned()];
    ServerOptions { arguments, ..ServerOptions::default() }
}

/// Why a node with this token does not start.
fn refusal(token: &str) -> String {
    match Server::try_start(joining(token)) {
        Ok(_) => panic!("it joined"),
        Err(error) => format!("{error:#}"),
    }
}

#[test]
fn a_token_lets_in_one_node_and_only_while_it_is_good() {
    let _alone = alone();
    let mut cluster = Cluster::start(1);
    let token = cluster.token(&[]);
    let mut joined = Server::start(joining(&token));
    let said = refusal(&token);
    assert!(said.contains("another node has joined with this token"), "{said}");
    // The same node may say it again: at a restart the flag is still there.
    joined.restart();
    let said = refusal("shoal1.AAAA");
    assert!(said.contains("not a join token"), "{said}");
    // A token with another secret.
    let good = cluster.token(&[]);
    let middle = good.len() / 2;
    let other = if good.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let forged = format!("{}{other}{}", &good[..middle], &good[middle + 1..]);
    refusal(&forged);
    let short = cluster.token(&["--ttl", "1s", "--output", "json"]);
    let short: serde_json::Value = serde_json::from_str(&short).expect("a document");
    let expires_ms = short["expires_ms"].as_u64().expect("a time");
    wait_until("the token to expire", PATIENCE, || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        now.as_millis() > u128::from(expires_ms)
    });
    // Log time moves with entries.
    cluster.nodes[0].root().push_image("team/time", "v1");
    let said = refusal(short["token"].as_str().expect("a token"));
    assert!(said.contains("expired"), "{said}");
}

#[test]
fn a_node_is_drained_and_removed_and_its_blobs_stay() {
    let _alone = alone();
    let mut cluster = Cluster::start(4);
    let images: Vec<_> = (0..10).map(|_| cluster.nodes[3].root().push_image("team/moved", "v1")).collect();
    let id = {
        let status = operate(&cluster.nodes[3], &["status", "--output", "json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("a document");
        status["node"].as_str().expect("an id").to_owned()
    };
    let drained = cluster.operate(&["node", "drain", &id]);
    assert!(drained.status.success(), "{}", String::from_utf8_lossy(&drained.stderr));
    cluster.wait_for_status("its copies to be made elsewhere", |status| {
        if status["blobs_under_copied"] == 0 { Ok(()) } else { Err(status.to_string()) }
    });
    wait_until("it to be removed", PATIENCE, || cluster.operate(&["node", "remove", &id]).status.success());
    let listed = cluster.operate(&["node", "list"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(!listed.contains(&id), "{listed}");
    cluster.nodes[3].kill9();
    for image in &images {
        let path = format!("/v2/team/moved/blobs/{}", tests::content::sha256(&image.layer));
        let answer = cluster.nodes[0].root().get(&path).send();
        answer.assert_status(200);
        assert_eq!(answer.body, image.layer);
    }
}

#[test]
fn operators_need_a_login_and_learn_what_is_wrong() {
    let _alone = alone();
    let mut cluster = Cluster::start(1);
    let node = &cluster.nodes[0];
    for path in ["/api/v1/status", "/api/v1/nodes"] {
        node.anonymous().get(path).send().assert_status(401);
    }
    node.anonymous().post("/api/v1/tokens").send().assert_status(401);
    let root = node.root();
    let token = |body: &str| {
        let request = root.post("/api/v1/tokens").header("content-type", "application/json");
        request.body(body).send().status
    };
    for body in ["", "{", "{}", r#"{"ttl_seconds":0,"kind":"full"}"#, r#"{"ttl_seconds":9e9,"kind":"x"}"#] {
        assert_eq!(token(body), 400, "{body}");
    }
    let missing = cluster.operate(&["node", "show", "ffff"]);
    assert_eq!(missing.status.code(), Some(1));
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(said.contains("there is no such node"), "{said}");
    // Its only node cannot go.
    let only = operate(&cluster.nodes[0], &["status", "--output", "json"]);
    let only: serde_json::Value = serde_json::from_slice(&only.stdout).expect("a document");
    let refused = cluster.operate(&["node", "remove", only["node"].as_str().expect("an id")]);
    assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stdout));
}
