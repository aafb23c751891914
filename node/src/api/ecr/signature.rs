//! Requests that are signed with access keys: whose they are (ECR specification §8.1).
//!
//! The node that faces the client checks them alone: the key's record is in its state, and the secret is opened once
//! for each day, region and service, after which a derived key is remembered.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cluster::{Metadata, ReadError};
use cluster_core::access::Caller;
use cluster_core::record::{AccessKeyRecord, KeyState};
use cluster_core::state;
use lru::LruCache;
use proto::credential::AccessKeyId;
use proto::digest::Digest;
use proto::sigv4::{Scope, SecretKey, SigV4Error, Signed, SigningKey};

use crate::adapters::secrets::{Secrets, SecretsError};

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
    /// With which key.
    pub(crate) key: AccessKeyId,
    /// Day, region and service.
    pub(crate) scope: Scope,
}

/// See the module.
pub(super) struct Signatures {
    metadata: Metadata,
    secrets: Secrets,
    derived: Mutex<LruCache<(AccessKeyId, Scope), SigningKey>>,
    /// Stands in for the secrets of keys that there are not: they take as long.
    nobody: SecretKey,
}

impl Signatures {
    pub(super) fn new(metadata: Metadata, secrets: Secrets) -> Result<Self, SigV4Error> {
        let derived = Mutex::new(LruCache::new(NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN)));
        Ok(Self { metadata, secrets, derived, nobody: "nobody".parse()? })
    }

    /// Who signed a request, whose body has the SHA-256 `body`. A key that was disabled or deleted signs nothing from
    /// the moment on at which this node learns of it. Dropping it loses nothing.
    pub(crate) async fn signatory(
        &self,
        signed: &Signed,
        body: &Digest,
    ) -> Result<Signatory, SignatureError> {
        let now = SystemTime::now();
        let record = self.record(signed)?;
        let derived = match &record {
            Some((id, record)) => self.key(id, record, signed.scope()).await?,
            None => SigningKey::derive(&self.nobody, signed.scope()),
        };
        let verified = signed.verify(&derived, body, now.into(), SKEW);
        let Some((key, record)) = record else { return Err(SigV4Error::Unrecognized.into()) };
        verified?;
        // Only now: who knows an id, but no secret, must not fill the memory with scopes of their own.
        self.derived().put((key.clone(), signed.scope().clone()), derived);
        Ok(Signatory { caller: record.owner.into(), key, scope: signed.scope().clone() })
    }

    /// The key, if there is such a one and it counts. Sessions have keys of their own, of which there are none yet.
    fn record(&self, signed: &Signed) -> Result<Option<(AccessKeyId, AccessKeyRecord)>, ReadError> {
        let Ok(id) = signed.key_id().as_str().parse::<AccessKeyId>() else { return Ok(None) };
        if signed.token().is_some() {
            return Ok(None);
        }
        let record = state::principal::access_key::access_key(&self.metadata.local()?, &id)?;
        Ok(record.filter(|record| record.state == KeyState::Active).map(|record| (id, record)))
    }

    async fn key(
        &self,
        id: &AccessKeyId,
        record: &AccessKeyRecord,
        scope: &Scope,
    ) -> Result<SigningKey, SignatureError> {
        let name = (id.clone(), scope.clone());
        let known = self.derived().get(&name).cloned();
        if let Some(key) = known {
            return Ok(key);
        }
        let secret = self.secrets.unseal(id.as_str(), &record.sealed).await?;
        let secret: SecretKey = std::str::from_utf8(&secret).unwrap_or_default().parse()?;
        let key = SigningKey::derive(&secret, scope);
        Ok(key)
    }

    fn derived(&self) -> MutexGuard<'_, LruCache<(AccessKeyId, Scope), SigningKey>> {
        self.derived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
