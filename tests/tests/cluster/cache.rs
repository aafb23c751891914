//! The cache of a node: what it fetched for its clients stays within the limit, the longest unread goes first, and
//! no pull notices.

use std::fs;

use tests::cluster::{Cluster, PATIENCE};
use tests::content::unique_bytes;
use tests::files::file_of;
use tests::journal::random;
use tests::server::ServerOptions;
use tests::volume::{Kind, Volume};
use tests::{Server, wait_until};

use crate::alone;

const REPOSITORY: &str = "cached/blobs";
const LIMIT: u64 = 8 << 20;

/// Pulls `blob` and checks every byte.
fn pull(node: &Server, (digest, content): &(String, Vec<u8>)) {
    let answer = node.root().get(format!("/v2/{REPOSITORY}/blobs/{digest}")).send();
    answer.assert_status(200);
    assert!(answer.body == *content, "wrong or missing bytes: {}", answer.body.len());
}

/// Bytes of whole copies on the disk of `node`.
fn kept(node: &Server, blobs: &[(String, Vec<u8>)]) -> u64 {
    let file = |(digest, _): &(String, Vec<u8>)| file_of(&node.data_dir(), digest);
    // One that goes meanwhile counts no more.
    blobs.iter().filter_map(file).filter_map(|file| Some(fs::metadata(file).ok()?.len())).sum()
}

fn metric(node: &Server, name: &str) -> u64 {
    let metrics = String::from_utf8_lossy(&node.root().get("/metrics").send().body).into_owned();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).expect("a figure")
}

#[test]
fn an_edge_keeps_its_cache_within_the_limit_and_what_is_read_most_in_it() {
    let _alone = alone();
    let count = if tests::registry::is_full_run() { 400 } else { 40 };
    let mut cluster = Cluster::start(3);
    let limited = cluster.join_edge(&["--cache-size", "8MiB"]);
    let control = cluster.join_edge(&[]);
    let blobs: Vec<(String, Vec<u8>)> = (0..count)
        .map(|number| {
            let content = unique_bytes(512 * 1024 + random() as usize % (512 * 1024));
            (cluster.nodes[number % 3].root().push_blob(REPOSITORY, &content), content)
        })
        .collect();
    let total: u64 = blobs.iter().map(|(_, content)| content.len() as u64).sum();
    cluster.wait_for_status("all copies to be made", |status| {
        if status["blobs_under_copied"] == 0 { Ok(()) } else { Err(status.to_string()) }
    });
    let hot = &blobs[0];
    let mut most = 0;
    for _round in 0..2 {
        for blob in &blobs {
            pull(&limited, blob);
            pull(&limited, hot);
            pull(&control, blob);
            most = most.max(kept(&limited, &blobs));
        }
        wait_until("the cache to fit", PATIENCE, || {
            kept(&limited, &blobs) <= LIMIT && metric(&limited, "shoal_cache_bytes") <= LIMIT
        });
        // The hot one is among the last two that were read, so it is not what had to go.
        wait_until("the hot one to be kept", PATIENCE, || file_of(&limited.data_dir(), &hot.0).is_some());
    }
    // The control: a pull leaves a copy, and what is no cache stays whatever the limit says.
    wait_until("the control to keep all", PATIENCE, || kept(&control, &blobs) == total);
    for node in &cluster.nodes {
        assert_eq!(kept(node, &blobs), total, "a copy that the cluster counts on is gone");
    }
    let left = kept(&limited, &blobs);
    let evicted = metric(&limited, "shoal_cache_evicted_bytes_total");
    assert!(left > 0 && left <= LIMIT, "{left} bytes are left");
    assert!(evicted + left >= total, "{evicted} bytes evicted, {left} left of {total}");
    println!(
        "    cache: {count} blobs of {} MiB pulled twice through {} MiB: at most {} MiB, in the end {} MiB kept",
        total >> 20,
        LIMIT >> 20,
        most >> 20,
        left >> 20
    );
}

#[test]
fn an_edge_whose_disk_is_smaller_than_what_it_pulls_serves_all_of_it() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let volume = Volume::new(Kind::Ext4, 256);
    let arguments =
        ["--join", &cluster.token(&["--edge"]), "--peer-listen", "127.0.0.1:0", "--cache-size", "1TiB"];
    let edge = Server::start(ServerOptions {
        arguments: arguments.map(str::to_owned).to_vec(),
        data: Some(volume.path().join("data")),
        ..ServerOptions::default()
    });
    // Far larger than what is kept free, so that each has to push others out.
    let blobs: Vec<(String, Vec<u8>)> = (0..6)
        .map(|number| {
            let content = unique_bytes(60 << 20);
            (cluster.nodes[number % 3].root().push_blob(REPOSITORY, &content), content)
        })
        .collect();
    cluster.wait_for_status("all copies to be made", |status| {
        if status["blobs_under_copied"] == 0 { Ok(()) } else { Err(status.to_string()) }
    });
    for blob in &blobs {
        pull(&edge, blob);
    }
    // A push through it is answered 201, not 507.
    edge.root().push_blob(REPOSITORY, &unique_bytes(1 << 20));
    let evicted = metric(&edge, "shoal_cache_evicted_copies_total");
    assert!(evicted >= 3, "{evicted} copies evicted");
    println!("    cache: 360 MiB pulled through a disk of 256 MiB: {evicted} copies evicted");
}
