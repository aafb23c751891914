//! Parsed policies: a request parses none that did not change since another one needed it.
//!
//! Owns which texts bear on a decision, and what is kept of them by whose they are and in which version. What is kept is
//! bounded by the length of the texts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cluster_core::access::policy::Attached;
use cluster_core::key::RepositoryId;
use cluster_core::record::{DocumentRecord, Entity, RegistryDocument, RepositoryDocument};
use cluster_core::state::principal::robot_token::TokenId;
use cluster_core::state::principal::role;
use cluster_core::state::{StateResult, document, repository};
use cluster_core::view::View;
use lru::LruCache;
use proto::identity::RegistryId;
use proto::policy::{Kind, Policy};
use proto::settings::DocumentId;

/// Texts that are kept parsed, in bytes together. A parsed one takes about ten times as much memory.
const MAX_TEXTS: usize = 4 << 20;
/// What one of no text counts for.
const LEAST_WEIGHT: usize = 128;

/// Whose policies they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// A user's, group's or role's.
    Entity(Entity),
    /// A robot token's.
    Robot(TokenId),
    /// A repository's.
    Repository(RepositoryId),
    /// A registry's.
    Registry(RegistryId),
    /// A role's, of who may become it.
    Trust(Entity),
}

/// Which version of them: the index of the entry that last changed them, or for a robot token when it was made.
pub(super) type Version = u64;

/// Policies of one place in one version.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    policies: Vec<(String, Policy)>,
    /// Of the texts, for the bound.
    weight: usize,
}

impl Parsed {
    fn of(texts: Vec<(String, String)>, kind: Kind) -> Self {
        let weight = texts.iter().map(|(name, text)| name.len() + text.len()).sum::<usize>() + LEAST_WEIGHT;
        let parse = |(name, text): (String, String)| (name, Policy::stored(text.as_bytes(), kind));
        Self { policies: texts.into_iter().map(parse).collect(), weight }
    }

    /// As a decision takes those of the caller.
    pub(super) fn attached(&self) -> impl Iterator<Item = Attached<'_>> {
        self.policies.iter().map(|(name, policy)| Attached { name, policy })
    }

    /// The only one, where there is no more than one.
    pub(super) fn only(&self) -> Option<&Policy> {
        self.policies.first().map(|(_, policy)| policy)
    }
}

struct Kept {
    parsed: LruCache<(Place, Version), Arc<Parsed>>,
    weight: usize,
}

/// See the module.
pub(super) struct PolicyCache(Mutex<Kept>);

impl Default for PolicyCache {
    fn default() -> Self {
        // Bounded by weight.
        Self(Mutex::new(Kept { parsed: LruCache::unbounded(), weight: 0 }))
    }
}

impl PolicyCache {
    /// The policies of `place` in that version. `read` is asked only if they are not kept: for all of them, as names and
    /// texts.
    pub(super) fn get<E>(
        &self,
        place: Place,
        version: Version,
        kind: Kind,
        read: impl FnOnce() -> Result<Vec<(String, String)>, E>,
    ) -> Result<Arc<Parsed>, E> {
        let key = (place, version);
        let known = self.kept().parsed.get(&key).cloned();
        if let Some(parsed) = known {
            return Ok(parsed);
        }
        // Not under the lock: others need not wait for a text that they do not need.
        let parsed = Arc::new(Parsed::of(read()?, kind));
        let mut kept = self.kept();
        kept.weight += parsed.weight;
        if let Some((_, before)) = kept.parsed.push(key, parsed.clone()) {
            kept.weight -= before.weight;
        }
        while kept.weight > MAX_TEXTS {
            let Some((_, oldest)) = kept.parsed.pop_lru() else { break };
            kept.weight -= oldest.weight;
        }
        drop(kept);
        Ok(parsed)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Every change under the lock is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The policy of a repository, parsed, if it has one.
    pub(super) fn of_repository<V: View>(
        &self,
        view: &V,
        id: &RepositoryId,
    ) -> StateResult<Option<Arc<Parsed>>, V> {
        let version = repository::repository(view, id)?.and_then(|record| record.policy_index);
        let Some(version) = version else { return Ok(None) };
        let read = || Ok(unnamed(repository::document(view, id, RepositoryDocument::Policy)?));
        self.get(Place::Repository(id.clone()), version, Kind::Repository, read).map(Some)
    }

    /// The policy of a registry, parsed, if it has one.
    pub(super) fn of_registry<V: View>(
        &self,
        view: &V,
        id: &RegistryId,
    ) -> StateResult<Option<Arc<Parsed>>, V> {
        let record = document::document(view, id, RegistryDocument::Policy, &DocumentId::only())?;
        let Some(version) = record.as_ref().map(|record| record.changed_index) else { return Ok(None) };
        self.get(Place::Registry(id.clone()), version, Kind::Registry, || Ok(unnamed(record))).map(Some)
    }

    /// The trust policy of a role, parsed, if there is such a role.
    pub(super) fn of_role<V: View>(&self, view: &V, role: &Entity) -> StateResult<Option<Arc<Parsed>>, V> {
        let Some(record) = role::role(view, &role.account, &role.name)? else { return Ok(None) };
        let (version, text) = (record.head.changed_index, record.trust_policy);
        self.get(Place::Trust(role.clone()), version, Kind::Trust, || Ok(vec![(String::new(), text)]))
            .map(Some)
    }
}

/// The only policy of its place.
fn unnamed(record: Option<DocumentRecord>) -> Vec<(String, String)> {
    record.map(|record| (String::new(), record.text)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn get(cache: &PolicyCache, robot: u8, version: Version, text: &str) -> (Arc<Parsed>, bool) {
        let mut is_read = false;
        let read = || -> Result<_, Infallible> {
            is_read = true;
            Ok(vec![("p".to_owned(), text.to_owned())])
        };
        let Ok(parsed) = cache.get(Place::Robot([robot; 16]), version, Kind::Identity, read);
        (parsed, is_read)
    }

    const ALLOW: &str = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

    #[test]
    fn a_version_is_read_once_and_another_one_anew() {
        let cache = PolicyCache::default();
        let (first, is_read) = get(&cache, 1, 1, ALLOW);
        assert!(is_read);
        let (again, is_read) = get(&cache, 1, 1, ALLOW);
        assert!(!is_read && Arc::ptr_eq(&first, &again));
        assert!(get(&cache, 1, 2, ALLOW).1, "another version");
        assert!(get(&cache, 2, 1, ALLOW).1, "another place");
        assert_eq!(first.attached().map(|attached| attached.name).collect::<Vec<_>>(), ["p"]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_least_used_goes() {
        let cache = PolicyCache::default();
        let long = format!("{ALLOW}{}", " ".repeat(MAX_TEXTS / 4));
        for robot in 0..3 {
            get(&cache, robot, 1, &long);
        }
        assert!(!get(&cache, 0, 1, &long).1);
        get(&cache, 3, 1, &long);
        assert!(get(&cache, 1, 1, &long).1, "the least used went");
        assert!(!get(&cache, 0, 1, &long).1);
        let kept = cache.kept();
        let sum: usize = kept.parsed.iter().map(|(_, parsed)| parsed.weight).sum();
        assert!(kept.weight == sum && sum <= MAX_TEXTS);
    }
}
