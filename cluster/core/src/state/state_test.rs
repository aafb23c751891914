//! What each command does, and what must hold after any sequence of them (I12, I13, I15 of the
//! consistency specification). One file, since all of it goes through `run_at`, which recounts every time.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proto::digest::{Algorithm, Digest};
use proto::identity::{NodeId, RegistryId};
use proto::upload::UploadId;

use super::blob::{self, LEASE_MS};
use super::{apply, cluster, log_time, manifest, referrer, repository, tag};
use crate::command::{Batch, Command, CommitBlob, Condition, InitCluster, MountBlob, PutManifest, Response};
use crate::key::{self, RepositoryId};
use crate::record::{LinkRecord, ManifestRecord, Record};
use crate::view::{MemoryView, StagedView, View, ViewMut};

fn registry() -> RegistryId {
    RegistryId { account: "000000000001".parse().unwrap(), region: "home".parse().unwrap() }
}

fn id(name: &str) -> RepositoryId {
    RepositoryId { registry: registry(), name: name.parse().unwrap() }
}

fn digest(content: &str) -> Digest {
    Digest::of(Algorithm::Sha256, content.as_bytes())
}

fn generation(number: u128) -> UploadId {
    UploadId::new(NodeId::new(1).unwrap(), number)
}

fn commit(name: &str, content: &str, number: u128) -> Command {
    Command::CommitBlob(CommitBlob {
        repository: id(name),
        digest: digest(content),
        size: content.len() as u64,
        generation: generation(number),
        pieces_root: [0; 32],
        staging_deadline_ms: 1_000_000,
        copies: Vec::new(),
        required_copies: 1,
        required_zones: 1,
    })
}

fn put(name: &str, content: &str, blobs: &[&str], tags: &[&str]) -> PutManifest {
    PutManifest {
        repository: id(name),
        digest: digest(content),
        media_type: "application/vnd.oci.image.manifest.v1+json".into(),
        content: content.as_bytes().to_vec(),
        blobs: blobs.iter().map(|blob| (digest(blob), blob.len() as u64)).collect(),
        children: Vec::new(),
        subject: None,
        artifact_type: None,
        annotations: BTreeMap::new(),
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        condition: None,
    }
}

fn manifest_command(put: PutManifest) -> Command {
    Command::PutManifest(Box::new(put))
}

/// Applies one command at log time 1000 (or later, if time went on) and index 7.
fn run(view: &mut MemoryView, command: Command) -> Response {
    run_at(view, 1000, command)
}

fn run_at(view: &mut MemoryView, time_ms: u64, command: Command) -> Response {
    let before = view.clone();
    let mut responses = apply(view, 7, Batch { time_ms, commands: vec![command.clone()] }).unwrap();
    check_counts(view);
    let response = responses.pop().unwrap();
    if is_refusal(&response) {
        let mut expected = before;
        apply(&mut expected, 7, Batch { time_ms, commands: Vec::new() }).unwrap();
        assert_eq!(*view, expected, "{command:?} was refused with {response:?} and changed something");
    }
    response
}

fn is_refusal(response: &Response) -> bool {
    matches!(
        response,
        Response::AlreadyInitialized { .. }
            | Response::StagingExpired
            | Response::NotMounted
            | Response::InUse
            | Response::Kept
            | Response::MissingBlobs(_)
            | Response::SizeMismatch(_)
            | Response::ConditionFailed { .. }
            | Response::NotFound
    )
}

/// All pairs whose key begins with `kind`, without that byte.
fn of_kind(view: &MemoryView, kind: u8) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let pairs = view.iter().filter(|(key, _)| key[0] == kind);
    pairs.map(|(key, value)| (key[1..].to_vec(), value.to_vec())).collect()
}

/// Recounts everything that apply keeps count of.
pub(super) fn check_counts(view: &MemoryView) {
    let mut links: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let mut references: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let mut rows_under_manifests = Vec::new();
    for (key, value) in of_kind(view, b't') {
        let at = key.iter().rposition(|byte| *byte == 0).unwrap();
        let record = crate::record::TagRecord::decode(&value).unwrap();
        let manifest = [&key[..=at], &record.digest.to_bytes()].concat();
        assert!(of_kind(view, b'm').contains_key(&manifest), "a tag leads to no manifest");
        rows_under_manifests.push([&manifest, &key[at + 1..]].concat());
    }
    rows_under_manifests.sort();
    assert_eq!(of_kind(view, b'T').into_keys().collect::<Vec<_>>(), rows_under_manifests);
    let mut referrers = Vec::new();
    for (key, value) in of_kind(view, b'm') {
        let record = ManifestRecord::decode(&value).unwrap();
        assert!(of_kind(view, b'M').contains_key(&key), "a manifest has no bytes");
        let (repository, own) = key.split_at(key.len() - 33);
        for blob in &record.blobs {
            *references.entry([repository, &blob.to_bytes()].concat()).or_default() += 1;
        }
        referrers.extend(record.subject.map(|subject| [repository, &subject.to_bytes(), own].concat()));
        assert!(of_kind(view, b'r').contains_key(&repository[..repository.len() - 1]), "no repository");
    }
    referrers.sort();
    assert_eq!(of_kind(view, b'f').into_keys().collect::<Vec<_>>(), referrers);
    assert_eq!(of_kind(view, b'M').len(), of_kind(view, b'm').len());
    for (key, value) in of_kind(view, b'l') {
        let counted = references.remove(&key).unwrap_or(0);
        assert_eq!(LinkRecord::decode(&value).unwrap().references, counted);
        *links.entry(key[key.len() - 33..].to_vec()).or_default() += 1;
    }
    assert!(references.is_empty(), "a manifest needs a blob that its repository does not link");
    for (key, value) in of_kind(view, b'b') {
        let record = crate::record::BlobRecord::decode(&value).unwrap();
        assert_eq!(record.links, links.remove(&key).unwrap_or(0));
    }
    assert!(links.is_empty(), "a link leads to a blob without a record");
}

#[test]
fn the_first_initialization_wins() {
    let mut view = MemoryView::default();
    let init = |byte| {
        let root_password_hash = format!("$hash${byte}");
        Command::InitCluster(InitCluster { cluster_id: [byte; 16], registry: registry(), root_password_hash })
    };
    assert!(!format!("{:?}", init(1)).contains("hash$"), "the hash shows in debug output");
    assert_eq!(run(&mut view, init(1)), Response::ClusterInitialized);
    let again = run(&mut view, init(2));
    assert_eq!(again, Response::AlreadyInitialized { cluster_id: [1; 16], registry: registry() });
    let root = cluster::root(&view, &registry().account).unwrap().unwrap();
    assert_eq!(root.password_hash, "$hash$1");
    assert!(!format!("{root:?}").contains("hash$"), "the hash shows in debug output");
}

#[test]
fn log_time_never_falls() {
    let mut view = MemoryView::default();
    for (time_ms, expected) in [(5, 5), (9, 9), (3, 9), (0, 9), (10, 10)] {
        apply(&mut view, 1, Batch { time_ms, commands: Vec::new() }).unwrap();
        assert_eq!(log_time(&view).unwrap(), expected);
    }
}

#[test]
fn a_commit_makes_repository_record_and_link() {
    let mut view = MemoryView::default();
    assert_eq!(run(&mut view, commit("a", "x", 1)), Response::BlobLinked { generation: generation(1) });
    assert_eq!(repository::repository(&view, &id("a")).unwrap().unwrap().created_ms, 1000);
    let (link, record) = blob::linked_blob(&view, &id("a"), &digest("x")).unwrap().unwrap();
    assert_eq!((link.references, record.links, record.size), (0, 1, 1));
    assert_eq!(record.lease_until_ms, 1000 + LEASE_MS);
}

#[test]
fn a_second_upload_of_a_blob_keeps_the_generation_of_the_first() {
    let mut view = MemoryView::default();
    run(&mut view, commit("a", "x", 1));
    assert_eq!(run(&mut view, commit("b", "x", 2)), Response::BlobLinked { generation: generation(1) });
    assert_eq!(run(&mut view, commit("b", "x", 3)), Response::BlobLinked { generation: generation(1) });
    assert_eq!(blob::blob(&view, &digest("x")).unwrap().unwrap().links, 2);
}

#[test]
fn a_commit_after_its_staging_deadline_is_refused() {
    let mut view = MemoryView::default();
    assert_eq!(run_at(&mut view, 1_000_001, commit("a", "x", 1)), Response::StagingExpired);
    let mut view = MemoryView::default();
    assert!(matches!(run_at(&mut view, 1_000_000, commit("a", "x", 1)), Response::BlobLinked { .. }));
}

#[test]
fn a_blob_is_mounted_from_the_first_repository_that_links_it() {
    let mut view = MemoryView::default();
    run(&mut view, commit("b", "x", 1));
    let mount = |from: &[&str]| {
        let from = from.iter().map(|name| name.parse().unwrap()).collect();
        Command::MountBlob(MountBlob { repository: id("new"), digest: digest("x"), from })
    };
    assert_eq!(run(&mut view, mount(&[])), Response::NotMounted);
    assert_eq!(run(&mut view, mount(&["a"])), Response::NotMounted);
    assert_eq!(repository::repository(&view, &id("new")).unwrap(), None);
    assert_eq!(run(&mut view, mount(&["a", "b"])), Response::Mounted { size: 1 });
    assert_eq!(run(&mut view, mount(&[])), Response::Mounted { size: 1 });
    assert_eq!(blob::blob(&view, &digest("x")).unwrap().unwrap().links, 2);
}

#[test]
fn a_blob_is_dropped_only_with_its_generation_without_links_and_after_its_lease() {
    let mut view = MemoryView::default();
    let drop_blob = |number| Command::DropBlob { digest: digest("x"), generation: generation(number) };
    assert_eq!(run(&mut view, drop_blob(1)), Response::Kept);
    run(&mut view, commit("a", "x", 1));
    let late = 1000 + LEASE_MS + 1;
    assert_eq!(run_at(&mut view, late, drop_blob(1)), Response::Kept, "it is linked");
    let unlink = Command::UnlinkBlob { repository: id("a"), digest: digest("x") };
    assert_eq!(run(&mut view, unlink.clone()), Response::Unlinked);
    assert_eq!(run(&mut view, unlink), Response::NotFound);
    assert_eq!(run(&mut view, drop_blob(2)), Response::Kept, "it has another generation");
    let renewed = run(&mut view, Command::RenewLease { digest: digest("x") });
    assert_eq!(renewed, Response::LeaseRenewed { until_ms: late + LEASE_MS });
    assert_eq!(run_at(&mut view, late + LEASE_MS, drop_blob(1)), Response::Kept, "its lease is not over");
    assert_eq!(run_at(&mut view, late + LEASE_MS + 1, drop_blob(1)), Response::Dropped);
    assert_eq!(run(&mut view, Command::RenewLease { digest: digest("x") }), Response::NotFound);
}

#[test]
fn a_manifest_needs_every_blob_linked_in_its_own_repository() {
    let mut view = MemoryView::default();
    run(&mut view, commit("other", "x", 1));
    run(&mut view, commit("a", "y", 1));
    let refused = run(&mut view, manifest_command(put("a", "m", &["x", "y", "z", "z"], &["v1"])));
    let Response::MissingBlobs(missing) = refused else { panic!("{refused:?}") };
    assert_eq!(missing.len(), 2);
    assert!(missing.contains(&digest("x")) && missing.contains(&digest("z")));
}

#[test]
fn a_manifest_with_wrong_sizes_is_refused_with_the_true_ones() {
    let mut view = MemoryView::default();
    run(&mut view, commit("a", "x", 1));
    let mut wrong = put("a", "m", &["x"], &[]);
    wrong.blobs.push((digest("x"), 77));
    assert_eq!(run(&mut view, manifest_command(wrong)), Response::SizeMismatch(vec![(digest("x"), 1)]));
}

#[test]
fn a_manifest_comes_with_its_tags_bytes_and_referrer_row() {
    let mut view = MemoryView::default();
    run(&mut view, commit("a", "x", 1));
    let mut signature = put("a", "signature", &["x", "x"], &["s1", "s2"]);
    signature.subject = Some(digest("m"));
    signature.artifact_type = Some("text/signature".into());
    signature.annotations = BTreeMap::from([("key".into(), "value".into())]);
    let stored = run(&mut view, manifest_command(signature.clone()));
    assert_eq!(stored, Response::ManifestStored { created: true, index: 7 });
    let again = run(&mut view, manifest_command(signature));
    assert_eq!(again, Response::ManifestStored { created: false, index: 7 });
    let content = manifest::manifest_content(&view, &id("a"), &digest("signature")).unwrap();
    assert_eq!(content.as_deref(), Some(b"signature".as_slice()));
    let tags = tag::tags_of_manifest(&view, &id("a"), &digest("signature")).unwrap();
    assert_eq!(tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), ["s1", "s2"]);
    let page = referrer::referrers(&view, &id("a"), &digest("m"), None, None, 10).unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.items[0].1.annotations["key"], "value");
    let other = referrer::referrers(&view, &id("a"), &digest("m"), Some("text/other"), None, 10).unwrap();
    assert!(other.items.is_empty() && !other.more);
}

#[test]
fn a_needed_blob_cannot_be_unlinked_until_the_last_manifest_is_gone() {
    let mut view = MemoryView::default();
    run(&mut view, commit("a", "x", 1));
    run(&mut view, manifest_command(put("a", "m1", &["x"], &["v1"])));
    run(&mut view, manifest_command(put("a", "m2", &["x"], &["v1", "v2"])));
    let unlink = Command::UnlinkBlob { repository: id("a"), digest: digest("x") };
    let delete = |content| Command::DeleteManifest { repository: id("a"), digest: digest(content) };
    assert_eq!(run(&mut view, unlink.clone()), Response::InUse);
    assert_eq!(run(&mut view, delete("m1")), Response::Deleted);
    assert!(tag::tag(&view, &id("a"), &"v1".parse().unwrap()).unwrap().is_some(), "it had moved to m2");
    assert_eq!(run(&mut view, unlink.clone()), Response::InUse);
    assert_eq!(run(&mut view, delete("m2")), Response::Deleted);
    assert!(tag::tags(&view, &id("a"), None, 10).unwrap().items.is_empty());
    assert_eq!(run(&mut view, delete("m2")), Response::NotFound);
    assert_eq!(run(&mut view, unlink), Response::Unlinked);
}

#[test]
fn conditions_are_judged_on_what_each_tag_stands_for() {
    let mut view = MemoryView::default();
    let with = |content: &str, tags: &[&str], condition| {
        manifest_command(PutManifest { condition: Some(condition), ..put("a", content, &[], tags) })
    };
    let failed = |current| Response::ConditionFailed { current };
    let stored = |response| assert!(matches!(response, Response::ManifestStored { .. }), "{response:?}");
    assert_eq!(run(&mut view, with("m1", &["v"], Condition::IfMatchAny)), failed(None));
    stored(run(&mut view, with("m1", &["v"], Condition::IfNoneMatchAny)));
    assert_eq!(run(&mut view, with("m2", &["v"], Condition::IfNoneMatchAny)), failed(Some(digest("m1"))));
    assert_eq!(
        run(&mut view, with("m2", &["w", "v"], Condition::IfNoneMatchAny)),
        failed(Some(digest("m1")))
    );
    let if_match = |content: &str| Condition::IfMatch(vec![digest("no"), digest(content)]);
    assert_eq!(run(&mut view, with("m2", &["v"], if_match("m2"))), failed(Some(digest("m1"))));
    stored(run(&mut view, with("m2", &["v"], if_match("m1"))));
    assert_eq!(run(&mut view, with("m3", &[], Condition::IfMatchAny)), failed(None));
    stored(run(&mut view, with("m3", &[], Condition::IfNoneMatchAny)));
}

#[test]
fn a_deleted_tag_leaves_its_manifest() {
    let mut view = MemoryView::default();
    run(&mut view, manifest_command(put("a", "m", &[], &["v"])));
    let delete = Command::DeleteTag { repository: id("a"), tag: "v".parse().unwrap() };
    assert_eq!(run(&mut view, delete.clone()), Response::Deleted);
    assert_eq!(run(&mut view, delete), Response::NotFound);
    assert!(manifest::manifest(&view, &id("a"), &digest("m")).unwrap().is_some());
}

#[test]
fn listings_come_in_byte_order_without_neighbours_and_page_without_gaps() {
    let mut view = MemoryView::default();
    let names = ["a", "a-b", "a.b", "a/b", "a/b/c", "a0", "aa", "b"];
    for name in names {
        run(&mut view, commit(name, "x", 1));
        run(&mut view, manifest_command(put(name, "m", &[], &["B", "_", "a", "a-1", "a.1"])));
    }
    let elsewhere = RegistryId { region: "home-2".parse().unwrap(), ..registry() };
    let mut other = put("z", "m", &[], &["v"]);
    other.repository.registry = elsewhere;
    run(&mut view, manifest_command(other));
    let mut listed = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = repository::repositories(&view, &registry(), after.as_deref(), 3).unwrap();
        listed.extend(page.items.iter().map(ToString::to_string));
        after = listed.last().cloned();
        if !page.more {
            break;
        }
        assert_eq!(page.items.len(), 3);
    }
    assert_eq!(listed, names);
    let tags = tag::tags(&view, &id("a"), Some("B"), 3).unwrap();
    assert_eq!(tags.items.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), ["_", "a", "a-1"]);
    assert!(tags.more);
    assert!(tag::tags(&view, &id("a"), None, 0).unwrap().more);
    for hostile in ["\u{ffff}", "\0", "", "a\0b", "zzz"] {
        tag::tags(&view, &id("a"), Some(hostile), 10).unwrap();
        repository::repositories(&view, &registry(), Some(hostile), 10).unwrap();
    }
}

#[test]
fn altered_values_are_errors_and_never_absent() {
    let mut view = MemoryView::default();
    run(&mut view, commit("a", "x", 1));
    run(&mut view, manifest_command(put("a", "m", &["x"], &["v"])));
    let mut altered = view.clone();
    altered.put(key::manifest_content(&id("a"), &digest("m")), b"n".to_vec());
    assert!(manifest::manifest_content(&altered, &id("a"), &digest("m")).is_err());
    for value in [vec![], vec![2, 8, 1], vec![1, 255], vec![1, 10, 1, 0]] {
        let mut altered = view.clone();
        altered.put(key::tag(&id("a"), &"v".parse().unwrap()), value);
        assert!(tag::tag(&altered, &id("a"), &"v".parse().unwrap()).is_err());
        let delete = Command::DeleteManifest { repository: id("a"), digest: digest("m") };
        assert!(apply(&mut altered, 1, Batch { time_ms: 0, commands: vec![delete] }).is_err());
    }
    let mut altered = view.clone();
    altered.delete(key::blob(&digest("x")));
    assert!(blob::linked_blob(&altered, &id("a"), &digest("x")).is_err());
}

fn any_command() -> impl Strategy<Value = Command> {
    let name = || prop::sample::select(vec!["a", "a/b", "b"]);
    let content = || prop::sample::select(vec!["x", "y", "z"]);
    let manifest = || prop::sample::select(vec!["m1", "m2", "m3"]);
    let tag = || prop::sample::select(vec!["v1", "v2"]);
    prop_oneof![
        (name(), content(), 0u128..3).prop_map(|(name, content, number)| commit(name, content, number)),
        (name(), name(), content()).prop_map(|(to, from, content)| {
            let from = vec![from.parse().unwrap()];
            Command::MountBlob(MountBlob { repository: id(to), digest: digest(content), from })
        }),
        content().prop_map(|content| Command::RenewLease { digest: digest(content) }),
        (name(), content()).prop_map(|(name, content)| Command::UnlinkBlob {
            repository: id(name),
            digest: digest(content)
        }),
        (content(), 0u128..3).prop_map(|(content, number)| {
            Command::DropBlob { digest: digest(content), generation: generation(number) }
        }),
        (
            name(),
            manifest(),
            prop::collection::vec(content(), 0..4),
            prop::collection::vec(tag(), 0..3),
            any::<bool>()
        )
            .prop_map(|(name, content, blobs, tags, refers)| {
                // What a manifest needs follows from its bytes.
                let content = format!("{content}{blobs:?}{refers}");
                let subject = refers.then(|| digest("m1[]false"));
                manifest_command(PutManifest { subject, ..put(name, &content, &blobs, &tags) })
            }),
        (name(), manifest()).prop_map(|(name, content)| {
            Command::DeleteManifest { repository: id(name), digest: digest(&format!("{content}[]false")) }
        }),
        (name(), tag())
            .prop_map(|(name, tag)| Command::DeleteTag { repository: id(name), tag: tag.parse().unwrap() }),
    ]
}

proptest! {
    #[test]
    fn counts_equal_a_recount_after_any_commands(
        commands in prop::collection::vec((any_command(), 0..LEASE_MS), 1..60)
    ) {
        let mut view = MemoryView::default();
        let mut now = 0;
        for (command, later) in commands {
            now += later / 4;
            let command = match command {
                Command::CommitBlob(commit) => Command::CommitBlob(CommitBlob { staging_deadline_ms: now, ..commit }),
                other => other,
            };
            run_at(&mut view, now, command);
        }
    }

    #[test]
    fn a_batch_does_what_its_commands_do_one_by_one(
        commands in prop::collection::vec(any_command(), 1..40)
    ) {
        let mut one_by_one = MemoryView::default();
        let mut responses = Vec::new();
        for command in &commands {
            let batch = Batch { time_ms: 5, commands: vec![command.clone()] };
            responses.extend(apply(&mut one_by_one, 7, batch).unwrap());
        }
        let below = MemoryView::default();
        let mut staged = StagedView::new(&below);
        prop_assert_eq!(apply(&mut staged, 7, Batch { time_ms: 5, commands }).unwrap(), responses);
        let mut together = below.clone();
        for (key, value) in staged.into_changes() {
            match value {
                Some(value) => together.put(key, value),
                None => together.delete(key),
            }
        }
        prop_assert!(together.get(b"x").is_ok());
        prop_assert_eq!(together, one_by_one);
    }
}
