//! Principals and what they prove themselves with, made at one node and at once known at, and gone from, all.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::cluster::Cluster;
use tests::http::Client;
use tests::principal::{DEFAULT_ACCOUNT, allow, create_user, done, put_policy};
use tests::wait_until;

use crate::alone;

/// How long a token may go on counting at a node after it was revoked (1 s), and then some for a busy machine.
const SOON: Duration = Duration::from_secs(5);

const PULL: &str = "/v2/team/app/manifests/v1";

/// At each node.
fn everywhere(cluster: &Cluster, client: &Client) -> Vec<Client> {
    cluster.nodes.iter().map(|node| client.to(node.host())).collect()
}

/// From a change at one node until all nodes refuse with `status`.
fn until_refused(clients: &[Client], status: u16) -> Duration {
    let begun = Instant::now();
    for client in clients {
        wait_until("it to be worth nothing", SOON, || client.get(PULL).send().status == status);
    }
    begun.elapsed()
}

#[test]
fn what_was_taken_away_at_one_node_counts_at_none() {
    let _alone = alone();
    let cluster = Cluster::start(3);
    let [first, second, third] = [0, 1, 2].map(|node| &cluster.nodes[node]);
    first.root().push_image("team/app", "v1");
    let alice = everywhere(&cluster, &create_user(second, DEFAULT_ACCOUNT, "alice"));
    let of = "user/alice";
    put_policy(third, DEFAULT_ACCOUNT, of, "push", &allow("ecr:*", "*"));
    // It was made through one node and given a right through another: it pushes to the third.
    wait_until("the policy to be known", SOON, || alice[0].get(PULL).send().status == 200);
    alice[0].push_image("team/app", "v2");
    let gone = |clients: &[Client], status| {
        println!(
            "refused by all three nodes {:?} after it was revoked at one",
            until_refused(clients, status)
        );
    };
    // A robot token, narrowed.
    let narrow = tests::principal::file(first, "narrow", &allow("ecr:BatchGetImage", "*"));
    let robot = ["robot", "create", "ci", "--of", "alice", "--policy", &narrow, "--output", "json"];
    let robot: Value = serde_json::from_str(&done(first, DEFAULT_ACCOUNT, &robot)).expect("a document");
    let text = |name: &str| robot[name].as_str().expect("a text");
    let robots = everywhere(&cluster, &Client::basic(first.host(), text("user"), text("password")));
    wait_until("the robot to be known", SOON, || robots[2].get(PULL).send().status == 200);
    robots[1].post("/v2/team/app/blobs/uploads/").send().assert_error(403, "DENIED");
    let listed = done(second, DEFAULT_ACCOUNT, &["robot", "list", "--of", "alice"]);
    assert!(listed.contains(text("id")) && !listed.contains(text("password")), "{listed}");
    done(second, DEFAULT_ACCOUNT, &["robot", "revoke", text("id"), "--of", "alice"]);
    gone(&robots, 401);
    // A bearer token ends with the sessions, the password stays.
    let bearer =
        everywhere(&cluster, &Client::bearer(first.host(), &alice[0].token(&["repository:team/app:pull"])));
    wait_until("the token to count", SOON, || bearer[1].get(PULL).send().status == 200);
    done(first, DEFAULT_ACCOUNT, &["user", "logout", "alice"]);
    gone(&bearer, 401);
    alice[1].get(PULL).send().assert_status(200);
    // A policy, then the user itself.
    done(third, DEFAULT_ACCOUNT, &["policy", "delete", "push", "--of", of]);
    gone(&alice, 403);
    done(second, DEFAULT_ACCOUNT, &["user", "delete", "alice", "--force"]);
    gone(&alice, 401);
    // Who takes the name has nothing of it.
    let again = everywhere(&cluster, &create_user(first, DEFAULT_ACCOUNT, "alice"));
    wait_until("the user to be known", SOON, || again[2].get(PULL).send().status == 403);
    gone(&bearer, 401);
}
