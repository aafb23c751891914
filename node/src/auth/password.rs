//! Passwords: argon2id hashes, checked at most two at a time, and not twice for the same words.
//!
//! Checks borrow their memory from a pool: what an allocator gets back in pieces of 19 MiB from many
//! threads it may keep for ever. Permit and memory move into the check, so that clients that give up
//! do not make room for more checks than there may be.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::{Output, PasswordHash, PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
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
    /// With nothing remembered.
    pub(crate) fn new() -> Self {
        let mut key = [0; 32];
        // Without randomness nothing is remembered wrongly: the key only hides the words in memory.
        let _ = getrandom::fill(&mut key);
        let nobody = hash(&Secret::new(String::from("nobody"))).unwrap_or_default().into();
        Self {
            permits: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            places: Semaphore::new(MAX_WAITING),
            memory: Arc::default(),
            accepted: Mutex::new(LruCache::new(NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN))),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            nobody,
        }
    }

    /// Whether these words were accepted before for the same user and stored hash.
    pub(crate) fn is_known(&self, user: &str, password: &Secret, stored: &str) -> bool {
        let tag = self.tag(user, password, stored);
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).get(&tag).is_some()
    }

    /// A turn to check a password; `None` when too many wait already.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        let _place = self.places.try_acquire().ok()?;
        self.permits.clone().acquire_owned().await.ok().map(Turn)
    }

    /// Whether the password of `user` fits `stored`. Unknown users (`None`) cost the same.
    pub(crate) async fn check(
        &self,
        turn: Turn,
        user: &str,
        password: &Secret,
        stored: Option<&str>,
    ) -> bool {
        let against = stored.unwrap_or(&self.nobody).to_owned();
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
        let Some(stored) = stored.filter(|_| fits) else { return false };
        let tag = self.tag(user, password, stored);
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).put(tag, ());
        true
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

    async fn check(passwords: &Passwords, user: &str, words: &str, stored: Option<&str>) -> bool {
        let turn = passwords.turn().await.expect("a free turn");
        passwords.check(turn, user, &secret(words), stored).await
    }

    #[tokio::test]
    async fn the_right_password_is_accepted_and_remembered() {
        let passwords = Passwords::new();
        let stored = hash(&secret("right")).expect("hashed");
        assert!(!passwords.is_known("root", &secret("right"), &stored));
        assert!(!check(&passwords, "root", "wrong", Some(&stored)).await);
        assert!(!check(&passwords, "nobody", "nobody", None).await);
        assert!(check(&passwords, "root", "right", Some(&stored)).await);
        assert!(passwords.is_known("root", &secret("right"), &stored));
        assert!(!passwords.is_known("alice", &secret("right"), &stored), "another user");
        let other = hash(&secret("right")).expect("hashed");
        assert!(!passwords.is_known("root", &secret("right"), &other), "another password");
    }

    #[tokio::test]
    async fn passwords_that_differ_late_differ() {
        let passwords = Passwords::new();
        let long = "x".repeat(72);
        let stored = hash(&secret(&format!("{long}a"))).expect("hashed");
        assert!(!check(&passwords, "root", &format!("{long}b"), Some(&stored)).await);
    }
}
