//! E27 and E28: a node that others fetch from stops in the middle of it; a zone goes, then all nodes but one.

use std::collections::BTreeSet;
use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::ServerOptions;
use tests::content::{media_type, sha256, unique_bytes};
use tests::raw::Connection;
use tests::registry::Image;
use tests::wait_until;

use crate::partitions::{assert_pulls, wait_for_copies};
use crate::rig::Rig;
use crate::{alone, report, size};

/// Of each node.
const ZONES: [&str; 5] = ["a", "a", "b", "b", "c"];
/// Bytes of the blob that is fetched, and what the fetching node's link carries.
const LARGE: usize = 24 << 20;
const KBITS: u32 = 64_000;
/// The figure is 2 s; a busy machine may take longer, a fetch that waits for the end of the pause is the
/// defect.
const SWITCHED: Duration = Duration::from_secs(15);

fn rig() -> Rig {
    Rig::start_with(5, 5, |node, options: &mut ServerOptions| {
        for (name, value) in options.arguments.clone().iter().zip(1..) {
            if name == "--zone" {
                options.arguments[value] = ZONES[node].to_owned();
            }
        }
    })
}

#[test]
fn pulls_go_on_without_a_zone_and_with_one_node_and_from_holders_that_stop() {
    let _alone = alone();
    let mut rig = rig();
    stalled_holders(&mut rig);
    zone_down(&mut rig);
    rig.assert_no_panics();
}

/// E27.
fn stalled_holders(rig: &mut Rig) {
    let rounds = size(1, 10);
    let mut gaps = Vec::new();
    for _ in 0..rounds {
        let before = copies(rig);
        let bytes = unique_bytes(LARGE);
        rig.client(0).push_blob("team/large", &bytes);
        wait_for_copies(rig);
        let after = copies(rig);
        let holders: Vec<usize> = (0..5).filter(|node| after[*node] > before[*node]).collect();
        let fetching = (1..5).find(|node| !holders.contains(node)).expect("a node without a copy");
        // Not the leader: its absence would be another test.
        let leader = rig.leader(fetching);
        let victim = holders.iter().copied().find(|node| *node != leader).expect("a holder that follows");
        rig.network.slow(fetching, KBITS);
        let client = rig.client(fetching);
        let mut connection = Connection::open(client.host()).expect("a connection");
        let request = client.get(format!("/v2/team/large/blobs/{}", sha256(&bytes)));
        connection.send(&request.bytes()).expect("a request");
        let (mut found, mut gap, mut paused) = (Vec::new(), Duration::ZERO, false);
        let mut buffer = vec![0; 256 << 10];
        let mut last = Instant::now();
        while let Ok(count @ 1..) = connection.stream().read(&mut buffer) {
            found.extend_from_slice(&buffer[..count]);
            gap = gap.max(last.elapsed());
            last = Instant::now();
            if !paused && found.len() > LARGE / 6 {
                rig.cluster.nodes[victim].pause();
                (paused, gap) = (true, Duration::ZERO);
            }
        }
        rig.cluster.nodes[victim].resume();
        rig.network.even();
        assert!(paused, "the fetch was over before the holder stopped");
        assert!(found.ends_with(&bytes), "the blob did not come whole: {} bytes", found.len());
        gaps.push(gap);
    }
    gaps.sort();
    let worst = gaps[gaps.len() - 1];
    report(
        "E27",
        &format!("{rounds} holders stopped in the middle: nothing came for {worst:?} at most ({gaps:?})"),
    );
    assert!(worst < SWITCHED, "{worst:?}");
}

/// How many copies each node has.
fn copies(rig: &Rig) -> Vec<u64> {
    let listed = rig.client(0).get("/api/v1/nodes").send().json();
    let nodes = listed["nodes"].as_array().cloned().unwrap_or_default();
    let of =
        |id: &str| nodes.iter().find(|node| node["id"] == *id).map_or(&Value::Null, |node| &node["copies"]);
    rig.ids().iter().map(|id| of(id).as_u64().unwrap_or(0)).collect()
}

/// E28.
fn zone_down(rig: &mut Rig) {
    let wanted = size(6, 100);
    let push = |rig: &Rig, node: usize| rig.client(node).push_image("team/zones", "newest");
    let mut images: Vec<Image> = (0..wanted).map(|number| push(rig, number % 5)).collect();
    wait_for_copies(rig);
    for node in [0, 1] {
        rig.cluster.nodes[node].kill9();
    }
    rig.leader(2);
    let down = Instant::now();
    for number in 0..wanted {
        images.push(push(rig, 2 + number % 3));
    }
    let pushed = down.elapsed();
    let mut retries = 0;
    for node in 2..5 {
        images.iter().for_each(|image| retries += pull_with_retry(rig, node, image));
    }
    // The zone that is left has one node: it gets the copies that are its.
    let left = rig.client(4);
    let digests: BTreeSet<String> = images.iter().map(|image| sha256(&image.layer)).collect();
    wait_until("the last node to have its copies", tests::cluster::PATIENCE, || {
        digests.iter().all(|digest| left.head(format!("/v2/team/zones/blobs/{digest}")).send().status == 200)
    });
    for node in [2, 3] {
        rig.cluster.nodes[node].kill9();
    }
    wait_until("reads by tag to be refused", tests::cluster::PATIENCE, || {
        left.get("/v2/team/zones/manifests/newest").send().status == 503
    });
    images.iter().for_each(|image| retries += pull_with_retry(rig, 4, image));
    let began = Instant::now();
    let refused = left.put_manifest("team/zones", "newest", media_type::IMAGE, &images[0].manifest);
    let refused_after = began.elapsed();
    refused.assert_error(503, "UNAVAILABLE");
    assert!(refused.header("retry-after").is_some());
    report(
        "E28",
        &format!(
            "a zone of two nodes down: {wanted} images pushed in {pushed:?}; then one node of five: all {} \
             images pulled by digest, {retries} pulls repeated; pushes refused after {refused_after:?}",
            images.len()
        ),
    );
    assert!(refused_after < Duration::from_secs(20), "{refused_after:?}");
    assert!(retries <= images.len() / 10, "{retries} pulls needed another try");
}

/// Pulls by digest; returns 1 when the first try failed.
fn pull_with_retry(rig: &Rig, node: usize, image: &Image) -> usize {
    let client = rig.client(node);
    let works = |target: String| client.get(target).try_send().is_ok_and(|answer| answer.status == 200);
    let layer = format!("/v2/{}/blobs/{}", image.repository, sha256(&image.layer));
    let retried = usize::from(!works(layer));
    if retried > 0 {
        thread::sleep(Duration::from_secs(1));
    }
    assert_pulls(&client, image);
    retried
}
