//! E6: the volume fills up. Pushes are refused in words, everything acknowledged is served, deletes work, and
//! pushes work again soon after there is room, without a restart.

use std::fs;
use std::time::{Duration, Instant};

use tests::content::unique_bytes;
use tests::http::Client;
use tests::journal::Journal;
use tests::load::{push_blob, push_image};
use tests::raw::Answer;

use crate::kill::tail;
use crate::node::{Place, wait_until};
use crate::{alone, report};
use tests::volume::{Kind, Volume};

const VOLUME_MIB: u64 = 40;
const BALLAST: usize = 20 << 20;
/// E6: pushes work again this soon after space came back.
const RECOVERY: Duration = Duration::from_secs(10);
/// More than fits, whatever the node keeps free.
const MOST_PUSHES: usize = 1000;

#[test]
fn a_full_volume_refuses_pushes_and_nothing_else() {
    let _alone = alone();
    let volume = Volume::new(Kind::Ext4, VOLUME_MIB);
    let ballast = volume.path().join("ballast");
    fs::write(&ballast, vec![1; BALLAST]).expect("room for the ballast");
    let place = Place::at(&volume.path().join("data"));
    let (node, journal, root) = (place.start(), Journal::default(), place.root());

    let tag = push_image(&root, "full/images", &journal, false).expect("the first image fits");
    let (refused, pushed) = fill(&root, &journal);
    assert_says_full(&refused);
    // Small ones as well, to the last byte and the last entry that the node takes.
    let small = fill_with(&root, &journal, 2000);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2)
        && push_image(&root, "full/images", &journal, false).is_ok()
    {}
    journal.verify_all(&root, 2).assert_whole(|| tail(&node));

    let deleted = root.delete(format!("/v2/full/images/manifests/{tag}")).send();
    deleted.assert_status(202);
    assert_eq!(root.get(format!("/v2/full/images/manifests/{tag}")).send().status, 404);
    assert_eq!(node.probe("/healthz").map(|answer| answer.status), Some(200));

    fs::remove_file(&ballast).expect("freed");
    let freed = Instant::now();
    let before = journal.len();
    wait_until("pushes to work after space was freed", RECOVERY, || {
        push_image(&root, "full/images", &journal, false).is_ok()
    });
    let recovered = freed.elapsed();
    assert!(journal.len() > before);
    let kept: Vec<_> = journal.all().into_iter().filter(|promise| promise.reference != tag).collect();
    let lost: Vec<_> = kept
        .iter()
        .filter(|promise| tests::journal::check(&root, promise) != tests::journal::Kept::Whole)
        .collect();
    assert!(lost.is_empty(), "{lost:?}\n{}", tail(&node));
    report(
        "E6",
        &format!(
            "{pushed} MiB-blobs and {small} small ones until {}; {} promises kept; pushes again {recovered:?} after freeing",
            refused.status,
            kept.len(),
        ),
    );

    // What the full disk left behind stops no later start.
    node.kill();
    let node = place.start();
    let lost = kept
        .iter()
        .filter(|promise| tests::journal::check(&root, promise) != tests::journal::Kept::Whole)
        .count();
    assert_eq!(lost, 0, "{}", tail(&node));
    assert!(!node.log().contains("panicked"), "{}", tail(&node));
}

/// Pushes blobs of one MiB until one is refused; the answer, and how many were taken.
fn fill(root: &Client, journal: &Journal) -> (Answer, usize) {
    for pushed in 0..MOST_PUSHES {
        if let Err(refused) = push_blob(root, "full/images", journal, &unique_bytes(1 << 20)) {
            return (refused.expect("an answer rather than a broken connection"), pushed);
        }
    }
    panic!("the volume never fills");
}

/// Pushes blobs of `size` bytes until one is refused; how many were taken.
fn fill_with(root: &Client, journal: &Journal, size: usize) -> usize {
    for pushed in 0..MOST_PUSHES {
        match push_blob(root, "full/images", journal, &unique_bytes(size)) {
            Ok(_) => {}
            Err(refused) => {
                assert_says_full(&refused.expect("an answer"));
                return pushed;
            }
        }
    }
    MOST_PUSHES
}

/// 507, or 503 with a time to come back; in both an error of the OCI dialect.
fn assert_says_full(answer: &Answer) {
    answer.assert_refused(&[507, 503]);
    assert!(answer.status == 507 || answer.header("retry-after").is_some(), "{:?}", answer.headers);
}
