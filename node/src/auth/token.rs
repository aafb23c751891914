//! Bearer tokens: JWTs signed with a node's ed25519 key, verified by the keys that the replicated state
//! names. The header may choose among these keys by `kid` and do nothing else (CVE-2025-24976).

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use cluster::StateReader;
use cluster_core::access::Caller;
use cluster_core::key::RepositoryId;
use cluster_core::record::NodeKind;
use cluster_core::state;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use lru::LruCache;
use proto::credential::AccessKeyId;
use proto::digest::{self, Digest};
use proto::identity::{NodeId, Region, RegistryId};

use super::claims::Claims;
use super::node_key::NodeKey;
use super::scope::Grant;
use super::{AuthError, Authorization, Identity, Proof, login, robot, unread};

/// The service that tokens are for, as challenges name it.
pub(crate) const SERVICE: &str = "shoal";
/// The audience of refresh tokens, which are good for nothing but more tokens.
const REFRESH: &str = "shoal-refresh";
/// The audience of authorization tokens: Docker's passwords, which GetAuthorizationToken gives (ECR specification §8.2).
const PASSWORD: &str = "shoal-password";
/// The audience of tokens that read one layer (GetDownloadUrlForLayer, ECR specification §6.1).
const DOWNLOAD: &str = "shoal-download";
/// Life of such a token in seconds.
const DOWNLOAD_SECONDS: u64 = 3600;
/// Life of an authorization token in seconds.
const PASSWORD_SECONDS: u64 = 12 * 3600;
/// Life of an access token in seconds.
pub(crate) const ACCESS_SECONDS: u64 = 300;
/// Life of a refresh token in seconds.
const REFRESH_SECONDS: u64 = 90 * 24 * 3600;
/// Clock difference between nodes that is forgiven, in seconds (A42).
const LEEWAY_SECONDS: u64 = 60;
/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 12 << 10;
/// Verified tokens that are remembered.
const REMEMBERED: usize = 4096;

/// Why no token could be made: this node's key or randomness does not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// The key cannot sign.
    #[error("the token could not be signed")]
    Sign(#[from] jsonwebtoken::errors::Error),
    /// The system has no randomness.
    #[error("no randomness")]
    Random(#[from] getrandom::Error),
}

/// Issues and verifies tokens.
pub(crate) struct Tokens {
    node: NodeId,
    key: EncodingKey,
    issuer: String,
    /// Of access tokens that name none, which releases before registries had hosts gave.
    default: RegistryId,
    verified: Mutex<LruCache<Digest, Arc<Claims>>>,
}

impl Tokens {
    /// Signs as `key`'s node, for the cluster with this id.
    pub(crate) fn new(key: &NodeKey, cluster_id: [u8; 16], default: RegistryId) -> Self {
        Self {
            node: key.node(),
            key: EncodingKey::from_ed_der(key.pkcs8()),
            issuer: format!("shoal:{:032x}", u128::from_be_bytes(cluster_id)),
            default,
            verified: Mutex::new(LruCache::new(NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN))),
        }
    }

    /// A token for [`ACCESS_SECONDS`], for repositories of `registry`. `index`, here and below: of a state no newer than the
    /// one that `identity` was checked against, so that what voids its tokens meanwhile voids this one.
    pub(crate) fn issue(
        &self,
        identity: &Identity,
        registry: &RegistryId,
        access: Vec<Grant>,
        index: u64,
    ) -> Result<String, TokenError> {
        let robot = match identity.proof {
            Proof::Robot(id) => Some(robot::show_id(id)),
            _ => None,
        };
        let left = identity
            .authorization
            .as_ref()
            .map_or(u64::MAX, |bought| bought.ends.saturating_sub(unix_seconds()));
        let claims = self.claim(&identity.caller, SERVICE, ACCESS_SECONDS.min(left))?;
        let authorization = identity.authorization.as_ref().map(|bought| robot::show_id(bought.id));
        let key =
            identity.authorization.as_ref().and_then(|bought| bought.key.as_ref()).map(ToString::to_string);
        let registry = Some(registry.to_string());
        self.sign(&Claims { access, registry, robot, authorization, key, index, ..claims })
    }

    /// A refresh token, void once the principal's password is another one.
    pub(crate) fn issue_refresh(
        &self,
        caller: &Caller,
        password_hash: &str,
        index: u64,
    ) -> Result<String, TokenError> {
        let password = Some(fingerprint(password_hash));
        let claims = self.claim(caller, REFRESH, REFRESH_SECONDS)?;
        self.sign(&Claims { password, index, ..claims })
    }

    /// An authorization token, and when it ends, in milliseconds: no later than the session that it was asked for with.
    /// It says who; what they may is asked of each request. `key`: the lasting one that it ends with.
    pub(crate) fn issue_password(
        &self,
        caller: &Caller,
        (key, session_ends_ms): (Option<&AccessKeyId>, Option<u64>),
        region: &Region,
        index: u64,
    ) -> Result<(String, u64), TokenError> {
        let left =
            session_ends_ms.map_or(u64::MAX, |ends_ms| (ends_ms / 1000).saturating_sub(unix_seconds()));
        let seconds = PASSWORD_SECONDS.min(left);
        let ends_ms = (unix_seconds() + seconds) * 1000;
        let (region, key) = (Some(region.to_string()), key.map(ToString::to_string));
        let claims = self.claim(caller, PASSWORD, seconds)?;
        Ok((self.sign(&Claims { region, key, index, ..claims })?, ends_ms))
    }

    /// A token that reads one blob of one repository for [`DOWNLOAD_SECONDS`], in whoever's hands.
    pub(crate) fn issue_download(
        &self,
        repository: &RepositoryId,
        digest: &Digest,
    ) -> Result<String, TokenError> {
        let sub = format!("{}/{}@{digest}", repository.registry, repository.name);
        self.sign(&Claims { sub, ..self.claim(&Caller::Anonymous, DOWNLOAD, DOWNLOAD_SECONDS)? })
    }

    /// Which blob a token of [`Tokens::issue_download`] reads.
    pub(crate) fn verify_download(
        &self,
        reader: &StateReader,
        token: &str,
    ) -> Result<(RepositoryId, Digest), AuthError> {
        let claims = self.claims(reader, token, DOWNLOAD)?;
        blob_of(&claims.sub).ok_or(AuthError::Invalid)
    }

    /// Whose authorization token it is, unless it was revoked, alone, with all that its owner had, or with its key.
    pub(crate) fn verify_password(
        &self,
        reader: &StateReader,
        token: &str,
        region: &Region,
    ) -> Result<Identity, AuthError> {
        let claims = self.claims(reader, token, PASSWORD)?;
        if claims.region.as_deref() != Some(region.as_str()) {
            return Err(AuthError::Invalid);
        }
        let caller = caller_of(reader, &claims)?;
        let id = robot::parse_id(&claims.jti).ok_or(AuthError::Invalid)?;
        if !claims.counts(reader, &caller, &id).map_err(unread)? {
            return Err(AuthError::Invalid);
        }
        let key = claims.key.as_deref().and_then(|key| key.parse().ok());
        let authorization = Some(Authorization { id, key, ends: claims.exp });
        Ok(Identity { authorization, ..Identity::of(caller, Proof::Token) })
    }

    fn sign(&self, claims: &Claims) -> Result<String, TokenError> {
        let header = Header { kid: Some(self.node.to_string()), ..Header::new(Algorithm::EdDSA) };
        Ok(jsonwebtoken::encode(&header, claims, &self.key)?)
    }

    fn claim(&self, caller: &Caller, audience: &str, seconds: u64) -> Result<Claims, TokenError> {
        let now = unix_seconds();
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        Ok(Claims {
            iss: self.issuer.clone(),
            sub: caller.to_string(),
            aud: audience.to_owned(),
            exp: now + seconds,
            nbf: now,
            iat: now,
            jti: format!("{:032x}", u128::from_be_bytes(random)),
            access: Vec::new(),
            registry: None,
            password: None,
            region: None,
            key: None,
            authorization: None,
            robot: None,
            index: 0,
        })
    }

    /// Whose access token it is and what it is for. It counts for the one registry that it was issued for.
    pub(crate) fn verify(
        &self,
        reader: &StateReader,
        token: &str,
        registry: &RegistryId,
    ) -> Result<Identity, AuthError> {
        let claims = self.claims(reader, token, SERVICE)?;
        let issued_for = claims.registry.clone().unwrap_or_else(|| self.default.to_string());
        if issued_for != registry.to_string() {
            return Err(AuthError::Invalid);
        }
        let caller = caller_of(reader, &claims)?;
        let proof = claims.proof(reader, &caller).map_err(unread)?.ok_or(AuthError::Invalid)?;
        Ok(Identity { grants: Some(claims.access.clone()), ..Identity::of(caller, proof) })
    }

    /// Whose refresh token it is, if their password is still the one it was issued for.
    pub(crate) fn verify_refresh(&self, reader: &StateReader, token: &str) -> Result<Identity, AuthError> {
        let claims = self.claims(reader, token, REFRESH)?;
        let caller = caller_of(reader, &claims)?;
        let login = login::login(reader, caller).map_err(unread)?;
        let login = login.filter(|login| claims.password == Some(fingerprint(&login.password_hash)));
        let caller = login.map(|login| login.caller).ok_or(AuthError::Invalid)?;
        Ok(Identity::of(caller, Proof::Password))
    }

    fn claims(&self, reader: &StateReader, token: &str, audience: &str) -> Result<Arc<Claims>, AuthError> {
        if token.len() > MAX_TOKEN {
            return Err(AuthError::Invalid);
        }
        let name = Digest::of(digest::Algorithm::Sha256, token.as_bytes());
        let known = self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        if let Some(claims) = known {
            let alive = claims.exp + LEEWAY_SECONDS > unix_seconds() && claims.aud == audience;
            return if alive { Ok(claims) } else { Err(AuthError::Invalid) };
        }
        let claims = Arc::new(self.decode(reader, token, audience)?);
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).put(name, claims.clone());
        Ok(claims)
    }

    fn decode(&self, reader: &StateReader, token: &str, audience: &str) -> Result<Claims, AuthError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::Invalid)?;
        let signer = header.kid.and_then(|kid| kid.parse().ok()).ok_or(AuthError::Invalid)?;
        let record = state::cluster::node_key(reader, signer).map_err(unread)?.ok_or(AuthError::Invalid)?;
        // An edge stands where its owner may not be trusted with the cluster: what it signs opens only itself.
        let signs_here_only = state::node::node(reader, signer)
            .map_err(unread)?
            .is_some_and(|node| node.kind == NodeKind::Edge);
        if signs_here_only && signer != self.node {
            return Err(AuthError::Invalid);
        }
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.leeway = LEEWAY_SECONDS;
        rules.validate_nbf = true;
        rules.set_audience(&[audience]);
        rules.set_issuer(&[&self.issuer]);
        rules.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        let key = DecodingKey::from_ed_der(&record.public_key);
        let claims =
            jsonwebtoken::decode::<Claims>(token, &key, &rules).map_err(|_| AuthError::Invalid)?.claims;
        let issued = claims.iat <= unix_seconds() + LEEWAY_SECONDS;
        if issued { Ok(claims) } else { Err(AuthError::Invalid) }
    }
}

/// `<account>/<region>/<name>@<digest>`.
fn blob_of(subject: &str) -> Option<(RepositoryId, Digest)> {
    let (repository, digest) = subject.split_once('@')?;
    let (account, rest) = repository.split_once('/')?;
    let (region, name) = rest.split_once('/')?;
    let registry = RegistryId { account: account.parse().ok()?, region: region.parse().ok()? };
    Some((RepositoryId { registry, name: name.parse().ok()? }, digest.parse().ok()?))
}

fn caller_of(reader: &StateReader, claims: &Claims) -> Result<Caller, AuthError> {
    claims.caller(reader).map_err(unread)?.ok_or(AuthError::Invalid)
}

/// Names a password without telling it.
fn fingerprint(password_hash: &str) -> String {
    Digest::of(digest::Algorithm::Sha256, password_hash.as_bytes()).hex()[..32].to_owned()
}

/// Seconds since 1970; a clock before that is refused at start.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
