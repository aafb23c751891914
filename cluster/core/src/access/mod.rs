//! Who may do what: one decision for all requests of all dialects.
//!
//! Owns principal, action, resource to decision; a handler never decides. [`policy`] has IAM's rules, and [`decide`] is
//! the one road to them.

mod action;
pub mod policy;
mod request;

use proto::arn::Arn;
use proto::identity::{AccountId, NodeId, RegistryId};
use proto::policy::action::ActionName;

use crate::command::node::Admission;
use crate::command::{Command, ImageCommand, NodeCommand};
use crate::key::RepositoryId;
use crate::record::{Entity, EntityKind, Owner};
pub use action::{Action, Verb};
pub use policy::{AllowReason, Caller, Context, Decision, DenyReason, Policies};
pub use request::{Facts, Request, Wanted, decide};

/// What it is asked of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// A registry as a whole.
    Registry(RegistryId),
    /// One repository, existing or not.
    Repository(RepositoryId),
    /// An account as a whole.
    Account(AccountId),
    /// What belongs to the root user of an account.
    Root(AccountId),
    /// A user, group or role, existing or not, and what belongs to it.
    Entity(Entity),
}

impl From<Owner> for Resource {
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::Root(account) => Self::Root(account),
            Owner::User(account, name) => Self::Entity(Entity { account, kind: EntityKind::User, name }),
        }
    }
}

impl Resource {
    /// The registry that it is or lies in, if any.
    pub fn registry(&self) -> Option<&RegistryId> {
        match self {
            Self::Registry(registry) => Some(registry),
            Self::Repository(repository) => Some(&repository.registry),
            Self::Account(_) | Self::Root(_) | Self::Entity(_) => None,
        }
    }

    /// The account that owns it.
    pub fn account(&self) -> &AccountId {
        match self {
            Self::Registry(registry) => &registry.account,
            Self::Repository(repository) => &repository.registry.account,
            Self::Account(account) | Self::Root(account) => account,
            Self::Entity(entity) => &entity.account,
        }
    }

    /// As policies name it: a repository by the service of the action, a whole registry or account as `*`.
    pub fn named_for(&self, action: &ActionName) -> policy::Resource {
        match self {
            Self::Registry(RegistryId { account, .. }) | Self::Account(account) => {
                policy::Resource::account(account.clone())
            }
            Self::Repository(RepositoryId { registry, name }) => {
                policy::Resource::repository(action, registry, name)
            }
            Self::Root(account) => policy::Resource::named(account.clone(), Arn::principal(account, "root")),
            Self::Entity(entity) => policy::Resource::named(entity.account.clone(), entity.arn()),
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
