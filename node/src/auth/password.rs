//! Passwords: argon2id hashes, checked at most two at a time, and not twice for the same words.
//!
//! Checks borrow their memory from a pool: what an allocator gets back in pieces of 19 MiB from many
//! threads it may keep for ever. Permit and memory move into the check, so that clients that give up
//! do not make room for more checks than there may be.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::{Output, PasswordHash, PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use cluster_core::access::Caller;
use lru::LruCache;
use ring::hmac;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Secret;

/// Checks that run at once: each takes a core and [`MEMORY_KIB`].
const CHECKS_AT_ONCE: usize = 2;
/// Checks that may wait: about two seconds' work.
const MAX_WAITING: usize = 128;
/// Accepted credentials that are remembered.
const REMEMBERED: usize = 1024;
/// argon2id's memory, passes and lanes: OWASP's second recommendation.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The hash, as a PHC string, with a fresh salt. Takes tens of milliseconds: not for an async thread.
pub(crate) fn hash(password: &Secret) -> Result<String, argon2::password_hash::Error> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| argon2::password_hash::Error::Crypto)?;
    let salt = SaltString::encode_b64(&salt)?;
    Ok(argon2()?.hash_password(password.expose().as_bytes(), &salt)?.to_string())
}

fn argon2() -> Result<Argon2<'static>, argon2::password_hash::Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Whether `password` gives the hash `stored`. `None` for a hash that is no argon2id.
fn matches(password: &Secret, stored: &str, memory: &mut Vec<Block>) -> Option<bool> {
    let stored = PasswordHash::new(stored).ok()?;
    let params = Params::try_from(&stored).ok()?;
    let (salt, wanted) = (stored.salt?, stored.hash?);
    let mut salt_bytes = [0; 64];
    let salt = salt.decode_b64(&mut salt_bytes).ok()?;
    memory.resize(params.block_count().max(memory.len()), Block::default());
    let mut found = vec![0; wanted.as_bytes().len()];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password.expose().as_bytes(), salt, &mut found, memory)
        .ok()?;
    // Compared in constant time.
    Some(Output::new(&found).ok()? == wanted)
}

/// The right to check one password, until it is dropped.
pub(crate) struct Turn(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// Checks passwords.
pub(crate) struct Passwords {
    /// The only user there is.
    pub(crate) root: Caller,
    permits: Arc<Semaphore>,
    /// Places for those who wait for a permit.
    places: Semaphore,
    /// Memory of checks that are over.
    memory: Arc<Mutex<Vec<Vec<Block>>>>,
    /// Keyed hash of user, password and stored hash of what was accepted.
    accepted: Mutex<LruCache<[u8; 32], ()>>,
    key: hmac::Key,
    /// What unknown users are checked against, so that they take as long as known ones.
    nobody: Arc<str>,
}

impl Passwords {
    /// With `root` as the only user.
    pub(crate) fn new(root: Caller) -> Self {
        let mut key = [0; 32];
        // Without randomness nothing is remembered wrongly: the key only hides the words in memory.
        let _ = getrandom::fill(&mut key);
        let nobody = hash(&Secret::new(String::from("nobody"))).unwrap_or_default().into();
        Self {
            root,
            permits: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            places: Semaphore::new(MAX_WAITING),
            memory: Arc::default(),
            accepted: Mutex::new(LruCache::new(NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN))),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            nobody,
        }
    }

    /// The principal, if these words were accepted before for the same stored hash.
    pub(crate) fn known(&self, user: &str, password: &Secret, stored: Option<&str>) -> Option<Caller> {
        let tag = self.tag(user, password, stored?);
        let found = self.accepted.lock().unwrap_or_else(PoisonError::into_inner).get(&tag).is_some();
        found.then(|| self.root.clone())
    }

    /// A turn to check a password; `None` when too many wait already.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        let _place = self.places.try_acquire().ok()?;
        self.permits.clone().acquire_owned().await.ok().map(Turn)
    }

    /// The principal, if the password fits `stored`. Unknown users (`None`) cost the same.
    pub(crate) async fn check(
        &self,
        turn: Turn,
        user: &str,
        password: &Secret,
        stored: Option<String>,
    ) -> Option<Caller> {
        let against = stored.clone().unwrap_or_else(|| self.nobody.to_string());
        let (words, pool) = (password.clone(), self.memory.clone());
        let check = move || {
            let take = || pool.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = take().pop().unwrap_or_default();
            let fits = matches(&words, &against, &mut memory).unwrap_or(false);
            take().push(memory);
            drop(turn);
            fits
        };
        let fits = tokio::task::spawn_blocking(check).await.unwrap_or(false);
        let stored = stored.filter(|_| fits)?;
        let tag = self.tag(user, password, &stored);
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).put(tag, ());
        Some(self.root.clone())
    }

    fn tag(&self, user: &str, password: &Secret, stored: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [user, password.expose(), stored] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    async fn check(
        passwords: &Passwords,
        user: &str,
        words: &Secret,
        stored: Option<String>,
    ) -> Option<Caller> {
        let turn = passwords.turn().await.expect("a free turn");
        passwords.check(turn, user, words, stored).await
    }

    #[tokio::test]
    async fn the_right_password_is_accepted_and_remembered() {
        let root = Caller::Root("000000000000".parse().expect("an account"));
        let passwords = Passwords::new(root.clone());
        let stored = hash(&secret("right")).expect("hashed");
        assert_eq!(passwords.known("root", &secret("right"), Some(&stored)), None);
        assert_eq!(check(&passwords, "root", &secret("wrong"), Some(stored.clone())).await, None);
        assert_eq!(check(&passwords, "nobody", &secret("nobody"), None).await, None);
        assert_eq!(
            check(&passwords, "root", &secret("right"), Some(stored.clone())).await,
            Some(root.clone())
        );
        assert_eq!(passwords.known("root", &secret("right"), Some(&stored)), Some(root));
        let other = hash(&secret("right")).expect("hashed");
        assert_eq!(passwords.known("root", &secret("right"), Some(&other)), None);
    }

    #[tokio::test]
    async fn passwords_that_differ_late_differ() {
        let passwords = Passwords::new(Caller::Anonymous);
        let long = "x".repeat(72);
        let stored = hash(&secret(&format!("{long}a"))).expect("hashed");
        assert_eq!(check(&passwords, "root", &secret(&format!("{long}b")), Some(stored)).await, None);
    }
}
