//! Who may do what: one decision for all requests of all dialects.
//!
//! Owns principal, action, resource to decision; a handler never decides. [`policy`] decides by IAM's rules; until the
//! node asks it, [`decide`] knows roots and anonymous readers only.

mod action;
pub mod policy;

use proto::identity::{NodeId, RegistryId};

use crate::command::node::Admission;
use crate::command::{Command, ImageCommand, NodeCommand};
use crate::key::RepositoryId;
pub use action::{Action, Verb};
pub use policy::Caller;

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

/// Whether `node`, which is an edge, may propose this: what is about itself alone, what shows by a secret that it is
/// allowed, and what takes nothing away. Edges stand at places that nobody watches.
pub fn edge_may_propose(node: NodeId, command: &Command) -> bool {
    match command {
        Command::RenewLease { .. } => true,
        Command::ConfirmCopies(confirm) => {
            let added = confirm.added.iter().map(|receipt| receipt.node);
            added
                .chain(confirm.lost.iter().copied())
                .chain(confirm.released.iter().copied())
                .all(|of| of == node)
        }
        Command::Node(command) => match command.as_ref() {
            NodeCommand::Update(update) => update.node == node,
            // A node that joins may ask an edge.
            NodeCommand::Add(add) => matches!(add.admission, Admission::Token { .. }),
            _ => false,
        },
        // Clients pull from it.
        Command::Image(command) => matches!(**command, ImageCommand::RecordPulls(_)),
        _ => false,
    }
}

/// Somebody wants something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asks, authenticated.
    pub caller: Caller,
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
    if let Caller::Root(account) = &request.caller
        && *account == registry.account
    {
        return Decision::Allow(AllowReason::RootOfAccount);
    }
    if request.action.is_read() && facts.anonymous_pull && *registry == facts.default_registry {
        return Decision::Allow(AllowReason::AnonymousPull);
    }
    Decision::Deny(match request.caller {
        Caller::Anonymous => DenyReason::NotAuthenticated,
        _ => DenyReason::OtherAccount,
    })
}

#[cfg(test)]
mod tests {
    use proto::digest::{Algorithm, Digest};
    use proto::upload::UploadId;

    use super::*;
    use crate::command::image::{ImageName, IndexFrom};
    use crate::command::node::{Disk, NodePlace, Removal, UpdateNode};
    use crate::command::{ConfirmCopies, PrincipalCommand, Receipt, RepositoryCommand};
    use crate::record::StorageClass;

    fn registry(account: &str) -> RegistryId {
        RegistryId { account: account.parse().unwrap(), region: "home".parse().unwrap() }
    }

    fn allowed(caller: Caller, action: Action, of: &RegistryId, anonymous_pull: bool) -> bool {
        let name = "team/app".parse().unwrap();
        let resource = Resource::Repository(RepositoryId { registry: of.clone(), name });
        let facts = Facts { anonymous_pull, default_registry: registry("000000000001") };
        decide(&Request { caller, action, resource }, &facts).is_allowed()
    }

    #[test]
    fn root_may_do_everything_in_its_account_and_nothing_elsewhere() {
        let own = registry("000000000001");
        for action in Action::ALL {
            assert!(allowed(Caller::Root(own.account.clone()), action, &own, false), "{action:?}");
            let other = registry("000000000002");
            assert!(!allowed(Caller::Root(own.account.clone()), action, &other, true), "{action:?}");
        }
    }

    #[test]
    fn anonymous_may_only_read_and_only_where_that_is_switched_on() {
        let (default, other) = (registry("000000000001"), registry("000000000002"));
        for action in Action::ALL {
            assert_eq!(allowed(Caller::Anonymous, action, &default, true), action.is_read(), "{action:?}");
            assert!(!allowed(Caller::Anonymous, action, &default, false), "{action:?}");
            assert!(!allowed(Caller::Anonymous, action, &other, true), "{action:?}");
        }
    }
    #[test]
    fn an_edge_proposes_what_is_about_itself_and_nothing_else() {
        let [own, other] = [1, 2].map(|node| NodeId::new(node).unwrap());
        let receipt = |node| Receipt { node, incarnation: 1 };
        let confirm = |added: &[NodeId], lost: &[NodeId], released: &[NodeId]| {
            Command::ConfirmCopies(ConfirmCopies {
                digest: Digest::of(Algorithm::Sha256, b""),
                generation: UploadId::from_bytes(&[1; 24]).unwrap(),
                added: added.iter().copied().map(receipt).collect(),
                lost: lost.to_vec(),
                released: released.to_vec(),
            })
        };
        let update = |node| {
            let place = NodePlace {
                addresses: vec![],
                zone: "a".parse().unwrap(),
                capacity_bytes: 0,
                release: String::new(),
                levels: crate::level::Levels::OWN,
            };
            Command::Node(Box::new(NodeCommand::Update(UpdateNode {
                node,
                place,
                incarnation: 1,
                disk: Disk::Kept,
            })))
        };
        let may = |command: &Command| edge_may_propose(own, command);
        assert!(may(&update(own)) && may(&confirm(&[own], &[own], &[own])));
        assert!(!may(&update(other)));
        for others in
            [confirm(&[other], &[], &[]), confirm(&[], &[own, other], &[]), confirm(&[own], &[], &[other])]
        {
            assert!(!may(&others), "{others:?}");
        }
        let remove = NodeCommand::Remove { node: own, removal: Removal::Forced };
        assert!(!may(&Command::Node(Box::new(remove))), "nor does it go by itself");
        assert!(!may(&Command::RecountCopies { limit: 1 }));
        let revoke = PrincipalCommand::RevokeRobotToken { id: [1; 16] };
        assert!(!may(&Command::Principal(Box::new(revoke))), "it relays requests, and has no say of its own");
        let repository = RepositoryId { registry: registry("000000000001"), name: "a".parse().unwrap() };
        let untag = RepositoryCommand::Untag { repository, keys: [].into() };
        assert!(!may(&Command::Repository(Box::new(untag))), "nor of what is set of repositories");
    }

    #[test]
    fn an_edge_tells_of_pulls_and_changes_no_image() {
        let own = NodeId::new(1).unwrap();
        let may = |command| edge_may_propose(own, &Command::Image(Box::new(command)));
        let repository =
            RepositoryId { registry: registry("000000000001"), name: "team/app".parse().unwrap() };
        let digest = Digest::of(Algorithm::Sha256, b"");
        assert!(may(ImageCommand::RecordPulls(Vec::new())));
        for command in [
            ImageCommand::Delete { repository: repository.clone(), image: ImageName::Digest(digest) },
            ImageCommand::DeleteManifest { repository: repository.clone(), digest },
            ImageCommand::SetStorageClass { repository, digest, target: StorageClass::Active },
            ImageCommand::Index { from: IndexFrom::Last, limit: 1 },
        ] {
            assert!(!may(command.clone()), "{command:?}");
        }
    }
}
