//! `/api/v1/accounts`: who manages the cluster makes accounts, and lets their roots in again who lost their password.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use cluster_core::access::Action;
use cluster_core::command::principal::{CreateAccount, PasswordChange, SetLogin, Tokens};
use cluster_core::command::{Command, PrincipalCommand, Response};
use cluster_core::record::{AccountRecord, Hidden, Owner};
use cluster_core::state::principal::account;
use proto::admin::iam::{AccountInfo, Accounts, Done, NewAccount, NewRootPassword};
use proto::identity::AccountId;
use serde::Deserialize;

use super::problem::Refusal;
use super::{Admin, AdminRequest};
use crate::auth::Secret;

/// Accounts of one answer.
const PAGE: usize = 1000;
/// Shortest password, characters (NIST SP 800-63B §3.1.1.2 has 15 for one that stands alone, 8 at least).
const LEAST_PASSWORD: usize = 8;
/// Longest password, bytes.
const MOST_PASSWORD: usize = 1024;

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    /// Those after this id.
    after: Option<String>,
}

/// `GET`.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
    from: Result<Query<From>, QueryRejection>,
) -> Result<Json<Accounts>, Refusal> {
    admin.authorize(Action::ManageCluster, &asked).await?;
    let Query(from) = from.map_err(|error| Refusal::Invalid(error.body_text()))?;
    let after = from.after.map(|text| text.parse().map_err(Refusal::invalid)).transpose()?;
    let page = account::accounts(&admin.metadata.read().await?, after.as_ref(), PAGE)?;
    let show = |(id, record): (AccountId, AccountRecord)| AccountInfo {
        id: id.to_string(),
        name: record.name,
        created_ms: record.created_ms,
        users: record.users,
        groups: record.groups,
        roles: record.roles,
        robot_tokens: record.robot_tokens,
    };
    Ok(Json(Accounts { accounts: page.items.into_iter().map(show).collect(), more: page.more }))
}

/// `POST`: a new one.
pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
    wanted: Result<Json<NewAccount>, JsonRejection>,
) -> Result<Json<Done>, Refusal> {
    admin.authorize(Action::ManageCluster, &asked).await?;
    let Json(wanted) = wanted.map_err(|error| Refusal::Invalid(error.body_text()))?;
    let account: AccountId = wanted.id.parse().map_err(Refusal::invalid)?;
    if wanted.name.is_empty() || wanted.name.chars().any(char::is_control) {
        return Err(Refusal::Invalid("an account has a name, for people".to_owned()));
    }
    let root_password_hash = hash(&admin, wanted.root_password).await?;
    let command = CreateAccount { account, name: wanted.name, root_password_hash };
    change(&admin, PrincipalCommand::CreateAccount(command)).await?;
    Ok(Json(Done {}))
}

/// `POST`.
pub(super) async fn set_root_password(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
    Path(id): Path<String>,
    wanted: Result<Json<NewRootPassword>, JsonRejection>,
) -> Result<Json<Done>, Refusal> {
    admin.authorize(Action::ManageCluster, &asked).await?;
    let Json(wanted) = wanted.map_err(|error| Refusal::Invalid(error.body_text()))?;
    let account: AccountId = id.parse().map_err(Refusal::invalid)?;
    let password = PasswordChange::Set(hash(&admin, wanted.root_password).await?);
    let owner = Owner::Root(account);
    change(&admin, PrincipalCommand::SetLogin(SetLogin { owner, password, tokens: Tokens::Void })).await?;
    Ok(Json(Done {}))
}

async fn change(admin: &Admin, command: PrincipalCommand) -> Result<(), Refusal> {
    match admin.propose(Command::Principal(Box::new(command))).await? {
        Response::PrincipalChanged => Ok(()),
        Response::PrincipalRefused(refusal) => Err(refusal.into()),
        _ => Err(Refusal::Unavailable("unexpected answer of the state machine")),
    }
}

/// What is kept of a password.
pub(super) async fn hash(admin: &Admin, password: String) -> Result<Hidden<String>, Refusal> {
    let is_long = password.chars().count() >= LEAST_PASSWORD && password.len() <= MOST_PASSWORD;
    if !is_long || password.chars().any(char::is_control) {
        let rule =
            format!("a password has {LEAST_PASSWORD} characters or more, and at most {MOST_PASSWORD} bytes");
        return Err(Refusal::Invalid(rule));
    }
    let hash = admin.authenticator.hash(Secret::new(password)).await;
    hash.map(Hidden).ok_or(Refusal::Unavailable("the password cannot be hashed just now"))
}
