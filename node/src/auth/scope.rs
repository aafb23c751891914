//! Scopes of Docker's token protocol (distribution: docs/spec/auth/scope.md): what a token is for.

use cluster_core::access::{self, Action, Resource};
use proto::name::RepositoryName;
use serde::{Deserialize, Serialize};

/// Most scopes of one token; more are left out, so that a token fits a header.
pub(crate) const MAX_SCOPES: usize = 64;

/// One entry of a token's `access`, valid as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// `repository` or `registry`.
    #[serde(rename = "type")]
    kind: Kind,
    /// The repository's name, or `catalog`.
    name: String,
    /// Sorted, without repetition.
    actions: Vec<Verb>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Repository,
    Registry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verb {
    Pull,
    Push,
    Delete,
    #[serde(rename = "*")]
    All,
}

impl Verb {
    /// As decisions know it; `None` for all of them.
    fn known(self) -> Option<access::Verb> {
        match self {
            Self::Pull => Some(access::Verb::Pull),
            Self::Push => Some(access::Verb::Push),
            Self::Delete => Some(access::Verb::Delete),
            Self::All => None,
        }
    }
}

impl Grant {
    /// Whether a token with this entry is good for `action` on `resource`.
    pub(crate) fn covers(&self, action: Action, resource: &Resource) -> bool {
        match (self.kind, resource) {
            (Kind::Repository, Resource::Repository(repository)) => {
                let verb = |verb: &Verb| verb.known().is_some_and(|verb| Some(verb) == action.verb());
                self.name == repository.name.as_str() && self.actions.iter().any(verb)
            }
            (Kind::Registry, Resource::Registry(_)) => {
                action == Action::ListCatalog && self.name == "catalog" && self.actions.contains(&Verb::All)
            }
            _ => false,
        }
    }

    /// The entries for what `asked` wants and `allowed` permits. Scopes that make no sense, unknown
    /// types and unknown actions are dropped; equal names are joined.
    pub(crate) fn intersect<'a>(
        asked: impl Iterator<Item = &'a str>,
        allowed: impl Fn(access::Verb, Option<&RepositoryName>) -> bool,
    ) -> Vec<Self> {
        let mut grants: Vec<Self> = Vec::new();
        let scopes = asked.flat_map(|text| text.split(' ')).filter(|text| !text.is_empty());
        for mut grant in scopes.take(MAX_SCOPES).filter_map(|scope| parse(scope, &allowed)) {
            match grants.iter_mut().find(|known| known.kind == grant.kind && known.name == grant.name) {
                Some(known) => known.actions.append(&mut grant.actions),
                None => grants.push(grant),
            }
        }
        for grant in &mut grants {
            grant.actions.sort_unstable();
            grant.actions.dedup();
        }
        grants
    }

    /// The text form, as a token reply repeats it.
    pub(crate) fn to_scope(&self) -> String {
        let kind = if self.kind == Kind::Repository { "repository" } else { "registry" };
        let verb = |verb: &Verb| match verb {
            Verb::Pull => "pull",
            Verb::Push => "push",
            Verb::Delete => "delete",
            Verb::All => "*",
        };
        let actions: Vec<_> = self.actions.iter().map(verb).collect();
        format!("{kind}:{}:{}", self.name, actions.join(","))
    }
}

/// `type[(class)]:name:action[,action]*`
fn parse(scope: &str, allowed: impl Fn(access::Verb, Option<&RepositoryName>) -> bool) -> Option<Grant> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let kind = kind.split('(').next()?;
    if kind == "registry" {
        let asked = name == "catalog" && actions.split(',').any(|action| action == "*");
        let granted = asked && allowed(access::Verb::Catalog, None);
        return granted.then(|| Grant {
            kind: Kind::Registry,
            name: name.to_owned(),
            actions: vec![Verb::All],
        });
    }
    let repository: RepositoryName = name.parse().ok().filter(|_| kind == "repository")?;
    let asked = |verb: &str| actions.split(',').any(|action| action == verb || action == "*");
    let mut verbs = Vec::new();
    for (text, verb) in [("pull", Verb::Pull), ("push", Verb::Push), ("delete", Verb::Delete)] {
        if asked(text) && verb.known().is_some_and(|verb| allowed(verb, Some(&repository))) {
            verbs.push(verb);
        }
    }
    if verbs.len() == 3 && asked("*") {
        verbs.push(Verb::All);
    }
    (!verbs.is_empty()).then(|| Grant { kind: Kind::Repository, name: name.to_owned(), actions: verbs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster_core::key::RepositoryId;
    use proptest::prelude::*;

    fn granted(asked: &[&str], allowed: &[access::Verb]) -> Vec<String> {
        let grants = Grant::intersect(asked.iter().copied(), |action, _| allowed.contains(&action));
        grants.iter().map(Grant::to_scope).collect()
    }

    const ALL: [access::Verb; 4] =
        [access::Verb::Pull, access::Verb::Push, access::Verb::Delete, access::Verb::Catalog];

    #[test]
    fn scopes_are_cut_to_what_is_allowed() {
        assert_eq!(granted(&["repository:a/b:push,pull"], &ALL), ["repository:a/b:pull,push"]);
        assert_eq!(
            granted(&["repository:a:pull,push,delete,*"], &[access::Verb::Pull]),
            ["repository:a:pull"]
        );
        assert_eq!(granted(&["repository:a:*"], &ALL), ["repository:a:pull,push,delete,*"]);
        assert_eq!(granted(&["repository:a:pull repository:a:push"], &ALL), ["repository:a:pull,push"]);
        assert_eq!(granted(&["registry:catalog:*"], &ALL), ["registry:catalog:*"]);
        assert_eq!(granted(&["repository(plugin):a:pull"], &ALL), ["repository:a:pull"]);
    }

    #[test]
    fn scopes_without_sense_are_dropped() {
        for scope in [
            "",
            "a",
            "a:b",
            "repository:*:pull",
            "repository:a/../b:pull",
            "repository:A:pull",
            "registry:catalog:read",
            "repository:a:fly",
            "other:a:pull",
            "registry:other:*",
            "repository::pull",
        ] {
            assert!(granted(&[scope], &ALL).is_empty(), "{scope}");
        }
        let many: Vec<_> = (0..1000).map(|n| format!("repository:a{n}:pull")).collect();
        assert_eq!(granted(&many.iter().map(String::as_str).collect::<Vec<_>>(), &ALL).len(), MAX_SCOPES);
    }

    #[test]
    fn a_grant_covers_its_whole_name_only() {
        let grant = Grant::intersect(["repository:a:pull"].into_iter(), |_, _| true);
        let resource = |name: &str| {
            let account = "000000000000".parse().expect("an account");
            let region = "local".parse().expect("a region");
            let registry = proto::identity::RegistryId { account, region };
            Resource::Repository(RepositoryId { registry, name: name.parse().expect("a name") })
        };
        assert!(grant[0].covers(Action::ReadBlob, &resource("a")));
        assert!(!grant[0].covers(Action::PutManifest, &resource("a")));
        for other in ["a/b", "ab", "b"] {
            assert!(!grant[0].covers(Action::ReadBlob, &resource(other)), "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_scope_parses_without_panic(scope in "(repository|registry|[a-z():,* ]{0,9}|catalog){0,8}") {
            let _ = granted(&[&scope], &ALL);
        }
    }
}
