//! Temporary credentials (ECR specification §8.1; STS API, "Credentials").
//!
//! Owns the session token: who it stands for, the secret that goes with it and when both end, sealed by the key of secrets,
//! so that every full node reads what any of them made, and nothing of it is kept. It ends with its principal, with what
//! voids that one's tokens, and with the access key that it was bought with.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cluster::StateReader;
use cluster_core::access::Caller;
use cluster_core::record::{Hidden, KeyState, Sealed};
use cluster_core::state::StateResult;
use cluster_core::state::principal::{access_key, identity};
use proto::arn::{EntityName, PrincipalArn};
use proto::credential::AccessKeyId;
use proto::sigv4::SecretKey;
use serde::{Deserialize, Serialize};

use crate::adapters::secrets::{Secrets, SecretsError};
use crate::telemetry::log::now_ms;

/// What ids of temporary access keys begin with; those of lasting ones with `AKIA`.
const PREFIX: &str = "ASIA";
/// Random bytes of a secret: 40 letters.
const SECRET: usize = 30;
/// Longest token that is opened, in characters.
const MAX_TOKEN: usize = 4096;

/// What a client is given.
pub(super) struct Credentials {
    pub(super) key_id: String,
    pub(super) secret: String,
    pub(super) token: String,
    pub(super) ends_ms: u64,
}

/// What a token says.
#[derive(Clone, Serialize, Deserialize)]
struct Content {
    secret: String,
    /// The ARN.
    caller: String,
    /// Of an assumed role: the role, path included, which the ARN lacks.
    role: Option<String>,
    /// Index of the last entry of the state that issued it, or of an older one.
    index: u64,
    ends_ms: u64,
    /// Of a user's or root's session: what it was bought with.
    key: Option<String>,
}

/// Somebody for a while.
pub(super) struct Session {
    pub(super) caller: Caller,
    pub(super) secret: SecretKey,
    pub(super) ends_ms: u64,
    pub(super) key: Option<AccessKeyId>,
    index: u64,
}

/// Makes credentials for `caller` for so many seconds. `key`: a lasting one that they end with. `index`: of a
/// state no newer than the one that `caller` was checked against.
///
/// # Errors
/// The secret cannot be sealed now.
pub(super) async fn issue(
    secrets: &Secrets,
    caller: &Caller,
    key: Option<&AccessKeyId>,
    seconds: u64,
    index: u64,
) -> Result<Credentials, SecretsError> {
    let (mut id, mut random) = ([0; AccessKeyId::RANDOM], [0; SECRET]);
    getrandom::fill(&mut id)
        .and_then(|()| getrandom::fill(&mut random))
        .map_err(|_| SecretsError::NoRandomness)?;
    let key_id = AccessKeyId::of(id).as_str().replacen("AKIA", PREFIX, 1);
    let (secret, now_ms) = (STANDARD.encode(random), now_ms());
    let ends_ms = now_ms + seconds * 1000;
    let role = match caller {
        Caller::Session { role, .. } => Some(role.to_string()),
        _ => None,
    };
    let content = Content {
        secret: secret.clone(),
        caller: caller.to_string(),
        role,
        index,
        ends_ms,
        key: key.map(ToString::to_string),
    };
    // Texts and numbers only: this does not fail.
    let content = serde_json::to_vec(&content).unwrap_or_default();
    let Sealed { bytes, by } = secrets.seal(&key_id, &content).await?;
    let token = URL_SAFE_NO_PAD.encode([by.to_be_bytes().as_slice(), &bytes.0].concat());
    Ok(Credentials { key_id, secret, token, ends_ms })
}

/// The session of that key and token; `None`: they are none of ours, or do not belong together.
pub(super) async fn open(secrets: &Secrets, key_id: &str, token: &str) -> Option<Session> {
    if !key_id.starts_with(PREFIX) || token.len() > MAX_TOKEN {
        return None;
    }
    let sealed = URL_SAFE_NO_PAD.decode(token).ok().and_then(|token| {
        let (by, bytes) = token.split_first_chunk()?;
        Some(Sealed { bytes: Hidden(bytes.to_vec()), by: u32::from_be_bytes(*by) })
    });
    let sealed = sealed?;
    if !secrets.has(sealed.by).await {
        return None;
    }
    read(&secrets.unseal(key_id, &sealed).await.ok()?)
}

fn read(content: &[u8]) -> Option<Session> {
    let content: Content = serde_json::from_slice(content).ok()?;
    let caller = match (content.caller.parse().ok()?, content.role) {
        (PrincipalArn::Root(account), None) => Caller::Root(account),
        (PrincipalArn::User(account, name), None) => Caller::User(account, name),
        (PrincipalArn::Session(account, name), Some(role)) => {
            Caller::Session { account, role: role.parse::<EntityName>().ok()?, name }
        }
        _ => return None,
    };
    let key = content.key.map(|key| key.parse()).transpose().ok()?;
    let (secret, ends_ms, index) = (content.secret.parse().ok()?, content.ends_ms, content.index);
    Some(Session { caller, secret, ends_ms, key, index })
}

impl Session {
    /// Whether it counts still: its principal is there, its tokens are good, the key that bought it is active.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(super) fn counts(&self, reader: &StateReader) -> StateResult<bool, StateReader> {
        let known = identity::identity(reader, &self.caller)?;
        let is_good = known.is_some_and(|known| self.index >= known.tokens_valid_from_index);
        let is_bought = match &self.key {
            None => true,
            Some(key) => access_key::access_key(reader, key)?
                .is_some_and(|record| record.state == KeyState::Active && self.caller == record.owner.into()),
        };
        Ok(is_good && is_bought)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(caller: &str, role: Option<&str>) -> Vec<u8> {
        let content = Content {
            secret: "s".repeat(40),
            caller: caller.to_owned(),
            role: role.map(str::to_owned),
            index: 1,
            ends_ms: 2000,
            key: None,
        };
        serde_json::to_vec(&content).expect("a document")
    }

    #[test]
    fn a_token_stands_for_a_root_a_user_or_a_role() {
        let caller = |text, role| read(&content(text, role)).map(|session| session.caller.to_string());
        let role = "arn:aws:sts::000000000001:assumed-role/deploy/run-1";
        for (text, of) in [
            ("arn:aws:iam::000000000001:root", None),
            ("arn:aws:iam::000000000001:user/dev/alice", None),
            (role, Some("ci/deploy")),
        ] {
            assert_eq!(caller(text, of).as_deref(), Some(text));
        }
        for (text, of) in [
            (role, None),
            ("arn:aws:iam::000000000001:user/alice", Some("deploy")),
            ("arn:aws:iam::000000000001:role/deploy", None),
            ("anonymous", None),
            ("", None),
        ] {
            assert_eq!(caller(text, of), None, "{text}");
        }
    }
}
