//! Nodes come and go, copies with them; after any sequence of commands the two indices say what the records
//! say, except where the layout admits that it does not know yet.

use proptest::prelude::*;
use proto::digest::Algorithm;
use proto::identity::{PeerKey, RegistryId};
use proto::upload::UploadId;

use super::*;
use crate::command::node::{
    AddNode, Admission, ChangeLayout, CreateJoinToken, Disk, NodeCommand, NodePlace, PlacementChange,
    Removal, UpdateNode,
};
use crate::command::{Batch, Command, InitCluster, TokenRefusal};
use crate::key::RepositoryId;
use crate::level::Levels;
use crate::record::{NodeKind, VoterPin};
use crate::state::{apply, token};
use crate::view::MemoryView;

fn id(number: u64) -> NodeId {
    NodeId::new(number).unwrap()
}

fn digest_of(content: &str) -> Digest {
    Digest::of(Algorithm::Sha256, content.as_bytes())
}

fn generation(number: u128) -> UploadId {
    UploadId::new(id(1), number)
}

fn place(zone: &str) -> NodePlace {
    NodePlace {
        addresses: vec!["node.example:5001".parse().unwrap()],
        zone: zone.parse().unwrap(),
        capacity_bytes: 0,
        release: "0.2".to_owned(),
        levels: Levels::OWN,
    }
}

const SECRET_HASH: [u8; 32] = [7; 32];

fn add(number: u64, zone: &str, admission: Admission) -> NodeCommand {
    NodeCommand::Add(AddNode {
        node: id(number),
        public_key: PeerKey::new([u8::try_from(number).unwrap(); 32]),
        region: "home".parse().unwrap(),
        place: place(zone),
        incarnation: 10,
        admission,
    })
}

fn by_token(token: u8) -> Admission {
    Admission::Token { token: [token; 16], secret_hash: SECRET_HASH }
}

fn new_token(token: u8, kind: NodeKind) -> NodeCommand {
    let (token, secret_hash) = ([token; 16], SECRET_HASH);
    NodeCommand::CreateToken(CreateJoinToken { token, secret_hash, expires_ms: 2000, kind })
}

fn update(number: u64, incarnation: u64, disk: Disk) -> NodeCommand {
    NodeCommand::Update(UpdateNode { node: id(number), place: place("a"), incarnation, disk })
}

fn of_node(command: NodeCommand) -> Command {
    Command::Node(Box::new(command))
}

fn receipt(number: u64) -> Receipt {
    Receipt { node: id(number), incarnation: 10 }
}

fn commit(content: &str, number: u128, nodes: &[u64]) -> CommitBlob {
    let registry = RegistryId { account: "000000000001".parse().unwrap(), region: "home".parse().unwrap() };
    CommitBlob {
        repository: RepositoryId { registry, name: "a".parse().unwrap() },
        digest: digest_of(content),
        size: content.len() as u64,
        generation: generation(number),
        pieces_root: [0; 32],
        staging_deadline_ms: u64::MAX,
        copies: nodes.iter().map(|node| receipt(*node)).collect(),
        required_copies: 2,
        required_zones: 2,
    }
}

fn confirmed(content: &str, added: &[u64], lost: &[u64], released: &[u64]) -> Command {
    let ids = |nodes: &[u64]| nodes.iter().map(|node| id(*node)).collect();
    Command::ConfirmCopies(ConfirmCopies {
        digest: digest_of(content),
        generation: generation(1),
        added: added.iter().map(|node| receipt(*node)).collect(),
        lost: ids(lost),
        released: ids(released),
    })
}

fn run_at(view: &mut MemoryView, time_ms: u64, command: Command) -> Response {
    let response = apply(view, 1, Batch { time_ms, commands: vec![command] }).unwrap().remove(0);
    check(view);
    response
}

fn run(view: &mut MemoryView, command: Command) -> Response {
    run_at(view, 1000, command)
}

fn run_node(view: &mut MemoryView, command: NodeCommand) -> Response {
    run(view, of_node(command))
}

fn copies_are(nodes: &[u64]) -> Response {
    Response::CopiesConfirmed { copies: nodes.iter().map(|node| id(*node)).collect() }
}

/// Nodes 1 to 5 in zones a, b, c, a, b; nothing to recount.
fn five() -> MemoryView {
    let mut view = MemoryView::default();
    let init = InitCluster {
        cluster_id: [1; 16],
        registry: commit("", 0, &[]).repository.registry,
        root_password_hash: String::new(),
    };
    run(&mut view, Command::InitCluster(init));
    assert_eq!(run_node(&mut view, add(1, "a", Admission::Founder)), Response::NodeAdded { node: id(1) });
    for (number, zone) in [(2, "b"), (3, "c"), (4, "a"), (5, "b")] {
        let token = u8::try_from(number).unwrap();
        assert_eq!(run_node(&mut view, new_token(token, NodeKind::Full)), Response::JoinTokenCreated);
        let added = run_node(&mut view, add(number, zone, by_token(token)));
        assert_eq!(added, Response::NodeAdded { node: id(number) });
    }
    settle(&mut view);
    view
}

fn settle(view: &mut MemoryView) {
    for _ in 0..1000 {
        if run(view, Command::RecountCopies { limit: 1 }) == (Response::Recounted { is_done: true }) {
            return;
        }
    }
    panic!("counting does not end");
}

fn under(view: &MemoryView) -> Vec<Digest> {
    under_copied(view, None, 100).unwrap().items
}

/// Holds the indices against the records.
fn check(view: &MemoryView) {
    let blobs = blob::blobs(view, None, usize::MAX).unwrap().items;
    let mut rows: BTreeSet<Vec<u8>> = BTreeSet::new();
    let layout = node::layout(view).unwrap();
    let marked = under_copied(view, None, usize::MAX).unwrap().items;
    for (digest, record) in &blobs {
        assert!(record.copies.is_sorted());
        rows.extend(record.copies.iter().map(|node| key::copy(*node, digest)));
        let Some(layout) = &layout else { continue };
        let bytes = digest.to_bytes();
        let is_counted = layout.recount_from.as_ref().is_none_or(|from| bytes <= *from);
        let has_void = record.copies.iter().any(|node| is_void(view, *node).unwrap());
        if is_counted && !has_void {
            let is_under = count(view, &record.copies).unwrap().copies < layout.wanted();
            assert_eq!(marked.contains(digest), is_under, "{digest} {record:?} {layout:?}");
        }
    }
    assert!(marked.iter().all(|digest| blobs.iter().any(|(blob, _)| blob == digest)));
    let found = view.iter().filter(|(key, _)| key[0] == b'h').map(|(key, _)| key.to_vec());
    assert_eq!(found.collect::<BTreeSet<_>>(), rows);
    if let Some(layout) = layout {
        let homes = node::homes(view).unwrap();
        assert_eq!(usize::try_from(layout.homes).unwrap(), homes.len());
    }
}

#[test]
fn a_token_lets_one_node_in_once() {
    let mut view = five();
    let refused = Response::TokenRefused;
    assert_eq!(run_node(&mut view, add(6, "a", by_token(6))), refused(TokenRefusal::Unknown));
    run_node(&mut view, new_token(6, NodeKind::Edge));
    let wrong = Admission::Token { token: [6; 16], secret_hash: [8; 32] };
    assert_eq!(run_node(&mut view, add(6, "a", wrong)), refused(TokenRefusal::Unknown));
    let added = Response::NodeAdded { node: id(6) };
    assert_eq!(run_node(&mut view, add(6, "a", by_token(6))), added);
    assert_eq!(node::node(&view, id(6)).unwrap().unwrap().kind, NodeKind::Edge);
    let before = view.clone();
    assert_eq!(run_at(&mut view, 1000, of_node(add(6, "z", by_token(6)))), added, "it asks again");
    assert_eq!(view, before);
    assert_eq!(run_node(&mut view, add(7, "a", by_token(6))), refused(TokenRefusal::Used));
    run_node(&mut view, NodeCommand::Remove { node: id(6), removal: Removal::Forced });
    assert_eq!(run_node(&mut view, add(6, "a", by_token(6))), refused(TokenRefusal::Used), "replayed");
    run_node(&mut view, new_token(8, NodeKind::Full));
    assert_eq!(run_node(&mut view, add(5, "a", by_token(8))), Response::NodeExists { node: id(5) });
    let NodeCommand::Add(other) = add(7, "a", by_token(8)) else { panic!() };
    let same_key = AddNode { public_key: PeerKey::new([5; 32]), ..other.clone() };
    assert_eq!(run_node(&mut view, NodeCommand::Add(same_key)), Response::NodeExists { node: id(5) });
    let same_id = AddNode { node: id(5), ..other };
    assert_eq!(run_node(&mut view, NodeCommand::Add(same_id)), Response::NodeExists { node: id(5) });
    assert_eq!(run_at(&mut view, 2001, of_node(add(7, "a", by_token(8)))), refused(TokenRefusal::Expired));
    assert_eq!(run_node(&mut view, add(7, "a", Admission::Founder)), Response::NodeExists { node: id(1) });
    assert_eq!(run_node(&mut view, NodeCommand::RevokeToken { token: [8; 16] }), Response::Revoked);
    assert_eq!(run_node(&mut view, NodeCommand::RevokeToken { token: [8; 16] }), Response::NotFound);
    assert_eq!(run_node(&mut view, add(7, "a", by_token(8))), refused(TokenRefusal::Unknown));
    run_at(&mut view, 2002, of_node(new_token(9, NodeKind::Full)));
    assert_eq!(token::tokens(&view, None, 100).unwrap().items.len(), 1, "expired ones are gone");
}

#[test]
fn an_older_start_of_a_node_is_refused() {
    let mut view = five();
    assert_eq!(run_node(&mut view, update(1, 12, Disk::Kept)), Response::NodeUpdated);
    let before = view.clone();
    let stale = Response::StaleIncarnation { recorded: 12 };
    assert_eq!(run_node(&mut view, update(1, 11, Disk::Kept)), stale);
    assert_eq!(run_node(&mut view, update(1, 11, Disk::Empty)), stale);
    assert_eq!(view, before);
    assert_eq!(run_node(&mut view, update(9, 12, Disk::Kept)), Response::NotFound);
}

#[test]
fn a_commit_needs_receipts_from_enough_nodes_and_zones() {
    let mut view = five();
    let mut try_commit = |nodes: &[u64]| run(&mut view, Command::CommitBlob(commit("x", 1, nodes)));
    assert_eq!(try_commit(&[]), Response::VoidReceipts(vec![]));
    assert_eq!(try_commit(&[9]), Response::VoidReceipts(vec![id(9)]));
    assert_eq!(try_commit(&[1]), Response::TooFewCopies { copies: 1, zones: 1 });
    assert_eq!(try_commit(&[1, 1, 9]), Response::TooFewCopies { copies: 1, zones: 1 });
    assert_eq!(try_commit(&[1, 4]), Response::TooFewCopies { copies: 2, zones: 1 });
    assert_eq!(try_commit(&[1, 2]), Response::BlobLinked { generation: generation(1) });
    let record = blob::blob(&view, &digest_of("x")).unwrap().unwrap();
    assert_eq!(record.copies, [id(1), id(2)]);
    assert_eq!(under(&view), [digest_of("x")], "it wants three");
    // Receipts of another generation say nothing of the recorded one.
    let other = run(&mut view, Command::CommitBlob(commit("x", 2, &[3, 4])));
    assert_eq!(other, Response::BlobLinked { generation: generation(1) });
    assert_eq!(run(&mut view, confirmed("x", &[3], &[], &[])), copies_are(&[1, 2, 3]));
    assert_eq!(under(&view), []);
}

#[test]
fn receipts_of_edges_lost_nodes_and_other_incarnations_are_void() {
    let mut view = five();
    run_node(&mut view, new_token(6, NodeKind::Edge));
    run_node(&mut view, add(6, "d", by_token(6)));
    run_node(&mut view, NodeCommand::SetState { node: id(2), state: NodeState::Lost });
    let mut future = commit("x", 1, &[6, 2]);
    future.copies.push(Receipt { node: id(3), incarnation: 11 });
    future.copies.push(Receipt { node: id(3), incarnation: 9 });
    let refused = run(&mut view, Command::CommitBlob(future));
    assert_eq!(refused, Response::VoidReceipts(vec![id(6), id(2), id(3), id(3)]));
    run_node(&mut view, update(3, 12, Disk::Kept));
    assert!(matches!(
        run(&mut view, Command::CommitBlob(commit("x", 1, &[3, 5]))),
        Response::BlobLinked { .. }
    ));
}

#[test]
fn a_commit_asks_for_no_more_than_there_is() {
    let mut view = five();
    for number in 2..=5 {
        run_node(&mut view, NodeCommand::SetState { node: id(number), state: NodeState::Lost });
    }
    assert!(matches!(run(&mut view, Command::CommitBlob(commit("x", 1, &[1]))), Response::BlobLinked { .. }));
    settle(&mut view);
    assert_eq!(under(&view), []);
    run_node(&mut view, NodeCommand::SetState { node: id(2), state: NodeState::Active });
    settle(&mut view);
    assert_eq!(under(&view), [digest_of("x")]);
}

#[test]
fn a_copy_is_let_go_only_while_enough_are_left() {
    let mut view = five();
    run(&mut view, Command::CommitBlob(commit("x", 1, &[1, 2, 3, 4])));
    // Both want to go by the same old facts: one may.
    assert_eq!(run(&mut view, confirmed("x", &[], &[], &[4])), copies_are(&[1, 2, 3]));
    assert_eq!(run(&mut view, confirmed("x", &[], &[], &[3])), copies_are(&[1, 2, 3]));
    assert_eq!(run(&mut view, confirmed("x", &[], &[3], &[])), copies_are(&[1, 2]), "it is gone");
    assert_eq!(under(&view), [digest_of("x")]);
    let Command::ConfirmCopies(other) = confirmed("x", &[5], &[], &[]) else { panic!() };
    let other = ConfirmCopies { generation: generation(2), ..other };
    assert_eq!(run(&mut view, Command::ConfirmCopies(other)), Response::Kept);
    assert_eq!(run(&mut view, confirmed("y", &[5], &[], &[])), Response::Kept);
}

#[test]
fn the_copies_that_are_left_are_in_two_zones() {
    let mut view = five();
    run_node(&mut view, NodeCommand::SetState { node: id(3), state: NodeState::Draining });
    run_node(&mut view, new_token(6, NodeKind::Full));
    run_node(&mut view, add(6, "a", by_token(6)));
    settle(&mut view);
    run(&mut view, Command::CommitBlob(commit("x", 1, &[1, 2, 4, 6])));
    assert_eq!(run(&mut view, confirmed("x", &[], &[], &[2])), copies_are(&[1, 2, 4, 6]));
    assert_eq!(run(&mut view, confirmed("x", &[], &[], &[4])), copies_are(&[1, 2, 6]));
}

#[test]
fn a_node_is_drained_before_it_is_removed() {
    let mut view = five();
    run(&mut view, Command::CommitBlob(commit("x", 1, &[1, 2, 3])));
    let remove = |removal| NodeCommand::Remove { node: id(3), removal };
    run_node(&mut view, NodeCommand::SetState { node: id(3), state: NodeState::Draining });
    let needed = Response::StillNeeded { example: Some(digest_of("x")) };
    assert_eq!(run_node(&mut view, remove(Removal::Drained)), needed);
    settle(&mut view);
    assert_eq!(under(&view), [digest_of("x")], "a draining copy does not count");
    assert_eq!(run(&mut view, confirmed("x", &[], &[], &[3])), copies_are(&[1, 2, 3]));
    assert_eq!(run(&mut view, confirmed("x", &[4], &[], &[3])), copies_are(&[1, 2, 4]));
    assert_eq!(run_node(&mut view, remove(Removal::Drained)), Response::NodeRemoved);
    assert_eq!(run_node(&mut view, remove(Removal::Drained)), Response::NotFound);
    assert_eq!(cluster_key(&view, 3), None, "its tokens are worth nothing");
}

fn cluster_key(view: &MemoryView, number: u64) -> Option<[u8; 32]> {
    crate::state::cluster::node_key(view, id(number)).unwrap().map(|record| record.public_key)
}

#[test]
fn the_last_home_is_not_removed_and_keeps_its_copies() {
    let mut view = MemoryView::default();
    run_node(&mut view, add(1, "a", Admission::Founder));
    settle(&mut view);
    run(&mut view, Command::CommitBlob(commit("x", 1, &[1])));
    run_node(&mut view, NodeCommand::SetState { node: id(1), state: NodeState::Draining });
    assert_eq!(run(&mut view, confirmed("x", &[], &[], &[1])), copies_are(&[1]));
    let remove = NodeCommand::Remove { node: id(1), removal: Removal::Drained };
    assert_eq!(run_node(&mut view, remove), Response::StillNeeded { example: None });
}

#[test]
fn copies_of_a_node_that_is_gone_or_emptied_are_void_at_once_and_taken_out_step_by_step() {
    for command in [NodeCommand::Remove { node: id(3), removal: Removal::Forced }, update(3, 20, Disk::Empty)]
    {
        let mut view = five();
        for content in ["x", "y", "z"] {
            run(&mut view, Command::CommitBlob(commit(content, 1, &[1, 2, 3])));
        }
        run_node(&mut view, command.clone());
        assert_eq!(
            run(&mut view, confirmed("x", &[], &[], &[1])),
            copies_are(&[1, 2, 3]),
            "3 does not count"
        );
        assert!(is_recounting(&view).unwrap());
        // It is back already; its old copies must not count again.
        if matches!(command, NodeCommand::Remove { .. }) {
            run_node(&mut view, new_token(9, NodeKind::Full));
            run_node(&mut view, add(3, "c", by_token(9)));
        }
        assert_eq!(count(&view, &[id(3)]).unwrap().copies, 0);
        assert_eq!(run(&mut view, confirmed("x", &[3], &[3], &[])), copies_are(&[1, 2]), "not before");
        settle(&mut view);
        assert_eq!(super::of_node(&view, id(3), None, 9).unwrap().items, []);
        assert_eq!(under(&view).len(), 3);
        // Asked again, an emptied disk voids nothing that was confirmed since.
        let now =
            Receipt { node: id(3), incarnation: node::node(&view, id(3)).unwrap().unwrap().incarnation };
        let confirm = ConfirmCopies {
            digest: digest_of("x"),
            generation: generation(1),
            added: vec![now],
            lost: vec![],
            released: vec![],
        };
        assert_eq!(run(&mut view, Command::ConfirmCopies(confirm)), copies_are(&[1, 2, 3]));
        run_node(&mut view, update(3, now.incarnation, Disk::Empty));
        assert_eq!(count(&view, &[id(3)]).unwrap().copies, 1);
    }
}

#[test]
fn blobs_are_counted_again_only_when_it_can_make_a_difference() {
    let mut view = five();
    run_node(&mut view, new_token(6, NodeKind::Full));
    run_node(&mut view, add(6, "d", by_token(6)));
    run_node(&mut view, update(6, 11, Disk::Kept));
    assert!(!is_recounting(&view).unwrap(), "blobs want three as before");
    assert_eq!(node::layout(&view).unwrap().unwrap().zones, 3, "it moved from d to a");
    run_node(&mut view, NodeCommand::SetState { node: id(6), state: NodeState::Lost });
    assert!(is_recounting(&view).unwrap());
}

#[test]
fn blobs_of_release_0_1_are_found_to_have_no_copies() {
    let mut view = MemoryView::default();
    run(&mut view, Command::CommitBlob(CommitBlob { copies: vec![], ..commit("x", 1, &[]) }));
    assert_eq!(under(&view), []);
    run_node(&mut view, add(1, "a", Admission::Founder));
    settle(&mut view);
    assert_eq!(under(&view), [digest_of("x")]);
    assert_eq!(run(&mut view, confirmed("x", &[1], &[], &[])), copies_are(&[1]));
    assert_eq!(under(&view), []);
}

#[test]
fn nodes_of_other_regions_are_no_homes_while_the_registry_s_own_has_some() {
    let mut view = five();
    run_node(&mut view, new_token(6, NodeKind::Full));
    let NodeCommand::Add(far) = add(6, "x", by_token(6)) else { panic!() };
    run_node(&mut view, NodeCommand::Add(AddNode { region: "far".parse().unwrap(), ..far }));
    assert_eq!(node::homes(&view).unwrap().len(), 5);
    for number in 1..=5 {
        run_node(&mut view, NodeCommand::SetState { node: id(number), state: NodeState::Draining });
    }
    assert_eq!(node::homes(&view).unwrap().iter().map(|(node, _)| *node).collect::<Vec<_>>(), [id(6)]);
    run_node(&mut view, NodeCommand::PinVoter { node: id(6), pin: Some(VoterPin::Never) });
    assert_eq!(node::node(&view, id(6)).unwrap().unwrap().pin, Some(VoterPin::Never));
}

#[test]
fn a_planned_change_is_made_as_a_whole_and_only_for_the_layout_that_it_was_planned_for() {
    let mut view = five();
    let version = node::layout(&view).unwrap().unwrap().version;
    let drain =
        |number| PlacementChange { node: id(number), state: Some(NodeState::Draining), assigned_bytes: None };
    let weigh =
        |number, bytes| PlacementChange { node: id(number), state: None, assigned_bytes: Some(bytes) };
    let change = |version, changes| NodeCommand::ChangeLayout(ChangeLayout { version, changes });
    let old = change(version - 1, vec![drain(1)]);
    assert_eq!(run_node(&mut view, old), Response::LayoutChanged { version });
    let unknown = change(version, vec![drain(1), drain(9)]);
    assert_eq!(run_node(&mut view, unknown), Response::NotFound);
    let nobody_left = change(version, (1..=5).map(drain).collect());
    assert_eq!(run_node(&mut view, nobody_left), Response::StillNeeded { example: None });
    assert_eq!(node::homes(&view).unwrap().len(), 5, "refused, so nothing changed");
    assert_eq!(node::layout(&view).unwrap().unwrap().version, version);
    let good = change(version, vec![drain(1), weigh(2, 2 << 40)]);
    let planned = node::homes_after(&view, &[drain(1), weigh(2, 2 << 40)]).unwrap().unwrap();
    assert_eq!(run_node(&mut view, good.clone()), Response::NodeUpdated);
    assert_eq!(node::homes(&view).unwrap(), planned);
    assert_eq!(node::node(&view, id(2)).unwrap().unwrap().weight_bytes(), 2 << 40);
    let version = node::layout(&view).unwrap().unwrap().version;
    assert_eq!(run_node(&mut view, good), Response::NodeUpdated, "asked twice");
    assert_eq!(node::layout(&view).unwrap().unwrap().version, version);
    // A node says its capacity anew at each start; what a person said stays.
    let place = NodePlace { capacity_bytes: 1 << 40, ..place("b") };
    let update = UpdateNode { node: id(2), place, incarnation: 11, disk: Disk::Kept };
    run_node(&mut view, NodeCommand::Update(update));
    assert_eq!(node::node(&view, id(2)).unwrap().unwrap().weight_bytes(), 2 << 40);
    let version = node::layout(&view).unwrap().unwrap().version;
    run_node(&mut view, change(version, vec![weigh(2, 0)]));
    assert_eq!(node::node(&view, id(2)).unwrap().unwrap().weight_bytes(), 1 << 40);
}

fn any_command() -> impl Strategy<Value = Command> {
    let number = || 1u64..7;
    let numbers = || prop::collection::vec(1u64..7, 0..4);
    let content = || prop::sample::select(vec!["x", "y", "z"]);
    let state = prop::sample::select(vec![NodeState::Active, NodeState::Draining, NodeState::Lost]);
    prop_oneof![
        4 => (content(), 1u128..3, numbers())
            .prop_map(|(content, of, nodes)| Command::CommitBlob(commit(content, of, &nodes))),
        4 => (content(), numbers(), numbers(), numbers())
            .prop_map(|(content, added, lost, released)| confirmed(content, &added, &lost, &released)),
        2 => (1u32..3).prop_map(|limit| Command::RecountCopies { limit }),
        1 => (number(), state).prop_map(|(number, state)| {
            of_node(NodeCommand::SetState { node: id(number), state })
        }),
        1 => (number(), any::<bool>()).prop_map(|(number, forced)| {
            let removal = if forced { Removal::Forced } else { Removal::Drained };
            of_node(NodeCommand::Remove { node: id(number), removal })
        }),
        1 => number().prop_map(|number| {
            of_node(new_token(u8::try_from(number + 100).unwrap(), NodeKind::Full))
        }),
        1 => number().prop_map(|number| {
            of_node(add(number, "b", by_token(u8::try_from(number + 100).unwrap())))
        }),
        1 => (number(), any::<bool>()).prop_map(|(number, empty)| {
            of_node(update(number, 10, if empty { Disk::Empty } else { Disk::Kept }))
        }),
        1 => content().prop_map(|content| Command::UnlinkBlob {
            repository: commit("", 0, &[]).repository, digest: digest_of(content)
        }),
        1 => content().prop_map(|content| Command::DropBlob {
            digest: digest_of(content), generation: generation(1)
        }),
    ]
}

proptest! {
    #[test]
    fn the_indices_say_what_the_records_say_after_any_commands(
        commands in prop::collection::vec((any_command(), 0u64..(30 * 60 * 60 * 1000)), 1..40)
    ) {
        let mut view = five();
        let mut now = 1000;
        for (command, later) in commands {
            now += later / 16;
            run_at(&mut view, now, command);
        }
        settle(&mut view);
        let layout = node::layout(&view).unwrap().unwrap();
        for (digest, record) in blob::blobs(&view, None, 100).unwrap().items {
            let is_under = count(&view, &record.copies).unwrap().copies < layout.wanted();
            prop_assert_eq!(under(&view).contains(&digest), is_under);
        }
    }

    /// What the last commands confirmed never falls below what is wanted by letting go.
    #[test]
    fn letting_go_never_makes_a_blob_under_copied(
        copies in prop::collection::btree_set(1u64..6, 2..6),
        released in prop::collection::vec(prop::collection::vec(1u64..6, 1..4), 1..6)
    ) {
        let mut view = five();
        let copies: Vec<u64> = copies.into_iter().collect();
        let required = CommitBlob { required_copies: 1, required_zones: 1, ..commit("x", 1, &copies) };
        run(&mut view, Command::CommitBlob(required));
        let before = count(&view, &blob::blob(&view, &digest_of("x")).unwrap().unwrap().copies).unwrap();
        for released in released {
            run(&mut view, confirmed("x", &[], &[], &released));
        }
        let after = count(&view, &blob::blob(&view, &digest_of("x")).unwrap().unwrap().copies).unwrap();
        prop_assert!(after.copies >= before.copies.min(3) && after.zones >= before.zones.min(2));
    }
}
