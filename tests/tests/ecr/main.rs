//! Amazon ECR's API as its own clients use it: boto3, botocore and the AWS CLI, unmodified, at pinned versions.
//!
//! What they are asked to do stands in Python beside this file, since boto3 is what is tested. Each script prints what
//! went wrong and ends with 1.

mod decisions;
mod hosts;
mod registry;

use tests::amazon::{access_key, run};
use tests::cluster::Cluster;
use tests::http::Client;
use tests::{Server, ServerOptions};

/// Runs a script against a node of its own.
fn script(name: &str) {
    let server = Server::start(ServerOptions::default());
    let key = access_key(&server);
    let finished = run(name, &[], &key, &[server.host()]);
    let said = String::from_utf8_lossy(&finished.stdout);
    assert!(finished.status.success(), "{name}:\n{said}\n{}", finished.stderr);
}

#[test]
fn all_85_operations_take_what_botocores_models_allow_and_refuse_what_they_forbid() {
    script("sweep.py");
}

#[test]
fn layers_come_in_parts_and_are_read_by_their_urls() {
    script("layers.py");
}

#[test]
fn images_of_one_dialect_are_those_of_the_other() {
    script("images.py");
}

#[test]
fn what_is_set_is_what_is_read_and_tags_that_must_not_move_do_not() {
    script("settings.py");
}

/// README, "If you know ECR": each command at another of three nodes.
#[test]
fn the_aws_cli_and_docker_clients_work_with_any_node() {
    let cluster = Cluster::start(3);
    let key = access_key(&cluster.nodes[0]);
    let aws = |node: usize, arguments: &[&str]| {
        let finished = run("aws", &[&["ecr"], arguments].concat(), &key, &[cluster.nodes[node].host()]);
        assert!(finished.status.success(), "{arguments:?}: {}", finished.stderr);
        String::from_utf8_lossy(&finished.stdout).trim().to_owned()
    };
    let repository = ["--repository-name", "team/app"];
    let mutability = ["create-repository", "--image-tag-mutability", "IMMUTABLE"];
    aws(0, &[&mutability[..], &repository[..]].concat());
    let password = aws(1, &["get-login-password"]);
    let client = Client::basic(cluster.nodes[2].host(), "AWS", &password);
    let image = client.push_image("team/app", "v1");
    for node in 0..3 {
        let query = ["--query", "imageDetails[].[imageDigest,imageTags[0]]", "--output", "text"];
        let described = aws(node, &[&["describe-images"], &repository[..], &query[..]].concat());
        assert_eq!(described, format!("{}\tv1", image.digest));
    }
    let other = client.push_image("team/app", "v2");
    let moved = client.put_manifest("team/app", "v1", tests::content::media_type::IMAGE, &other.manifest);
    moved.assert_error(400, "TAG_INVALID");
    aws(1, &[&["delete-repository", "--force"], &repository[..]].concat());
    client.get("/v2/team/app/manifests/v1").send().assert_error(404, "MANIFEST_UNKNOWN");
}
