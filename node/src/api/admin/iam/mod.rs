//! `/api/v1/iam`: users, groups, roles, their policies, and what principals prove themselves with (`proto::admin::iam`). A
//! file per noun. Who asks comes to a name of something only through [`Desk`], which decides whether they may.

mod entity;
mod key;
mod policy;
mod robot;
mod simulate;
mod user;

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use cluster::StateReader;
use cluster_core::access::{Caller, Resource, Wanted};
use cluster_core::command::{Command, PrincipalCommand, Response};
use cluster_core::record::{Entity, EntityKind, Owner};
use cluster_core::state::principal::{group, role, user as user_state};
use proto::admin::iam::{Done, IamCall, Kind};
use proto::identity::AccountId;
use serde::{Deserialize, Serialize};

use super::problem::Refusal;
use super::{Admin, AdminRequest};
use crate::auth::Identity;
use crate::http::server::Connection;

/// Entries of one answer.
const PAGE: usize = 1000;

/// In which account.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// 12 digits; absent: the caller's.
    account: Option<String>,
}

/// Somebody asks for something in an account.
struct Desk<'a> {
    admin: &'a Admin,
    connection: &'a Connection,
    identity: &'a Identity,
    account: AccountId,
    /// What the call is about, beside the principal: for the audit log.
    about: Option<String>,
}

/// A document of `proto::admin::iam`.
type Answer = Result<Json<serde_json::Value>, Refusal>;

/// `POST`.
pub(super) async fn call(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
    place: Result<Query<Place>, QueryRejection>,
    call: Result<Json<IamCall>, JsonRejection>,
) -> Answer {
    let identity = admin.authenticate(&asked).await?;
    let own = identity.caller.account().ok_or(Refusal::LoginNeeded)?;
    let Query(place) = place.map_err(|error| Refusal::Invalid(error.body_text()))?;
    let Json(call) = call.map_err(|error| Refusal::Invalid(error.body_text()))?;
    let account = match place.account {
        Some(text) => text.parse().map_err(Refusal::invalid)?,
        None => own.clone(),
    };
    let about = call.detail().map(str::to_owned);
    let desk = Desk { admin: &admin, connection: &asked.connection, identity: &identity, account, about };
    act(&desk, call).await
}

async fn act(desk: &Desk<'_>, call: IamCall) -> Answer {
    use IamCall as C;
    match call {
        C::CreateUser { name, password } => user::create(desk, &name, password).await,
        C::CreateGroup { name } => entity::create_group(desk, &name).await,
        C::CreateRole { name, trust_policy, max_session_seconds } => {
            entity::create_role(desk, &name, trust_policy, max_session_seconds).await
        }
        C::UpdateRole { name, trust_policy, max_session_seconds } => {
            entity::update_role(desk, &name, trust_policy, max_session_seconds).await
        }
        C::UpdateLoginProfile { user, password } => user::set_password(desk, user.as_deref(), password).await,
        C::RevokeSessions { user } => user::revoke_sessions(desk, user.as_deref()).await,
        C::AddUserToGroup { user, group } => user::add_to_group(desk, &user, &group).await,
        C::RemoveUserFromGroup { user, group } => user::remove_from_group(desk, &user, &group).await,
        C::Get(named) => entity::get(desk, &named).await,
        C::List { kind, after } => entity::list(desk, kind, after.as_deref()).await,
        C::Delete { kind, name, force } => entity::delete(desk, kind, &name, force).await,
        C::PutPolicy { entity, policy, document } => policy::put(desk, &entity, &policy, document).await,
        C::GetPolicy { entity, policy } => policy::get(desk, &entity, &policy).await,
        C::DeletePolicy { entity, policy } => policy::delete(desk, &entity, &policy).await,
        C::CreateAccessKey { user } => key::create(desk, user.as_deref()).await,
        C::ListAccessKeys { user } => key::list(desk, user.as_deref()).await,
        C::UpdateAccessKey { user, id, is_active } => key::set(desk, user.as_deref(), &id, is_active).await,
        C::DeleteAccessKey { user, id } => key::delete(desk, user.as_deref(), &id).await,
        C::CreateRobotToken { user, name, policy, ttl_seconds } => {
            robot::create(desk, user.as_deref(), name, policy, ttl_seconds).await
        }
        C::ListRobotTokens { user } => robot::list(desk, user.as_deref()).await,
        C::RevokeRobotToken { user, id } => robot::revoke(desk, user.as_deref(), &id).await,
        C::Simulate { principal, action, resource, context } => {
            simulate::simulate(desk, &principal, &action, &resource, context).await
        }
    }
}

impl Desk<'_> {
    /// Lets the caller go on only if it may do `action`, service included.
    fn may(&self, action: &str, resource: Resource) -> Result<(), Refusal> {
        let action = action.parse().map_err(Refusal::invalid)?;
        let wanted = Wanted::operation(action, resource);
        let wanted = match &self.about {
            Some(about) => wanted.about(about.clone()),
            None => wanted,
        };
        self.admin.decide(self.identity, self.connection, &wanted)
    }

    /// What the call names, if the caller may do this to it.
    fn entity(&self, action: &str, kind: EntityKind, name: &str) -> Result<Entity, Refusal> {
        let name = name.parse().map_err(Refusal::invalid)?;
        let entity = Entity { account: self.account.clone(), kind, name };
        self.may(action, Resource::Entity(entity.clone()))?;
        Ok(entity)
    }

    /// Whose something is, if the caller may do this to them: that user, or the caller itself.
    fn owner(&self, action: &str, user: Option<&str>) -> Result<Owner, Refusal> {
        let owner = match (user, &self.identity.caller) {
            (Some(name), _) => Owner::User(self.account.clone(), name.parse().map_err(Refusal::invalid)?),
            (None, Caller::User(account, name)) if *account == self.account => {
                Owner::User(account.clone(), name.clone())
            }
            // Of another account it is refused.
            (None, _) => Owner::Root(self.account.clone()),
        };
        self.may(action, owner.clone().into())?;
        Ok(owner)
    }

    /// Refuses what does not exist by this very path and case: rows of policies are found without them.
    fn exists(&self, view: &StateReader, entity: &Entity) -> Result<(), Refusal> {
        let (account, name) = (&entity.account, &entity.name);
        let exists = match entity.kind {
            EntityKind::User => user_state::user(view, account, name)?.is_some(),
            EntityKind::Group => group::group(view, account, name)?.is_some(),
            EntityKind::Role => role::role(view, account, name)?.is_some(),
        };
        if exists { Ok(()) } else { Err(Refusal::NotFound("there is no such principal")) }
    }

    /// The same of who has keys and tokens; root always does.
    fn owner_exists(&self, view: &StateReader, owner: &Owner) -> Result<(), Refusal> {
        let Owner::User(account, name) = owner else { return Ok(()) };
        let (account, name) = (account.clone(), name.clone());
        self.exists(view, &Entity { account, kind: EntityKind::User, name })
    }

    /// Changes something that the caller may change.
    async fn change(&self, command: PrincipalCommand) -> Result<(), Refusal> {
        match self.admin.propose(Command::Principal(Box::new(command))).await? {
            Response::PrincipalChanged => Ok(()),
            Response::PrincipalRefused(refusal) => Err(refusal.into()),
            _ => Err(Refusal::Unavailable("unexpected answer of the state machine")),
        }
    }
}

fn kind_of(kind: Kind) -> EntityKind {
    match kind {
        Kind::User => EntityKind::User,
        Kind::Group => EntityKind::Group,
        Kind::Role => EntityKind::Role,
    }
}

/// The kind in the name of one of IAM's actions.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "User",
        Kind::Group => "Group",
        Kind::Role => "Role",
    }
}

fn answer(document: &impl Serialize) -> Answer {
    let value = serde_json::to_value(document);
    value.map(Json).map_err(|_| Refusal::Unavailable("the answer cannot be written"))
}

fn done() -> Answer {
    answer(&Done {})
}
