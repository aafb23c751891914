//! Access keys, with which requests to ECR's API are signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cluster_core::command::PrincipalCommand;
use cluster_core::command::principal::CreateAccessKey;
use cluster_core::record::{AccessKeyRecord, KeyState};
use cluster_core::state::principal::access_key;
use proto::admin::iam::{AccessKey, AccessKeyInfo, AccessKeys};
use proto::credential::AccessKeyId;

use super::{Answer, Desk, Refusal, answer, done};
use crate::api::admin::random;

/// Random bytes of a secret: 40 letters.
const SECRET: usize = 30;

/// Its secret is told now and never again.
pub(super) async fn create(desk: &Desk<'_>, user: Option<&str>) -> Answer {
    let owner = desk.owner("iam:CreateAccessKey", user)?;
    let id = AccessKeyId::of(random()?);
    let secret = STANDARD.encode(random::<SECRET>()?);
    let sealed = desk.admin.secrets.seal(id.as_str(), secret.as_bytes()).await?;
    let command = CreateAccessKey { id: id.clone(), owner, sealed };
    desk.change(PrincipalCommand::CreateAccessKey(command)).await?;
    answer(&AccessKey { id: id.to_string(), secret })
}

/// All, without their secrets.
pub(super) async fn list(desk: &Desk<'_>, user: Option<&str>) -> Answer {
    let owner = desk.owner("iam:ListAccessKeys", user)?;
    let reader = desk.admin.metadata.read().await?;
    desk.owner_exists(&reader, &owner)?;
    let keys = access_key::access_keys(&reader, &owner)?;
    let show = |(id, record): (AccessKeyId, AccessKeyRecord)| AccessKeyInfo {
        id: id.to_string(),
        is_active: record.state == KeyState::Active,
        created_ms: record.created_ms,
    };
    answer(&AccessKeys { keys: keys.into_iter().map(show).collect() })
}

pub(super) async fn set(desk: &Desk<'_>, user: Option<&str>, id: &str, is_active: bool) -> Answer {
    let id = own(desk, "iam:UpdateAccessKey", user, id).await?;
    let state = if is_active { KeyState::Active } else { KeyState::Inactive };
    desk.change(PrincipalCommand::SetAccessKeyState { id, state }).await?;
    done()
}

pub(super) async fn delete(desk: &Desk<'_>, user: Option<&str>, id: &str) -> Answer {
    let id = own(desk, "iam:DeleteAccessKey", user, id).await?;
    desk.change(PrincipalCommand::DeleteAccessKey { id }).await?;
    done()
}

/// The key of that id, if it is theirs and the caller may do this to them.
async fn own(desk: &Desk<'_>, action: &str, user: Option<&str>, id: &str) -> Result<AccessKeyId, Refusal> {
    let owner = desk.owner(action, user)?;
    let unknown = || Refusal::NotFound("there is no such access key");
    let id: AccessKeyId = id.parse().map_err(|_| unknown())?;
    let record = access_key::access_key(&desk.admin.metadata.read().await?, &id)?;
    record.filter(|record| record.owner == owner).map(|_| id).ok_or_else(unknown)
}
