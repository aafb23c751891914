//! E29: an edge behind a slow link that loses packets, and that is cut for a while. What it has it serves
//! throughout; what it does not have comes late or not at all, never wrong.

use std::thread;
use std::time::{Duration, Instant};

use tests::content::{sha256, unique_bytes};
use tests::http::Client;
use tests::wait_until;

use crate::partitions::{assert_pulls, wait_for_copies};
use crate::rig::{Rig, status};
use crate::{alone, report, size};

const EDGE: usize = 3;
/// Between two writes while the edge is cut off: what it misses has to fit through its link, of which the
/// losses leave some kilobytes a second.
const BETWEEN_WRITES: Duration = Duration::from_millis(500);
/// The row has no bar for this; the report says what was seen.
const FOLLOWED: Duration = Duration::from_secs(600);

#[test]
fn an_edge_behind_a_bad_link_serves_what_it_has_and_nothing_wrong() {
    let _alone = alone();
    let cuts = size(1, 10);
    let cut = Duration::from_secs(size(2, 60));
    let mut rig = Rig::start(3, 3);
    rig.join_edge();
    let image = rig.client(0).push_image("team/cached", "v1");
    wait_for_copies(&rig);
    let edge = rig.client(EDGE);
    wait_until("the edge to have it", tests::cluster::PATIENCE, || {
        edge.head(format!("/v2/team/cached/manifests/{}", image.digest)).send().status == 200
    });
    assert_pulls(&edge, &image);
    rig.network.slow(EDGE, 256);
    rig.network.lose_at(EDGE, 30);
    let (mut cached, mut lags) = (0, Vec::new());
    let (mut whole, mut absent) = (0, 0);
    for _ in 0..cuts {
        // Something that only the others have.
        let bytes = unique_bytes(20_000);
        rig.client(0).push_blob("team/cached", &bytes);
        match try_pull(&edge, &bytes) {
            true => whole += 1,
            false => absent += 1,
        }
        rig.network.part(&[EDGE], &[0, 1, 2]);
        let began = Instant::now();
        while began.elapsed() < cut {
            rig.client(1).push_blob("team/cached", &unique_bytes(1000));
            assert_pulls(&edge, &image);
            cached += 1;
            thread::sleep(BETWEEN_WRITES);
        }
        rig.network.heal();
        rig.network.lose_at(EDGE, 30);
        let healed = Instant::now();
        let goal = status(&rig.client(0)).and_then(|status| status["applied_index"].as_u64()).unwrap_or(0);
        wait_until("the edge to follow", FOLLOWED, || {
            assert_pulls(&edge, &image);
            cached += 1;
            status(&edge).and_then(|status| status["applied_index"].as_u64()) >= Some(goal)
        });
        lags.push(healed.elapsed());
    }
    report(
        "E29",
        &format!(
            "256 kbit/s, 30 % lost, {cuts} cuts of {cut:?}: {cached} cached pulls, all whole; {whole} blobs \
             fetched whole, {absent} not; caught up {lags:?} after the cut"
        ),
    );
    rig.network.heal();
    rig.assert_no_panics();
}

/// Whether the blob came; it may come late or not, but never as something else.
fn try_pull(client: &Client, bytes: &[u8]) -> bool {
    let answer = client.get(format!("/v2/team/cached/blobs/{}", sha256(bytes))).try_send();
    match answer {
        Ok(answer) if answer.status == 200 && answer.complete => {
            assert!(answer.body == bytes, "other bytes than asked for");
            true
        }
        Ok(answer) if answer.status == 200 => {
            assert!(bytes.starts_with(&answer.body), "other bytes than asked for");
            false
        }
        Ok(answer) => {
            assert!(answer.status >= 500 || answer.status == 404, "{}", answer.status);
            false
        }
        Err(_) => false,
    }
}
