//! A request, and the decision on it.
//!
//! Owns how a call of any dialect becomes questions to [`policy::evaluate`]: which actions stand for it, and what the
//! operator's settings add. Pure.

use proto::identity::RegistryId;
use proto::name::Tag;
use proto::policy::action::ActionName;

use super::policy::{self, AllowReason, Caller, Context, Decision, DenyReason, Policies, evaluate};
use super::{Action, Resource};

/// What is wanted, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    call: Option<Action>,
    actions: Vec<ActionName>,
    resource: Resource,
    tag: Option<Tag>,
    detail: Option<String>,
}

impl Wanted {
    /// A call over HTTP.
    pub fn call(action: Action, resource: Resource) -> Self {
        let actions = action.names().iter().filter_map(|name| name.parse().ok()).collect();
        Self { call: Some(action), actions, resource, tag: None, detail: None }
    }

    /// An operation of ECR's API, which is an action by itself. No scope of a token covers it, nor is it ever open for
    /// anonymous reading.
    pub fn operation(action: ActionName, resource: Resource) -> Self {
        Self { call: None, actions: vec![action], resource, tag: None, detail: None }
    }

    /// That, of the image which this tag names. Who wants several asks for each.
    pub fn of_tag(self, tag: Tag) -> Self {
        Self { tag: Some(tag), ..self }
    }

    /// That, of this part of the resource: nothing is decided by it, logs tell it.
    pub fn about(self, detail: String) -> Self {
        Self { detail: Some(detail), ..self }
    }

    /// Which part of the resource it is about, if somebody said so.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The tag that is read, moved or removed.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The call, if it is one.
    pub fn action(&self) -> Option<Action> {
        self.call
    }

    /// Its name in policies; none of what every authenticated caller may.
    pub fn name(&self) -> Option<&ActionName> {
        self.actions.first()
    }

    /// Whether it changes something, or buys what others can use.
    pub fn changes(&self) -> bool {
        match self.call {
            Some(action) => !action.is_read() && !matches!(action, Action::ReadMetrics | Action::ReadAudit),
            None => self.name().is_none_or(|action| !action.reads()),
        }
    }

    /// Of what.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }
}

/// Somebody wants something.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks, authenticated.
    pub caller: &'a Caller,
    /// For what.
    pub wanted: &'a Wanted,
    /// What else is known. What follows from the caller need not be in it.
    pub context: &'a Context,
}

/// What the operator of the cluster decided, beside all policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether anybody may pull from, and list, the default registry.
    pub anonymous_pull: bool,
    /// The registry of requests that name none.
    pub default_registry: RegistryId,
}

impl Facts {
    fn opens(&self, wanted: &Wanted) -> bool {
        let reads = wanted.call.is_some_and(Action::is_read);
        reads && self.anonymous_pull && wanted.resource.registry() == Some(&self.default_registry)
    }
}

/// Decides. What anybody may read nobody loses by saying who they are, unless a statement denies it to them.
pub fn decide<'p>(request: &Request<'_>, facts: &Facts, policies: &Policies<'p>) -> Decision<'p> {
    let decision = match (request.wanted.call, &request.wanted.resource) {
        (Some(Action::Connect), _) => connect(request.caller),
        (_, Resource::Root(account)) if *request.caller != Caller::Root(account.clone()) => {
            Decision::Deny(DenyReason::NotRoot)
        }
        _ => by_policies(request, policies),
    };
    match decision {
        Decision::Deny(DenyReason::Explicit(_)) => decision,
        Decision::Deny(_) if facts.opens(request.wanted) => Decision::Allow(AllowReason::AnonymousPull),
        _ => decision,
    }
}

fn connect<'p>(caller: &Caller) -> Decision<'p> {
    match caller {
        Caller::Anonymous => Decision::Deny(DenyReason::NotAuthenticated),
        _ => Decision::Allow(AllowReason::Authenticated),
    }
}

/// One allowed action is enough, unless the call's own, the first, is denied by a statement: an author who denies
/// downloads does not mean that nobody may ask whether a layer is there, as pushes do.
fn by_policies<'p>(request: &Request<'_>, policies: &Policies<'p>) -> Decision<'p> {
    let mut denied = None;
    for action in &request.wanted.actions {
        let resource = request.wanted.resource.named_for(action);
        let (caller, context) = (request.caller.clone(), request.context.clone());
        match evaluate(&policy::Request::new(caller, action.clone(), resource, context), policies) {
            Decision::Deny(reason) => {
                let first = *denied.get_or_insert(reason);
                if matches!(first, DenyReason::Explicit(_)) {
                    break;
                }
            }
            allow => return allow,
        }
    }
    Decision::Deny(denied.unwrap_or(DenyReason::NoAllow))
}

#[cfg(test)]
#[path = "request_test.rs"]
mod tests;
