//! Requests that are signed with access keys: whose they are (ECR specification §8.1).
//!
//! The node that faces the client checks them alone: the key's record is in its state, and the secret is opened once
//! for each day, region and service, after which a derived key is remembered.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cluster::{Metadata, ReadError};
use cluster_core::access::Caller;
use cluster_core::record::KeyState;
use cluster_core::state;
use lru::LruCache;
use proto::credential::AccessKeyId;
use proto::digest::Digest;
use proto::sigv4::{self, Scope, SecretKey, SigV4Error, Signed, SigningKey};

use super::session::{self, Session};
use crate::adapters::secrets::{Secrets, SecretsError};
use crate::telemetry::log::now_ms;

/// How far a client's clock may be off (§8.1, rule 4).
const SKEW: Duration = Duration::from_secs(15 * 60);
/// Derived keys that are remembered.
const REMEMBERED: usize = 4096;

/// Why nobody is known to have signed a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignatureError {
    /// The request is at fault.
    #[error(transparent)]
    Refused(#[from] SigV4Error),
    /// The session that signed is over.
    #[error("The security token included in the request is expired")]
    Over,
    /// The state cannot be read.
    #[error("signatures cannot be checked now")]
    Unavailable(#[from] ReadError),
    /// The secret cannot be opened.
    #[error("signatures cannot be checked now")]
    NoSecret(#[from] SecretsError),
}

/// Who signed, and for what.
#[derive(Clone, Debug)]
pub(crate) struct Signatory {
    /// Who.
    pub(crate) caller: Caller,
    /// With which lasting key: of a session the one that it was bought with, if any.
    pub(crate) key: Option<AccessKeyId>,
    /// When its session ends.
    pub(crate) ends_ms: Option<u64>,
    /// Index of a state no newer than the one that says so: what is issued to them is dated by it.
    pub(crate) index: u64,
    /// Day, region and service.
    pub(crate) scope: Scope,
}

/// See the module.
pub(super) struct Signatures {
    metadata: Metadata,
    secrets: Secrets,
    derived: Mutex<LruCache<(sigv4::AccessKeyId, Scope), SigningKey>>,
    /// Stands in for the secrets of keys that there are not: they take as long.
    nobody: SecretKey,
}

impl Signatures {
    pub(super) fn new(metadata: Metadata, secrets: Secrets) -> Result<Self, SigV4Error> {
        let derived = Mutex::new(LruCache::new(NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN)));
        Ok(Self { metadata, secrets, derived, nobody: "nobody".parse()? })
    }

    /// Who signed a request, whose body has the SHA-256 `body`. What was disabled, deleted or voided signs nothing from
    /// the moment on at which this node learns of it. Dropping it loses nothing.
    pub(crate) async fn signatory(
        &self,
        signed: &Signed,
        body: &Digest,
    ) -> Result<Signatory, SignatureError> {
        let now = SystemTime::now();
        let claimed = match signed.token() {
            None => self.lasting(signed).await?,
            Some(token) => self.session(signed, token).await?,
        };
        let (scope, key_id) = (signed.scope().clone(), signed.key_id().clone());
        let derived = match &claimed {
            Some((_, derived)) => derived.clone(),
            None => SigningKey::derive(&self.nobody, &scope),
        };
        let verified = signed.verify(&derived, body, now.into(), SKEW);
        let Some((signatory, _)) = claimed else { return Err(SigV4Error::Unrecognized.into()) };
        verified?;
        if signatory.ends_ms.is_some_and(|ends_ms| now_ms() >= ends_ms) {
            return Err(SignatureError::Over);
        }
        // Only now: who knows an id, but no secret, must not fill the memory with scopes of their own.
        self.derived().put((key_id, scope), derived);
        Ok(signatory)
    }

    /// Whose the key is that should have signed, if there is such a lasting one and it counts.
    async fn lasting(&self, signed: &Signed) -> Result<Option<(Signatory, SigningKey)>, SignatureError> {
        let Ok(id) = signed.key_id().as_str().parse::<AccessKeyId>() else { return Ok(None) };
        let index = self.metadata.applied_index();
        let record = state::principal::access_key::access_key(&self.metadata.local()?, &id)
            .map_err(ReadError::from)?;
        let Some(record) = record.filter(|record| record.state == KeyState::Active) else { return Ok(None) };
        let derived = match self.known(signed) {
            Some(known) => known,
            None => {
                let secret = self.secrets.unseal(id.as_str(), &record.sealed).await?;
                let secret: SecretKey = std::str::from_utf8(&secret).unwrap_or_default().parse()?;
                SigningKey::derive(&secret, signed.scope())
            }
        };
        let (caller, scope) = (record.owner.into(), signed.scope().clone());
        Ok(Some((Signatory { caller, key: Some(id), ends_ms: None, index, scope }, derived)))
    }

    /// The same of a session, over or not.
    async fn session(
        &self,
        signed: &Signed,
        token: &str,
    ) -> Result<Option<(Signatory, SigningKey)>, SignatureError> {
        let opened = session::open(&self.secrets, signed.key_id().as_str(), token).await;
        let Some(session) = opened else { return Ok(None) };
        let index = self.metadata.applied_index();
        if !session.counts(&self.metadata.local()?).map_err(ReadError::from)? {
            return Ok(None);
        }
        let derived =
            self.known(signed).unwrap_or_else(|| SigningKey::derive(&session.secret, signed.scope()));
        let Session { caller, key, ends_ms, .. } = session;
        let scope = signed.scope().clone();
        Ok(Some((Signatory { caller, key, ends_ms: Some(ends_ms), index, scope }, derived)))
    }

    fn known(&self, signed: &Signed) -> Option<SigningKey> {
        self.derived().get(&(signed.key_id().clone(), signed.scope().clone())).cloned()
    }

    fn derived(&self) -> MutexGuard<'_, LruCache<(sigv4::AccessKeyId, Scope), SigningKey>> {
        self.derived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
