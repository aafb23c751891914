//! `/api/v1/keys`: the access keys of root, with which requests to ECR's API are signed.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cluster_core::access::{Action, Caller};
use cluster_core::command::principal::{CreateAccessKey, PrincipalCommand};
use cluster_core::command::{Bound, Command, Noun, PrincipalRefusal, Response};
use cluster_core::record::{AccessKeyRecord, KeyState, Owner};
use cluster_core::state;
use proto::admin::{AccessKey, AccessKeyInfo, AccessKeys, Revoked};
use proto::credential::AccessKeyId;

use super::Admin;
use super::problem::Refusal;
use crate::http::server::Connection;

/// Random bytes of a secret: 40 letters.
const SECRET: usize = 30;

fn unknown() -> Refusal {
    Refusal::NotFound("there is no such access key")
}

fn owner(admin: &Admin) -> Owner {
    Owner::Root(admin.facts.default_registry.account.clone())
}

/// Keys of root are root's alone: who manages the cluster does not become root by one.
async fn authorize(admin: &Admin, headers: &HeaderMap, connection: &Connection) -> Result<(), Refusal> {
    let identity = admin.authorize(Action::ManageCluster, headers, connection).await?;
    if identity.caller == owner(admin).into() {
        return Ok(());
    }
    let (caller, action) = (&identity.caller, "shoal:ManageCluster");
    let reason = "keys of root are root's alone";
    tracing::info!(target: "audit", %caller, action, resource = %Caller::from(owner(admin)), reason, "denied");
    Err(Refusal::Denied)
}

/// `POST`: a new one; its secret is told now and never again.
pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
) -> Result<Json<AccessKey>, Refusal> {
    authorize(&admin, &headers, &connection).await?;
    let no_randomness = |_| Refusal::Unavailable("the system gives no randomness");
    let (mut id, mut secret) = ([0; AccessKeyId::RANDOM], [0; SECRET]);
    getrandom::fill(&mut id).map_err(no_randomness)?;
    getrandom::fill(&mut secret).map_err(no_randomness)?;
    let (id, secret) = (AccessKeyId::of(id), STANDARD.encode(secret));
    let sealed = admin.secrets.seal(id.as_str(), secret.as_bytes()).await.map_err(|error| {
        tracing::warn!(reason = %crate::telemetry::log::chain(&error), "no access key made");
        Refusal::Unavailable("the secret cannot be kept: is a majority of the voters up?")
    })?;
    let command = CreateAccessKey { id: id.clone(), owner: owner(&admin), sealed };
    change(&admin, PrincipalCommand::CreateAccessKey(command)).await?;
    tracing::info!(key = %id, "access key made");
    Ok(Json(AccessKey { id: id.to_string(), secret }))
}

/// `GET`: all, without their secrets.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
) -> Result<Json<AccessKeys>, Refusal> {
    authorize(&admin, &headers, &connection).await?;
    let keys = state::principal::access_key::access_keys(&admin.metadata.read().await?, &owner(&admin))?;
    let show = |(id, record): (AccessKeyId, AccessKeyRecord)| AccessKeyInfo {
        id: id.to_string(),
        is_active: record.state == KeyState::Active,
        created_ms: record.created_ms,
    };
    Ok(Json(AccessKeys { keys: keys.into_iter().map(show).collect() }))
}

/// `POST`: it counts again.
pub(super) async fn enable(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<AccessKeyInfo>, Refusal> {
    set(&admin, &headers, &connection, &id, KeyState::Active).await
}

/// `POST`: it counts for nothing until it is enabled.
pub(super) async fn disable(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<AccessKeyInfo>, Refusal> {
    set(&admin, &headers, &connection, &id, KeyState::Inactive).await
}

async fn set(
    admin: &Admin,
    headers: &HeaderMap,
    connection: &Connection,
    id: &str,
    state: KeyState,
) -> Result<Json<AccessKeyInfo>, Refusal> {
    authorize(admin, headers, connection).await?;
    let id = own(admin, id).await?;
    change(admin, PrincipalCommand::SetAccessKeyState { id: id.clone(), state }).await?;
    tracing::info!(key = %id, ?state, "access key changed");
    let record =
        state::principal::access_key::access_key(&admin.metadata.read().await?, &id)?.ok_or_else(unknown)?;
    let is_active = record.state == KeyState::Active;
    Ok(Json(AccessKeyInfo { id: id.to_string(), is_active, created_ms: record.created_ms }))
}

/// `DELETE`: it is worth nothing any more.
pub(super) async fn delete(
    State(admin): State<Arc<Admin>>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Revoked>, Refusal> {
    authorize(&admin, &headers, &connection).await?;
    let id = own(&admin, &id).await?;
    change(&admin, PrincipalCommand::DeleteAccessKey { id: id.clone() }).await?;
    tracing::info!(key = %id, "access key deleted");
    Ok(Json(Revoked { id: id.to_string() }))
}

/// The key of that id, if it is root's.
async fn own(admin: &Admin, id: &str) -> Result<AccessKeyId, Refusal> {
    let id: AccessKeyId = id.parse().map_err(|_| unknown())?;
    let record = state::principal::access_key::access_key(&admin.metadata.read().await?, &id)?;
    record.filter(|record| record.owner == owner(admin)).map(|_| id).ok_or_else(unknown)
}

async fn change(admin: &Admin, command: PrincipalCommand) -> Result<(), Refusal> {
    match admin.propose(Command::Principal(Box::new(command))).await? {
        Response::PrincipalChanged => Ok(()),
        Response::PrincipalRefused(PrincipalRefusal::NotFound(Noun::AccessKey)) => Err(unknown()),
        Response::PrincipalRefused(PrincipalRefusal::Limit(Bound::AccessKeys)) => {
            Err(Refusal::Conflict("there are two access keys: delete one first".to_owned()))
        }
        _ => Err(Refusal::Unavailable("unexpected answer of the state machine")),
    }
}
