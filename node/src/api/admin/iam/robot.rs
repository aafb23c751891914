//! Robot tokens: Docker credentials of machines.

use cluster_core::command::PrincipalCommand;
use cluster_core::command::principal::CreateRobotToken;
use cluster_core::record::{Hidden, RobotTokenRecord};
use cluster_core::state;
use cluster_core::state::principal::robot_token::{self, TokenId};
use proto::admin::iam::{RobotToken, RobotTokenInfo, RobotTokens};

use super::{Answer, Desk, PAGE, Refusal, answer, done};
use crate::api::admin::random;
use crate::auth::robot;

/// Longest life of one that ends, seconds: ten years.
const MAX_TTL: u64 = 10 * 366 * 24 * 3600;

/// Its secret is told now and never again.
pub(super) async fn create(
    desk: &Desk<'_>,
    user: Option<&str>,
    name: String,
    policy: Option<String>,
    ttl_seconds: Option<u64>,
) -> Answer {
    let owner = desk.owner("shoal:CreateRobotToken", user)?;
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(Refusal::Invalid("a robot token has a name, for people".to_owned()));
    }
    policy.as_deref().map_or(Ok(()), |text| super::policy::parse(text).map(drop))?;
    let expires_ms = match ttl_seconds {
        None => None,
        Some(ttl) if (1..=MAX_TTL).contains(&ttl) => {
            // As of join tokens: an idle cluster does not shorten its life.
            desk.admin.metadata.tick().await?;
            Some(state::log_time(&desk.admin.metadata.read().await?)? + ttl * 1000)
        }
        Some(_) => return Err(Refusal::Invalid(format!("a robot token lives 1 to {MAX_TTL} seconds"))),
    };
    let (id, secret) = (random()?, random()?);
    let (password, hash) = robot::credentials(&secret);
    let command = CreateRobotToken { id, owner, name, secret_hash: Hidden(hash), policy, expires_ms };
    desk.change(PrincipalCommand::CreateRobotToken(command)).await?;
    answer(&RobotToken { id: robot::show_id(id), user: robot::user_name(id), password, expires_ms })
}

/// All, without their secrets.
pub(super) async fn list(desk: &Desk<'_>, user: Option<&str>) -> Answer {
    let owner = desk.owner("shoal:ListRobotTokens", user)?;
    let reader = desk.admin.metadata.read().await?;
    desk.owner_exists(&reader, &owner)?;
    let now = state::log_time(&reader)?;
    let tokens = robot_token::robot_tokens_of_owner(&reader, &owner, None, PAGE)?.items;
    let show = |(id, record): (TokenId, RobotTokenRecord)| RobotTokenInfo {
        id: robot::show_id(id),
        name: record.name,
        created_ms: record.created_ms,
        expires_ms: record.expires_ms,
        is_expired: record.expires_ms.is_some_and(|until| until < now),
        policy: record.policy,
    };
    answer(&RobotTokens { tokens: tokens.into_iter().map(show).collect() })
}

pub(super) async fn revoke(desk: &Desk<'_>, user: Option<&str>, id: &str) -> Answer {
    let owner = desk.owner("shoal:RevokeRobotToken", user)?;
    let unknown = || Refusal::NotFound("there is no such robot token");
    let id = robot::parse_id(id).ok_or_else(unknown)?;
    let record = robot_token::robot_token(&desk.admin.metadata.read().await?, &id)?;
    record.filter(|record| record.owner == owner).ok_or_else(unknown)?;
    desk.change(PrincipalCommand::RevokeRobotToken { id }).await?;
    done()
}
