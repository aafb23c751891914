//! What follows from the policies that are in the state.

use cluster_core::access::Action;
use cluster_core::command::principal::{Membership, PrincipalCommand};
use cluster_core::record::{EntityKind, Owner};
use cluster_core::state::principal::robot_token::TokenId;

use super::super::scope::Grant;
use super::super::world::{DEFAULT, OTHER, World, account, registry, repository, statement, user};
use super::*;

const HERE: Client = Client {
    address: IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 1, 1)),
    tls: false,
    request: RequestId::NONE,
};
const TEAM: &str = "arn:aws:ecr:*:000000000001:repository/team/*";

fn decider(anonymous_pull: bool) -> Decider {
    Decider::new(Facts { anonymous_pull, default_registry: registry(DEFAULT) }, Arc::new(Audit::nowhere()))
}

fn pull(name: &str) -> Wanted {
    Wanted::call(Action::ReadManifest, repository(DEFAULT, name))
}

fn push(name: &str) -> Wanted {
    Wanted::call(Action::PutManifest, repository(DEFAULT, name))
}

fn with_password(caller: Caller) -> Identity {
    Identity::of(caller, Proof::Password)
}

fn robot(caller: Caller, id: TokenId) -> Identity {
    Identity::of(caller, Proof::Robot(id))
}

fn with_scopes(caller: Caller, scopes: &[&str]) -> Identity {
    let grants = Grant::intersect(scopes.iter().copied(), |_, _| true);
    Identity { grants: Some(grants), ..Identity::of(caller, Proof::Token) }
}

fn ask(decider: &Decider, world: &World, identity: &Identity, wanted: &Wanted) -> Verdict {
    decider.may(&world.view, identity, HERE, wanted).expect("a readable state")
}

#[test]
fn a_user_may_what_its_own_and_its_groups_policies_allow() {
    let (mut world, decider) = (World::new(), decider(false));
    world.create_user(DEFAULT, "dev/alice", None);
    let alice = with_password(user(DEFAULT, "dev/alice"));
    assert_eq!(ask(&decider, &world, &alice, &pull("team/app")), Verdict::Denied, "nothing is allowed");
    world.put_policy(DEFAULT, EntityKind::User, "dev/alice", &statement("Allow", "ecr:BatchGetImage", TEAM));
    assert_eq!(ask(&decider, &world, &alice, &pull("team/app")), Verdict::Allowed);
    assert_eq!(ask(&decider, &world, &alice, &pull("other/app")), Verdict::Denied);
    assert_eq!(ask(&decider, &world, &alice, &push("team/app")), Verdict::Denied);
    world.create_group(DEFAULT, "pushers", "dev/alice");
    world.put_policy(DEFAULT, EntityKind::Group, "pushers", &statement("Allow", "ecr:PutImage", TEAM));
    assert_eq!(ask(&decider, &world, &alice, &push("team/app")), Verdict::Allowed);
    world.put_policy(DEFAULT, EntityKind::Group, "pushers", &statement("Deny", "ecr:*", TEAM));
    assert_eq!(ask(&decider, &world, &alice, &pull("team/app")), Verdict::Denied, "a group's denial wins");
    world.set_member(DEFAULT, "pushers", "dev/alice", Membership::None);
    assert_eq!(ask(&decider, &world, &alice, &pull("team/app")), Verdict::Allowed, "it left the group");
}

#[test]
fn who_is_not_there_any_more_is_nobody() {
    let (mut world, decider) = (World::new(), decider(false));
    world.create_user(DEFAULT, "alice", None);
    world.put_policy(DEFAULT, EntityKind::User, "alice", &statement("Allow", "*", "*"));
    let alice = with_password(user(DEFAULT, "alice"));
    assert_eq!(ask(&decider, &world, &alice, &push("a")), Verdict::Allowed);
    world.delete(DEFAULT, EntityKind::User, "alice");
    assert_eq!(ask(&decider, &world, &alice, &push("a")), Verdict::LoginNeeded);
    world.create_user(DEFAULT, "alice", None);
    assert_eq!(ask(&decider, &world, &alice, &push("a")), Verdict::Denied, "another alice has no policies");
    let nobodys_root = with_password(Caller::Root(account("000000000009")));
    assert_eq!(ask(&decider, &world, &nobodys_root, &pull("a")), Verdict::LoginNeeded);
}

#[test]
fn roots_may_all_in_their_own_account() {
    let (world, decider) = (World::new(), decider(false));
    let [own, other] = [DEFAULT, OTHER].map(|of| with_password(Caller::Root(account(of))));
    for action in Action::ALL {
        let wanted = Wanted::call(action, repository(DEFAULT, "a"));
        assert_eq!(ask(&decider, &world, &own, &wanted), Verdict::Allowed, "{action:?}");
        let expected = if action == Action::Connect { Verdict::Allowed } else { Verdict::Denied };
        assert_eq!(ask(&decider, &world, &other, &wanted), expected, "{action:?}");
    }
}

#[test]
fn another_accounts_user_needs_the_owners_word_too() {
    let (mut world, decider) = (World::new(), decider(false));
    world.create_user(OTHER, "bob", None);
    world.put_policy(OTHER, EntityKind::User, "bob", &statement("Allow", "*", "*"));
    let bob = with_password(user(OTHER, "bob"));
    let own = Wanted::call(Action::PutManifest, repository(OTHER, "a"));
    assert_eq!(ask(&decider, &world, &bob, &own), Verdict::Allowed);
    for wanted in [pull("a"), Wanted::call(Action::ManageCluster, Resource::Registry(registry(DEFAULT)))] {
        assert_eq!(ask(&decider, &world, &bob, &wanted), Verdict::Denied, "{wanted:?}");
    }
}

#[test]
fn anonymous_callers_are_asked_to_log_in_or_read_what_is_open() {
    let world = World::new();
    for (decider, reads) in [(decider(false), Verdict::LoginNeeded), (decider(true), Verdict::Allowed)] {
        assert_eq!(ask(&decider, &world, &Identity::ANONYMOUS, &pull("a")), reads);
        assert_eq!(ask(&decider, &world, &Identity::ANONYMOUS, &push("a")), Verdict::LoginNeeded);
        let token = with_scopes(Caller::Anonymous, &["repository:b:pull"]);
        assert_eq!(
            ask(&decider, &world, &token, &pull("a")),
            reads,
            "a token leaves no less than nobody has"
        );
    }
}

#[test]
fn a_token_narrows_to_its_scopes_and_never_widens() {
    let (mut world, closed) = (World::new(), decider(false));
    world.create_user(DEFAULT, "alice", None);
    let statement = statement("Allow", "ecr:*", TEAM);
    world.put_policy(DEFAULT, EntityKind::User, "alice", &statement);
    let scopes = ["repository:team/app:pull", "repository:other/app:pull,push"];
    let alice = with_scopes(user(DEFAULT, "alice"), &scopes);
    assert_eq!(ask(&closed, &world, &alice, &pull("team/app")), Verdict::Allowed);
    assert_eq!(ask(&closed, &world, &alice, &push("team/app")), Verdict::InsufficientScope);
    assert_eq!(ask(&closed, &world, &alice, &pull("team/b")), Verdict::InsufficientScope);
    assert_eq!(ask(&closed, &world, &alice, &push("other/app")), Verdict::Denied);
    let connect = Wanted::call(Action::Connect, Resource::Registry(registry(DEFAULT)));
    assert_eq!(ask(&closed, &world, &alice, &connect), Verdict::Allowed);
    assert_eq!(ask(&decider(true), &world, &alice, &pull("team/b")), Verdict::Allowed, "anybody may");
}

#[test]
fn a_robot_token_narrows_its_owner_until_it_ends() {
    let (mut world, decider) = (World::new(), decider(false));
    world.create_user(DEFAULT, "alice", None);
    world.put_policy(DEFAULT, EntityKind::User, "alice", &statement("Allow", "ecr:*", TEAM));
    let (alice, root) = (user(DEFAULT, "alice"), Caller::Root(account(DEFAULT)));
    let owner = Owner::User(account(DEFAULT), "alice".parse().expect("a name"));
    let reads = statement("Allow", "ecr:BatchGetImage", "*");
    let narrow = robot(alice.clone(), world.create_robot(1, owner.clone(), Some(&reads), Some(5000)));
    let whole = robot(alice, world.create_robot(2, owner, None, None));
    let of_root = world.create_robot(3, Owner::Root(account(DEFAULT)), Some(&reads), None);
    let of_root = robot(root, of_root);
    for (identity, name, pulls, pushes) in [
        (&narrow, "team/app", Verdict::Allowed, Verdict::Denied),
        (&narrow, "other/app", Verdict::Denied, Verdict::Denied),
        (&whole, "team/app", Verdict::Allowed, Verdict::Allowed),
        (&whole, "other/app", Verdict::Denied, Verdict::Denied),
        (&of_root, "other/app", Verdict::Allowed, Verdict::Denied),
    ] {
        assert_eq!(ask(&decider, &world, identity, &pull(name)), pulls, "{identity:?} {name}");
        assert_eq!(ask(&decider, &world, identity, &push(name)), pushes, "{identity:?} {name}");
    }
    world.pass(4000);
    assert_eq!(ask(&decider, &world, &narrow, &pull("team/app")), Verdict::Allowed, "its last millisecond");
    world.pass(1);
    assert_eq!(ask(&decider, &world, &narrow, &pull("team/app")), Verdict::LoginNeeded);
    world.run(PrincipalCommand::RevokeRobotToken { id: [2; 16] });
    assert_eq!(ask(&decider, &world, &whole, &pull("team/app")), Verdict::LoginNeeded);
}

#[test]
fn policies_may_ask_where_a_request_comes_from_and_whose_it_is() {
    let (mut world, decider) = (World::new(), decider(false));
    world.create_user(DEFAULT, "dev/alice", None);
    let alice = with_password(user(DEFAULT, "dev/alice"));
    let mapped: IpAddr = "::ffff:10.1.1.1".parse().expect("an address");
    let (secure, outside) = (Client { tls: true, ..HERE }, Client { address: [8, 8, 8, 8].into(), ..HERE });
    for (operator, key, value, asked, expected) in [
        ("IpAddress", "aws:SourceIp", "10.0.0.0/8", HERE, Verdict::Allowed),
        ("IpAddress", "aws:SourceIp", "10.0.0.0/8", Client { address: mapped, ..HERE }, Verdict::Allowed),
        ("IpAddress", "aws:SourceIp", "10.0.0.0/8", outside, Verdict::Denied),
        ("Bool", "aws:SecureTransport", "true", secure, Verdict::Allowed),
        ("Bool", "aws:SecureTransport", "true", HERE, Verdict::Denied),
        ("DateGreaterThan", "aws:CurrentTime", "2020-01-01T00:00:00Z", HERE, Verdict::Allowed),
        ("DateLessThan", "aws:CurrentTime", "2020-01-01T00:00:00Z", HERE, Verdict::Denied),
        ("NumericGreaterThan", "aws:EpochTime", "1577836800", HERE, Verdict::Allowed),
        ("StringEquals", "aws:username", "alice", HERE, Verdict::Allowed),
        ("StringEquals", "aws:PrincipalType", "User", HERE, Verdict::Allowed),
        ("ArnEquals", "aws:PrincipalArn", "arn:aws:iam::000000000001:user/dev/alice", HERE, Verdict::Allowed),
        ("StringEquals", "aws:PrincipalAccount", OTHER, HERE, Verdict::Denied),
    ] {
        let text = format!(
            r#"{{"Statement":{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{"{operator}":{{"{key}":"{value}"}}}}}}}}"#
        );
        world.put_policy(DEFAULT, EntityKind::User, "dev/alice", &text);
        let verdict = decider.may(&world.view, &alice, asked, &pull("a")).expect("a readable state");
        assert_eq!(verdict, expected, "{operator} {key} {value} {asked:?}");
    }
}

#[test]
fn a_policy_may_speak_of_the_tag_that_is_moved() {
    let (mut world, decider) = (World::new(), decider(false));
    world.create_user(DEFAULT, "alice", None);
    let text = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringLike":{"shoal:ImageTag":"dev-*"}}}}"#;
    world.put_policy(DEFAULT, EntityKind::User, "alice", text);
    let alice = with_password(user(DEFAULT, "alice"));
    let tag = |text: &str| push("a").of_tag(text.parse().expect("a tag"));
    assert_eq!(ask(&decider, &world, &alice, &tag("dev-1")), Verdict::Allowed);
    assert_eq!(ask(&decider, &world, &alice, &tag("v1")), Verdict::Denied);
    assert_eq!(ask(&decider, &world, &alice, &push("a")), Verdict::Denied, "no tag is not like one");
}

#[test]
fn the_cluster_is_for_root_and_whom_a_policy_of_the_default_account_lets() {
    let (mut world, decider) = (World::new(), decider(true));
    let manage = Wanted::call(Action::ManageCluster, Resource::Registry(registry(DEFAULT)));
    let metrics = Wanted::call(Action::ReadMetrics, Resource::Registry(registry(DEFAULT)));
    world.create_user(DEFAULT, "prometheus", None);
    world.put_policy(DEFAULT, EntityKind::User, "prometheus", &statement("Allow", "shoal:ReadMetrics", "*"));
    let prometheus = with_password(user(DEFAULT, "prometheus"));
    assert_eq!(ask(&decider, &world, &prometheus, &metrics), Verdict::Allowed);
    assert_eq!(ask(&decider, &world, &prometheus, &manage), Verdict::Denied);
    world.put_policy(DEFAULT, EntityKind::User, "prometheus", &statement("Allow", "shoal:*", TEAM));
    assert_eq!(ask(&decider, &world, &prometheus, &metrics), Verdict::Denied, "the cluster is no repository");
    assert_eq!(ask(&decider, &world, &Identity::ANONYMOUS, &metrics), Verdict::LoginNeeded);
    let scoped = with_scopes(Caller::Root(account(DEFAULT)), &["registry:catalog:*"]);
    assert_eq!(ask(&decider, &world, &scoped, &manage), Verdict::InsufficientScope, "no scope is for that");
}

#[test]
fn operations_of_ecrs_api_are_actions_by_themselves() {
    let (mut world, decider) = (World::new(), decider(true));
    world.create_user(DEFAULT, "alice", None);
    let alice = Identity::of(user(DEFAULT, "alice"), Proof::Key);
    let operation = |name: &str, resource| Wanted::operation(name.parse().expect("an action"), resource);
    let log_in = operation("ecr:GetAuthorizationToken", Resource::Registry(registry(DEFAULT)));
    let describe = operation("ecr:DescribeImages", repository(DEFAULT, "team/app"));
    assert_eq!(ask(&decider, &world, &alice, &log_in), Verdict::Denied, "A12");
    assert_eq!(
        ask(&decider, &world, &alice, &describe),
        Verdict::Denied,
        "it is not open for anonymous reading"
    );
    world.put_policy(DEFAULT, EntityKind::User, "alice", &statement("Allow", "ecr:Describe*", TEAM));
    assert_eq!(ask(&decider, &world, &alice, &describe), Verdict::Allowed);
    let catalog = operation("ecr:DescribeRepositories", Resource::Registry(registry(DEFAULT)));
    assert_eq!(
        ask(&decider, &world, &alice, &catalog),
        Verdict::Denied,
        "all repositories are more than a team's"
    );
}

#[test]
fn denials_and_changes_are_noted_once_with_their_reason_and_questions_and_reads_are_not() {
    let mut world = World::new();
    let directory = tempfile::tempdir().expect("a directory");
    let audit = Arc::new(Audit::open(directory.path().to_owned(), 0).expect("opened"));
    let facts = Facts { anonymous_pull: false, default_registry: registry(DEFAULT) };
    let decider = Decider::new(facts, audit.clone());
    world.create_user(DEFAULT, "alice", None);
    world.put_policy(DEFAULT, EntityKind::User, "alice", &statement("Deny", "ecr:PutImage", TEAM));
    let (alice, root) =
        (with_password(user(DEFAULT, "alice")), with_password(Caller::Root(account(DEFAULT))));
    let tagged = push("team/app").of_tag("v1".parse().expect("a tag"));
    for (identity, wanted, verdict) in [
        (&alice, &tagged, Verdict::Denied),
        (&Identity::ANONYMOUS, &tagged, Verdict::LoginNeeded),
        (&root, &pull("team/app"), Verdict::Allowed),
        (&root, &push("team/app"), Verdict::Allowed),
    ] {
        assert_eq!(ask(&decider, &world, identity, wanted), verdict, "a question");
        let asked = decider.authorize(&world.view, identity, HERE, wanted);
        assert_eq!(asked.expect("a readable state"), verdict);
    }
    while audit.counts().0 < 2 {
        std::thread::yield_now();
    }
    let entries = audit.read(0, None).expect("readable").entries;
    let [denied, changed] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(denied.principal, "arn:aws:iam::000000000001:user/alice");
    assert_eq!((denied.action.as_str(), denied.tag.as_deref()), ("ecr:PutImage", Some("v1")));
    assert_eq!(denied.resource, "arn:aws:ecr:home:000000000001:repository/team/app");
    assert_eq!(denied.source, "10.1.1.1");
    assert_eq!(denied.reason, "denied: explicit deny in statement 0 of identity policy \"p\"");
    assert!(!denied.is_allowed && changed.is_allowed && changed.tag.is_none());
    assert_eq!(changed.reason, "allowed: root of the account that owns the resource");
}
