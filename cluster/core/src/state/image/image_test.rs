//! What each command about images does and refuses. One file, since a refusal is only seen beside what is done.

use std::collections::BTreeMap;

use proto::digest::Algorithm;
use proto::identity::{NodeId, PeerKey, RegistryId};
use proto::name::Tag;
use proto::upload::UploadId;

use super::super::{apply as apply_batch, referrer};
use super::*;
use crate::command::image::LEVEL;
use crate::command::image::{ImageName, IndexFrom};
use crate::command::node::{AddNode, Admission, Disk, NodeCommand, NodePlace, UpdateNode};
use crate::command::{Batch, Command, CommitBlob, Receipt};
use crate::level::Levels;
use crate::view::MemoryView;

pub(super) fn id(name: &str) -> RepositoryId {
    let registry = RegistryId { account: "000000000001".parse().unwrap(), region: "home".parse().unwrap() };
    RepositoryId { registry, name: name.parse().unwrap() }
}

pub(super) fn digest(content: &str) -> Digest {
    Digest::of(Algorithm::Sha256, content.as_bytes())
}

fn node() -> NodeId {
    NodeId::new(1).unwrap()
}

fn place(newest: u32) -> NodePlace {
    NodePlace {
        addresses: Vec::new(),
        zone: "a".parse().unwrap(),
        capacity_bytes: 1,
        release: "v".to_owned(),
        levels: Levels { oldest: 2, newest },
    }
}

/// A cluster of one node of this release.
pub(super) fn view() -> MemoryView {
    let mut view = MemoryView::default();
    let add = AddNode {
        node: node(),
        public_key: PeerKey::new([1; 32]),
        region: "r".parse().unwrap(),
        place: place(LEVEL),
        incarnation: 1,
        admission: Admission::Founder,
    };
    let added = at(&mut view, 0, Command::Node(Box::new(NodeCommand::Add(add))));
    assert_eq!(added, Response::NodeAdded { node: node() });
    view
}

/// The node starts with a release that speaks this level.
pub(super) fn restart(view: &mut MemoryView, newest: u32, incarnation: u64) {
    let update = UpdateNode { node: node(), place: place(newest), incarnation, disk: Disk::Kept };
    let updated = at(view, 0, Command::Node(Box::new(NodeCommand::Update(update))));
    assert_eq!(updated, Response::NodeUpdated);
}

/// As a leader has it written; a refusal must change nothing but log time.
pub(super) fn at(view: &mut MemoryView, time_ms: u64, command: Command) -> Response {
    let command = command.at_level(super::super::node::level(view).unwrap());
    let mut unchanged = view.clone();
    apply_batch(&mut unchanged, 7, Batch { time_ms, commands: Vec::new() }).unwrap();
    let shown = format!("{command:?}");
    let response = apply_batch(view, 7, Batch { time_ms, commands: vec![command] }).unwrap().remove(0);
    if let Response::ImageRefused(refusal) = &response {
        assert_eq!(*view, unchanged, "{shown} was refused with {refusal:?} and changed something");
    }
    response
}

pub(super) fn manifest(name: &str, content: &str, children: &[&str], tags: &[&str]) -> PutManifest {
    PutManifest {
        repository: id(name),
        digest: digest(content),
        media_type: "m".to_owned(),
        content: content.as_bytes().to_vec(),
        blobs: Vec::new(),
        children: children.iter().map(|child| digest(child)).collect(),
        subject: None,
        artifact_type: None,
        annotations: BTreeMap::new(),
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        condition: None,
    }
}

pub(super) fn push(view: &mut MemoryView, time_ms: u64, manifest: PutManifest) -> Response {
    at(view, time_ms, Command::PutManifest(Box::new(manifest)))
}

fn run(view: &mut MemoryView, command: ImageCommand) -> Response {
    at(view, 0, Command::Image(Box::new(command)))
}

fn put(view: &mut MemoryView, manifest: PutManifest) -> Response {
    run(view, ImageCommand::Put(PutImage { manifest, dialect: Dialect::Ecr }))
}

fn delete(view: &mut MemoryView, image: ImageName) -> Response {
    run(view, ImageCommand::Delete { repository: id("a"), image })
}

fn set_class(view: &mut MemoryView, time_ms: u64, content: &str, target: StorageClass) -> Response {
    let set = ImageCommand::SetStorageClass { repository: id("a"), digest: digest(content), target };
    at(view, time_ms, Command::Image(Box::new(set)))
}

fn pull(view: &mut MemoryView, contents: &[&str], at_ms: u64) {
    let pull = |content: &&str| Pull { repository: id("a"), digest: digest(content), at_ms };
    let recorded = run(view, ImageCommand::RecordPulls(contents.iter().map(pull).collect()));
    assert_eq!(recorded, Response::ImageChanged);
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn state_of(view: &MemoryView, content: &str) -> ImageState {
    image(view, &id("a"), &digest(content)).unwrap().unwrap().state
}

fn is_stored(view: &MemoryView, content: &str) -> bool {
    image(view, &id("a"), &digest(content)).unwrap().is_some()
}

fn refused(refusal: ImageRefusal) -> Response {
    Response::ImageRefused(refusal)
}

const STORED: Response = Response::ManifestStored { created: true, index: 7 };
const MOVED: Response = Response::ManifestStored { created: false, index: 7 };

#[test]
fn put_image_makes_no_repository_and_a_push_does() {
    let mut view = view();
    assert_eq!(put(&mut view, manifest("a", "m", &[], &[])), refused(ImageRefusal::NoRepository));
    assert_eq!(push(&mut view, 0, manifest("a", "m", &[], &[])), STORED);
    assert_eq!(put(&mut view, manifest("a", "n", &[], &[])), STORED);
}

#[test]
fn put_image_refuses_what_would_change_nothing_and_a_push_does_not() {
    let mut view = view();
    let of = |tags: &[&str]| manifest("a", "m", &[], tags);
    push(&mut view, 0, of(&["v1"]));
    let already = || refused(ImageRefusal::AlreadyThere);
    assert_eq!(put(&mut view, of(&["v1"])), already());
    assert_eq!(put(&mut view, of(&[])), already());
    assert_eq!(put(&mut view, of(&["v1", "v2"])), MOVED, "one of the tags is new");
    assert_eq!(put(&mut view, of(&["v1", "v2"])), already());
    assert_eq!(put(&mut view, manifest("a", "n", &[], &["v1"])), STORED);
    assert_eq!(put(&mut view, of(&["v1", "v2"])), MOVED, "one of the tags stands for another image");
    assert_eq!(push(&mut view, 0, of(&["v1", "v2"])), MOVED);
    assert_eq!(push(&mut view, 0, of(&[])), MOVED);
}

#[test]
fn put_image_wants_the_children_of_an_index_and_a_push_does_not() {
    let mut view = view();
    push(&mut view, 0, manifest("a", "m1", &[], &[]));
    push(&mut view, 0, manifest("b", "m2", &[], &[]));
    let index = || manifest("a", "index", &["m1", "m2", "m2"], &["v1"]);
    let missing = ImageRefusal::MissingChildren(vec![digest("m2")]);
    assert_eq!(put(&mut view, index()), refused(missing));
    assert_eq!(push(&mut view, 0, index()), STORED);
}

#[test]
fn put_image_wants_its_blobs_as_every_push_does() {
    let mut view = view();
    push(&mut view, 0, manifest("a", "m", &[], &[]));
    let blobs = vec![(digest("x"), 1)];
    let missing = put(&mut view, PutManifest { blobs, ..manifest("a", "n", &[], &[]) });
    assert_eq!(missing, Response::MissingBlobs(vec![digest("x")]));
}

#[test]
fn a_tag_is_removed_and_with_the_last_one_the_image() {
    let mut view = view();
    push(&mut view, 0, manifest("a", "m", &[], &["v1", "v2"]));
    let removed = |name| Response::ImagesDeleted(vec![(digest("m"), Some(tag(name)))]);
    assert_eq!(delete(&mut view, ImageName::Tag(tag("v1"))), removed("v1"));
    assert!(is_stored(&view, "m"));
    assert_eq!(delete(&mut view, ImageName::Tag(tag("v2"))), removed("v2"));
    assert!(!is_stored(&view, "m"));
    assert_eq!(delete(&mut view, ImageName::Tag(tag("v2"))), refused(ImageRefusal::NotFound));
}

#[test]
fn by_its_digest_an_image_goes_with_all_its_tags() {
    let mut view = view();
    push(&mut view, 0, manifest("a", "m", &[], &["v1", "v2"]));
    push(&mut view, 0, manifest("a", "untagged", &[], &[]));
    let both = vec![(digest("m"), Some(tag("v1"))), (digest("m"), Some(tag("v2")))];
    assert_eq!(delete(&mut view, ImageName::Digest(digest("m"))), Response::ImagesDeleted(both));
    let one = Response::ImagesDeleted(vec![(digest("untagged"), None)]);
    assert_eq!(delete(&mut view, ImageName::Digest(digest("untagged"))), one);
    for content in ["m", "untagged"] {
        assert!(!is_stored(&view, content));
        let again = delete(&mut view, ImageName::Digest(digest(content)));
        assert_eq!(again, refused(ImageRefusal::NotFound));
    }
}

#[test]
fn a_tag_and_a_digest_that_do_not_agree_remove_nothing() {
    let mut view = view();
    push(&mut view, 0, manifest("a", "m", &[], &["v1", "v2"]));
    push(&mut view, 0, manifest("a", "n", &[], &["w"]));
    let mut both = |content, name| delete(&mut view, ImageName::TagOf(digest(content), tag(name)));
    assert_eq!(both("n", "v1"), refused(ImageRefusal::TagDoesNotMatchDigest));
    assert_eq!(both("n", "no"), refused(ImageRefusal::NotFound));
    assert_eq!(both("m", "v1"), Response::ImagesDeleted(vec![(digest("m"), Some(tag("v1")))]));
    assert!(is_stored(&view, "m"), "it has another tag");
}

#[test]
fn a_child_stays_until_its_last_index_is_gone() {
    let mut view = view();
    push(&mut view, 0, manifest("a", "m", &[], &["v1", "v2"]));
    push(&mut view, 0, manifest("a", "index1", &["m"], &["i"]));
    push(&mut view, 0, manifest("a", "index2", &["m"], &[]));
    let child = || ImageName::Digest(digest("m"));
    let referenced = |by| refused(ImageRefusal::ReferencedByIndex(digest(by)));
    let first = if digest("index1") < digest("index2") { "index1" } else { "index2" };
    assert_eq!(delete(&mut view, child()), referenced(first));
    let one_of_two = delete(&mut view, ImageName::Tag(tag("v1")));
    assert!(matches!(one_of_two, Response::ImagesDeleted(_)), "{one_of_two:?}");
    assert_eq!(delete(&mut view, ImageName::Tag(tag("v2"))), referenced(first));
    delete(&mut view, ImageName::Tag(tag("i")));
    assert_eq!(delete(&mut view, child()), referenced("index2"));
    // In another repository there is no index.
    push(&mut view, 0, manifest("b", "m", &[], &[]));
    let elsewhere = ImageCommand::Delete { repository: id("b"), image: child() };
    assert!(matches!(run(&mut view, elsewhere), Response::ImagesDeleted(_)));
    let of_oci = Command::DeleteManifest { repository: id("a"), digest: digest("index2") };
    assert_eq!(at(&mut view, 0, of_oci), Response::Deleted);
    let gone = Response::ImagesDeleted(vec![(digest("m"), Some(tag("v2")))]);
    assert_eq!(delete(&mut view, child()), gone);
}

#[test]
fn oci_deletes_a_child_and_the_referrers_of_a_subject_stay() {
    let mut view = view();
    push(&mut view, 0, manifest("a", "m", &[], &[]));
    push(&mut view, 0, manifest("a", "index", &["m"], &[]));
    let subject = Some(digest("m"));
    push(&mut view, 0, PutManifest { subject, ..manifest("a", "signature", &[], &[]) });
    let of_oci = Command::DeleteManifest { repository: id("a"), digest: digest("m") };
    assert_eq!(at(&mut view, 0, of_oci), Response::Deleted);
    let left = referrer::referrers(&view, &id("a"), &digest("m"), None, None, 9).unwrap();
    assert_eq!(left.items.len(), 1);
}

#[test]
fn an_archived_image_says_when_and_comes_back_by_command_or_push() {
    let mut view = view();
    push(&mut view, 1, manifest("a", "m", &[], &["v1"]));
    assert_eq!(state_of(&view, "m"), ImageState::default());
    assert_eq!(set_class(&mut view, 2, "m", StorageClass::Archived), Response::ImageChanged);
    let archived = ImageState { class: StorageClass::Archived, archived_ms: Some(2), ..Default::default() };
    assert_eq!(state_of(&view, "m"), archived);
    assert_eq!(set_class(&mut view, 3, "m", StorageClass::Archived), Response::ImageChanged);
    assert_eq!(state_of(&view, "m"), archived, "it was done already");
    set_class(&mut view, 4, "m", StorageClass::Active);
    let active = ImageState { class: StorageClass::Active, activated_ms: Some(4), ..archived };
    assert_eq!(state_of(&view, "m"), active);
    for (time_ms, dialect) in [(5, Dialect::Ecr), (7, Dialect::Oci)] {
        set_class(&mut view, time_ms, "m", StorageClass::Archived);
        let put = PutImage { manifest: manifest("a", "m", &[], &["v1"]), dialect };
        let again = at(&mut view, time_ms + 1, Command::Image(Box::new(ImageCommand::Put(put))));
        assert_eq!(again, MOVED);
        let state = state_of(&view, "m");
        assert_eq!((state.class, state.activated_ms), (StorageClass::Active, Some(time_ms + 1)));
        assert_eq!(state.archived_ms, Some(time_ms));
    }
    let unknown = set_class(&mut view, 9, "no", StorageClass::Archived);
    assert_eq!(unknown, refused(ImageRefusal::NotFound));
}

#[test]
fn an_index_is_archived_before_its_children() {
    let mut view = view();
    push(&mut view, 1, manifest("a", "m", &[], &[]));
    push(&mut view, 1, manifest("a", "index1", &["m"], &[]));
    push(&mut view, 1, manifest("a", "index2", &["m"], &[]));
    set_class(&mut view, 2, "index1", StorageClass::Archived);
    let too_early = set_class(&mut view, 3, "m", StorageClass::Archived);
    assert_eq!(too_early, refused(ImageRefusal::IndexNotArchived(digest("index2"))));
    set_class(&mut view, 4, "index2", StorageClass::Archived);
    assert_eq!(set_class(&mut view, 5, "m", StorageClass::Archived), Response::ImageChanged);
    assert_eq!(state_of(&view, "m").archived_ms, Some(5));
    let child = delete(&mut view, ImageName::Digest(digest("m")));
    assert!(matches!(child, Response::ImageRefused(ImageRefusal::ReferencedByIndex(_))), "{child:?}");
}

#[test]
fn pulls_move_forward_up_to_now_and_those_of_unknown_images_are_left_out() {
    let mut view = view();
    push(&mut view, 100, manifest("a", "m", &[], &[]));
    for (at_ms, expected) in [(10, 10), (5, 10), (20, 20), (u64::MAX, 100)] {
        pull(&mut view, &["no", "m"], at_ms);
        assert_eq!(state_of(&view, "m").last_pull_ms, Some(expected));
    }
    let before = view.clone();
    pull(&mut view, &["no"], 100);
    assert_eq!(view, before);
}

#[test]
fn no_more_pulls_are_looked_at_than_one_command_may_have() {
    let mut view = view();
    push(&mut view, 100, manifest("a", "m", &[], &[]));
    let mut contents = vec!["no"; MAX_PULLS];
    contents.push("m");
    pull(&mut view, &contents, 10);
    assert_eq!(state_of(&view, "m").last_pull_ms, None);
    pull(&mut view, &contents[1..], 10);
    assert_eq!(state_of(&view, "m").last_pull_ms, Some(10));
}

#[test]
fn the_state_of_an_image_goes_with_it() {
    let mut view = view();
    push(&mut view, 1, manifest("a", "m", &[], &["v"]));
    let fresh = view.clone();
    pull(&mut view, &["m"], 1);
    set_class(&mut view, 1, "m", StorageClass::Archived);
    delete(&mut view, ImageName::Digest(digest("m")));
    push(&mut view, 1, manifest("a", "m", &[], &["v"]));
    assert_eq!(view, fresh);
}

/// Of an image that a release without rows deleted and stored again.
#[test]
fn a_state_that_was_left_over_is_not_that_of_the_next_push() {
    let mut view = view();
    push(&mut view, 1, manifest("a", "m", &[], &[]));
    set_class(&mut view, 2, "m", StorageClass::Archived);
    restart(&mut view, 4, 2);
    let of_oci = Command::DeleteManifest { repository: id("a"), digest: digest("m") };
    assert_eq!(at(&mut view, 3, of_oci), Response::Deleted);
    push(&mut view, 4, manifest("a", "m", &[], &[]));
    assert_eq!(state_of(&view, "m"), ImageState::default());
}

#[test]
fn the_size_of_an_image_is_that_of_its_blobs_and_of_an_index_that_of_its_largest_child() {
    let mut view = view();
    for (content, number) in [("x", 1), ("yy", 2), ("zzz", 3)] {
        let commit = CommitBlob {
            repository: id("a"),
            digest: digest(content),
            size: content.len() as u64,
            generation: UploadId::new(node(), number),
            pieces_root: [0; 32],
            staging_deadline_ms: 9,
            copies: vec![Receipt { node: node(), incarnation: 1 }],
            required_copies: 1,
            required_zones: 1,
        };
        let committed = at(&mut view, 1, Command::CommitBlob(commit));
        assert!(matches!(committed, Response::BlobLinked { .. }), "{committed:?}");
    }
    let with = |content: &str, blobs: &[&str]| PutManifest {
        blobs: blobs.iter().map(|blob| (digest(blob), blob.len() as u64)).collect(),
        ..manifest("a", content, &[], &[])
    };
    push(&mut view, 1, with("m1", &["x", "yy", "yy"]));
    push(&mut view, 1, with("m2", &["yy", "zzz"]));
    push(&mut view, 1, manifest("a", "index", &["m1", "m2", "no"], &[]));
    push(&mut view, 1, manifest("a", "outer", &["m1", "index"], &[]));
    for (content, expected) in [("m1", 3), ("m2", 5), ("index", 5), ("outer", 5)] {
        let image = image(&view, &id("a"), &digest(content)).unwrap().unwrap();
        assert_eq!(size(&view, &id("a"), &image.manifest).unwrap(), expected, "{content}");
    }
}

#[test]
fn what_is_written_before_level_5_leaves_no_row() {
    let mut view = view();
    restart(&mut view, 4, 2);
    let before: Vec<_> = view.iter().map(|(key, _)| key[0]).collect();
    push(&mut view, 1, manifest("a", "m", &[], &["v"]));
    push(&mut view, 1, manifest("a", "index", &["m"], &[]));
    let kinds: std::collections::BTreeSet<u8> = view.iter().map(|(key, _)| key[0]).collect();
    let known = before.into_iter().chain(*b"crtmMT").collect();
    assert_eq!(kinds, known);
    let early = run(&mut view, ImageCommand::Index { from: IndexFrom::Last, limit: 1 });
    assert_eq!(early, Response::NotYet { needed: 5, level: 4 });
}
