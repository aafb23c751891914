//! E9: bytes of stored blobs change, through the file and beneath the file system. No wrong byte leaves the node;
//! the blob counts as missing until it is pushed again, which heals it.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use tests::content::unique_bytes;
use tests::files::file_of;
use tests::http::Client;
use tests::journal::random;
use tests::raw::Answer;

use crate::kill::tail;
use crate::node::Place;
use crate::{alone, report, size};
use tests::volume::{Kind, Volume, flip};

const REPOSITORY: &str = "damaged/blobs";
/// Bytes that the node checks together: those of a reply's first such part before it answers.
const WINDOW: usize = 1 << 20;
/// Parts of a blob that are asked for one by one.
const RANGES: usize = 4;

/// One blob, and what became of it.
struct Blob {
    content: Vec<u8>,
    digest: String,
    file: PathBuf,
    /// The byte that is changed.
    hit: usize,
    /// Read before it was changed, so that the node had checked it.
    was_read: bool,
}

/// What the answers were.
#[derive(Default)]
struct Answers {
    whole: usize,
    cut: usize,
    unavailable: usize,
}

#[test]
fn no_changed_byte_of_a_blob_leaves_the_node_and_a_push_heals_it() {
    let _alone = alone();
    let count = size(20, 1000);
    let volume = Volume::new(Kind::Ext4, 4096);
    let place = Place::at(&volume.path().join("data"));
    let (node, root) = (place.start(), place.root());
    let blobs: Vec<Blob> = (0..count).map(|number| store(&place, &root, number)).collect();
    for (number, blob) in blobs.iter().enumerate() {
        if number.is_multiple_of(2) {
            flip(&blob.file, blob.hit as u64);
        } else {
            volume.flip_beneath(&blob.file, blob.hit as u64);
        }
        assert_ne!(fs::read(&blob.file).expect("the blob's file"), blob.content, "the change did not arrive");
    }
    let mut answers = Answers::default();
    for blob in &blobs {
        pull(&root, blob, &mut answers);
        assert_gone(&root, blob);
    }
    assert!(answers.unavailable > 0, "no change was noticed");
    // A restart forgets nothing of it.
    node.kill();
    let node = place.start();
    for blob in &blobs {
        assert_gone(&root, blob);
        assert_eq!(root.push_blob(REPOSITORY, &blob.content), blob.digest);
        let healed = root.get(target(blob)).send();
        healed.assert_status(200);
        assert!(healed.body == blob.content, "the healed blob is another one");
    }
    let read = blobs.iter().filter(|blob| blob.was_read).count();
    report(
        "E9",
        &format!(
            "{count} changed bytes ({} beneath the file system, {read} in blobs checked before): 0 wrong bytes sent; {} answers 503, {} cut, {} whole (other parts); all healed by a push",
            count / 2,
            answers.unavailable,
            answers.cut,
            answers.whole,
        ),
    );
    assert!(!node.log().contains("panicked"), "{}", tail(&node));
}

/// Pushes a blob of 10 KiB to 3 MiB, and reads it where a flip through the file follows: those must be noticed
/// by the file's time stamps alone.
fn store(place: &Place, root: &Client, number: usize) -> Blob {
    let content = unique_bytes((10 << 10) + (random() as usize) % (3 << 20));
    let digest = root.push_blob(REPOSITORY, &content);
    let was_read = number.is_multiple_of(4);
    let file = file_of(&place.data, &digest).expect("the blob's file");
    let hit = (random() as usize) % content.len();
    let blob = Blob { content, digest, file, hit, was_read };
    if was_read {
        root.get(target(&blob)).send().assert_status(200);
    }
    blob
}

fn target(blob: &Blob) -> String {
    format!("/v2/{REPOSITORY}/blobs/{}", blob.digest)
}

/// All of the blob in parts and at once, in an order by chance.
fn pull(root: &Client, blob: &Blob, answers: &mut Answers) {
    let whole = |answers: &mut Answers| {
        answers.judge(blob, 0..blob.content.len(), root.get(target(blob)).try_send(), 200);
    };
    if random().is_multiple_of(2) {
        whole(answers);
    }
    let part = blob.content.len().div_ceil(RANGES);
    for start in (0..blob.content.len()).step_by(part) {
        let range = start..blob.content.len().min(start + part);
        let header = format!("bytes={start}-{}", range.end - 1);
        answers.judge(blob, range, root.get(target(blob)).header("Range", header).try_send(), 206);
    }
    whole(answers);
}

impl Answers {
    /// Checks the answer to a request for `range`.
    fn judge(&mut self, blob: &Blob, range: Range<usize>, answer: io::Result<Answer>, status: u16) {
        let expected = &blob.content[range.clone()];
        // What the node looks at before it answers, it answers with an error; later a reply can only be cut, which
        // may take with it what was not sent yet.
        let is_seen_first = range.start / WINDOW == blob.hit / WINDOW;
        match answer {
            Ok(answer) if answer.status == status => {
                assert!(expected.starts_with(&answer.body), "wrong bytes left the node");
                assert!(
                    answer.complete == (answer.body.len() == expected.len()),
                    "a cut answer that looks whole"
                );
                assert!(!is_seen_first, "{} bytes and no error", answer.body.len());
                if answer.complete { self.whole += 1 } else { self.cut += 1 }
            }
            Ok(answer) => {
                answer.assert_refused(&[503]);
                self.unavailable += 1;
            }
            Err(error) => {
                assert!(!is_seen_first, "no answer: {error}");
                self.cut += 1;
            }
        }
    }
}

/// Everybody who asks learns that the blob is not there, so that the next push brings it.
fn assert_gone(root: &Client, blob: &Blob) {
    root.get(target(blob)).send().assert_refused(&[503]);
    root.head(target(blob)).send().assert_bodyless(404);
}
