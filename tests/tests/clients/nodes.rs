//! docker, skopeo and crane push through one node of a cluster and pull at once through every other: never "not
//! found", never the image that the tag named before.

use tests::Server;
use tests::cluster::Cluster;
use tests::layout::{Entry, Layout};
use tests::sandbox::Sandbox;

use crate::docker::Docker;
use crate::write_build_context;

/// Each node is pushed to this often.
const TURNS: usize = 2;

/// Pushes two images in turn to the same tag, through the nodes in turn, and checks each time that all nodes
/// give what was pushed. `push` and `pulled` get a host and the number of the image.
fn push_here_pull_there(
    nodes: &[Server],
    push: impl Fn(&str, usize),
    pulled: impl Fn(&str, usize) -> Result<(), String>,
) {
    for round in 0..TURNS * nodes.len() {
        let image = round % 2;
        push(nodes[round % nodes.len()].host(), image);
        for step in 1..=nodes.len() {
            let host = nodes[(round + step) % nodes.len()].host();
            if let Err(found) = pulled(host, image) {
                panic!("round {round}, through node {}: {found}", (round + step) % nodes.len());
            }
        }
    }
}

fn same(found: String, wanted: &str) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{found} instead of {wanted}")) }
}

fn layouts(sandbox: &Sandbox) -> [Layout; 2] {
    ["one", "two"].map(|name| Layout::write(&sandbox.path(name), Entry::Image))
}

#[test]
fn what_crane_pushes_to_one_node_it_pulls_from_all() {
    let cluster = Cluster::start(3);
    let sandbox = Sandbox::new(&cluster.nodes[0]);
    for node in &cluster.nodes {
        let arguments = ["auth", "login", node.host(), "-u", node.user(), "--password-stdin"];
        sandbox.log_in("crane", &arguments).assert_success();
    }
    let layouts = layouts(&sandbox);
    let push = |host: &str, image: usize| {
        sandbox.run("crane", &["push", &layouts[image].path(), &format!("{host}/cr/moving:v1")]);
    };
    push_here_pull_there(&cluster.nodes, push, |host, image| {
        let name = format!("{host}/cr/moving:v1");
        sandbox.run("crane", &["validate", "--remote", &name]);
        same(sandbox.run("crane", &["digest", &name]), &layouts[image].image)
    });
}

#[test]
fn what_skopeo_pushes_to_one_node_it_pulls_from_all() {
    let cluster = Cluster::start(3);
    let sandbox = Sandbox::new(&cluster.nodes[0]);
    for node in &cluster.nodes {
        let arguments = ["login", "--tls-verify=false", "-u", node.user(), "--password-stdin", node.host()];
        sandbox.log_in("skopeo", &arguments).assert_success();
    }
    let layouts = layouts(&sandbox);
    let copy = |from: &str, to: &str| {
        let fixed = ["--insecure-policy", "copy", "-q", "--preserve-digests"];
        let plain = ["--src-tls-verify=false", "--dest-tls-verify=false", from, to];
        sandbox.run("skopeo", &[&fixed[..], &plain].concat());
    };
    let push = |host: &str, image: usize| {
        copy(&format!("oci:{}:one", layouts[image].path()), &format!("docker://{host}/sk/moving:v1"));
    };
    push_here_pull_there(&cluster.nodes, push, |host, image| {
        let back = sandbox.path("back");
        // Of the pull before; there is none at first.
        let _ = std::fs::remove_dir_all(&back);
        copy(&format!("docker://{host}/sk/moving:v1"), &format!("oci:{}:one", sandbox.text("back")));
        layouts[image].assert_same_in(&back, &layouts[image].image);
        Ok(())
    });
}

#[test]
fn what_docker_pushes_to_one_node_it_pulls_from_all() {
    let cluster = Cluster::start(3);
    let sandbox = Sandbox::new(&cluster.nodes[0]);
    let _docker = Docker::start(&sandbox);
    for node in &cluster.nodes {
        let arguments = ["login", "-u", node.user(), "--password-stdin", node.host()];
        sandbox.log_in("docker", &arguments).assert_success();
    }
    let context = write_build_context(&sandbox);
    let built = ["one", "two"].map(|name| {
        let label = format!("name={name}");
        sandbox.run("docker", &["build", "-q", "-t", name, "--label", &label, &context]);
        sandbox.run("docker", &["inspect", "-f", "{{.Id}}", name])
    });
    let push = |host: &str, image: usize| {
        let name = format!("{host}/team/moving:v1");
        sandbox.run("docker", &["tag", &built[image], &name]);
        sandbox.run("docker", &["push", &name]);
        sandbox.run("docker", &["rmi", &name]);
    };
    push_here_pull_there(&cluster.nodes, push, |host, image| {
        let name = format!("{host}/team/moving:v1");
        sandbox.run("docker", &["pull", &name]);
        let found = sandbox.run("docker", &["inspect", "-f", "{{.Id}}", &name]);
        sandbox.run("docker", &["rmi", &name]);
        same(found, &built[image])
    });
    // The layers came from the daemon above. Now it has nothing left, and fetches all of it.
    for node in &cluster.nodes {
        sandbox.run("docker", &["system", "prune", "-af"]);
        let name = format!("{}/team/moving:v1", node.host());
        let said = sandbox.run("docker", &["pull", &name]);
        assert!(!said.contains("Already exists"), "the layers did not leave the daemon: {said}");
        let image = (TURNS * cluster.nodes.len() - 1) % 2;
        let found = sandbox.run("docker", &["inspect", "-f", "{{.Id}}", &name]);
        assert_eq!(found, built[image]);
    }
}
