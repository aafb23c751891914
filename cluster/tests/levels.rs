//! Releases of different ages in one group: what one does not know waits, and is never skipped.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;

use std::collections::BTreeMap;

use cluster::{Metadata, Start};
use cluster_core::command::node::{
    AddNode, Admission, ChangeLayout, CreateJoinToken, Disk, NodeCommand, NodePlace, PlacementChange,
    UpdateNode,
};
use cluster_core::command::{Command, Response};
use cluster_core::level::Levels;
use cluster_core::record::NodeKind;
use cluster_core::state;
use proto::identity::PeerKey;
use support::group::Cluster;
use support::{blob, node, until, until_async};

/// Of a release before changes of the layout.
const OLD: Levels = Levels { oldest: 2, newest: 2 };

fn place(levels: Levels) -> NodePlace {
    let zone = "a".parse().unwrap();
    NodePlace { addresses: Vec::new(), zone, capacity_bytes: 1, release: "simulated".to_owned(), levels }
}

fn of_node(command: NodeCommand) -> Command {
    Command::Node(Box::new(command))
}

/// Gives the nodes their records.
async fn register(cluster: &Cluster, levels: Levels) {
    for id in 1..=3 {
        let (token, secret_hash) = ([id as u8; 16], [id as u8; 32]);
        let create = CreateJoinToken { token, secret_hash, expires_ms: u64::MAX, kind: NodeKind::Full };
        cluster.leader().propose(of_node(NodeCommand::CreateToken(create))).await.unwrap();
        let admission = if id == 1 { Admission::Founder } else { Admission::Token { token, secret_hash } };
        let add = AddNode {
            node: node(id),
            public_key: PeerKey::new([id as u8; 32]),
            region: "r".parse().unwrap(),
            place: place(levels),
            incarnation: 1,
            admission,
        };
        let added = cluster.leader().propose(of_node(NodeCommand::Add(add))).await.unwrap();
        assert_eq!(added, Response::NodeAdded { node: node(id) });
    }
    cluster.caught_up().await;
}

/// Says what node `id` runs now.
async fn update(cluster: &Cluster, id: u64, levels: Levels, incarnation: u64) {
    let update = UpdateNode { node: node(id), place: place(levels), incarnation, disk: Disk::Kept };
    until_async("the node to say what it runs", || async {
        let updated = cluster.nodes[&id].propose(of_node(NodeCommand::Update(update.clone()))).await;
        matches!(updated, Ok(Response::NodeUpdated))
    })
    .await;
    cluster.caught_up().await;
}

/// A command of the newest level.
async fn change_layout(metadata: &Metadata, assigned_bytes: u64) -> Response {
    let layout = state::node::layout(&metadata.read().await.unwrap()).unwrap().unwrap_or_default();
    let change = PlacementChange { node: node(1), state: None, assigned_bytes: Some(assigned_bytes) };
    let change = ChangeLayout { version: layout.version, changes: vec![change] };
    metadata.propose(of_node(NodeCommand::ChangeLayout(change))).await.unwrap()
}

fn assigned_bytes(metadata: &Metadata) -> u64 {
    let record = state::node::node(&metadata.local().unwrap(), node(1)).unwrap().unwrap();
    record.assigned_bytes
}

async fn write(cluster: &Cluster, name: &str) {
    let written = cluster.leader().propose(blob(name, b"layer").0).await.unwrap();
    assert!(matches!(written, Response::BlobLinked { .. }), "{written:?}");
    cluster.caught_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_node_does_not_know_waits_until_it_is_upgraded() {
    let mut cluster = Cluster::of_releases(3, false, BTreeMap::from([(3, OLD)])).await;
    register(&cluster, OLD).await;
    for id in [1, 2] {
        update(&cluster, id, Levels::OWN, 2).await;
    }
    for metadata in cluster.nodes.values() {
        assert_eq!(change_layout(metadata, 7).await, Response::NotYet { needed: 3, level: 2 });
    }
    // Nothing of it came to the older one, which goes on.
    write(&cluster, "team/before").await;
    assert_eq!(cluster.nodes[&3].newer_entry(), None);
    cluster.stop(3).await;
    cluster.levels.remove(&3);
    cluster.start(3, Start::Resume).await;
    cluster.led().await;
    assert_eq!(change_layout(&cluster.leader(), 7).await, Response::NotYet { needed: 3, level: 2 });
    update(&cluster, 3, Levels::OWN, 2).await;
    assert_eq!(change_layout(&cluster.leader(), 7).await, Response::NodeUpdated);
    cluster.caught_up().await;
    assert!(cluster.nodes.values().all(|metadata| assigned_bytes(metadata) == 7));
    // And back, once it has applied it: the next one waits again.
    cluster.stop(3).await;
    cluster.levels.insert(3, OLD);
    cluster.start(3, Start::Resume).await;
    cluster.led().await;
    update(&cluster, 3, OLD, 3).await;
    assert_eq!(change_layout(&cluster.leader(), 8).await, Response::NotYet { needed: 3, level: 2 });
    write(&cluster, "team/after").await;
    assert_eq!(cluster.nodes[&3].newer_entry(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_stops_before_an_entry_that_it_does_not_know_and_goes_on_there_with_a_newer_release() {
    let mut cluster = Cluster::of(3).await;
    register(&cluster, Levels::OWN).await;
    cluster.stop(3).await;
    until("a leader", || cluster.leader_id().is_some()).await;
    assert_eq!(change_layout(&cluster.leader(), 7).await, Response::NodeUpdated);
    let changed = cluster.leader().status().applied_index;
    cluster.levels.insert(3, OLD);
    cluster.start(3, Start::Resume).await;
    until("the older node to say why it stops", || cluster.nodes[&3].newer_entry().is_some()).await;
    let said = cluster.nodes[&3].newer_entry().unwrap();
    assert!(said.contains("has version 3") && said.contains("run the release that wrote it"), "{said}");
    // Never past it, whatever comes later.
    for round in 0..20 {
        let written = cluster.leader().propose(blob(&format!("team/later{round}"), b"layer").0).await;
        written.unwrap();
    }
    let last = cluster.leader().status().last_log_index;
    let older = cluster.nodes[&3].status();
    assert!(older.last_log_index < changed && last >= changed + 20, "{older:?}");
    assert_eq!(assigned_bytes(&cluster.nodes[&3]), 0);
    cluster.stop(3).await;
    cluster.levels.remove(&3);
    cluster.start(3, Start::Resume).await;
    cluster.led().await;
    cluster.caught_up().await;
    assert_eq!(assigned_bytes(&cluster.nodes[&3]), 7);
    assert_eq!(cluster.nodes[&3].newer_entry(), None);
}
