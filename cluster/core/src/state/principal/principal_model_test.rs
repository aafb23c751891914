//! Users, groups, policies, access keys and tokens against a model of plain maps: any commands get the answers that
//! the model gives, and leave what it says.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::view::StagedView;

#[derive(Clone, Debug, Default)]
struct ModelUser {
    name: String,
    password: Option<String>,
    groups: BTreeSet<String>,
    policies: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Model {
    /// By name without path, in lower case.
    users: BTreeMap<String, ModelUser>,
    groups: BTreeMap<String, BTreeMap<String, String>>,
    /// Owner (empty: root), secret, whether it is active.
    keys: BTreeMap<u8, (String, u8, bool)>,
    /// Owner, expiry.
    tokens: BTreeMap<u8, (String, Option<u64>)>,
}

/// A command in the words of the model.
#[derive(Clone, Debug)]
enum Step {
    CreateUser(&'static str, Option<&'static str>),
    SetPassword(&'static str, Option<&'static str>),
    DeleteUser(&'static str, Deletion),
    CreateGroup(&'static str),
    DeleteGroup(&'static str, Deletion),
    Join(&'static str, &'static str, Membership),
    PutPolicy(EntityKind, &'static str, &'static str, &'static str),
    DeletePolicy(EntityKind, &'static str, &'static str),
    CreateKey(u8, &'static str, u8),
    SetKey(u8, KeyState),
    DeleteKey(u8),
    CreateToken(u8, &'static str, Option<u64>),
    RevokeToken(u8),
    Wait(u64),
}

const KEYS: usize = 2;

fn short(name: &str) -> String {
    name.rsplit('/').next().unwrap().to_lowercase()
}

impl Model {
    fn user(&mut self, name: &str) -> Result<&mut ModelUser, PrincipalRefusal> {
        let found = self.users.get_mut(&short(name)).filter(|user| user.name == name);
        found.ok_or(PrincipalRefusal::NotFound(Noun::User))
    }

    fn owner(&mut self, name: &str) -> Result<String, PrincipalRefusal> {
        if name.is_empty() { Ok(String::new()) } else { self.user(name).map(|user| user.name.clone()) }
    }

    fn policies(
        &mut self,
        kind: EntityKind,
        name: &str,
    ) -> Result<&mut BTreeMap<String, String>, PrincipalRefusal> {
        if kind == EntityKind::User {
            return Ok(&mut self.user(name)?.policies);
        }
        self.groups.get_mut(name).ok_or(PrincipalRefusal::NotFound(Noun::Group))
    }

    fn take(&mut self, step: &Step, now_ms: u64) -> Result<(), PrincipalRefusal> {
        match *step {
            Step::CreateUser(..) | Step::SetPassword(..) | Step::DeleteUser(..) => self.take_user(step),
            Step::CreateKey(..) | Step::SetKey(..) | Step::DeleteKey(_) => self.take_key(step),
            Step::CreateGroup(name) => {
                self.groups.entry(name.to_owned()).or_default();
                Ok(())
            }
            Step::DeleteGroup(name, deletion) => {
                let policies = self.groups.get(name).ok_or(PrincipalRefusal::NotFound(Noun::Group))?;
                if self.users.values().any(|user| user.groups.contains(name)) {
                    return Err(PrincipalRefusal::InUse(Noun::User));
                }
                if deletion == Deletion::IfBare && !policies.is_empty() {
                    return Err(PrincipalRefusal::InUse(Noun::Policy));
                }
                self.groups.remove(name);
                Ok(())
            }
            Step::Join(user, group, membership) => {
                self.user(user)?;
                if !self.groups.contains_key(group) {
                    return Err(PrincipalRefusal::NotFound(Noun::Group));
                }
                let groups = &mut self.user(user)?.groups;
                match membership {
                    Membership::Member => groups.insert(group.to_owned()),
                    Membership::None => groups.remove(group),
                };
                Ok(())
            }
            Step::PutPolicy(kind, name, policy, text) => {
                self.policies(kind, name)?.insert(policy.to_owned(), text.to_owned());
                Ok(())
            }
            Step::DeletePolicy(kind, name, policy) => {
                let removed = self.policies(kind, name)?.remove(policy);
                removed.map(drop).ok_or(PrincipalRefusal::NotFound(Noun::Policy))
            }
            Step::CreateToken(number, owner, expires_ms) => {
                let owner = self.owner(owner)?;
                if let Some(found) = self.tokens.get(&number) {
                    let is_same = *found == (owner, expires_ms);
                    return if is_same { Ok(()) } else { Err(PrincipalRefusal::Exists(Noun::RobotToken)) };
                }
                self.tokens
                    .retain(|_, (of, until)| *of != owner || until.is_none_or(|until| until >= now_ms));
                self.tokens.insert(number, (owner, expires_ms));
                Ok(())
            }
            Step::RevokeToken(number) => {
                let removed = self.tokens.remove(&number);
                removed.map(drop).ok_or(PrincipalRefusal::NotFound(Noun::RobotToken))
            }
            Step::Wait(_) => Ok(()),
        }
    }

    fn take_user(&mut self, step: &Step) -> Result<(), PrincipalRefusal> {
        match *step {
            Step::CreateUser(name, password) => {
                let password = password.map(str::to_owned);
                let new =
                    ModelUser { name: name.to_owned(), password: password.clone(), ..ModelUser::default() };
                let found = self.users.entry(short(name)).or_insert(new);
                let is_same = found.name == name && found.password == password;
                if is_same { Ok(()) } else { Err(PrincipalRefusal::Exists(Noun::User)) }
            }
            Step::SetPassword(name, password) => {
                self.user(name)?.password = password.map(str::to_owned);
                Ok(())
            }
            Step::DeleteUser(name, deletion) => {
                let user = self.user(name)?.clone();
                let owns = |noun| match noun {
                    Noun::Password => user.password.is_some(),
                    Noun::AccessKey => self.keys.values().any(|(owner, ..)| owner == name),
                    Noun::RobotToken => self.tokens.values().any(|(owner, _)| owner == name),
                    Noun::Group => !user.groups.is_empty(),
                    _ => !user.policies.is_empty(),
                };
                let order = [Noun::Password, Noun::AccessKey, Noun::RobotToken, Noun::Group, Noun::Policy];
                if deletion == Deletion::IfBare
                    && let Some(noun) = order.into_iter().find(|noun| owns(*noun))
                {
                    return Err(PrincipalRefusal::InUse(noun));
                }
                self.keys.retain(|_, (owner, ..)| owner != name);
                self.tokens.retain(|_, (owner, _)| owner != name);
                self.users.remove(&short(name));
                Ok(())
            }
            _ => unreachable!("not about a user"),
        }
    }

    fn take_key(&mut self, step: &Step) -> Result<(), PrincipalRefusal> {
        let missing = PrincipalRefusal::NotFound(Noun::AccessKey);
        match *step {
            Step::CreateKey(number, owner, secret) => {
                let owner = self.owner(owner)?;
                if let Some((of, sealed, _)) = self.keys.get(&number) {
                    let is_same = (of, *sealed) == (&owner, secret);
                    return if is_same { Ok(()) } else { Err(PrincipalRefusal::Exists(Noun::AccessKey)) };
                }
                if self.keys.values().filter(|(of, ..)| *of == owner).count() == KEYS {
                    return Err(PrincipalRefusal::Limit(Bound::AccessKeys));
                }
                self.keys.insert(number, (owner, secret, true));
                Ok(())
            }
            Step::SetKey(number, state) => {
                self.keys.get_mut(&number).ok_or(missing)?.2 = state == KeyState::Active;
                Ok(())
            }
            Step::DeleteKey(number) => self.keys.remove(&number).map(drop).ok_or(missing),
            _ => unreachable!("not about a key"),
        }
    }

    /// Holds what can be asked of the state against the model.
    fn compare(&self, view: &MemoryView) {
        let account = default_account();
        let listed = user::users(view, &account, None, 100).unwrap().items;
        let names: Vec<_> = listed.iter().map(|user| user.head.name.to_string()).collect();
        assert_eq!(names, self.users.values().map(|user| user.name.clone()).collect::<Vec<_>>());
        for (record, expected) in listed.iter().zip(self.users.values()) {
            assert_eq!(record.password_hash.as_ref().map(|hash| &hash.0), expected.password.as_ref());
            let caller = Caller::User(account.clone(), record.head.name.clone());
            let identity = identity::identity(view, &caller).unwrap().unwrap();
            let own = [(expected.name.clone(), &expected.policies)].into_iter();
            let inherited = expected.groups.iter().map(|group| (group.clone(), &self.groups[group]));
            let found: Vec<_> = identity.sources.iter().map(|source| texts(view, &source.entity)).collect();
            let wanted: Vec<_> = own.chain(inherited).map(|(name, texts)| (name, texts.clone())).collect();
            assert_eq!(found, wanted);
            let keys = access_key::access_keys(view, &Owner::from(&caller)).unwrap();
            let of_user = self.keys.iter().filter(|(_, (owner, ..))| *owner == expected.name);
            let wanted: Vec<_> = of_user.map(|(number, _)| key_id(*number)).collect();
            assert_eq!(keys.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), wanted);
        }
        for number in 0..6 {
            let key = access_key::access_key(view, &key_id(number)).unwrap();
            let key =
                key.map(|key| (owner_text(&key.owner), key.sealed.bytes.0[0], key.state == KeyState::Active));
            assert_eq!(key.as_ref(), self.keys.get(&number));
            let token = robot_token::robot_token(view, &[number; 16]).unwrap();
            let token = token.map(|token| (owner_text(&token.owner), token.expires_ms));
            assert_eq!(token.as_ref(), self.tokens.get(&number));
        }
        let tokens = robot_token::robot_tokens(view, &account, None, 100).unwrap();
        assert_eq!(tokens.items.len(), self.tokens.len());
    }
}

fn texts(view: &MemoryView, entity: &Entity) -> (String, BTreeMap<String, String>) {
    let policies = policy::policies(view, entity).unwrap();
    (entity.name.to_string(), policies.into_iter().map(|(name, text)| (name.to_string(), text)).collect())
}

fn owner_text(owner: &Owner) -> String {
    owner.user().map(ToString::to_string).unwrap_or_default()
}

impl From<&Caller> for Owner {
    fn from(caller: &Caller) -> Self {
        match caller {
            Caller::User(account, name) => Self::User(account.clone(), name.clone()),
            _ => root(),
        }
    }
}

fn owner(name: &str) -> Owner {
    if name.is_empty() { root() } else { user(name) }
}

fn command(step: &Step) -> Option<PrincipalCommand> {
    use PrincipalCommand as C;
    Some(match *step {
        Step::CreateUser(name, password) => create_user(name, password),
        Step::SetPassword(name, password) => {
            let password =
                password.map_or(PasswordChange::Remove, |hash| PasswordChange::Set(Hidden(hash.to_owned())));
            C::SetLogin(SetLogin { owner: user(name), password, tokens: Tokens::Keep })
        }
        Step::DeleteUser(name, deletion) => delete(entity(EntityKind::User, name), deletion),
        Step::CreateGroup(name) => create_group(name),
        Step::DeleteGroup(name, deletion) => delete(entity(EntityKind::Group, name), deletion),
        Step::Join(user, group, joined) => membership(user, group, joined),
        Step::PutPolicy(kind, name, policy, text) => put_policy(entity(kind, name), policy, text),
        Step::DeletePolicy(kind, name, policy) => {
            C::DeletePolicy { entity: entity(kind, name), name: policy_name(policy) }
        }
        Step::CreateKey(number, of, secret) => create_key(number, owner(of), secret),
        Step::SetKey(number, state) => C::SetAccessKeyState { id: key_id(number), state },
        Step::DeleteKey(number) => C::DeleteAccessKey { id: key_id(number) },
        Step::CreateToken(number, of, expires_ms) => create_token(number, owner(of), expires_ms),
        Step::RevokeToken(number) => C::RevokeRobotToken { id: [number; 16] },
        Step::Wait(_) => return None,
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    // Mostly the two that can be there together.
    let name = || prop::sample::select(vec!["alice", "alice", "b/bob", "b/bob", "Alice", "a/alice"]);
    let of = || prop::sample::select(vec!["", "alice", "alice", "b/bob"]);
    let group = || prop::sample::select(vec!["g", "h"]);
    let password = || prop::sample::select(vec![None, None, Some("$1")]);
    let policy = || prop::sample::select(vec!["p", "q"]);
    let deletion = || prop::sample::select(vec![Deletion::IfBare, Deletion::Forced]);
    let number = 0u8..6;
    let with_policies = || {
        let user = name().prop_map(|name| (EntityKind::User, name));
        prop_oneof![user, group().prop_map(|name| (EntityKind::Group, name))]
    };
    prop_oneof![
        4 => (name(), password()).prop_map(|(name, password)| Step::CreateUser(name, password)),
        1 => (name(), password()).prop_map(|(name, password)| Step::SetPassword(name, password)),
        1 => (name(), deletion()).prop_map(|(name, deletion)| Step::DeleteUser(name, deletion)),
        2 => group().prop_map(Step::CreateGroup),
        1 => (group(), deletion()).prop_map(|(name, deletion)| Step::DeleteGroup(name, deletion)),
        3 => (name(), group(), prop::bool::weighted(0.7)).prop_map(|(name, group, joins)| {
            Step::Join(name, group, if joins { Membership::Member } else { Membership::None })
        }),
        3 => (with_policies(), policy(), prop::sample::select(vec!["1", "22"]))
            .prop_map(|((kind, name), policy, text)| Step::PutPolicy(kind, name, policy, text)),
        1 => (with_policies(), policy())
            .prop_map(|((kind, name), policy)| Step::DeletePolicy(kind, name, policy)),
        3 => (number.clone(), of(), 0u8..2).prop_map(|(key, of, secret)| Step::CreateKey(key, of, secret)),
        1 => (number.clone(), any::<bool>()).prop_map(|(key, is_active)| {
            Step::SetKey(key, if is_active { KeyState::Active } else { KeyState::Inactive })
        }),
        1 => number.clone().prop_map(Step::DeleteKey),
        3 => (number.clone(), of(), prop::sample::select(vec![None, Some(2000), Some(3000)]))
            .prop_map(|(token, of, until)| Step::CreateToken(token, of, until)),
        1 => number.prop_map(Step::RevokeToken),
        1 => (0u64..900).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn any_commands_do_what_the_model_says(steps in prop::collection::vec(any_step(), 1..60)) {
        let (mut world, mut model) = (World::new(), Model::default());
        for step in steps {
            if let Step::Wait(time_ms) = step {
                world.now_ms += time_ms;
            }
            let expected = model.take(&step, world.now_ms);
            if let Some(command) = command(&step) {
                let expected = expected.map_or_else(refused, |()| DONE);
                prop_assert_eq!(world.run(command), expected, "{:?}", step);
            }
            model.compare(&world.view);
        }
    }

    #[test]
    fn commands_in_one_entry_do_what_they_do_one_by_one(steps in prop::collection::vec(any_step(), 1..40)) {
        let World { view: below, index, now_ms } = World::new();
        let commands: Vec<Command> =
            steps.iter().filter_map(command).map(|command| Command::Principal(Box::new(command))).collect();
        let mut one_by_one = below.clone();
        let mut responses = Vec::new();
        for command in &commands {
            let batch = Batch { time_ms: now_ms, commands: vec![command.clone()] };
            responses.extend(apply_batch(&mut one_by_one, index + 1, batch).unwrap());
        }
        let mut staged = StagedView::new(&below);
        let batch = Batch { time_ms: now_ms, commands };
        prop_assert_eq!(apply_batch(&mut staged, index + 1, batch).unwrap(), responses);
        let mut together = below.clone();
        for (key, value) in staged.into_changes() {
            match value {
                Some(value) => together.put(key, value),
                None => together.delete(key),
            }
        }
        prop_assert_eq!(together, one_by_one);
    }
}
