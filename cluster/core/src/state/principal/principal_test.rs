//! What each command about principals does, and what it refuses.

use proto::arn::SessionName;
use proto::credential::AccessKeyId;
use proto::identity::AccountId;

use super::super::{Page, apply as apply_batch, cluster};
use super::*;
use crate::access::policy::Caller;
use crate::command::principal::*;
use crate::command::{Batch, Command};
use crate::level::Levels;
use crate::record::{Entity, Hidden, KeyState, Record, RobotTokenRecord, Sealed, UserRecord};
use crate::view::{MemoryView, ViewMut};

#[path = "principal_model_test.rs"]
mod model;
#[path = "principal_world_test.rs"]
mod world;

use world::*;

#[test]
fn the_default_account_is_there_from_the_start_and_others_are_made() {
    let mut world = World::new();
    let default = account::account(&world.view, &default_account()).unwrap().unwrap();
    assert_eq!((default.name.as_str(), default.created_ms), ("default", 0));
    let create = |account: AccountId, name: &str, hash: &str| {
        let root_password_hash = Hidden(hash.to_owned());
        PrincipalCommand::CreateAccount(CreateAccount { account, name: name.to_owned(), root_password_hash })
    };
    let exists = PrincipalRefusal::Exists(Noun::Account);
    world.refused(create(default_account(), "one", "$h"), exists);
    assert_eq!(account::account(&world.view, &other_account()).unwrap(), None);
    world.done(create(other_account(), "two", "$h"));
    world.refused(create(other_account(), "two", "$other"), exists);
    world.refused(create(other_account(), "three", "$h"), exists);
    world.refused(create("000000000003".parse().unwrap(), &"n".repeat(513), "$h"), limit(Bound::Text));
    let made = account::account(&world.view, &other_account()).unwrap().unwrap();
    assert_eq!((made.name.as_str(), made.created_ms), ("two", 1000));
    let page = account::accounts(&world.view, None, 1).unwrap();
    assert!(page.more && page.items[0].0 == default_account());
    let page = account::accounts(&world.view, Some(&default_account()), 1).unwrap();
    assert!(!page.more && page.items[0] == (other_account(), made));
    let mut in_missing = create_user("a", None);
    if let PrincipalCommand::CreateUser(create) = &mut in_missing {
        create.account = "000000000009".parse().unwrap();
    }
    world.refused(in_missing, PrincipalRefusal::NotFound(Noun::Account));
}

fn limit(bound: Bound) -> PrincipalRefusal {
    PrincipalRefusal::Limit(bound)
}

#[test]
fn a_name_is_unique_in_any_case_and_path_and_found_in_its_own() {
    let mut world = World::new();
    world.done(create_user("team/Alice", Some("$h")));
    for taken in ["alice", "Alice", "team/alice", "other/ALICE"] {
        world.refused(create_user(taken, Some("$h")), PrincipalRefusal::Exists(Noun::User));
        assert_eq!(user::user(&world.view, &default_account(), &name(taken)).unwrap(), None, "{taken}");
        let remove = delete(entity(EntityKind::User, taken), Deletion::Forced);
        world.refused(remove, PrincipalRefusal::NotFound(Noun::User));
    }
    world.refused(create_user("team/Alice", None), PrincipalRefusal::Exists(Noun::User));
    let found = user::user_by_name(&world.view, &default_account(), "aLICE").unwrap().unwrap();
    assert_eq!(found.head.name, name("team/Alice"));
    assert_eq!(user::user(&world.view, &default_account(), &name("team/Alice")).unwrap(), Some(found));
    // A group and a role are other things.
    world.done(create_group("alice"));
    world.done(create_role("alice", "{}", 900));
}

#[test]
fn listings_page_in_the_order_of_names_without_paths() {
    let mut world = World::new();
    for user in ["z/a", "B", "c", "d"] {
        world.done(create_user(user, None));
    }
    world.done(create_group("g"));
    for user in ["d", "B", "z/a"] {
        world.done(membership(user, "g", Membership::Member));
    }
    let names = |page: &Page<UserRecord>| -> Vec<String> {
        page.items.iter().map(|user| user.head.name.to_string()).collect()
    };
    let page = user::users(&world.view, &default_account(), None, 3).unwrap();
    assert_eq!((names(&page), page.more), (vec!["z/a".into(), "B".into(), "c".into()], true));
    let page = user::users(&world.view, &default_account(), Some("C"), 3).unwrap();
    assert_eq!((names(&page), page.more), (vec!["d".into()], false));
    let page = group::members(&world.view, &default_account(), &name("g"), Some("A"), 1).unwrap();
    assert_eq!((names(&page), page.more), (vec!["B".into()], true));
    for hostile in ["", "\0", "\u{ffff}", "a\0b"] {
        user::users(&world.view, &default_account(), Some(hostile), 9).unwrap();
        group::members(&world.view, &default_account(), &name("g"), Some(hostile), 9).unwrap();
    }
    assert_eq!(group::groups(&world.view, &default_account(), None, 9).unwrap().items.len(), 1);
    assert!(role::roles(&world.view, &default_account(), None, 9).unwrap().items.is_empty());
}

#[test]
fn logins_change_and_older_tokens_become_void() {
    let mut world = World::new();
    world.done(create_user("alice", Some("$1")));
    let set = |owner: &Owner, password, tokens| {
        PrincipalCommand::SetLogin(SetLogin { owner: owner.clone(), password, tokens })
    };
    let valid_from = |world: &World, owner: &Owner| {
        world.identity(&Caller::from(owner.clone())).unwrap().tokens_valid_from_index
    };
    // Tokens of one who had the name before are void. Asked again for the user, the state stays as it is.
    assert_eq!((valid_from(&world, &user("alice")), valid_from(&world, &root())), (world.index - 1, 0));
    for owner in [user("alice"), root()] {
        world.done(set(&owner, PasswordChange::Keep, Tokens::Void));
        let void = world.index;
        assert_eq!(valid_from(&world, &owner), void, "a token says which state issued it");
        world.done(set(&owner, PasswordChange::Set(Hidden("$2".to_owned())), Tokens::Keep));
        assert_eq!(valid_from(&world, &owner), void);
        let long = PasswordChange::Set(Hidden("h".repeat(513)));
        world.refused(set(&owner, long, Tokens::Void), limit(Bound::Text));
        assert_eq!(valid_from(&world, &owner), void);
    }
    let hash = |world: &World| {
        user::user(&world.view, &default_account(), &name("alice")).unwrap().unwrap().password_hash
    };
    assert_eq!(hash(&world), Some(Hidden("$2".to_owned())));
    world.done(set(&user("alice"), PasswordChange::Remove, Tokens::Keep));
    assert_eq!(hash(&world), None);
    world
        .refused(set(&root(), PasswordChange::Remove, Tokens::Keep), PrincipalRefusal::InUse(Noun::Password));
    let recorded = cluster::root(&world.view, &default_account()).unwrap().unwrap();
    assert_eq!(recorded.password_hash, "$2");
    world.refused(
        set(&user("bob"), PasswordChange::Keep, Tokens::Void),
        PrincipalRefusal::NotFound(Noun::User),
    );
}

#[test]
fn a_user_goes_bare_or_with_all_that_is_its_own_and_nothing_else() {
    let mut world = World::new();
    let alice = entity(EntityKind::User, "alice");
    for user in ["alice", "alicea"] {
        world.done(create_user(user, None));
    }
    world.done(create_group("g"));
    let stages = [
        (put_policy(alice.clone(), "p", "{}"), Noun::Policy),
        (membership("alice", "g", Membership::Member), Noun::Group),
        (create_token(1, user("alice"), None), Noun::RobotToken),
        (create_key(1, user("alice"), 1), Noun::AccessKey),
    ];
    for (command, noun) in stages {
        world.done(command);
        world.refused(delete(alice.clone(), Deletion::IfBare), PrincipalRefusal::InUse(noun));
    }
    world.done(create_key(2, user("alicea"), 2));
    world.done(create_token(2, user("alicea"), None));
    world.done(create_key(3, root(), 3));
    world.done(delete(alice.clone(), Deletion::Forced));
    assert_eq!(access_key::access_key(&world.view, &key_id(1)).unwrap(), None);
    assert_eq!(robot_token::robot_token(&world.view, &[1; 16]).unwrap(), None);
    assert_eq!(policy::policies(&world.view, &alice).unwrap(), []);
    for kept in [2, 3] {
        assert!(access_key::access_key(&world.view, &key_id(kept)).unwrap().is_some());
    }
    assert!(robot_token::robot_token(&world.view, &[2; 16]).unwrap().is_some());
    world.refused(delete(alice.clone(), Deletion::Forced), PrincipalRefusal::NotFound(Noun::User));
    world.done(create_user("alice", None));
    world.done(delete(alice, Deletion::IfBare));
}

#[test]
fn a_group_with_users_stays_and_one_without_goes() {
    let mut world = World::new();
    world.done(create_user("alice", None));
    world.done(create_group("g"));
    world.done(create_group("ga"));
    let group = || entity(EntityKind::Group, "g");
    world.done(put_policy(group(), "p", "{}"));
    world.done(membership("alice", "g", Membership::Member));
    for deletion in [Deletion::IfBare, Deletion::Forced] {
        world.refused(delete(group(), deletion), PrincipalRefusal::InUse(Noun::User));
    }
    world.done(delete(entity(EntityKind::Group, "ga"), Deletion::IfBare));
    world.done(membership("alice", "g", Membership::None));
    world.refused(delete(group(), Deletion::IfBare), PrincipalRefusal::InUse(Noun::Policy));
    world.done(delete(group(), Deletion::Forced));
    world.refused(membership("alice", "g", Membership::Member), PrincipalRefusal::NotFound(Noun::Group));
}

#[test]
fn a_role_has_a_trust_policy_and_sessions_of_bounded_length() {
    let mut world = World::new();
    for seconds in [0, 899, 43_201] {
        world.refused(create_role("r", "{}", seconds), limit(Bound::SessionSeconds));
    }
    world.refused(create_role("r", &"t".repeat(4097), 900), limit(Bound::TrustPolicyBytes));
    world.done(create_role("r", "{}", 900));
    world.refused(create_role("r", "{ }", 900), PrincipalRefusal::Exists(Noun::Role));
    let session = SessionName::new(&name("r"), "s").unwrap();
    let caller = Caller::Session { account: default_account(), role: name("r"), name: session };
    let before = world.identity(&caller).unwrap().tokens_valid_from_index;
    assert!(before > 0, "sessions of one that had the name before are void");
    let update = |trust: Option<&str>, max_session_seconds, tokens| {
        PrincipalCommand::UpdateRole(UpdateRole {
            account: default_account(),
            name: name("r"),
            trust_policy: trust.map(str::to_owned),
            max_session_seconds,
            tokens,
        })
    };
    world.refused(update(None, Some(1), Tokens::Void), limit(Bound::SessionSeconds));
    let long = "t".repeat(4097);
    world.refused(update(Some(&long), None, Tokens::Void), limit(Bound::TrustPolicyBytes));
    world.done(update(Some("{ }"), Some(43_200), Tokens::Keep));
    assert_eq!(world.identity(&caller).unwrap().tokens_valid_from_index, before);
    world.done(update(None, None, Tokens::Void));
    let void = world.index;
    let role = role::role(&world.view, &default_account(), &name("r")).unwrap().unwrap();
    assert_eq!((role.trust_policy.as_str(), role.max_session_seconds), ("{ }", 43_200));
    world.done(put_policy(entity(EntityKind::Role, "r"), "p", "{}"));
    let identity = world.identity(&caller).unwrap();
    assert_eq!((identity.tokens_valid_from_index, identity.sources.len()), (void, 1));
    assert_eq!(identity.sources[0].policies, 1);
    let r = || entity(EntityKind::Role, "r");
    world.refused(delete(r(), Deletion::IfBare), PrincipalRefusal::InUse(Noun::Policy));
    world.done(delete(r(), Deletion::Forced));
    assert_eq!(world.identity(&caller), None);
}

#[test]
fn an_identity_is_the_policies_of_user_and_groups_and_every_change_is_a_new_version() {
    let mut world = World::new();
    world.done(create_user("alice", None));
    for group in ["g", "h"] {
        world.done(create_group(group));
    }
    let alice = Caller::User(default_account(), name("alice"));
    let (user, g) = (entity(EntityKind::User, "alice"), entity(EntityKind::Group, "g"));
    let delete_policy =
        |entity: &Entity| PrincipalCommand::DeletePolicy { entity: entity.clone(), name: policy_name("p") };
    let changes = [
        put_policy(user.clone(), "p", "1"),
        put_policy(user.clone(), "p", "2"),
        put_policy(user.clone(), "q", "3"),
        membership("alice", "g", Membership::Member),
        put_policy(g.clone(), "p", "4"),
        delete_policy(&g),
        put_policy(g.clone(), "p", "5"),
        delete_policy(&user),
    ];
    let mut version = world.version(&alice);
    for change in changes {
        world.done(change.clone());
        let now = world.version(&alice);
        assert!(now > version, "{change:?}");
        version = now;
    }
    // Nothing that bears on it.
    for other in [
        put_policy(g.clone(), "p", "5"),
        put_policy(entity(EntityKind::Group, "h"), "p", "6"),
        create_key(1, Owner::User(default_account(), name("alice")), 1),
    ] {
        world.done(other);
        assert_eq!(world.version(&alice), version);
    }
    let identity = world.identity(&alice).unwrap();
    let texts = identity.sources.iter().map(|source| {
        let policies = policy::policies(&world.view, &source.entity).unwrap();
        assert_eq!(policies.len(), source.policies as usize);
        policies.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
    });
    assert_eq!(texts.collect::<Vec<_>>(), [["3"], ["5"]]);
    assert_eq!(identity.sources.iter().map(|source| &source.entity).collect::<Vec<_>>(), [&user, &g]);
    world.done(membership("alice", "g", Membership::None));
    assert!(world.version(&alice) > version);
    // Somebody else of the same name.
    version = world.version(&alice);
    world.done(delete(user, Deletion::Forced));
    assert_eq!(world.identity(&alice), None);
    world.done(create_user("alice", None));
    assert!(world.version(&alice) > version);
    assert_eq!(world.identity(&Caller::Anonymous), Some(identity::Identity::default()));
    assert_eq!(world.identity(&Caller::Root(other_account())), None);
    assert_eq!(world.identity(&Caller::User(default_account(), name("team/alice"))), None);
}

#[test]
fn policies_keep_to_their_number_and_size() {
    let mut world = World::new();
    world.done(create_user("alice", None));
    let alice = || entity(EntityKind::User, "alice");
    world.refused(put_policy(alice(), "p", &"x".repeat(10_241)), limit(Bound::PolicyBytes));
    world.done(put_policy(alice(), "p", &"x".repeat(10_240)));
    world.refused(put_policy(alice(), "q", "x"), limit(Bound::PolicyBytes));
    world.done(put_policy(alice(), "p", "x"));
    for number in 1..10 {
        world.done(put_policy(alice(), &format!("p{number}"), "{}"));
    }
    world.refused(put_policy(alice(), "q", ""), limit(Bound::Policies));
    world.done(put_policy(alice(), "p9", "in its place"));
    let missing = PrincipalCommand::DeletePolicy { entity: alice(), name: policy_name("q") };
    world.refused(missing, PrincipalRefusal::NotFound(Noun::Policy));
    let nobody = put_policy(entity(EntityKind::User, "bob"), "p", "{}");
    world.refused(nobody, PrincipalRefusal::NotFound(Noun::User));
}

#[test]
fn an_access_key_is_found_by_id_and_by_owner_and_sealed_again() {
    let mut world = World::new();
    world.done(create_user("alice", None));
    for (number, owner) in [(1, root()), (2, user("alice")), (3, user("alice"))] {
        world.done(create_key(number, owner, number));
    }
    world.refused(create_key(4, user("alice"), 4), limit(Bound::AccessKeys));
    world.refused(create_key(4, user("bob"), 4), PrincipalRefusal::NotFound(Noun::User));
    world.refused(create_key(1, root(), 9), PrincipalRefusal::Exists(Noun::AccessKey));
    world.refused(create_key(1, user("alice"), 1), PrincipalRefusal::Exists(Noun::AccessKey));
    let (id, unknown) = (key_id(2), key_id(9));
    let state = |id: &AccessKeyId, state| PrincipalCommand::SetAccessKeyState { id: id.clone(), state };
    world.done(state(&id, KeyState::Inactive));
    world.refused(state(&unknown, KeyState::Active), PrincipalRefusal::NotFound(Noun::AccessKey));
    let reseal = |before_by, byte, by| {
        let sealed = Sealed { bytes: Hidden(vec![byte]), by };
        PrincipalCommand::ResealAccessKey { id: key_id(2), before_by, sealed }
    };
    world.done(reseal(1, 20, 2));
    world.refused(reseal(1, 21, 3), PrincipalRefusal::Changed);
    let record = access_key::access_key(&world.view, &id).unwrap().unwrap();
    assert_eq!((record.owner, record.state), (user("alice"), KeyState::Inactive));
    assert_eq!(record.sealed, Sealed { bytes: Hidden(vec![20]), by: 2 });
    let ids: Vec<_> = access_key::access_keys(&world.view, &user("alice")).unwrap();
    assert_eq!(ids.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), [key_id(2), key_id(3)]);
    world.done(PrincipalCommand::DeleteAccessKey { id: id.clone() });
    world.refused(PrincipalCommand::DeleteAccessKey { id }, PrincipalRefusal::NotFound(Noun::AccessKey));
    world.done(create_key(4, user("alice"), 4));
}

#[test]
fn robot_tokens_are_listed_by_account_and_those_that_expired_make_room() {
    let mut world = World::new();
    world.done(create_user("alice", None));
    world.done(create_token(9, root(), None));
    for number in 100..200 {
        assert_eq!(world.run_fast(create_token(number, user("alice"), Some(5000))), DONE);
    }
    check(&world.view);
    world.refused(create_token(200, user("alice"), None), limit(Bound::RobotTokensOfOwner));
    world.refused(create_token(9, user("alice"), None), PrincipalRefusal::Exists(Noun::RobotToken));
    let mut listed = Vec::new();
    loop {
        let after = listed.last().map(|(id, record): &([u8; 16], RobotTokenRecord)| (&record.owner, id));
        let page = robot_token::robot_tokens(&world.view, &default_account(), after, 7).unwrap();
        listed.extend(page.items);
        if !page.more {
            break;
        }
    }
    let numbers: Vec<u8> = listed.iter().map(|(id, _)| id[0]).collect();
    assert_eq!(numbers, [9].into_iter().chain(100..200).collect::<Vec<_>>());
    let none = robot_token::robot_tokens(&world.view, &other_account(), None, 7).unwrap();
    assert!(none.items.is_empty());
    world.now_ms = 5001;
    world.done(create_token(200, user("alice"), None));
    let left = robot_token::robot_tokens_of_owner(&world.view, &user("alice"), None, 7).unwrap();
    assert_eq!(left.items.iter().map(|(id, _)| id[0]).collect::<Vec<_>>(), [200]);
    world.done(PrincipalCommand::RevokeRobotToken { id: [200; 16] });
    let again = PrincipalCommand::RevokeRobotToken { id: [200; 16] };
    world.refused(again, PrincipalRefusal::NotFound(Noun::RobotToken));
}

#[test]
fn a_revoked_authorization_is_known_until_it_expires_by_itself() {
    let mut world = World::new();
    let revoke = |number: u8, until_ms| PrincipalCommand::RevokeAuthorization { id: [number; 16], until_ms };
    let known = |world: &World, number: u8| revoked::is_revoked(&world.view, &[number; 16]).unwrap();
    world.done(revoke(1, 3000));
    world.done(revoke(2, 2000));
    world.done(revoke(2, 4000));
    assert_eq!(world.run_fast(revoke(2, 1500)), DONE);
    assert!(known(&world, 1) && known(&world, 2) && !known(&world, 3));
    world.now_ms = 3001;
    world.done(revoke(3, 9000));
    assert!(!known(&world, 1) && known(&world, 2) && known(&world, 3));
    // One that has expired, for longer this time.
    world.now_ms = 4001;
    world.done(revoke(2, 4000));
    world.done(revoke(2, 4500));
    assert!(known(&world, 2) && known(&world, 3));
    world.now_ms = 4200;
    for number in 10..110 {
        world.run_fast(revoke(number, 4500));
    }
    world.now_ms = 4501;
    for _ in 0..2 {
        assert_eq!(world.run_fast(revoke(4, 9000)), DONE);
    }
    check(&world.view);
    assert_eq!((2..110).filter(|number| known(&world, *number)).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn an_account_and_a_user_hold_as_many_as_iam_allows() {
    let mut world = World::new();
    world.done(create_user("alice", None));
    for number in 0..10 {
        world.done(create_group(&format!("g{number}")));
        world.done(membership("alice", &format!("g{number}"), Membership::Member));
    }
    world.done(create_group("g10"));
    world.refused(membership("alice", "g10", Membership::Member), limit(Bound::GroupsOfUser));
    world.done(create_role("r0", "{}", 900));
    // At the end of the count, as if all the others were there.
    let key = crate::key::account(&default_account());
    let mut record = account::account(&world.view, &default_account()).unwrap().unwrap();
    (record.users, record.groups, record.roles, record.robot_tokens) = (5_000, 300, 1_000, 10_000);
    world.view.put(key, record.encode());
    let commands = [
        (create_user("more", None), Bound::Users),
        (create_group("more"), Bound::Groups),
        (create_role("more", "{}", 900), Bound::Roles),
        (create_token(1, root(), None), Bound::RobotTokens),
    ];
    for (command, bound) in commands {
        assert_eq!(world.run_fast(command), refused(limit(bound)));
    }
    assert_eq!(world.run_fast(create_user("alice", None)), DONE, "it is there already");
}

#[test]
fn before_all_nodes_know_principals_nothing_is_changed() {
    let mut world = World::of_levels(Levels { oldest: 2, newest: 3 });
    let before = world.view.clone();
    let create = Command::Principal(Box::new(create_user("alice", None)));
    assert_eq!(world.apply(create), Response::NotYet { needed: 4, level: 3 });
    assert_eq!(world.view, before);
    // As before this level: the bytes of the first command must not depend on the release.
    assert!(of_kind(&before, b'a').is_empty());
}

#[test]
fn no_secret_is_stored_as_it_is_or_shown() {
    let mut world = World::new();
    world.done(create_user("alice", Some("$hash")));
    world.done(create_key(1, user("alice"), 77));
    world.done(create_token(88, user("alice"), None));
    let user = user::user_by_name(&world.view, &default_account(), "alice").unwrap().unwrap();
    let key = access_key::access_key(&world.view, &key_id(1)).unwrap().unwrap();
    let token = robot_token::robot_token(&world.view, &[88; 16]).unwrap().unwrap();
    let shown = format!("{user:?} {key:?} {token:?}");
    for secret in ["$hash", "77", "88"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn altered_values_are_errors_and_never_absent() {
    let mut world = World::new();
    world.done(create_user("alice", None));
    world.done(create_group("g"));
    world.done(membership("alice", "g", Membership::Member));
    world.done(create_key(1, user("alice"), 1));
    world.done(create_token(1, user("alice"), None));
    let alice = Caller::User(default_account(), name("alice"));
    let account = default_account();
    let altered = |key: Vec<u8>, value: Option<&[u8]>| {
        let mut view = world.view.clone();
        match value {
            Some(value) => view.put(key, value.to_vec()),
            None => view.delete(key),
        }
        view
    };
    let group = crate::key::entity(&account, EntityKind::Group, "g");
    assert!(identity::identity(&altered(group, None), &alice).is_err());
    let user_key = crate::key::entity(&account, EntityKind::User, "alice");
    for value in [&b""[..], &[2, 8, 1], &[1, 255], &[1]] {
        let view = altered(user_key.clone(), Some(value));
        assert!(identity::identity(&view, &alice).is_err(), "{value:?}");
    }
    let gone = altered(user_key, None);
    assert!(group::members(&gone, &account, &name("g"), None, 9).is_err());
    let gone = altered(crate::key::access_key(&key_id(1)), None);
    assert!(access_key::access_keys(&gone, &user("alice")).is_err());
    let gone = altered(crate::key::robot_token(&[1; 16]), None);
    assert!(robot_token::robot_tokens(&gone, &account, None, 9).is_err());
}
