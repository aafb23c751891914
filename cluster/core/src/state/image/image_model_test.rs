//! Rows and listings hold after any sequence of pushes and deletes, of releases that know them and that do not.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proto::name::Tag;

use super::tests::{at, digest, id, manifest, push, restart, view};
use super::*;
use crate::command::Command;
use crate::command::image::{ImageName, IndexFrom};
use crate::record::Record;
use crate::view::MemoryView;

const IMAGES: [&str; 4] = ["m1", "m2", "m3", "m4"];
/// What a manifest names follows from its bytes.
const INDEXES: [(&str, &[&str]); 3] =
    [("i1", &["m1", "m2"]), ("i2", &["m2", "m2", "m3"]), ("i3", &["i1", "m4"])];

fn children(content: &str) -> &'static [&'static str] {
    INDEXES.iter().find(|(index, _)| *index == content).map_or(&[], |(_, children)| *children)
}

#[derive(Clone, Debug)]
enum Step {
    Push(&'static str, &'static str, Vec<&'static str>),
    Put(&'static str, &'static str, Vec<&'static str>),
    Delete(&'static str, &'static str),
    DeleteTag(&'static str, &'static str),
    DeleteManifest(&'static str, &'static str),
    Archive(&'static str, &'static str),
    Index(IndexFrom, u32),
    /// With a release of level 4, or of this level again.
    Restart(bool),
}

fn any_step(restarts: bool) -> impl Strategy<Value = Step> {
    let name = || prop::sample::select(vec!["a", "a/b"]);
    let content = || {
        let all = IMAGES.into_iter().chain(INDEXES.map(|(index, _)| index));
        prop::sample::select(all.collect::<Vec<_>>())
    };
    let tag = || prop::sample::select(vec!["v1", "v2", "v3"]);
    let tags = || prop::collection::vec(tag(), 0..3);
    let from = prop::sample::select(vec![IndexFrom::Last, IndexFrom::Last, IndexFrom::Start]);
    prop_oneof![
        4 => (name(), content(), tags()).prop_map(|(name, content, tags)| Step::Push(name, content, tags)),
        2 => (name(), content(), tags()).prop_map(|(name, content, tags)| Step::Put(name, content, tags)),
        2 => (name(), content()).prop_map(|(name, content)| Step::Delete(name, content)),
        2 => (name(), tag()).prop_map(|(name, tag)| Step::DeleteTag(name, tag)),
        2 => (name(), content()).prop_map(|(name, content)| Step::DeleteManifest(name, content)),
        1 => (name(), content()).prop_map(|(name, content)| Step::Archive(name, content)),
        1 => (from, 1u32..4).prop_map(|(from, limit)| Step::Index(from, limit)),
        u32::from(restarts) => any::<bool>().prop_map(Step::Restart),
    ]
}

fn command(step: Step) -> Command {
    let image = |command| Command::Image(Box::new(command));
    match step {
        Step::Push(name, content, tags) => {
            Command::PutManifest(Box::new(manifest(name, content, children(content), &tags)))
        }
        Step::Put(name, content, tags) => {
            let manifest = manifest(name, content, children(content), &tags);
            image(ImageCommand::Put(PutImage { manifest, dialect: Dialect::Ecr }))
        }
        Step::Delete(name, content) => {
            let image_name = ImageName::Digest(digest(content));
            image(ImageCommand::Delete { repository: id(name), image: image_name })
        }
        Step::DeleteTag(name, tag) => {
            let image_name = ImageName::Tag(tag.parse().unwrap());
            image(ImageCommand::Delete { repository: id(name), image: image_name })
        }
        Step::DeleteManifest(name, content) => {
            Command::DeleteManifest { repository: id(name), digest: digest(content) }
        }
        Step::Archive(name, content) => image(ImageCommand::SetStorageClass {
            repository: id(name),
            digest: digest(content),
            target: StorageClass::Archived,
        }),
        Step::Index(from, limit) => image(ImageCommand::Index { from, limit }),
        Step::Restart(_) => unreachable!("it is no command of its own"),
    }
}

fn run(view: &mut MemoryView, steps: Vec<Step>) {
    for (number, step) in (1..).zip(steps) {
        match step {
            Step::Restart(is_old) => restart(view, if is_old { 4 } else { 5 }, number + 1),
            step => drop(at(view, number / 3, command(step))),
        }
    }
}

fn keys(view: &MemoryView, kind: u8) -> BTreeSet<Vec<u8>> {
    view.iter().map(|(key, _)| key.to_vec()).filter(|key| key[0] == kind).collect()
}

/// The rows of order and of children that follow from the manifests.
fn rows_of_manifests(view: &MemoryView) -> (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>) {
    let (mut pushes, mut indexes) = (BTreeSet::new(), BTreeSet::new());
    for (key, value) in view.iter().filter(|(key, _)| key[0] == b'm') {
        let (id, digest) = key::parse_manifest(key).unwrap();
        let record = ManifestRecord::decode(value).unwrap();
        pushes.insert(key::push(&id, record.pushed_ms, &digest));
        indexes.extend(record.children.iter().map(|child| key::index_of_child(&id, child, &digest)));
    }
    (pushes, indexes)
}

/// Digests of the images of a repository in the order of their push.
fn in_order(view: &MemoryView, name: &str) -> Vec<(u64, Digest)> {
    let manifests = view.iter().filter(|(key, _)| key[0] == b'm').filter_map(|(key, value)| {
        let (of, digest) = key::parse_manifest(key).unwrap();
        (of == id(name)).then(|| (ManifestRecord::decode(value).unwrap().pushed_ms, digest))
    });
    manifests.collect::<BTreeSet<_>>().into_iter().collect()
}

fn list(view: &MemoryView, name: &str, limit: usize) -> Vec<ListedImage> {
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = images(view, &id(name), after.as_ref(), limit).unwrap();
        assert!(page.items.len() <= limit);
        listed.extend(page.items);
        match page.next {
            None => return listed,
            next => after = next,
        }
    }
}

fn list_names(view: &MemoryView, name: &str, limit: usize) -> Vec<(Digest, Option<Tag>)> {
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = names(view, &id(name), after.as_ref(), limit).unwrap();
        let is_full = page.items.len() == limit;
        listed.extend(page.items.into_iter().map(|entry| (entry.digest, entry.tag)));
        match page.next {
            None => return listed,
            next => after = next,
        }
        assert!(is_full, "a page that is not the last is full");
    }
}

fn expected_names(view: &MemoryView, name: &str, digests: &[Digest]) -> Vec<(Digest, Option<Tag>)> {
    let mut expected = Vec::new();
    for digest in digests {
        let tags = tag::tags_of_manifest(view, &id(name), digest).unwrap();
        if tags.is_empty() {
            expected.push((*digest, None));
        }
        expected.extend(tags.into_iter().map(|tag| (*digest, Some(tag))));
    }
    expected
}

/// Every image is listed once, with all its names, whatever the size of a page.
fn check_listings(view: &MemoryView, limit: usize) {
    for name in ["a", "a/b"] {
        let listed = list(view, name, limit);
        let digests: Vec<Digest> = listed.iter().map(|listed| listed.digest).collect();
        let pushed = in_order(view, name);
        let is_pushed = matches!(listed.first().map(|first| first.at), Some(ImageCursor::Pushed { .. }));
        let mut expected: Vec<Digest> = pushed.iter().map(|(_, digest)| *digest).collect();
        if !is_pushed {
            expected.sort_by_key(Digest::to_bytes);
        }
        assert_eq!(digests, expected);
        assert_eq!(list_names(view, name, limit), expected_names(view, name, &digests));
    }
}

fn index_all(view: &mut MemoryView) {
    let index = |from| Command::Image(Box::new(ImageCommand::Index { from, limit: 2 }));
    let mut response = at(view, 0, index(IndexFrom::Start));
    while response == (Response::ImagesIndexed { is_done: false }) {
        response = at(view, 0, index(IndexFrom::Last));
    }
    assert_eq!(response, Response::ImagesIndexed { is_done: true });
}

proptest! {
    #[test]
    fn rows_are_those_of_the_manifests_after_any_commands(
        steps in prop::collection::vec(any_step(false), 1..60), limit in 1usize..4
    ) {
        let mut view = view();
        index_all(&mut view);
        run(&mut view, steps);
        let (pushes, indexes) = rows_of_manifests(&view);
        prop_assert_eq!(keys(&view, b'q'), pushes);
        prop_assert_eq!(keys(&view, b'I'), indexes);
        // The state of an image is never left over.
        for key in keys(&view, b'i') {
            prop_assert!(keys(&view, b'm').contains(&[b"m", &key[1..]].concat()));
        }
        check_listings(&view, limit);
    }

    #[test]
    fn after_a_release_without_rows_they_are_complete_again_and_what_is_left_over_does_not_count(
        steps in prop::collection::vec(any_step(true), 1..60), limit in 1usize..4
    ) {
        let mut view = view();
        run(&mut view, steps);
        restart(&mut view, 5, 1000);
        index_all(&mut view);
        let (pushes, indexes) = rows_of_manifests(&view);
        prop_assert!(keys(&view, b'q').is_superset(&pushes));
        prop_assert!(keys(&view, b'I').is_superset(&indexes));
        check_listings(&view, limit);
        for name in ["a", "a/b"] {
            for content in IMAGES.into_iter().chain(INDEXES.map(|(index, _)| index)) {
                let mut after = view.clone();
                let is_named = INDEXES.iter().any(|(index, children)| {
                    children.contains(&content)
                        && image(&view, &id(name), &digest(index)).unwrap().is_some()
                });
                let is_there = image(&view, &id(name), &digest(content)).unwrap().is_some();
                let response = at(&mut after, 0, command(Step::Delete(name, content)));
                let is_refused = matches!(
                    response, Response::ImageRefused(ImageRefusal::ReferencedByIndex(_))
                );
                prop_assert_eq!(is_refused, is_named && is_there, "{} in {}", content, name);
            }
        }
    }

    #[test]
    fn a_page_begins_where_the_last_one_ended_whatever_comes_and_goes_between(
        before in prop::collection::vec(any_step(false), 1..30),
        between in prop::collection::vec(any_step(false), 1..10),
        limit in 1usize..4,
    ) {
        let mut view = view();
        run(&mut view, before);
        let first = images(&view, &id("a"), None, limit).unwrap();
        let stayed: BTreeSet<Digest> = list(&view, "a", 1).iter().map(|listed| listed.digest).collect();
        let pushed: BTreeMap<Digest, u64> = in_order(&view, "a").into_iter().map(|(at, of)| (of, at)).collect();
        let time = 1000;
        for step in between {
            if !matches!(step, Step::Restart(_)) {
                at(&mut view, time, command(step));
            }
        }
        let mut seen: BTreeSet<Digest> = first.items.iter().map(|listed| listed.digest).collect();
        let mut after = first.next;
        while let Some(cursor) = after {
            let page = images(&view, &id("a"), Some(&cursor), limit).unwrap();
            for listed in page.items {
                let is_new = seen.insert(listed.digest);
                // Deleted and pushed again it may come again.
                prop_assert!(is_new || listed.image.manifest.pushed_ms != pushed[&listed.digest]);
            }
            after = page.next;
        }
        let left = in_order(&view, "a").into_iter().filter(|(at, of)| pushed.get(of) == Some(at));
        for (_, digest) in left {
            prop_assert!(!stayed.contains(&digest) || seen.contains(&digest), "{digest}");
        }
    }
}

#[test]
fn images_come_in_the_order_of_their_push_once_all_have_their_rows() {
    let mut view = view();
    let contents = ["m1", "m2", "m3", "m4"];
    restart(&mut view, 4, 2);
    for (time_ms, content) in (1..).zip(contents) {
        push(&mut view, time_ms, manifest("a", content, &[], &[]));
    }
    restart(&mut view, 5, 3);
    let digests = |view: &MemoryView| -> Vec<Digest> {
        list(view, "a", 2).iter().map(|listed| listed.digest).collect()
    };
    let mut by_digest: Vec<Digest> = contents.map(digest).into();
    by_digest.sort_by_key(Digest::to_bytes);
    assert_ne!(by_digest, contents.map(digest));
    assert_eq!(digests(&view), by_digest);
    index_all(&mut view);
    assert_eq!(digests(&view), contents.map(digest));
    restart(&mut view, 4, 4);
    assert_eq!(digests(&view), by_digest, "an older release writes no rows");
}
