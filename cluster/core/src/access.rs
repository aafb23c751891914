//! Who may do what: one decision for all requests of all dialects.
//!
//! Owns principal, action, resource to decision. Policies will enter here; a handler never decides.

use proto::identity::{Principal, RegistryId};

use crate::key::RepositoryId;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Use the API at all (`GET /v2/`, an authorization token).
    Connect,
    /// Read blobs, manifests, tags and referrers.
    Pull,
    /// Upload blobs, store manifests, move tags.
    Push,
    /// Delete tags, manifests and blobs.
    Delete,
    /// List repositories.
    ListCatalog,
    /// Read the node's metrics and the cluster's status.
    ReadMetrics,
    /// Take in, drain and remove nodes.
    ManageCluster,
}

/// What it is asked of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// A registry as a whole.
    Registry(RegistryId),
    /// One repository, existing or not.
    Repository(RepositoryId),
}

impl Resource {
    /// The registry that it is or lies in.
    pub fn registry(&self) -> &RegistryId {
        match self {
            Self::Registry(registry) => registry,
            Self::Repository(repository) => &repository.registry,
        }
    }
}

/// Somebody wants something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asks, authenticated.
    pub principal: Principal,
    /// For what.
    pub action: Action,
    /// Of what.
    pub resource: Resource,
}

/// What the decision depends on beside the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether anybody may pull from, and list, the default registry.
    pub anonymous_pull: bool,
    /// The registry of requests that name none.
    pub default_registry: RegistryId,
}

/// May it be done, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow(AllowReason),
    /// No.
    Deny(DenyReason),
}

impl Decision {
    /// Whether it is a yes.
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

/// Why something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowReason {
    /// The principal is the root of the account that owns the resource.
    RootOfAccount,
    /// The default registry is open for anonymous reading.
    AnonymousPull,
}

/// Why something is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyReason {
    /// Nobody in particular may not do this: authenticate first.
    NotAuthenticated,
    /// The resource belongs to another account.
    OtherAccount,
}

/// Decides.
pub fn decide(request: &Request, facts: &Facts) -> Decision {
    let registry = request.resource.registry();
    if let Principal::Root(account) = &request.principal
        && *account == registry.account
    {
        return Decision::Allow(AllowReason::RootOfAccount);
    }
    let reading = matches!(request.action, Action::Connect | Action::Pull | Action::ListCatalog);
    if reading && facts.anonymous_pull && *registry == facts.default_registry {
        return Decision::Allow(AllowReason::AnonymousPull);
    }
    Decision::Deny(match request.principal {
        Principal::Anonymous => DenyReason::NotAuthenticated,
        Principal::Root(_) => DenyReason::OtherAccount,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIONS: [Action; 6] = [
        Action::Connect,
        Action::Pull,
        Action::Push,
        Action::Delete,
        Action::ListCatalog,
        Action::ReadMetrics,
    ];

    fn registry(account: &str) -> RegistryId {
        RegistryId { account: account.parse().unwrap(), region: "home".parse().unwrap() }
    }

    fn allowed(principal: Principal, action: Action, of: &RegistryId, anonymous_pull: bool) -> bool {
        let name = "team/app".parse().unwrap();
        let resource = Resource::Repository(RepositoryId { registry: of.clone(), name });
        let facts = Facts { anonymous_pull, default_registry: registry("000000000001") };
        decide(&Request { principal, action, resource }, &facts).is_allowed()
    }

    #[test]
    fn root_may_do_everything_in_its_account_and_nothing_elsewhere() {
        let own = registry("000000000001");
        for action in ACTIONS {
            assert!(allowed(Principal::Root(own.account.clone()), action, &own, false), "{action:?}");
            let other = registry("000000000002");
            assert!(!allowed(Principal::Root(own.account.clone()), action, &other, true), "{action:?}");
        }
    }

    #[test]
    fn anonymous_may_only_read_and_only_where_that_is_switched_on() {
        let (default, other) = (registry("000000000001"), registry("000000000002"));
        for action in ACTIONS {
            let reads = matches!(action, Action::Connect | Action::Pull | Action::ListCatalog);
            assert_eq!(allowed(Principal::Anonymous, action, &default, true), reads, "{action:?}");
            assert!(!allowed(Principal::Anonymous, action, &default, false), "{action:?}");
            assert!(!allowed(Principal::Anonymous, action, &other, true), "{action:?}");
        }
    }
}
