//! E9, E10 with several nodes: copies of blobs are damaged or lost. No wrong byte leaves any node; while one good
//! copy is left every node answers from it, and the bad ones are made again.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tests::Server;
use tests::cluster::{Cluster, PATIENCE, operate};
use tests::content::unique_bytes;
use tests::journal::random;
use tests::wait::{wait_for, wait_until};

use crate::alone;

const REPOSITORY: &str = "damaged/blobs";

/// What happens to a copy.
#[derive(Clone, Copy, Debug)]
enum Harm {
    /// One byte changes.
    Flip,
    /// The file goes.
    Remove,
}

struct Blob {
    content: Vec<u8>,
    digest: String,
}

impl Blob {
    fn push(node: &Server, size: usize) -> Self {
        let content = unique_bytes(size);
        let digest = node.root().push_blob(REPOSITORY, &content);
        Self { content, digest }
    }

    fn path(&self) -> String {
        format!("/v2/{REPOSITORY}/blobs/{}", self.digest)
    }

    /// The file of the copy on `node`, if there is one.
    fn file(&self, node: &Server) -> Option<PathBuf> {
        let hex = self.digest.trim_start_matches("sha256:");
        let shard = node.data_dir().join("blobs/blobs/sha256").join(&hex[..2]);
        fs::read_dir(shard).ok()?.flatten().map(|entry| entry.path()).find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with(hex) && !name.ends_with(".pieces")
        })
    }

    fn harm(&self, node: &Server, harm: Harm, at: usize) {
        let file = self.file(node).expect("the node has a copy");
        match harm {
            Harm::Remove => fs::remove_file(file).expect("removed"),
            Harm::Flip => {
                let opened = fs::File::options().read(true).write(true).open(file).expect("the file");
                let mut byte = [0];
                opened.read_exact_at(&mut byte, at as u64).expect("read");
                opened.write_all_at(&[byte[0] ^ 1], at as u64).expect("written");
            }
        }
    }

    fn is_whole_at(&self, node: &Server) -> bool {
        self.file(node).and_then(|file| fs::read(file).ok()).is_some_and(|content| content == self.content)
    }

    fn assert_served_by(&self, node: &Server) {
        let whole = node.root().get(self.path()).send();
        whole.assert_status(200);
        assert!(whole.body == self.content, "wrong or missing bytes: {}", whole.body.len());
        let (start, end) = (self.content.len() / 3, self.content.len() * 2 / 3);
        let part = node.root().get(self.path()).header("range", format!("bytes={start}-{end}")).send();
        part.assert_status(206);
        assert!(part.body == self.content[start..=end], "wrong or missing bytes: {}", part.body.len());
    }
}

fn wait_for_copies(cluster: &mut Cluster) {
    cluster.wait_for_status("all copies to be made", |status| {
        if status["blobs_under_copied"] == 0 { Ok(()) } else { Err(status.to_string()) }
    });
}

pub(crate) fn figure(node: &Server, name: &str) -> u64 {
    let metrics = String::from_utf8_lossy(&node.root().get("/metrics").send().body).into_owned();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).expect("a figure")
}

#[test]
fn a_damaged_or_missing_copy_is_answered_from_others_and_made_again() {
    let _alone = alone();
    let count = if tests::registry::is_full_run() { 1000 } else { 24 };
    let mut cluster = Cluster::start(3);
    let blobs: Vec<Blob> = (0..count)
        .map(|number| Blob::push(&cluster.nodes[number % 3], (10 << 10) + random() as usize % (3 << 20)))
        .collect();
    wait_for_copies(&mut cluster);
    let mut slowest = Duration::ZERO;
    for (number, blob) in blobs.iter().enumerate() {
        let node = &cluster.nodes[(number / 2) % 3];
        if number.is_multiple_of(4) {
            // Checked just now: only the file's time stamps tell.
            blob.assert_served_by(node);
        }
        let harm = if number % 5 == 4 { Harm::Remove } else { Harm::Flip };
        blob.harm(node, harm, random() as usize % blob.content.len());
        assert!(!blob.is_whole_at(node), "the harm did not arrive");
        let began = Instant::now();
        blob.assert_served_by(node);
        wait_until("the copy to be made again", PATIENCE, || blob.is_whole_at(node));
        slowest = slowest.max(began.elapsed());
        cluster.nodes.iter().for_each(|node| blob.assert_served_by(node));
    }
    let found: u64 = cluster.nodes.iter().map(|node| figure(node, "shoal_blob_damaged_copies_total")).sum();
    println!(
        "    E9: {count} copies harmed, {found} found, 0 wrong bytes, all answered and made again, slowest {slowest:?}"
    );
    assert_eq!(found, u64::try_from(count).expect("few"));
    // 5 s are promised; ten times that on a busy machine.
    assert!(slowest < Duration::from_secs(50), "{slowest:?}");
    wait_for_copies(&mut cluster);
    wait_until("no mark to be left", PATIENCE, || {
        cluster.nodes.iter().all(|node| figure(node, "shoal_blob_damaged_now") == 0)
    });
}

#[test]
fn a_blob_without_a_good_copy_is_listed_until_a_push_heals_it() {
    let _alone = alone();
    let mut cluster = Cluster::start(3);
    let count = if tests::registry::is_full_run() { 200 } else { 5 };
    let blobs: Vec<Blob> =
        (0..count).map(|number| Blob::push(&cluster.nodes[number % 3], 700_000 + number)).collect();
    let good = Blob::push(&cluster.nodes[0], 100_000);
    wait_for_copies(&mut cluster);
    for blob in &blobs {
        cluster
            .nodes
            .iter()
            .for_each(|node| blob.harm(node, Harm::Flip, random() as usize % blob.content.len()));
    }
    for (number, blob) in blobs.iter().enumerate() {
        for node in [number, number + 1, number + 2].map(|place| &cluster.nodes[place % 3]) {
            node.root().get(blob.path()).send().assert_refused(&[503]);
        }
    }
    let listed = wait_for("all of them to be listed", PATIENCE, || {
        let answer = cluster.operate(&["blob", "damaged", "--output", "json"]);
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        let listed: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let all = listed["blobs"].as_array().map_or(0, Vec::len);
        if all == count { Ok(listed) } else { Err(text) }
    });
    assert!(blobs.iter().all(|blob| listed.to_string().contains(&blob.digest)), "{listed}");
    assert_eq!(listed["blobs"][0]["repositories"][0], REPOSITORY);
    let status = cluster.operate(&["status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("cannot be read: see `shoal blob damaged`"));
    let alarms: usize =
        cluster.nodes.iter().map(|node| node.log().matches("no good copy of the blob is left").count()).sum();
    assert_eq!(alarms, count, "one alarm for each");
    for blob in &blobs {
        for node in &cluster.nodes {
            node.root().get(blob.path()).send().assert_refused(&[503]);
            node.root().head(blob.path()).send().assert_bodyless(404);
        }
    }
    // What has a good copy is not listed, and is served.
    assert!(!listed.to_string().contains(&good.digest));
    cluster.nodes.iter().for_each(|node| good.assert_served_by(node));
    for (number, blob) in blobs.iter().enumerate() {
        assert_eq!(cluster.nodes[number % 3].root().push_blob(REPOSITORY, &blob.content), blob.digest);
        // At once: after the 201 every node knows of the new copy.
        cluster.nodes.iter().for_each(|node| blob.assert_served_by(node));
    }
    wait_for_copies(&mut cluster);
    let after = cluster.operate(&["blob", "damaged", "--output", "json"]);
    let after: serde_json::Value = serde_json::from_slice(&after.stdout).expect("a document");
    assert_eq!(after["blobs"].as_array().map(Vec::len), Some(0), "{after}");
    println!("    E10: all copies of {count} blobs harmed: 0 wrong bytes, listed, healed by a push");
}

/// Scrubs a node at once, to the end; bytes checked and damaged copies found.
fn scrub(node: &Server) -> (u64, u64) {
    let answer = operate(node, &["scrub", "start", "--wait", "--output", "json"]);
    let scrub: serde_json::Value = serde_json::from_slice(&answer.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&answer.stderr)));
    assert_eq!(scrub["running"], false, "{scrub}");
    (scrub["checked_bytes"].as_u64().expect("a number"), scrub["found"].as_u64().expect("a number"))
}

#[test]
fn a_scrub_finds_every_changed_byte_and_the_copies_are_made_again() {
    let _alone = alone();
    let (count, size) = if tests::registry::is_full_run() { (1000, 2 << 20) } else { (60, 1 << 20) };
    let mut cluster = Cluster::start(3);
    let blobs: Vec<Blob> = (0..count)
        .map(|number| Blob::push(&cluster.nodes[number % 3], 1 + random() as usize % size))
        .collect();
    wait_for_copies(&mut cluster);
    let stored: u64 = blobs.iter().map(|blob| blob.content.len() as u64).sum();
    // The control: nothing is found where nothing was changed.
    for node in &cluster.nodes {
        assert_eq!(scrub(node), (stored, 0));
    }
    for (number, blob) in blobs.iter().enumerate() {
        blob.harm(&cluster.nodes[number % 3], Harm::Flip, random() as usize % blob.content.len());
    }
    let began = Instant::now();
    let found: u64 = cluster.nodes.iter().map(|node| scrub(node).1).sum();
    let took = began.elapsed();
    assert_eq!(found, u64::try_from(count).expect("few"), "not every changed byte was found");
    for blob in &blobs {
        wait_until("every copy to be made again", PATIENCE, || {
            cluster.nodes.iter().all(|node| blob.is_whole_at(node))
        });
    }
    let healed = began.elapsed();
    let rate = 3.0 * stored as f64 / took.as_secs_f64() / f64::from(1 << 20);
    println!(
        "    E11: {found} of {count} changed bytes found at {rate:.0} MiB/s, made again after {healed:?}"
    );
    // Where it stands survives a restart.
    let show = |node: &Server| {
        let shown = operate(node, &["scrub", "show", "--output", "json"]);
        serde_json::from_slice::<serde_json::Value>(&shown.stdout).expect("a document")
    };
    let before = show(&cluster.nodes[0]);
    assert!(before["ended_ms"].as_u64().is_some(), "{before}");
    cluster.nodes[0].restart();
    assert_eq!(show(&cluster.nodes[0])["ended_ms"], before["ended_ms"]);
}
