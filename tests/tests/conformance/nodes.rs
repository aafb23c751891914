//! Both suites against several nodes: the one that leads, one that follows, an edge, and a load balancer that
//! sends each request to the next of them.

use tests::balancer::Balancer;
use tests::cluster::Cluster;
use tests::sandbox::Sandbox;

use crate::{official, version_1_1};

#[test]
fn both_suites_pass_on_every_kind_of_node_and_through_a_load_balancer() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let edge = cluster.join_edge(&[]);
    cluster.nodes.push(edge);
    let balancer = Balancer::start(&cluster.nodes);
    let node = |place: usize| cluster.nodes[place].host();
    let faces = [
        ("leader", node(leader)),
        ("follower", node((leader + 1) % 3)),
        ("edge", node(3)),
        ("balancer", balancer.host()),
    ];
    for (name, host) in faces {
        let sandbox = || Sandbox::through(&cluster.nodes[0], host);
        official::assert_passes(&sandbox(), &format!("new-{name}"));
        version_1_1::assert_passes(&sandbox(), &format!("old-{name}"));
    }
}
