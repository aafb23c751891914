//! What the request path asks of a caller: whether it still is, and which policies are its own.
//!
//! Reads one small record, of a user also one for each group; the policies' texts are read apart, and only by who
//! does not have them in this version: [`policies`](super::policy::policies) of the same view.

use super::super::{StateResult, inconsistent};
use super::{account, entity};
use crate::access::policy::Caller;
use crate::key;
use crate::record::{Entity, EntityHead, EntityKind, GroupRecord, RoleRecord, UserRecord};
use crate::view::View;

/// Whose policies a caller has, and since when its tokens count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// A user, then its groups; or a role; none for a root, a service and the anonymous, who have no policies of
    /// their own.
    pub sources: Vec<Source>,
    /// Tokens issued by an older state, whose last entry has a smaller index, are void. Of a session: those of the role's
    /// sessions.
    pub tokens_valid_from_index: u64,
}

/// Something with policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is.
    pub entity: Entity,
    /// As long as this stays, so do its policies: the index of the entry that last changed them. Not even an entity
    /// that takes the name of a deleted one has a version of that.
    pub version: u64,
    /// How many policies there are to read.
    pub policies: u32,
}

impl Identity {
    /// As long as this stays, so do all policies of the caller: every change gives one of its sources a later index
    /// than any had.
    pub fn version(&self) -> u64 {
        self.sources.iter().map(|source| source.version).max().unwrap_or(0)
    }
}

/// What there is of the caller; `None` if there is no such principal any more.
///
/// # Errors
/// The state could not be read.
pub fn identity<V: View>(view: &V, caller: &Caller) -> StateResult<Option<Identity>, V> {
    match caller {
        Caller::Anonymous | Caller::Service(_) => Ok(Some(Identity::default())),
        Caller::Root(id) => {
            let record = account::account(view, id)?;
            Ok(record.map(|record| Identity {
                sources: Vec::new(),
                tokens_valid_from_index: record.tokens_valid_from_index,
            }))
        }
        Caller::User(id, name) => {
            let Some(record) = entity::find::<UserRecord, V>(view, id, name)? else { return Ok(None) };
            let source = |kind, head| Source::of(id.clone(), kind, head);
            let mut sources = vec![source(EntityKind::User, record.head)];
            for name in &record.groups {
                let group = entity::find::<GroupRecord, V>(view, id, name)?;
                let missing =
                    || inconsistent(key::member(id, name, &sources[0].entity.name), "no such group");
                let group = group.ok_or_else(missing)?;
                sources.push(source(EntityKind::Group, group.head));
            }
            Ok(Some(Identity { sources, tokens_valid_from_index: record.tokens_valid_from_index }))
        }
        Caller::Session { account: id, role, .. } => {
            let record = entity::find::<RoleRecord, V>(view, id, role)?;
            Ok(record.map(|record| Identity {
                sources: vec![Source::of(id.clone(), EntityKind::Role, record.head)],
                tokens_valid_from_index: record.tokens_valid_from_index,
            }))
        }
    }
}

impl Source {
    fn of(account: proto::identity::AccountId, kind: EntityKind, head: EntityHead) -> Self {
        let entity = Entity { account, kind, name: head.name };
        Self { entity, version: head.changed_index, policies: head.policies }
    }
}
