//! Nodes are killed: nothing acknowledged is lost, and the others go on.

use std::time::{Duration, Instant};

use tests::cluster::{Cluster, PATIENCE};
use tests::content::sha256;
use tests::http::Client;
use tests::registry::Image;
use tests::wait_until;

use crate::alone;

/// Tries until the push of a whole image is acknowledged.
fn push(client: &Client, repository: &str) -> Image {
    let image = Image::new(repository);
    wait_until("a push to be acknowledged", PATIENCE, || try_push(client, &image));
    image
}

fn try_push(client: &Client, image: &Image) -> bool {
    let blob = |bytes: &Vec<u8>| {
        let target = format!("/v2/{}/blobs/uploads/?digest={}", image.repository, sha256(bytes));
        client.post(target).body(bytes.clone()).try_send().is_ok_and(|answer| answer.status == 201)
    };
    let manifest = || {
        let target = format!("/v2/{}/manifests/{}", image.repository, image.digest);
        let put = client.put(target).header("content-type", tests::content::media_type::IMAGE);
        put.body(image.manifest.clone()).try_send().is_ok_and(|answer| answer.status == 201)
    };
    blob(&image.config) && blob(&image.layer) && manifest()
}

fn assert_pulls(client: &Client, image: &Image) {
    let manifest = client.get(format!("/v2/{}/manifests/{}", image.repository, image.digest)).send();
    manifest.assert_status(200);
    assert_eq!(manifest.body, image.manifest);
    for bytes in [&image.config, &image.layer] {
        let blob = client.get(format!("/v2/{}/blobs/{}", image.repository, sha256(bytes))).send();
        blob.assert_status(200);
        assert_eq!(&blob.body, bytes);
    }
}

/// E12 and E1 in small: 20 kills by SHOAL_TEST_FULL=1.
#[test]
fn nothing_acknowledged_is_lost_when_leaders_are_killed() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let mut images = Vec::new();
    let kills = if tests::registry::is_full_run() { 20 } else { 3 };
    let mut gaps = Vec::new();
    for _ in 0..kills {
        let leader = cluster.leader();
        let survivor = cluster.nodes[(leader + 1) % 3].root();
        images.push(push(&survivor, "team/kept"));
        cluster.nodes[leader].kill9();
        let began = Instant::now();
        images.push(push(&survivor, "team/kept"));
        gaps.push(began.elapsed());
        cluster.nodes[leader].restart();
        // Through every node, the one that was away too.
        for node in &cluster.nodes {
            for image in &images {
                assert_pulls(&node.root(), image);
            }
        }
    }
    println!("    E12: {kills} leaders killed, pushes succeeded again after {gaps:?}");
    cluster.wait_for_status("all copies to be made", |status| {
        if status["blobs_under_copied"] == 0 { Ok(()) } else { Err(status.to_string()) }
    });
}

#[test]
fn without_a_quorum_pulls_by_digest_go_on_and_writes_are_refused_soon() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let image = cluster.nodes[0].root().push_image("team/alone", "v1");
    cluster.wait_for_status("all copies to be made", |status| {
        if status["blobs_under_copied"] == 0 { Ok(()) } else { Err(status.to_string()) }
    });
    cluster.nodes[1].kill9();
    cluster.nodes[2].kill9();
    let left = cluster.nodes[0].root();
    // A leader needs a moment to notice that it leads nobody.
    wait_until("reads by tag to be refused", PATIENCE, || {
        left.get("/v2/team/alone/manifests/v1").send().status == 503
    });
    assert_pulls(&left, &Image { repository: "team/alone".to_owned(), ..image.clone() });
    let began = Instant::now();
    let refused = left.put_manifest("team/alone", "v2", tests::content::media_type::IMAGE, &image.manifest);
    refused.assert_error(503, "UNAVAILABLE");
    assert!(refused.header("retry-after").is_some());
    // 2 s are promised; a busy machine may take longer, a hang is the defect.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    cluster.nodes[1].restart();
    wait_until("reads by tag to work again", PATIENCE, || {
        cluster.nodes[0].root().get("/v2/team/alone/manifests/v1").send().status == 200
    });
}

#[test]
fn nodes_that_stop_together_go_on_together() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let image = cluster.nodes[1].root().push_image("team/night", "v1");
    cluster.nodes.iter_mut().for_each(tests::Server::kill9);
    // Each waits for the others, so they are started side by side.
    std::thread::scope(|scope| {
        for node in &mut cluster.nodes {
            scope.spawn(|| node.restart());
        }
    });
    for node in &cluster.nodes {
        assert_pulls(&node.root(), &Image { repository: "team/night".to_owned(), ..image.clone() });
    }
}
