//! Every command about principals survives the log, shows no secret, and keeps its bytes.

use proptest::prelude::*;
use prost::Message;
use proto::arn::EntityName;
use proto::credential::{AccessKeyId, PolicyName};
use proto::identity::AccountId;

use super::*;
use crate::command::encoding::DecodeError;
use crate::command::{Batch, Bound, Command, Noun, PrincipalRefusal, Response};
use crate::level::Levels;

fn any_account() -> impl Strategy<Value = AccountId> {
    "[0-9]{12}".prop_map(|text| text.parse().unwrap())
}

fn any_name() -> impl Strategy<Value = EntityName> {
    "([a-z]{1,4}/){0,2}[A-Za-z0-9+=,.@_-]{1,64}".prop_map(|text| text.parse().unwrap())
}

fn any_policy_name() -> impl Strategy<Value = PolicyName> {
    "[A-Za-z0-9+=,.@_-]{1,128}".prop_map(|text| text.parse().unwrap())
}

fn any_key() -> impl Strategy<Value = AccessKeyId> {
    "AKIA[A-Z2-7]{16}".prop_map(|text| text.parse().unwrap())
}

fn any_owner() -> impl Strategy<Value = Owner> {
    (any_account(), prop::option::of(any_name())).prop_map(|(account, user)| match user {
        None => Owner::Root(account),
        Some(user) => Owner::User(account, user),
    })
}

fn any_entity() -> impl Strategy<Value = Entity> {
    let kind = prop::sample::select(vec![EntityKind::User, EntityKind::Group, EntityKind::Role]);
    (any_account(), kind, any_name()).prop_map(|(account, kind, name)| Entity { account, kind, name })
}

fn any_sealed() -> impl Strategy<Value = Sealed> {
    any::<(Vec<u8>, u32)>().prop_map(|(bytes, by)| Sealed { bytes: Hidden(bytes), by })
}

fn any_login() -> impl Strategy<Value = SetLogin> {
    let password = prop_oneof![
        Just(PasswordChange::Keep),
        Just(PasswordChange::Remove),
        any::<String>().prop_map(|hash| PasswordChange::Set(Hidden(hash))),
    ];
    (any_owner(), password, any::<bool>()).prop_map(|(owner, password, voids)| SetLogin {
        owner,
        password,
        tokens: tokens(voids),
    })
}

fn any_credential() -> impl Strategy<Value = PrincipalCommand> {
    let state = prop::sample::select(vec![KeyState::Active, KeyState::Inactive]);
    prop_oneof![
        (any_key(), any_owner(), any_sealed()).prop_map(|(id, owner, sealed)| {
            PrincipalCommand::CreateAccessKey(CreateAccessKey { id, owner, sealed })
        }),
        (any_key(), state).prop_map(|(id, state)| PrincipalCommand::SetAccessKeyState { id, state }),
        (any_key(), any::<u32>(), any_sealed())
            .prop_map(|(id, before_by, sealed)| PrincipalCommand::ResealAccessKey { id, before_by, sealed }),
        any_key().prop_map(|id| PrincipalCommand::DeleteAccessKey { id }),
        (any_owner(), any::<([u8; 16], String, [u8; 32], Option<String>, Option<u64>)>()).prop_map(
            |(owner, (id, name, hash, policy, expires_ms))| {
                let secret_hash = Hidden(hash);
                PrincipalCommand::CreateRobotToken(CreateRobotToken {
                    id,
                    owner,
                    name,
                    secret_hash,
                    policy,
                    expires_ms,
                })
            }
        ),
        any::<[u8; 16]>().prop_map(|id| PrincipalCommand::RevokeRobotToken { id }),
        any::<([u8; 16], u64)>()
            .prop_map(|(id, until_ms)| PrincipalCommand::RevokeAuthorization { id, until_ms }),
    ]
}

pub(in crate::command) fn any_principal() -> impl Strategy<Value = PrincipalCommand> {
    let deletion = prop::sample::select(vec![Deletion::IfBare, Deletion::Forced]);
    let membership = prop::sample::select(vec![Membership::Member, Membership::None]);
    let named = || (any_account(), any_name());
    prop_oneof![
        (any_account(), any::<(String, String)>()).prop_map(|(account, (name, hash))| {
            let root_password_hash = Hidden(hash);
            PrincipalCommand::CreateAccount(CreateAccount { account, name, root_password_hash })
        }),
        any_login().prop_map(PrincipalCommand::SetLogin),
        (named(), any::<Option<String>>()).prop_map(|((account, name), hash)| {
            let password_hash = hash.map(Hidden);
            PrincipalCommand::CreateUser(CreateUser { account, name, password_hash })
        }),
        named().prop_map(|(account, name)| PrincipalCommand::CreateGroup { account, name }),
        (named(), any_name(), membership).prop_map(|((account, user), group, membership)| {
            PrincipalCommand::SetMembership(SetMembership { account, user, group, membership })
        }),
        (named(), any::<(String, u32)>()).prop_map(|((account, name), (trust_policy, seconds))| {
            let max_session_seconds = seconds;
            PrincipalCommand::CreateRole(CreateRole { account, name, trust_policy, max_session_seconds })
        }),
        (named(), any::<(Option<String>, Option<u32>, bool)>()).prop_map(
            |((account, name), (trust_policy, max_session_seconds, voids))| {
                PrincipalCommand::UpdateRole(UpdateRole {
                    account,
                    name,
                    trust_policy,
                    max_session_seconds,
                    tokens: tokens(voids),
                })
            }
        ),
        (any_entity(), deletion).prop_map(|(entity, deletion)| PrincipalCommand::Delete { entity, deletion }),
        (any_entity(), any_policy_name(), any::<String>())
            .prop_map(|(entity, name, text)| PrincipalCommand::PutPolicy { entity, name, text }),
        (any_entity(), any_policy_name())
            .prop_map(|(entity, name)| PrincipalCommand::DeletePolicy { entity, name }),
        any_credential(),
    ]
}

fn batch(commands: Vec<PrincipalCommand>) -> Batch {
    let commands = commands.into_iter().map(|command| Command::Principal(Box::new(command))).collect();
    Batch { time_ms: 1_900_000_000_000, commands }
}

proptest! {
    #[test]
    fn commands_about_principals_survive_the_log(commands in prop::collection::vec(any_principal(), 1..5)) {
        let batch = batch(commands);
        prop_assert_eq!(Batch::decode(&batch.encode()).unwrap(), batch);
    }
}

/// One of each kind, with every field in use.
fn one_of_each() -> Vec<PrincipalCommand> {
    use PrincipalCommand as C;
    let account: AccountId = "000000000002".parse().unwrap();
    let name: EntityName = "team/Alice".parse().unwrap();
    let group: EntityName = "pushers".parse().unwrap();
    let entity = |kind, name: &EntityName| Entity { account: account.clone(), kind, name: name.clone() };
    let user = Owner::User(account.clone(), name.clone());
    let root = Owner::Root(account.clone());
    let id: AccessKeyId = "AKIAIOSFODNN7EXAMPLE".parse().unwrap();
    let sealed = |by| Sealed { bytes: Hidden(b"sealed".to_vec()), by };
    let hash = || Hidden("$hash".to_owned());
    let policy: PolicyName = "pull".parse().unwrap();
    let login = |owner: &Owner, password| SetLogin { owner: owner.clone(), password, tokens: Tokens::Void };
    let membership = |membership| SetMembership {
        account: account.clone(),
        user: name.clone(),
        group: group.clone(),
        membership,
    };
    let create_account =
        CreateAccount { account: account.clone(), name: "two".to_owned(), root_password_hash: hash() };
    let create_user =
        CreateUser { account: account.clone(), name: name.clone(), password_hash: Some(hash()) };
    let create_role = CreateRole {
        account: account.clone(),
        name: name.clone(),
        trust_policy: "{}".to_owned(),
        max_session_seconds: 900,
    };
    let update_role = UpdateRole {
        account: account.clone(),
        name: name.clone(),
        trust_policy: Some("{ }".to_owned()),
        max_session_seconds: Some(43_200),
        tokens: Tokens::Void,
    };
    let create_token = CreateRobotToken {
        id: [7; 16],
        owner: root.clone(),
        name: "ci".to_owned(),
        secret_hash: Hidden([8; 32]),
        policy: Some("{}".to_owned()),
        expires_ms: Some(9),
    };
    vec![
        C::CreateAccount(create_account),
        C::SetLogin(login(&user, PasswordChange::Remove)),
        C::SetLogin(login(&root, PasswordChange::Set(hash()))),
        C::SetLogin(login(&root, PasswordChange::Keep)),
        C::CreateUser(create_user),
        C::CreateGroup { account: account.clone(), name: group.clone() },
        C::SetMembership(membership(Membership::Member)),
        C::SetMembership(membership(Membership::None)),
        C::CreateRole(create_role),
        C::UpdateRole(update_role),
        C::Delete { entity: entity(EntityKind::User, &name), deletion: Deletion::Forced },
        C::Delete { entity: entity(EntityKind::Group, &group), deletion: Deletion::IfBare },
        C::PutPolicy { entity: entity(EntityKind::Role, &name), name: policy.clone(), text: "{}".to_owned() },
        C::DeletePolicy { entity: entity(EntityKind::Role, &name), name: policy },
        C::CreateAccessKey(CreateAccessKey { id: id.clone(), owner: user, sealed: sealed(1) }),
        C::SetAccessKeyState { id: id.clone(), state: KeyState::Inactive },
        C::ResealAccessKey { id: id.clone(), before_by: 1, sealed: sealed(2) },
        C::DeleteAccessKey { id },
        C::CreateRobotToken(create_token),
        C::RevokeRobotToken { id: [7; 16] },
        C::RevokeAuthorization { id: [10; 16], until_ms: 11 },
    ]
}

/// Bytes of this version; they must be readable for as long as version 4 is.
#[test]
fn a_batch_of_version_4_is_read() {
    let expected = batch(one_of_each());
    let fixture = include_bytes!("batch-v4.bin");
    assert_eq!(expected.encode(), fixture, "the bytes of version 4 have changed");
    assert_eq!(Batch::decode(fixture).unwrap(), expected);
}

#[test]
fn commands_about_principals_are_of_level_4() {
    for command in one_of_each() {
        assert_eq!(Command::Principal(Box::new(command.clone())).level(), 4);
        let bytes = batch(vec![command]).encode();
        let refused = Batch::decode_as(Levels { oldest: 2, newest: 3 }, &bytes);
        assert!(matches!(refused, Err(DecodeError::UnknownVersion { found: 4, newest: 3 })));
    }
}

#[test]
fn debug_output_shows_no_hash_and_no_sealed_secret() {
    let shown = format!("{:?}", one_of_each());
    for secret in ["$hash", "[8, 8", "115, 101, 97"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.contains("team/Alice") && shown.contains("hidden"));
}

#[test]
fn a_kind_or_value_of_a_later_release_is_refused() {
    let decode = |kind| {
        let command = wire::PrincipalCommand { kind };
        let commands = vec![wire::Command { kind: Some(wire::command::Kind::Principal(command)) }];
        Batch::decode(&wire::Batch { version: 4, time_ms: 1, commands }.encode_to_vec())
    };
    assert!(matches!(decode(None), Err(DecodeError::UnknownCommand)));
    let entity = wire::Entity { account: "000000000002".to_owned(), kind: 9, name: "a".to_owned() };
    let delete = wire::DeleteEntity { entity: Some(entity), is_forced: false };
    assert!(matches!(decode(Some(Kind::DeleteEntity(delete))), Err(DecodeError::Field("kind"))));
    let owner = Some(wire::Owner { account: "000000000002".to_owned(), user: String::new() });
    let login = wire::SetLogin {
        owner,
        password_hash: Some("h".to_owned()),
        removes_password: true,
        ..Default::default()
    };
    assert!(matches!(decode(Some(Kind::SetLogin(login))), Err(DecodeError::Field("password"))));
}

#[test]
fn refusals_survive_the_way_to_another_node() {
    use Bound as B;
    use Noun as N;
    let nouns = [N::Account, N::User, N::Group, N::Role, N::Policy, N::AccessKey, N::RobotToken, N::Password];
    let bounds = [
        B::Text,
        B::Users,
        B::Groups,
        B::Roles,
        B::GroupsOfUser,
        B::Policies,
        B::PolicyBytes,
        B::TrustPolicyBytes,
        B::SessionSeconds,
        B::AccessKeys,
        B::RobotTokens,
        B::RobotTokensOfOwner,
        B::TokenPolicyBytes,
        B::Revoked,
    ];
    let of_noun = |noun| {
        [PrincipalRefusal::Exists(noun), PrincipalRefusal::NotFound(noun), PrincipalRefusal::InUse(noun)]
    };
    let refusals = nouns.into_iter().flat_map(of_noun).chain(bounds.map(PrincipalRefusal::Limit));
    let refusals = refusals.chain([PrincipalRefusal::Changed]).map(Response::PrincipalRefused);
    for answer in refusals.chain([Response::PrincipalChanged]) {
        assert_eq!(Response::decode(&answer.encode()), Some(answer));
    }
    let numbers: std::collections::BTreeSet<Vec<u8>> =
        bounds.map(|bound| Response::PrincipalRefused(PrincipalRefusal::Limit(bound)).encode()).into();
    assert_eq!(numbers.len(), bounds.len());
}
