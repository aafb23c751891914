//! Which statement of a policy speaks of a request.

use proto::arn::Arn;
use proto::policy::{Effect, Element, Policy, Statement};

use super::caller::Meant;
use super::{Attached, Origin, Request, Ruling, condition};

/// To whom a statement of a resource's policy gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// To the caller's account, which may pass it on.
    Account,
    /// To the caller.
    Direct,
}

/// A statement that matches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'p> {
    pub(super) ruling: Ruling<'p>,
    pub(super) grant: Grant,
}

/// What a policy, or several, say of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Side<'p> {
    /// The first Deny.
    pub(super) deny: Option<Ruling<'p>>,
    /// The first Allow of the caller itself, else of its account.
    pub(super) allow: Option<Found<'p>>,
}

impl<'p> Side<'p> {
    /// Asks one policy.
    pub(super) fn of(request: &Request, policy: &'p Policy, origin: Origin<'p>) -> Self {
        let mut side = Self::default();
        for (number, statement) in policy.statements.iter().enumerate() {
            // One that would change nothing need not be matched.
            let allows = statement.effect == Effect::Allow;
            if allows && side.allow.is_some_and(|found| found.grant == Grant::Direct) {
                continue;
            }
            let Some(grant) = matches(request, statement) else { continue };
            let ruling = Ruling { origin, number, sid: statement.sid.as_deref() };
            if !allows {
                side.deny = Some(ruling);
                break;
            }
            if side.allow.is_none() || grant == Grant::Direct {
                side.allow = Some(Found { ruling, grant });
            }
        }
        side
    }
}

/// Asks all policies of the caller.
pub(super) fn identity_side<'p>(request: &Request, policies: &'p [Attached<'p>]) -> Side<'p> {
    let mut all = Side::default();
    for attached in policies {
        let side = Side::of(request, attached.policy, Origin::Identity(attached.name));
        all = Side { deny: all.deny.or(side.deny), allow: all.allow.or(side.allow) };
    }
    all
}

/// To whom it gives if all its elements match.
fn matches(request: &Request, statement: &Statement) -> Option<Grant> {
    let lookup = |key: &_| request.context.variable(key);
    if !statement.actions.holds(|action| action.matches(&request.action)) {
        return None;
    }
    let grant = principals(request, statement)?;
    let arn = request.resource.arn.as_ref().map(Arn::parts);
    let meets = statement.resources.holds(|resource| resource.matches(arn, &lookup))
        && statement.conditions.iter().all(|one| condition::met(one, &request.context));
    meets.then_some(grant)
}

/// NotPrincipal is read to the safe side, where IAM only warns (user guide, "NotPrincipal"): with Deny it spares just
/// those whom it names, not all of an account or role; with Allow it leaves out whomever it means in any way.
fn principals(request: &Request, statement: &Statement) -> Option<Grant> {
    match &statement.principals {
        Element::Only(names) => {
            let meant = names.iter().filter_map(|name| request.caller.meant_by(name)).max()?;
            Some(if meant == Meant::Account { Grant::Account } else { Grant::Direct })
        }
        Element::AllBut(names) => {
            let least = match statement.effect {
                Effect::Allow => Meant::Account,
                Effect::Deny => Meant::Name,
            };
            let meant = |name| request.caller.meant_by(name).is_some_and(|meant| meant >= least);
            let spared = names.iter().any(meant);
            (!spared).then_some(Grant::Direct)
        }
    }
}
