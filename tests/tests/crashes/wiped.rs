//! E8: the disk of one node is lost. It joins anew, empty; the old one is removed; every blob gets its copies back.

use std::fs;
use std::time::{Duration, Instant};

use tests::cluster::{id_of, operate};
use tests::files::{check_files, file_of};
use tests::load::Tally;
use tests::wait::wait_for;
use tests::{cluster::PATIENCE, wait_until};

use crate::rig::{NODES, Rig, any_node};
use crate::{alone, report, size};

/// E8: ten times the figure of the table, which is printed.
const REFILLED: Duration = Duration::from_secs(300);

#[test]
fn a_node_that_lost_its_disk_joins_anew_and_gets_its_copies_back() {
    let _alone = alone();
    let rounds = size(1, 20);
    let mut rig = Rig::new();
    for round in 0..rounds {
        let load = rig.load(4, 2);
        wait_until("a few images to be acknowledged", PATIENCE, || rig.journal.len() >= (round + 1) * 30);
        assert_eq!(load.stop().broken, Vec::<String>::new());
        rig.wait_for_copies();
        let place = any_node();
        let other = (place + 1) % NODES;
        let old = wait_for("the node's id", PATIENCE, || id_of(&rig.cluster.nodes[place]).ok_or("none"));
        rig.cluster.nodes[place].kill9();
        let data = rig.cluster.nodes[place].data_dir();
        fs::remove_dir_all(&data).expect("removed");
        let began = Instant::now();
        let token = rig.cluster.token(&[]);
        let arguments = &mut rig.cluster.nodes[place].options_mut().arguments;
        if let Some(at) = arguments.iter().position(|argument| argument == "--join") {
            arguments.drain(at..at + 2);
        }
        arguments.extend(["--join".to_owned(), token]);
        rig.cluster.nodes[place].restart();
        let joined = began.elapsed();
        let new = wait_for("the node's new id", PATIENCE, || id_of(&rig.cluster.nodes[place]).ok_or("none"));
        assert_ne!(old, new, "what the old one promised is void, so it must have another name");
        // What is left on the others is enough, so no blob goes; but this is for lost disks, and must say so.
        let removed = operate(&rig.cluster.nodes[other], &["node", "remove", &old, "--force"]);
        assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
        let blobs: Vec<_> = rig.journal.all().into_iter().filter(|promise| promise.kind == "blobs").collect();
        wait_for("every blob to have its copies again", REFILLED, || {
            let missing = blobs.iter().filter(|blob| file_of(&data, &blob.digest).is_none()).count();
            if missing == 0 { Ok(()) } else { Err(format!("{missing} of {} are missing", blobs.len())) }
        });
        let refilled = began.elapsed();
        rig.wait_for_copies();
        let files = check_files(&data);
        report("E8", &format!("joined anew after {joined:.2?}; {files} copies back after {refilled:.2?}"));
    }
    let verdict = rig.assert_kept(&Tally::default());
    report("E8", &format!("{rounds} lost disks; {verdict}"));
}
