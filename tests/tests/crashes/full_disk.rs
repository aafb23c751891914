//! E6: the disk of one node of three fills up. Reads go on everywhere, pushes through the others too or are refused
//! in words, and the node takes pushes again soon after there is room, without a restart.

use std::fs;
use std::time::{Duration, Instant};

use tests::content::unique_bytes;
use tests::journal::Journal;
use tests::load::{REPOSITORY, Tally, push_blob, push_image};
use tests::volume::Kind;
use tests::wait_until;

use crate::rig::{NODES, Rig, VOLUME_MIB};
use crate::{alone, report};

/// The node whose disk is small; not the first one, which leads to begin with.
const SMALL: usize = 1;
const SMALL_MIB: u64 = 64;
const BALLAST: usize = 30 << 20;
/// More MiB than fit.
const MOST: usize = 100;
/// E6: ten times the figure of the table, which is printed.
const RECOVERY: Duration = Duration::from_secs(100);

#[test]
fn a_full_disk_at_one_node_stops_no_read_and_no_push_through_the_others() {
    let _alone = alone();
    let mut sizes = [VOLUME_MIB; NODES];
    sizes[SMALL] = SMALL_MIB;
    let mut rig = Rig::on(Kind::Ext4, sizes);
    let ballast = rig.volumes[SMALL].path().join("ballast");
    fs::write(&ballast, vec![1; BALLAST]).expect("room for the ballast");
    let small = rig.cluster.nodes[SMALL].root();
    let tag = push_image(&small, REPOSITORY, &rig.journal, false).expect("the first image fits");
    let status = fill(&rig);
    // The others have room, and two of them are enough for an acknowledgement.
    let (mut taken, mut refused) = (0, 0);
    for step in 0..20 {
        let other = rig.cluster.nodes[(SMALL + 1 + step % (NODES - 1)) % NODES].root();
        match push_blob(&other, REPOSITORY, &rig.journal, &unique_bytes(1 << 20)) {
            Ok(_) => taken += 1,
            Err(answer) => {
                answer.expect("an answer").assert_refused(&[503, 507]);
                refused += 1;
            }
        }
    }
    let full = rig.verdict(0);
    full.assert_whole(|| rig.complaints());
    small.delete(format!("/v2/{REPOSITORY}/manifests/{tag}")).send().assert_status(202);
    for client in rig.clients() {
        assert_eq!(client.get(format!("/v2/{REPOSITORY}/manifests/{tag}")).send().status, 404);
    }
    forget(&rig.journal, &tag);

    fs::remove_file(&ballast).expect("freed");
    let freed = Instant::now();
    wait_until("pushes through the node to work after space was freed", RECOVERY, || {
        push_image(&small, REPOSITORY, &rig.journal, false).is_ok()
    });
    let recovered = freed.elapsed();
    let verdict = rig.assert_kept(&Tally::default());
    report(
        "E6",
        &format!(
            "one full disk of three: refused there with {status}; through the others {taken} pushes taken, {refused} refused; reads meanwhile: {full}; pushes there again {recovered:?} after freeing; then {verdict}",
        ),
    );
}

/// Pushes blobs of one MiB through the small node until it refuses; what it answers.
fn fill(rig: &Rig) -> u16 {
    let small = rig.cluster.nodes[SMALL].root();
    for _ in 0..MOST {
        if let Err(refused) = push_blob(&small, REPOSITORY, &rig.journal, &unique_bytes(1 << 20)) {
            let answer = refused.expect("an answer rather than a broken connection");
            answer.assert_refused(&[507, 503]);
            assert!(answer.status == 507 || answer.header("retry-after").is_some(), "{:?}", answer.headers);
            return answer.status;
        }
    }
    panic!("the volume never fills");
}

fn forget(journal: &Journal, tag: &str) {
    let gone: Vec<_> = journal.all().into_iter().filter(|promise| promise.reference == tag).collect();
    for promise in gone {
        journal.forget_within(promise.acked, promise.acked);
    }
}
