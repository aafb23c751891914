//! Links between nodes: each class of them has a rate of its own.

use std::time::Instant;

use tests::Server;
use tests::cluster::Cluster;
use tests::content::unique_bytes;

use crate::alone;
use crate::damage::figure;

const REPOSITORY: &str = "linked/blobs";
/// Of the wide area, bytes a second.
const RATE: u64 = 512 << 10;

fn pull(node: &Server, digest: &str, content: &[u8]) {
    let answer = node.root().get(format!("/v2/{REPOSITORY}/blobs/{digest}")).send();
    answer.assert_status(200);
    assert!(answer.body == content, "wrong or missing bytes: {}", answer.body.len());
}

#[test]
fn a_limited_wide_area_keeps_its_rate_and_near_nodes_are_not_limited() {
    let _alone = alone();
    let mut cluster = Cluster::start_with(1, |_, options| {
        options.arguments.extend(["--wide-area-rate", "512KiB"].map(str::to_owned));
    });
    let far = cluster.join_edge(&["--region", "far"]);
    let near = cluster.join_edge(&[]);
    let holder = &cluster.nodes[0];
    let content = unique_bytes(3 << 20);
    let digest = holder.root().push_blob(REPOSITORY, &content);
    let size = content.len() as u64;

    let began = Instant::now();
    pull(&far, &digest, &content);
    let sent = figure(holder, "shoal_exchange_wide_area_sent_bytes_total");
    let seconds = began.elapsed().as_secs_f64();
    assert!(sent >= size, "all of it came from there: {sent}");
    // What may go at once after a rest is a tenth of a second's worth.
    let most = RATE as f64 * (seconds + 0.1) + 65_536.0;
    assert!(sent as f64 <= most, "{sent} bytes in {seconds} s");
    assert!(figure(holder, "shoal_exchange_wide_area_rate_waits_total") > 0);
    assert!(figure(&far, "shoal_exchange_wide_area_received_bytes_total") >= size);

    pull(&near, &digest, &content);
    // Another zone of the same region. Some of it may have come from the other edge.
    assert!(figure(holder, "shoal_exchange_region_sent_bytes_total") > 0);
    assert!(figure(&near, "shoal_exchange_region_received_bytes_total") > 0);
    for class in ["site", "region"] {
        assert_eq!(figure(holder, &format!("shoal_exchange_{class}_rate_waits_total")), 0, "{class}");
    }
    println!("    links: {sent} bytes in {seconds:.1} s at {RATE} a second");
}
