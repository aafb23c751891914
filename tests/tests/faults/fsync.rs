//! E4: one fsync fails. The node acknowledges nothing more until it is started again, does not try the fsync
//! again, goes on reading, and has everything it acknowledged after the restart.

use std::fs;

use tests::content::{serial, sha256, unique_bytes};
use tests::fsync::{FailingFsync, newest_log};
use tests::journal::Journal;
use tests::load::{push_blob, push_image};
use tests::registry::with_query;

use crate::kill::tail;
use crate::node::{Node, Place};
use crate::{alone, report, size};

/// Images before the fault.
const BEFORE: usize = 5;
/// Pushes after it, all of which must fail.
const AFTER: usize = 6;
/// The state is synced with every 64th write, so so many pushes come to it for sure.
const UNTIL_STATE_SYNC: usize = 150;

/// What fails.
#[derive(Clone, Copy, Debug)]
enum Victim {
    /// The bytes of one upload.
    UploadData,
    /// The folder that the blob moves to.
    BlobFolder,
    /// The Raft log.
    Log,
    /// The replicated state.
    State,
}

#[test]
fn after_a_failed_fsync_of_an_upload_nothing_is_acknowledged_until_a_restart() {
    fail_once(Victim::UploadData);
}

#[test]
fn after_a_failed_fsync_of_a_blob_folder_nothing_is_acknowledged_until_a_restart() {
    fail_once(Victim::BlobFolder);
}

#[test]
fn after_a_failed_fsync_of_the_log_nothing_is_acknowledged_until_a_restart() {
    fail_once(Victim::Log);
}

#[test]
fn after_a_failed_fsync_of_the_state_nothing_is_acknowledged_until_a_restart() {
    fail_once(Victim::State);
}

fn fail_once(victim: Victim) {
    let _alone = alone();
    let rounds = size(1, 100);
    for _ in 0..rounds {
        fail_one_fsync(victim);
    }
    report(
        "E4",
        &format!(
            "{victim:?}: {rounds} failed fsyncs, no acknowledgement after one, all there after the restart"
        ),
    );
}

fn fail_one_fsync(victim: Victim) {
    let place = Place::new();
    let (node, journal, root) = (place.start(), Journal::default(), place.root());
    let repository = format!("fsync/r{}", serial());
    for _ in 0..BEFORE {
        push_image(&root, &repository, &journal, false).expect("pushed");
    }

    let bytes = unique_bytes(600 << 10);
    let digest = sha256(&bytes);
    let location = root.start_upload(&repository);
    root.patch(&location).body(bytes).send().assert_status(202);
    let shard = digest.trim_start_matches("sha256:").get(..2).expect("hex").to_owned();
    let shard = place.data.join("blobs/blobs/sha256").join(shard);
    fs::create_dir_all(&shard).expect("the folder");
    let path = match victim {
        Victim::UploadData => {
            let upload = location.rsplit('/').next().unwrap_or_default();
            place.data.join(format!("blobs/uploads/{upload}.data"))
        }
        Victim::BlobFolder => shard,
        Victim::Log => newest_log(&place.data),
        Victim::State => place.data.join("metadata/state.db"),
    };
    assert!(path.exists(), "{} is not where it should be", path.display());
    let fault = FailingFsync::of(node.pid(), &path, &place.file("strace"));

    if matches!(victim, Victim::State) {
        push_until_it_fails(&place, &repository, &journal, &fault);
    } else {
        let close = with_query(&location, &format!("digest={digest}"));
        let answer = root.put(close).send();
        answer.assert_refused(&[503]);
        assert!(fault.struck(), "no fsync of {} was asked for\n{}", path.display(), tail(&node));
    }
    assert_fenced(&place, &node, &repository);
    // The disk would work again: nobody may ask it.
    drop(fault);
    assert_fenced(&place, &node, &repository);
    let verdict = journal.verify_all(&root, 2);
    // Without an agreement nobody knows where a tag points now; what a digest names is still known.
    let may_wait =
        |target: &String| matches!(victim, Victim::Log | Victim::State) && !target.contains("sha256:");
    let silent: Vec<_> = verdict.unavailable.iter().filter(|target| !may_wait(target)).collect();
    assert!(
        verdict.lost.is_empty() && verdict.wrong.is_empty() && silent.is_empty(),
        "{verdict}\n{}",
        tail(&node)
    );

    node.kill();
    let node = place.start();
    journal.verify_all(&place.root(), 2).assert_whole(|| tail(&node));
    push_image(&root, &repository, &journal, false).expect("pushes work again after the restart");
    assert!(!node.log().contains("panicked"), "{}", tail(&node));
}

/// Every push up to the fault may be acknowledged, and is noted; the first that comes after it must not be.
fn push_until_it_fails(place: &Place, repository: &str, journal: &Journal, fault: &FailingFsync) {
    for _ in 0..UNTIL_STATE_SYNC {
        if push_image(&place.root(), repository, journal, false).is_err() {
            break;
        }
    }
    assert!(fault.struck(), "the state was never synced");
}

/// Nothing is acknowledged, and the node says so; the process is alive.
fn assert_fenced(place: &Place, node: &Node, repository: &str) {
    assert_eq!(node.probe("/readyz").map(|answer| answer.status), Some(503), "readyz");
    assert_eq!(node.probe("/healthz").map(|answer| answer.status), Some(200), "healthz");
    let nothing = Journal::default();
    for _ in 0..AFTER {
        let bytes = unique_bytes(3000);
        let refused = push_blob(&place.root(), repository, &nothing, &bytes)
            .expect_err("acknowledged after a failed fsync");
        let answer = refused.expect("an answer");
        answer.assert_refused(&[503]);
    }
}
