//! Accounts, the principals in them, and what these prove themselves with.
//!
//! Every account has a root record; the default one has it since `InitCluster`, and an account record only once
//! something in it was counted. Policies are rows of their own, so that [`identity`] reads small records; which
//! version of its policies an entity has is the index of the entry that last changed them.

pub mod access_key;
pub mod account;
mod entity;
pub mod group;
pub mod identity;
pub mod policy;
pub mod revoked;
pub mod robot_token;
pub mod role;
pub mod user;

use super::{Moment, StateError, StateResult};
use crate::command::principal::Tokens;
use crate::command::{Bound, Noun, PrincipalCommand, PrincipalRefusal, Response};
use crate::record::{EntityKind, Owner};
use crate::view::{View, ViewMut};

/// Why a command is not done.
#[derive(Debug)]
enum Stop<E: std::error::Error + 'static> {
    Refused(PrincipalRefusal),
    State(StateError<E>),
}

impl<E: std::error::Error + 'static> From<StateError<E>> for Stop<E> {
    fn from(error: StateError<E>) -> Self {
        Self::State(error)
    }
}

impl<E: std::error::Error + 'static> From<PrincipalRefusal> for Stop<E> {
    fn from(refusal: PrincipalRefusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What a command gets on the way to its end. It is refused before its first change.
type Outcome<T, V> = Result<T, Stop<<V as View>::Error>>;

pub(super) fn apply<V: ViewMut>(
    view: &mut V,
    moment: Moment,
    command: PrincipalCommand,
) -> StateResult<Response, V> {
    match run(view, moment, command) {
        Ok(()) => Ok(Response::PrincipalChanged),
        Err(Stop::Refused(refusal)) => Ok(Response::PrincipalRefused(refusal)),
        Err(Stop::State(error)) => Err(error),
    }
}

fn run<V: ViewMut>(view: &mut V, moment: Moment, command: PrincipalCommand) -> Outcome<(), V> {
    use PrincipalCommand as C;
    match command {
        C::CreateAccount(create) => account::create(view, moment, create),
        C::SetLogin(set) => match set.owner.user() {
            None => account::set_login(view, moment, &set),
            Some(user) => user::set_login(view, moment, user, &set),
        },
        C::CreateUser(create) => user::create(view, moment, create),
        C::CreateGroup { account, name } => group::create(view, moment, &account, name),
        C::SetMembership(set) => group::set_membership(view, moment, set),
        C::CreateRole(create) => role::create(view, moment, create),
        C::UpdateRole(update) => role::update(view, moment, update),
        C::Delete { entity, deletion } => match entity.kind {
            EntityKind::User => user::delete(view, &entity, deletion),
            EntityKind::Group => group::delete(view, &entity, deletion),
            EntityKind::Role => role::delete(view, &entity, deletion),
        },
        C::PutPolicy { entity, name, text } => policy::put(view, moment, &entity, &name, text),
        C::DeletePolicy { entity, name } => policy::delete(view, moment, &entity, &name),
        C::CreateAccessKey(create) => access_key::create(view, moment, create),
        C::SetAccessKeyState { id, state } => access_key::set_state(view, &id, state),
        C::ResealAccessKey { id, before_by, sealed } => access_key::reseal(view, &id, before_by, sealed),
        C::DeleteAccessKey { id } => access_key::delete(view, &id),
        C::CreateRobotToken(create) => robot_token::create(view, moment, create),
        C::RevokeRobotToken { id } => robot_token::revoke(view, &id),
        C::RevokeAuthorization { id, until_ms } => revoked::revoke(view, moment, &id, until_ms),
    }
}

/// Refuses what is longer than `bound`.
fn bounded(bytes: usize, bound: Bound) -> Result<(), PrincipalRefusal> {
    let fits = u32::try_from(bytes).is_ok_and(|bytes| bytes <= bound.most());
    if fits { Ok(()) } else { Err(PrincipalRefusal::Limit(bound)) }
}

/// Refuses one more beside `present` ones.
fn room(present: usize, bound: Bound) -> Result<(), PrincipalRefusal> {
    bounded(present.saturating_add(1), bound)
}

/// Since which entry tokens count after a command that says `tokens`.
fn valid_from(recorded_index: u64, tokens: Tokens, moment: Moment) -> u64 {
    match tokens {
        Tokens::Keep => recorded_index,
        Tokens::Void => moment.index,
    }
}

/// Refuses an owner that does not exist.
fn owner_exists<V: View>(view: &V, owner: &Owner) -> Outcome<(), V> {
    account::existing(view, owner.account())?;
    if let Some(name) = owner.user()
        && user::user(view, owner.account(), name)?.is_none()
    {
        return Err(PrincipalRefusal::NotFound(Noun::User).into());
    }
    Ok(())
}

#[cfg(test)]
#[path = "principal_test.rs"]
mod tests;
