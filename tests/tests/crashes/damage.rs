//! E9 and E10: bytes of stored blobs change, through the file and beneath the file system. One copy: every node goes
//! on serving the right bytes, and the copy is made anew. All copies: nobody serves it, and a push heals it.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tests::cluster::PATIENCE;
use tests::content::unique_bytes;
use tests::files::file_of;
use tests::http::Client;
use tests::journal::random;
use tests::raw::Answer;
use tests::volume::{Kind, flip};
use tests::wait::wait_for;
use tests::{Server, wait_until};

use crate::rig::{NODES, Rig, VOLUME_MIB, any_node};
use crate::{alone, report, size, spread};

const REPOSITORY: &str = "damaged/blobs";
/// E9: ten times the figure of the table, which is printed.
const REPAIR: Duration = Duration::from_secs(50);

struct Blob {
    content: Vec<u8>,
    digest: String,
    /// The byte that is changed.
    hit: usize,
}

#[test]
fn a_changed_byte_in_one_copy_is_never_served_and_is_repaired_from_a_peer() {
    let _alone = alone();
    let count = size(16, 1000);
    let mut rig = Rig::on(Kind::Ext4, [VOLUME_MIB; NODES]);
    let blobs = store(&mut rig, count);
    let mut repairs = Vec::new();
    let (mut whole, mut refused) = (0, 0);
    for (number, blob) in blobs.iter().enumerate() {
        let victim = any_node();
        damage(&rig, victim, blob, number);
        let began = Instant::now();
        for step in 0..NODES {
            let client = rig.cluster.nodes[(victim + step) % NODES].root();
            pull(&client, blob, &mut whole, &mut refused);
        }
        let data = rig.cluster.nodes[victim].data_dir();
        wait_for("the copy to be repaired", REPAIR, || {
            let file = file_of(&data, &blob.digest).ok_or_else(|| "no file".to_owned())?;
            let found = fs::read(file).map_err(|error| error.to_string())?;
            if found == blob.content { Ok(()) } else { Err("still damaged".to_owned()) }
        });
        repairs.push(began.elapsed());
    }
    rig.wait_for_copies();
    rig.assert_calm();
    report(
        "E9",
        &format!(
            "{count} changed bytes (half beneath the file system) in one copy of {NODES}: 0 wrong bytes sent, {whole} answers whole, {refused} refused or cut; repaired {}",
            spread(&repairs),
        ),
    );
    assert_eq!(refused, 0, "a peer has the right bytes");
}

#[test]
fn a_blob_whose_copies_are_all_damaged_is_served_by_nobody_until_it_is_pushed_again() {
    let _alone = alone();
    let count = size(6, 200);
    let mut rig = Rig::on(Kind::Ext4, [VOLUME_MIB; NODES]);
    let blobs = store(&mut rig, count);
    let (mut whole, mut refused, mut healed) = (0, 0, Vec::new());
    for (number, blob) in blobs.iter().enumerate() {
        (0..NODES).for_each(|place| damage(&rig, place, blob, number));
        for client in rig.clients() {
            pull(&client, blob, &mut whole, &mut refused);
            // By now the node has looked at the part that was hit.
            client.get(target(blob)).send().assert_refused(&[503]);
            client.head(target(blob)).send().assert_bodyless(404);
        }
        let began = Instant::now();
        rig.cluster.nodes[any_node()].root().push_blob(REPOSITORY, &blob.content);
        for client in rig.clients() {
            wait_until("the pushed blob to be served by every node", PATIENCE, || {
                let answer = client.get(target(blob)).send();
                assert!(blob.content.starts_with(&answer.body) || answer.status != 200, "wrong bytes");
                answer.status == 200 && answer.body == blob.content
            });
        }
        healed.push(began.elapsed());
    }
    rig.wait_for_copies();
    rig.assert_calm();
    report(
        "E10",
        &format!(
            "{count} blobs changed in all copies: 0 wrong bytes sent, {refused} answers refused or cut, {whole} whole (other parts); served by all after a push {}",
            spread(&healed),
        ),
    );
}

/// Pushes blobs of 10 KiB to 3 MiB through every node, waits until every node has them, and starts the nodes anew.
fn store(rig: &mut Rig, count: usize) -> Vec<Blob> {
    let push = |number: usize| {
        let content = unique_bytes((10 << 10) + (random() as usize) % (3 << 20));
        let digest = rig.cluster.nodes[number % NODES].root().push_blob(REPOSITORY, &content);
        let hit = (random() as usize) % content.len();
        Blob { content, digest, hit }
    };
    let blobs: Vec<Blob> = (0..count).map(push).collect();
    rig.wait_for_copies();
    for blob in &blobs {
        rig.cluster.nodes.iter().for_each(|node| drop(wait_for_file(node, blob)));
    }
    // A node trusts what it checked within the last minute, unless the file's time stamp tells of a change: so it has
    // to forget what it checked when it sent the copies.
    rig.cluster.nodes.iter_mut().for_each(Server::kill9);
    rig.restart_all().expect("the nodes start again");
    blobs
}

fn wait_for_file(node: &Server, blob: &Blob) -> PathBuf {
    wait_for("every node to have a copy", PATIENCE, || file_of(&node.data_dir(), &blob.digest).ok_or("none"))
}

/// Changes the blob's byte in the copy of one node: the even ones through the file, the odd ones beneath it.
fn damage(rig: &Rig, place: usize, blob: &Blob, number: usize) {
    let file = wait_for_file(&rig.cluster.nodes[place], blob);
    if number.is_multiple_of(2) {
        flip(&file, blob.hit as u64);
    } else {
        rig.volumes[place].flip_beneath(&file, blob.hit as u64);
    }
    assert_ne!(fs::read(&file).expect("the blob's file"), blob.content, "the change did not arrive");
}

fn target(blob: &Blob) -> String {
    format!("/v2/{REPOSITORY}/blobs/{}", blob.digest)
}

/// All of the blob at once, and the parts with and without the changed byte. No wrong byte may come.
fn pull(client: &Client, blob: &Blob, whole: &mut usize, refused: &mut usize) {
    let len = blob.content.len();
    let mut judge = |range: Range<usize>, answer: std::io::Result<Answer>| {
        let expected = &blob.content[range];
        match answer {
            Ok(answer) if matches!(answer.status, 200 | 206) => {
                assert!(expected.starts_with(&answer.body), "wrong bytes left the node");
                let is_whole = answer.body.len() == expected.len();
                assert_eq!(answer.complete, is_whole, "a cut answer that looks whole");
                if is_whole { *whole += 1 } else { *refused += 1 }
            }
            Ok(answer) => {
                answer.assert_refused(&[503]);
                *refused += 1;
            }
            Err(_) => *refused += 1,
        }
    };
    judge(0..len, client.get(target(blob)).try_send());
    for range in [0..blob.hit + 1, blob.hit..len, len / 3..len] {
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        judge(range, client.get(target(blob)).header("Range", header).try_send());
    }
}
