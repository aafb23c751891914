//! E5 and E10: files of the node are cut, torn, lengthened and changed while it is down. It starts with all that
//! was acknowledged, or refuses to start and names the file. It never panics and never serves wrong bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tests::content::unique_bytes;
use tests::journal::{Journal, Verdict, random};
use tests::load::{push_blob, push_image};

use crate::node::Place;
use crate::wound::{Wound, copy_all, inflict};
use crate::{alone, report, size};

/// A page of the metadata files.
const PAGE: u64 = 4096;
/// Where fields of such a file's header begin: its own, and those of both commit slots behind it.
const HEADER: [u64; 7] = [0, 8, 9, 12, 16, 20, 24];
const SLOTS: [u64; 2] = [64, 192];
const SLOT_FIELDS: [u64; 8] = [0, 8, 16, 32, 40, 56, 96, 112];
const REPOSITORY: &str = "torn/images";
const STOPPED: &str = "stopped";
const KILLED: &str = "killed";

/// A data directory that was good.
struct Good {
    place: Place,
    journal: Journal,
    how: &'static str,
}

/// One experiment.
struct Point<'a> {
    good: &'a Good,
    file: PathBuf,
    wound: Wound,
}

/// What came of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Started with everything.
    Recovered,
    /// Did not start and said why.
    Refused,
    /// Started; what is damaged is answered with 5xx.
    Served503,
    /// Acknowledged content is answered "not found".
    Lost,
    /// Other bytes were served.
    Wrong,
    /// It did not start and named no file, or ended with another code.
    Unexplained,
    /// Something panicked, whatever came of it.
    Panicked,
}

impl Outcome {
    fn is_allowed(self) -> bool {
        self <= Self::Served503
    }
}

#[test]
fn damaged_metadata_is_recovered_or_refused_by_name() {
    let _alone = alone();
    let goods = [good(true), good(false)];
    let mut points = Vec::new();
    for good in &goods {
        for (file, wounds) in [
            ("metadata/log/00000001.log", log_wounds as fn(&Path, usize) -> Vec<Wound>),
            ("metadata/log/synced", log_wounds),
            ("metadata/state.db", database_wounds),
        ] {
            let wounds = wounds(&good.place.data.join(file), size(3, 250));
            points.extend(wounds.into_iter().map(|wound| Point { good, file: file.into(), wound }));
        }
    }
    run("metadata", &points);
}

#[test]
fn damaged_markers_and_keys_are_refused_by_name() {
    let _alone = alone();
    let goods = [good(true)];
    let mut points = Vec::new();
    for file in ["FORMAT", "metadata/FORMAT", "blobs/FORMAT", "node.key"] {
        let len = fs::metadata(goods[0].place.data.join(file)).expect("the file").len();
        let step = size((len as usize / 4).max(1), 1);
        let offsets = (0..len).step_by(step);
        let wounds =
            offsets.flat_map(|at| [Wound::Cut(at), Wound::Flip(at)]).chain([Wound::Append(1), Wound::Remove]);
        points.extend(wounds.map(|wound| Point { good: &goods[0], file: file.into(), wound }));
    }
    run("markers", &points);
}

#[test]
fn damaged_piece_lists_and_blobs_never_lead_to_wrong_bytes() {
    let _alone = alone();
    let goods = [good(true)];
    let mut points = Vec::new();
    for file in blob_files(&goods[0].place.data) {
        let len = fs::metadata(goods[0].place.data.join(&file)).expect("the file").len();
        let wounds = [
            Wound::Cut(0),
            Wound::Cut(33.min(len - 1)),
            Wound::Cut(len - 1),
            Wound::Flip(random() % len),
            Wound::Append(32),
            Wound::Remove,
        ];
        points.extend(wounds.into_iter().map(|wound| Point { good: &goods[0], file: file.clone(), wound }));
    }
    run("blobs and piece lists", &points);
}

/// A directory with images, blobs with and without piece lists, and deletions, left by SIGTERM or by SIGKILL.
fn good(cleanly: bool) -> Good {
    let (place, journal) = (Place::new(), Journal::default());
    let (node, root) = (place.start(), place.root());
    push_blob(&root, REPOSITORY, &journal, &unique_bytes(300 << 10)).expect("pushed");
    for _ in 0..4 {
        let nobody = Journal::default();
        let tag = push_image(&root, REPOSITORY, &nobody, false).expect("pushed");
        root.delete(format!("/v2/{REPOSITORY}/manifests/{tag}")).send().assert_status(202);
        push_small_image(&root, &journal);
    }
    if cleanly {
        assert!(node.stop().success());
    } else {
        node.kill();
    }
    Good { place, journal, how: if cleanly { STOPPED } else { KILLED } }
}

/// An image whose parts are small, so that copying the directory is cheap.
fn push_small_image(root: &tests::http::Client, journal: &Journal) {
    let image = root.push_image(REPOSITORY, &format!("s{}", tests::content::serial()));
    for blob in [&image.config, &image.layer] {
        let digest = tests::content::sha256(blob);
        journal.ack(REPOSITORY, "blobs", &digest, &digest);
    }
    journal.ack(REPOSITORY, "manifests", &image.digest, &image.digest);
}

/// Both ends of what was written, and places by chance; behind it stands only room that is reserved.
fn log_wounds(path: &Path, chances: usize) -> Vec<Wound> {
    let content = fs::read(path).expect("the file");
    let len = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
    let mut wounds: Vec<Wound> = [0, 1, 8, 24, len - 1].into_iter().map(Wound::Flip).collect();
    wounds.extend([0, 1, 24, len / 2, len - 1].map(Wound::Cut));
    wounds.extend([Wound::Append(1), Wound::Append(PAGE as usize), Wound::Remove, Wound::Zero(0, len)]);
    for _ in 0..chances {
        let at = random() % len;
        wounds.extend([Wound::Flip(at), Wound::Cut(at), Wound::Zero(at, (len - at).min(PAGE))]);
    }
    wounds
}

/// Header fields, commit slots, page boundaries and what stands in pages; `chances` more of each by chance.
fn database_wounds(path: &Path, chances: usize) -> Vec<Wound> {
    let content = fs::read(path).expect("the file");
    let len = content.len() as u64;
    let mut wounds: Vec<Wound> = HEADER.iter().map(|at| Wound::Flip(*at)).collect();
    wounds
        .extend(SLOTS.iter().flat_map(|slot| SLOT_FIELDS.iter().map(move |field| Wound::Flip(slot + field))));
    wounds.extend([0, 1, 63, 64, 192, 320, PAGE, len - PAGE, len - 1].map(Wound::Cut));
    wounds.extend([
        Wound::Append(1),
        Wound::Append(PAGE as usize),
        Wound::Remove,
        Wound::Zero(0, 320),
        Wound::Zero(64, 128),
        Wound::Zero(192, 128),
    ]);
    let used: Vec<u64> = (0..len / PAGE).filter(|page| is_used(&content, *page)).collect();
    for _ in 0..chances {
        let page = used[random() as usize % used.len()] * PAGE;
        let byte = page + random() % PAGE;
        wounds.extend([
            Wound::Flip(byte),
            Wound::Cut(page + random() % 3),
            Wound::Zero(page, PAGE),
            Wound::Zero(page + 512, PAGE - 512),
        ]);
        // A byte that surely means something.
        let full = (byte..page + PAGE).find(|at| content[*at as usize] != 0);
        wounds.extend(full.map(Wound::Flip));
    }
    wounds
}

fn is_used(content: &[u8], page: u64) -> bool {
    let start = (page * PAGE) as usize;
    content[start..start + PAGE as usize].iter().any(|byte| *byte != 0)
}

/// All copies and piece lists, relative to the data directory.
fn blob_files(data: &Path) -> Vec<PathBuf> {
    let shards = fs::read_dir(data.join("blobs/blobs/sha256")).expect("shards").flatten();
    let files = shards.flat_map(|shard| fs::read_dir(shard.path()).expect("a shard").flatten());
    let mut files: Vec<PathBuf> =
        files.filter_map(|file| Some(file.path().strip_prefix(data).ok()?.to_owned())).collect();
    files.sort_by_key(|file| !file.to_string_lossy().ends_with(".pieces"));
    files.truncate(size(4, 100));
    files
}

/// Tries all points, two at a time, and fails with a list of those that went wrong.
fn run(what: &str, points: &[Point]) {
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (outcome, text) = point.experience();
            let text = format!("{} {} {:?}: {text}", point.good.how, point.file.display(), point.wound);
            outcomes.lock().expect("unpoisoned").push((outcome, text));
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        work();
        other.join().expect("no panic");
    });
    let outcomes = outcomes.into_inner().expect("unpoisoned");
    let mut counts = BTreeMap::new();
    outcomes.iter().for_each(|(outcome, _)| *counts.entry(*outcome).or_insert(0) += 1);
    report("E5", &format!("{what}: {} points: {counts:?}", points.len()));
    let failed = outcomes.iter().filter(|(outcome, _)| !outcome.is_allowed());
    let failed: Vec<String> = failed.map(|(outcome, text)| format!("{outcome:?}: {text}")).collect();
    assert!(failed.is_empty(), "{} of {} points:\n{}", failed.len(), points.len(), failed.join("\n"));
}

impl Point<'_> {
    fn experience(&self) -> (Outcome, String) {
        let place = Place::new();
        copy_all(&self.good.place.data, &place.data);
        inflict(&place.data.join(&self.file), self.wound);
        let in_blob = self.file.starts_with("blobs/blobs");
        let (outcome, text) = match place.try_start() {
            Err(refusal) => {
                let named = refusal
                    .text
                    .contains(&*place.data.join(&self.file).parent().expect("a folder").to_string_lossy());
                let proper = refusal.status.code() == Some(1) && named && !in_blob;
                (if proper { Outcome::Refused } else { Outcome::Unexplained }, refusal.text)
            }
            Ok(_node) => {
                let verdict = self.good.journal.verify_all(&place.root(), 1);
                (self.judge(&verdict), format!("{verdict}\n{}", place.log()))
            }
        };
        (if place.log().contains("panicked") { outcome.max(Outcome::Panicked) } else { outcome }, text)
    }

    fn judge(&self, verdict: &Verdict) -> Outcome {
        match (verdict.wrong.is_empty(), verdict.lost.is_empty(), verdict.unavailable.is_empty()) {
            (false, ..) => Outcome::Wrong,
            (_, false, _) => Outcome::Lost,
            (.., false) => Outcome::Served503,
            _ => Outcome::Recovered,
        }
    }
}
