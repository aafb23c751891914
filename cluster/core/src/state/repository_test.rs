//! What each command about repositories and registries does, and what it refuses; which puts an immutable tag stops.
//!
//! Longer than 300 lines: all of it goes through `World::run`, which recounts every time.

use std::collections::BTreeMap;

use proto::digest::{Algorithm, Digest};
use proto::identity::{NodeId, PeerKey};
use proto::settings::{DocumentId, Encryption, Mutability, MutabilityMode, ResourceTagKey, ResourceTagValue};
use proto::upload::UploadId;

use super::*;
use crate::command::node::{AddNode, Admission, Disk, NodeCommand, NodePlace, UpdateNode};
use crate::command::repository::{DocumentCondition, MAX_DOCUMENT, PutRegistryDocument};
use crate::command::{Batch, Command, CommitBlob, Condition, PutManifest, Receipt};
use crate::level::Levels;
use crate::record::RegistryDocument;
use crate::state::state_test::check_counts;
use crate::state::{self, tag};
use crate::view::MemoryView;

use RepositoryCommand as C;
use RepositoryRefusal as R;

fn registry() -> RegistryId {
    RegistryId { account: "000000000001".parse().unwrap(), region: "home".parse().unwrap() }
}

fn id(name: &str) -> RepositoryId {
    RepositoryId { registry: registry(), name: name.parse().unwrap() }
}

fn digest(content: &str) -> Digest {
    Digest::of(Algorithm::Sha256, content.as_bytes())
}

fn node() -> NodeId {
    NodeId::new(1).unwrap()
}

fn place(levels: Levels) -> NodePlace {
    let zone = "a".parse().unwrap();
    NodePlace { addresses: Vec::new(), zone, capacity_bytes: 1 << 40, release: "v".to_owned(), levels }
}

fn mutability(mode: MutabilityMode, exclusions: &[&str]) -> Mutability {
    Mutability::new(mode, exclusions.iter().map(|filter| filter.parse().unwrap()).collect()).unwrap()
}

fn tags(count: usize) -> BTreeMap<ResourceTagKey, ResourceTagValue> {
    (0..count).map(|tag| (format!("k{tag}").parse().unwrap(), "v".parse().unwrap())).collect()
}

fn create_command(name: &str) -> CreateRepository {
    CreateRepository {
        repository: id(name),
        settings: RepositorySettings::default(),
        documents: BTreeMap::new(),
        most: 100,
    }
}

fn set_policy(name: &str, text: &str) -> C {
    C::SetDocument { repository: id(name), kind: RepositoryDocument::Policy, text: text.to_owned() }
}

fn unset_policy(name: &str) -> C {
    C::DeleteDocument { repository: id(name), kind: RepositoryDocument::Policy }
}

/// A cluster of one node, whose entries are numbered.
struct World {
    view: MemoryView,
    index: u64,
    now_ms: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self { view: MemoryView::default(), index: 0, now_ms: 1000 };
        let add = AddNode {
            node: node(),
            public_key: PeerKey::new([1; 32]),
            region: "home".parse().unwrap(),
            place: place(Levels::OWN),
            incarnation: 1,
            admission: Admission::Founder,
        };
        world.apply(Command::Node(Box::new(NodeCommand::Add(add))));
        world
    }

    /// Also recounts, and checks that a refused command changed nothing.
    fn apply(&mut self, command: Command) -> Response {
        let before = self.view.clone();
        self.index += 1;
        let batch = |commands| Batch { time_ms: self.now_ms, commands };
        let response =
            state::apply(&mut self.view, self.index, batch(vec![command.clone()])).unwrap().remove(0);
        check_counts(&self.view);
        check_documents(&self.view);
        if matches!(
            response,
            Response::RepositoryRefused(_)
                | Response::TagImmutable { .. }
                | Response::MissingBlobs(_)
                | Response::ConditionFailed { .. }
                | Response::NotYet { .. }
        ) {
            let mut expected = before;
            state::apply(&mut expected, self.index, batch(Vec::new())).unwrap();
            assert_eq!(self.view, expected, "{command:?} was refused and changed something");
        }
        response
    }

    fn run(&mut self, command: C) -> Response {
        self.apply(Command::Repository(Box::new(command)))
    }

    fn refused(&mut self, command: C, refusal: RepositoryRefusal) {
        assert_eq!(self.run(command.clone()), refused(refusal), "{command:?}");
    }

    /// Of a repository made at 1000. Who asks again hears the same, and changes nothing.
    fn sets(&mut self, command: C) {
        let done = Response::RepositoryChanged { created_ms: 1000 };
        assert_eq!(self.run(command.clone()), done, "{command:?}");
        let after = self.view.clone();
        assert_eq!(self.run(command.clone()), done, "asked again: {command:?}");
        assert_eq!(self.view, after, "asked again: {command:?}");
    }

    fn record(&self, name: &str) -> RepositoryRecord {
        repository(&self.view, &id(name)).unwrap().unwrap()
    }

    fn commit(&mut self, name: &str, content: &str) {
        let commit = CommitBlob {
            repository: id(name),
            digest: digest(content),
            size: content.len() as u64,
            generation: UploadId::new(node(), 1),
            pieces_root: [0; 32],
            staging_deadline_ms: 1_000_000,
            copies: vec![Receipt { node: node(), incarnation: 1 }],
            required_copies: 1,
            required_zones: 1,
        };
        assert!(matches!(self.apply(Command::CommitBlob(commit)), Response::BlobLinked { .. }));
    }

    fn put(&mut self, put: PutManifest) -> Response {
        self.apply(Command::PutManifest(Box::new(put)))
    }

    fn push(&mut self, content: &str, tags: &[&str]) -> Response {
        self.put(manifest(content, tags))
    }

    fn target(&self, name: &str) -> Option<Digest> {
        tag::tag(&self.view, &id("a"), &name.parse().unwrap()).unwrap().map(|record| record.digest)
    }
}

fn manifest(content: &str, tags: &[&str]) -> PutManifest {
    PutManifest {
        repository: id("a"),
        digest: digest(content),
        media_type: "m".to_owned(),
        content: content.as_bytes().to_vec(),
        blobs: Vec::new(),
        children: Vec::new(),
        subject: None,
        artifact_type: None,
        annotations: BTreeMap::new(),
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        condition: None,
    }
}

/// Each repository has the documents that its record names, of the entries that it names.
fn check_documents(view: &MemoryView) {
    let mut rows = view.iter().filter(|(key, _)| key[0] == b'd').count();
    for name in repositories(view, &registry(), None, usize::MAX).unwrap().items {
        let id = RepositoryId { registry: registry(), name };
        let record = repository(view, &id).unwrap().unwrap();
        for kind in RepositoryDocument::ALL {
            let index = document(view, &id, kind).unwrap().map(|found| found.changed_index);
            assert_eq!(record.document_index(kind), index, "{id} {kind:?}");
            rows -= usize::from(index.is_some());
        }
    }
    assert_eq!(rows, 0, "a document belongs to no repository");
}

fn stored(created: bool, index: u64) -> Response {
    Response::ManifestStored { created, index }
}

#[test]
fn a_repository_is_made_once_with_all_that_is_set_of_it() {
    let mut world = World::new();
    let settings = RepositorySettings {
        mutability: mutability(MutabilityMode::Immutable, &["dev-*"]),
        scans_on_push: true,
        encryption: Encryption::Kms(Some("k".parse().unwrap())),
        tags: tags(50),
    };
    let documents = BTreeMap::from([(RepositoryDocument::LifecyclePolicy, "{}".to_owned())]);
    let create = CreateRepository { settings: settings.clone(), documents, ..create_command("a") };
    assert_eq!(world.run(C::Create(create.clone())), Response::RepositoryChanged { created_ms: 1000 });
    let index = Some(world.index);
    let expected =
        RepositoryRecord { created_ms: 1000, settings, policy_index: None, lifecycle_index: index };
    assert_eq!(world.record("a"), expected);
    let text = document(&world.view, &id("a"), RepositoryDocument::LifecyclePolicy).unwrap().unwrap();
    assert_eq!((text.text.as_str(), text.created_ms, text.changed_ms), ("{}", 1000, 1000));
    world.refused(C::Create(create.clone()), R::Exists);
    let too_many = RepositorySettings { tags: tags(51), ..RepositorySettings::default() };
    world.refused(C::Create(CreateRepository { settings: too_many, ..create_command("b") }), R::TooManyTags);
    let documents = BTreeMap::from([(RepositoryDocument::Policy, " ".repeat(MAX_DOCUMENT + 1))]);
    world.refused(C::Create(CreateRepository { documents, ..create_command("b") }), R::DocumentTooLong);
    // One that a push made exists, too.
    world.commit("pushed", "x");
    world.refused(C::Create(create_command("pushed")), R::Exists);
}

#[test]
fn a_registry_has_no_more_repositories_than_the_command_says() {
    let mut world = World::new();
    let create = |name, most| C::Create(CreateRepository { most, ..create_command(name) });
    world.refused(create("a", 0), R::Limit);
    for name in ["a", "b"] {
        assert_eq!(world.run(create(name, 2)), Response::RepositoryChanged { created_ms: 1000 });
    }
    world.refused(create("c", 2), R::Limit);
    let mut elsewhere = CreateRepository { most: 1, ..create_command("c") };
    elsewhere.repository.registry.region = "other".parse().unwrap();
    assert_eq!(world.run(C::Create(elsewhere)), Response::RepositoryChanged { created_ms: 1000 });
}

#[test]
fn what_is_set_is_set_and_what_does_not_exist_is_refused() {
    let mut world = World::new();
    let each = || {
        let repository = id("a");
        let immutable = mutability(MutabilityMode::Immutable, &[]);
        [
            C::SetMutability { repository: repository.clone(), mutability: immutable },
            C::SetScanOnPush { repository: repository.clone(), scans_on_push: true },
            C::Tag { repository: repository.clone(), tags: tags(2) },
            C::Untag { repository, keys: ["k1".parse().unwrap(), "absent".parse().unwrap()].into() },
            set_policy("a", "{}"),
        ]
    };
    let others = [
        unset_policy("a"),
        C::Delete { repository: id("a"), limit: 9 },
        C::Clear { repository: id("a"), limit: 9 },
    ];
    for command in each().into_iter().chain(others) {
        world.refused(command, R::NotFound);
    }
    world.commit("a", "x");
    for command in each() {
        world.sets(command);
    }
    let record = world.record("a");
    assert_eq!(record.settings.mutability, mutability(MutabilityMode::Immutable, &[]));
    assert!(record.settings.scans_on_push && record.policy_index.is_some());
    assert_eq!(record.settings.tags, tags(1));
    assert_eq!(record.settings.tags.get("k0").map(ResourceTagValue::as_str), Some("v"));
}

#[test]
fn resource_tags_are_added_all_or_none() {
    let mut world = World::new();
    world.run(C::Create(create_command("a")));
    let tag = |tags| C::Tag { repository: id("a"), tags };
    world.sets(tag(tags(50)));
    let one_more = |key: &str| BTreeMap::from([(key.parse().unwrap(), "new".parse().unwrap())]);
    world.refused(tag(one_more("other").into_iter().chain(one_more("k0")).collect()), R::TooManyTags);
    world.sets(tag(one_more("k0")));
    assert_eq!(world.record("a").settings.tags.get("k0").map(ResourceTagValue::as_str), Some("new"));
}

#[test]
fn every_change_of_a_document_is_another_version() {
    let mut world = World::new();
    world.run(C::Create(create_command("a")));
    world.refused(unset_policy("a"), R::DocumentNotFound);
    world.refused(set_policy("a", &" ".repeat(MAX_DOCUMENT + 1)), R::DocumentTooLong);
    let mut seen = vec![world.record("a").policy_index];
    for text in ["1", "2", "1"] {
        world.now_ms += 10;
        assert!(matches!(world.run(set_policy("a", text)), Response::RepositoryChanged { .. }));
        seen.push(world.record("a").policy_index);
    }
    let found = document(&world.view, &id("a"), RepositoryDocument::Policy).unwrap().unwrap();
    assert_eq!((found.text.as_str(), found.created_ms, found.changed_ms), ("1", 1010, 1030));
    assert_eq!(document(&world.view, &id("a"), RepositoryDocument::LifecyclePolicy).unwrap(), None);
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
    assert!(matches!(world.run(unset_policy("a")), Response::RepositoryChanged { .. }));
    assert_eq!(world.record("a"), RepositoryRecord::new(1000));
    world.refused(unset_policy("a"), R::DocumentNotFound);
}

/// What a push writes for a repository must be the bytes of every release.
#[test]
fn a_push_writes_version_1_and_keeps_what_was_set() {
    let mut world = World::new();
    world.commit("a", "x");
    let stored = world.view.get(&key::repository(&id("a"))).unwrap().unwrap();
    assert_eq!(stored, [1, 8, 0xe8, 7]);
    world.sets(C::SetScanOnPush { repository: id("a"), scans_on_push: true });
    assert_eq!(world.view.get(&key::repository(&id("a"))).unwrap().unwrap()[0], 2);
    world.commit("a", "y");
    assert!(world.record("a").settings.scans_on_push);
}

#[test]
fn an_immutable_tag_does_not_move_and_stops_the_whole_put() {
    let mut world = World::new();
    let immutable = mutability(MutabilityMode::Immutable, &["latest", "dev-*"]);
    let settings = RepositorySettings { mutability: immutable, ..RepositorySettings::default() };
    world.run(C::Create(CreateRepository { settings, ..create_command("a") }));
    assert_eq!(world.push("1", &["v1", "latest", "dev-7"]), stored(true, world.index));
    let refusal = Response::TagImmutable { tag: "v1".parse().unwrap() };
    assert_eq!(world.push("2", &["latest", "v2", "v1"]), refusal);
    assert_eq!((world.target("v2"), world.target("latest")), (None, Some(digest("1"))));
    assert_eq!(world.push("1", &["v1", "v3"]), stored(false, world.index), "the same again, and a new tag");
    assert_eq!(world.push("2", &["latest", "dev-7", "v2"]), stored(true, world.index));
    assert_eq!(world.target("latest"), Some(digest("2")));
    assert_eq!(world.push("2", &["v1"]), refusal, "also of a manifest that is there");
    // What is wrong with the put itself is said first.
    let missing = PutManifest { blobs: vec![(digest("x"), 1)], ..manifest("3", &["v1"]) };
    assert!(matches!(world.put(missing), Response::MissingBlobs(_)));
    let condition = Some(Condition::IfNoneMatchAny);
    let unmet = PutManifest { condition, ..manifest("3", &["v1"]) };
    assert!(matches!(world.put(unmet), Response::ConditionFailed { .. }));
    // It can go, and come back as another.
    world.apply(Command::DeleteTag { repository: id("a"), tag: "v1".parse().unwrap() });
    assert_eq!(world.push("2", &["v1"]), stored(false, world.index));
    assert_eq!(world.target("v1"), Some(digest("2")));
    let mutable = mutability(MutabilityMode::Mutable, &[]);
    world.sets(C::SetMutability { repository: id("a"), mutability: mutable });
    assert_eq!(world.push("1", &["v1"]), stored(false, world.index));
}

/// An older release has never heard of immutable tags: it would move this one.
#[test]
fn a_tag_moves_on_all_nodes_or_on_none() {
    let mut world = World::new();
    let immutable = mutability(MutabilityMode::Immutable, &[]);
    let settings = RepositorySettings { mutability: immutable, ..RepositorySettings::default() };
    world.run(C::Create(CreateRepository { settings, ..create_command("a") }));
    world.push("1", &["v1"]);
    world.push("2", &["v2"]);
    let start = |world: &mut World, incarnation, newest| {
        let place = place(Levels { oldest: 2, newest });
        let update = UpdateNode { node: node(), place, incarnation, disk: Disk::Kept };
        assert_eq!(world.apply(Command::Node(Box::new(NodeCommand::Update(update)))), Response::NodeUpdated);
    };
    start(&mut world, 2, 4);
    assert_eq!(world.push("2", &["v1"]), stored(false, world.index));
    assert_eq!(world.run(unset_policy("a")), Response::NotYet { needed: 5, level: 4 });
    start(&mut world, 3, 5);
    assert_eq!(world.push("1", &["v1"]), Response::TagImmutable { tag: "v1".parse().unwrap() });
}

#[test]
fn a_repository_is_cleared_in_parts_and_only_then_deleted() {
    let mut world = World::new();
    world.commit("a", "x");
    world.commit("a", "y");
    world.commit("b", "x");
    world.sets(set_policy("a", "{}"));
    for content in ["1", "2", "3"] {
        let subject = Some(digest("1"));
        world.put(PutManifest { blobs: vec![(digest("x"), 1)], subject, ..manifest(content, &[content]) });
    }
    let clear = |limit| C::Clear { repository: id("a"), limit };
    let delete = |limit| C::Delete { repository: id("a"), limit };
    let cleared = |is_done| Response::RepositoryCleared { is_done };
    world.refused(delete(9), R::NotEmpty);
    assert!(!is_empty(&world.view, &id("a")).unwrap());
    assert_eq!(world.run(clear(2)), cleared(false));
    let left = world.view.iter().filter(|(key, _)| matches!(key[0], b'm' | b't' | b'f')).count();
    assert_eq!(left, 3, "a manifest, its tag and its referrer row");
    world.push("4", &["4"]);
    assert_eq!(world.run(clear(0)), cleared(false), "at least one goes");
    assert_eq!(world.run(clear(1)), cleared(true));
    assert!(is_empty(&world.view, &id("a")).unwrap());
    assert_eq!(world.run(clear(1)), cleared(true), "nothing is left to clear");
    assert_eq!(world.run(delete(1)), cleared(false));
    assert!(world.record("a").policy_index.is_some(), "as long as it exists it has its settings");
    // Who pushes in between keeps what was pushed.
    world.push("5", &["5"]);
    world.refused(delete(9), R::NotEmpty);
    assert_eq!(world.run(clear(9)), cleared(true));
    assert_eq!(world.run(delete(1)), cleared(true));
    let name = b"home\0a";
    let left = world.view.iter().filter(|(key, _)| key.windows(name.len()).any(|part| part == name));
    assert_eq!(left.count(), 0);
    let links = |content| state::blob::blob(&world.view, &digest(content)).unwrap().unwrap().links;
    assert_eq!((links("x"), links("y")), (1, 0), "another repository has the blob, or its lease");
    world.refused(delete(9), R::NotFound);
    world.run(C::Create(create_command("a")));
    assert_eq!(world.record("a"), RepositoryRecord::new(1000));
}

fn put_document(kind: RegistryDocument, id: &str, text: &str, condition: DocumentCondition) -> C {
    let (registry, id, text) = (registry(), id.parse().unwrap(), text.to_owned());
    C::PutRegistryDocument(PutRegistryDocument { registry, kind, id, text, condition, most: 2 })
}

#[test]
fn documents_of_a_registry_are_made_replaced_and_deleted() {
    use DocumentCondition::{Any, Create, Replace};
    let mut world = World::new();
    let stored = |created_ms, changed_ms| Response::DocumentStored { created_ms, changed_ms };
    let too_long = " ".repeat(MAX_DOCUMENT + 1);
    for kind in RegistryDocument::ALL {
        let put = |text, condition| put_document(kind, "a/", text, condition);
        let remove = || C::DeleteRegistryDocument { registry: registry(), kind, id: "a/".parse().unwrap() };
        world.now_ms += 1000;
        let now = world.now_ms;
        world.refused(remove(), R::DocumentNotFound);
        world.refused(put("1", Replace), R::DocumentNotFound);
        world.refused(put(&too_long, Any), R::DocumentTooLong);
        assert_eq!(world.run(put("1", Create)), stored(now, now));
        world.refused(put("2", Create), R::DocumentExists);
        world.now_ms += 1;
        assert_eq!(world.run(put("1", Any)), stored(now, now), "nothing has changed");
        assert_eq!(world.run(put("2", Replace)), stored(now, now + 1));
        let id = "a/".parse().unwrap();
        let found = document::document(&world.view, &registry(), kind, &id).unwrap().unwrap();
        assert_eq!((found.text.as_str(), found.changed_index), ("2", world.index));
        assert_eq!(world.run(remove()), Response::Deleted);
        assert_eq!(document::document(&world.view, &registry(), kind, &id).unwrap(), None);
        assert_eq!(world.run(put("3", Any)), stored(now + 1, now + 1));
    }
    let numbers = RegistryDocument::ALL.map(RegistryDocument::number);
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "no two kinds share a range");
}

#[test]
fn documents_of_a_kind_are_counted_and_listed_apart_from_the_others() {
    use DocumentCondition::Any;
    let mut world = World::new();
    let kind = RegistryDocument::CreationTemplate;
    for id in ["b", "ROOT"] {
        assert!(matches!(world.run(put_document(kind, id, id, Any)), Response::DocumentStored { .. }));
    }
    world.refused(put_document(kind, "c", "c", Any), R::Limit);
    let replaced = world.run(put_document(kind, "b", "b2", Any));
    assert!(matches!(replaced, Response::DocumentStored { .. }), "one that is there is replaced");
    let other = RegistryDocument::PullThroughCacheRule;
    assert!(matches!(world.run(put_document(other, "", "x", Any)), Response::DocumentStored { .. }));
    let list = |kind, after: Option<&str>, limit| {
        let after: Option<DocumentId> = after.map(|id| id.parse().unwrap());
        let page = document::documents(&world.view, &registry(), kind, after.as_ref(), limit).unwrap();
        let texts: Vec<String> =
            page.items.into_iter().map(|(id, record)| format!("{id}={}", record.text)).collect();
        (texts.join(" "), page.more)
    };
    assert_eq!(list(kind, None, 1), ("ROOT=ROOT".to_owned(), true));
    assert_eq!(list(kind, Some("ROOT"), 9), ("b=b2".to_owned(), false));
    assert_eq!(list(kind, Some("b"), 9), (String::new(), false));
    assert_eq!(list(other, None, 9), ("=x".to_owned(), false));
}
