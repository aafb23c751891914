//! `/api/v1/tokens`: what nodes join with.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use cluster_core::access::Action;
use cluster_core::command::node::CreateJoinToken;
use cluster_core::command::{Command, NodeCommand, Response};
use cluster_core::record::{JoinTokenRecord, NodeKind};
use cluster_core::state;
use proto::admin::{self, NewToken, Revoked, Token, TokenInfo, Tokens};
use proto::digest::{Algorithm, Digest};
use proto::join::{JoinToken, MAX_MEMBERS};

use super::problem::Refusal;
use super::{Admin, AdminRequest, random, view};

/// Longest life of a token, seconds.
const MAX_TTL: u64 = 7 * 24 * 3600;

/// `POST`: a token for one node; it names up to [`MAX_MEMBERS`] members.
pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
    wanted: Result<Json<NewToken>, JsonRejection>,
) -> Result<Json<Token>, Refusal> {
    admin.authorize(Action::ManageCluster, &asked).await?;
    let Json(wanted) = wanted.map_err(|error| Refusal::Invalid(error.body_text()))?;
    if !(1..=MAX_TTL).contains(&wanted.ttl_seconds) {
        return Err(Refusal::Invalid(format!("a token lives 1 to {MAX_TTL} seconds")));
    }
    // Times count in log time; it is moved on so that an idle cluster does not shorten the token's life.
    admin.metadata.tick().await?;
    let expires_ms = state::log_time(&admin.metadata.read().await?)? + wanted.ttl_seconds * 1000;
    let (token_id, secret) = (random()?, random()?);
    let mut secret_hash = [0; 32];
    secret_hash.copy_from_slice(Digest::of(Algorithm::Sha256, &secret).hash());
    let kind = match wanted.kind {
        admin::NodeKind::Full => NodeKind::Full,
        admin::NodeKind::Edge => NodeKind::Edge,
    };
    let command = CreateJoinToken { token: token_id, secret_hash, expires_ms, kind };
    let command = Command::Node(Box::new(NodeCommand::CreateToken(command)));
    match admin.propose(command).await? {
        Response::JoinTokenCreated => {}
        _ => return Err(Refusal::Unavailable("unexpected answer of the state machine")),
    }
    let present = admin.metadata.members().borrow().clone();
    let others = present.voters_first().filter_map(|member| member.address.parse().ok());
    let others = others.filter(|other| *other != admin.here);
    let members = std::iter::once(admin.here.clone()).chain(others).take(MAX_MEMBERS).collect();
    let token = JoinToken { cluster_id: admin.cluster_id, token_id, secret, members };
    let id = name(token_id);
    tracing::info!(token = id, ttl_seconds = wanted.ttl_seconds, "join token made");
    Ok(Json(Token { id, token: token.to_string(), expires_ms }))
}

/// `GET`: those that are kept; who was let in by one stays listed with it until it has expired for a while.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
) -> Result<Json<Tokens>, Refusal> {
    admin.authorize(Action::ManageCluster, &asked).await?;
    let reader = admin.metadata.read().await?;
    let now = state::log_time(&reader)?;
    let all = state::token::tokens(&reader, None, usize::MAX)?.items;
    let show = |(id, record): ([u8; 16], JoinTokenRecord)| TokenInfo {
        id: name(id),
        kind: view::kind(record.kind),
        created_ms: record.created_ms,
        expires_ms: record.expires_ms,
        is_expired: now > record.expires_ms,
        used_by: record.used_by.map(|node| node.to_string()),
    };
    Ok(Json(Tokens { tokens: all.into_iter().map(show).collect() }))
}

/// `DELETE`: nobody comes in with it any more; who did stays.
pub(super) async fn revoke(
    State(admin): State<Arc<Admin>>,
    asked: AdminRequest,
    Path(id): Path<String>,
) -> Result<Json<Revoked>, Refusal> {
    admin.authorize(Action::ManageCluster, &asked).await?;
    let unknown = || Refusal::NotFound("there is no such token");
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let token = u128::from_str_radix(&id, 16).ok().filter(|_| is_id).ok_or_else(unknown)?.to_be_bytes();
    match admin.propose(Command::Node(Box::new(NodeCommand::RevokeToken { token }))).await? {
        Response::Revoked => {
            tracing::info!(token = id, "join token revoked");
            Ok(Json(Revoked { id: name(token) }))
        }
        Response::NotFound => Err(unknown()),
        _ => Err(Refusal::Unavailable("unexpected answer of the state machine")),
    }
}

fn name(token: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(token))
}
