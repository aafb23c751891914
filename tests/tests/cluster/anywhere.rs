//! Push to any node, pull from any.

use tests::cluster::{Cluster, PATIENCE};
use tests::content::{media_type, sha256, unique_bytes};
use tests::raw::Answer;
use tests::registry::{Image, with_query};
use tests::wait::wait_for;
use tests::{Server, wait_until};

use crate::alone;

#[test]
fn what_one_node_acknowledged_every_other_serves_at_once() {
    let _alone = alone();
    let cluster = Cluster::start(3);
    for (place, node) in cluster.nodes.iter().enumerate() {
        let image = node.root().push_image("team/app", "v1");
        for other in &cluster.nodes {
            let client = other.root();
            let manifest = client.get("/v2/team/app/manifests/v1").send();
            manifest.assert_status(200);
            assert_eq!(manifest.body, image.manifest, "pushed to node {place}");
            for bytes in [&image.config, &image.layer] {
                let blob = client.get(format!("/v2/team/app/blobs/{}", sha256(bytes))).send();
                blob.assert_status(200);
                assert_eq!(&blob.body, bytes);
            }
        }
    }
}

/// Must show 3 of many nodes: never an old tag. 10 000 rounds by SHOAL_TEST_FULL=1.
#[test]
fn a_tag_that_was_moved_is_never_seen_where_it_was() {
    let _alone = alone();
    let cluster = Cluster::start(3);
    let images: Vec<Image> =
        (0..2).map(|_| cluster.nodes[0].root().push_image("team/tags", "base")).collect();
    let rounds = if tests::registry::is_full_run() { 10_000 } else { 300 };
    for round in 0..rounds {
        let image = &images[round % images.len()];
        let writer = cluster.nodes[round % 3].root();
        answered(|| writer.put_manifest("team/tags", "moving", media_type::IMAGE, &image.manifest))
            .assert_status(201);
        for step in 0..3 {
            let reader = cluster.nodes[(round + step) % 3].root();
            let found = answered(|| reader.head("/v2/team/tags/manifests/moving").send());
            found.assert_status(200);
            assert_eq!(found.header("docker-content-digest"), Some(image.digest.as_str()), "round {round}");
        }
    }
}

/// The answer of who tries again while there is none: on a busy machine a leader may be late for a moment.
fn answered(ask: impl Fn() -> Answer) -> Answer {
    wait_for("an answer", PATIENCE, || {
        let answer = ask();
        if answer.status == 503 { Err(answer.text()) } else { Ok(answer) }
    })
}

#[test]
fn an_upload_begun_on_one_node_continues_on_the_others() {
    let _alone = alone();
    let cluster = Cluster::start(3);
    let bytes = unique_bytes(3 << 20);
    let digest = sha256(&bytes);
    let [first, second, third] = [0, 1, 2].map(|place| cluster.nodes[place].root());
    let location = first.start_upload("team/parts");
    let parts = [&bytes[..1 << 20], &bytes[1 << 20..]];
    let sent = second.patch(&location).header("content-range", "0-1048575").body(parts[0]).send();
    sent.assert_status(202);
    assert_eq!(sent.header("range"), Some("0-1048575"));
    let status = third.get(&location).send();
    status.assert_status(204);
    assert_eq!(status.header("range"), Some("0-1048575"));
    // Out of order is refused by the node that has the session, through the one that was asked.
    let gap =
        second.patch(&location).header("content-range", "2097152-3145727").body(&bytes[2 << 20..]).send();
    gap.assert_error(416, "RANGE_INVALID");
    third
        .patch(&location)
        .header("content-range", "1048576-3145727")
        .body(parts[1])
        .send()
        .assert_status(202);
    second.put(with_query(&location, &format!("digest={digest}"))).send().assert_status(201);
    for node in &cluster.nodes {
        assert_eq!(node.root().get(format!("/v2/team/parts/blobs/{digest}")).send().body, bytes);
    }
}

#[test]
fn the_second_copy_is_under_way_while_the_upload_arrives() {
    let _alone = alone();
    let cluster = Cluster::start(3);
    let bytes = unique_bytes(20 << 20);
    let digest = sha256(&bytes);
    let client = cluster.nodes[0].root();
    let location = client.start_upload("team/ahead");
    // In two parts, so that the second goes on where the first ended.
    let sent = client.patch(&location).body(&bytes[..12 << 20]).send();
    sent.assert_status(202);
    client.patch(&location).body(&bytes[12 << 20..]).send().assert_status(202);
    client.put(with_query(&location, &format!("digest={digest}"))).send().assert_status(201);
    let ahead: u64 = cluster.nodes.iter().map(|node| figure(node, "shoal_blob_ahead_bytes_total")).sum();
    // All but the first MiB, which is not sent ahead, and what is around the seam of the two parts.
    assert!(ahead >= 18 << 20, "{ahead} bytes");
    for node in &cluster.nodes {
        assert_eq!(node.root().get(format!("/v2/team/ahead/blobs/{digest}")).send().body, bytes);
    }
    // An upload that comes to nothing leaves nothing that is served, and no name.
    let abandoned = client.start_upload("team/ahead");
    client.patch(&abandoned).body(unique_bytes(4 << 20)).send().assert_status(202);
    client.delete(&abandoned).send().assert_status(204);
}

#[test]
fn every_node_comes_to_have_a_copy_of_what_was_pushed_before_it_joined() {
    let _alone = alone();
    let mut cluster = Cluster::start(1);
    let images: Vec<Image> =
        (0..10).map(|_| cluster.nodes[0].root().push_image("team/early", "v1")).collect();
    cluster.join();
    cluster.join();
    cluster.wait_for_status("all copies to be made", |status| {
        let missing = status["blobs_under_copied"].as_u64();
        let wanted = status["copies_wanted"].as_u64();
        if (missing, wanted) == (Some(0), Some(3)) { Ok(()) } else { Err(status.to_string()) }
    });
    // The first node's disk is not needed any more.
    cluster.nodes[0].kill9();
    for node in &cluster.nodes[1..] {
        for image in &images {
            for bytes in [&image.config, &image.layer] {
                let path = format!("/v2/team/early/blobs/{}", sha256(bytes));
                wait_until("the blob to be served", PATIENCE, || {
                    let answer = node.root().get(&path).send();
                    answer.status == 200 && answer.body == *bytes
                });
            }
        }
    }
}

#[test]
fn a_node_without_a_copy_serves_ranges_while_it_fetches() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    // More nodes than copies: somebody has none.
    cluster.join();
    let bytes = unique_bytes(5 << 20);
    let digest = cluster.nodes[0].root().push_blob("team/far", &bytes);
    for node in &cluster.nodes {
        let path = format!("/v2/team/far/blobs/{digest}");
        let part = node.root().get(&path).header("range", "bytes=4194000-4195000").send();
        part.assert_status(206);
        assert_eq!(part.body, bytes[4_194_000..=4_195_000]);
        let whole = node.root().get(&path).send();
        whole.assert_status(200);
        assert_eq!(whole.body, bytes);
    }
    let fetched = |node: &Server| figure(node, "shoal_blob_fetched_bytes_total");
    let all: u64 = cluster.nodes.iter().map(fetched).sum();
    // Every node but the one that was pushed to.
    assert!(all >= 3 * bytes.len() as u64, "{all} bytes");
}

/// A number from a node's metrics.
fn figure(node: &Server, name: &str) -> u64 {
    let metrics = String::from_utf8_lossy(&node.root().get("/metrics").send().body).into_owned();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).expect("a figure")
}
