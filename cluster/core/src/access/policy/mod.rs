//! The decision by IAM's rules: caller, action, resource, context and policies to allow or deny, with the reason.
//!
//! Owns how the policies of both sides combine (ECR specification §9.2, rules 1 to 4 and cases A1–A12; IAM user guide,
//! "Policy evaluation logic"). Pure and total: every request gets a decision, whatever the policies are.
//!
//! Bounds: one pass over each policy. A pattern costs at worst the product of its length and the text's (an ARN, an
//! action, a value of the request), so a decision is bounded by the policies' sizes; only variables allocate.

mod caller;
mod condition;
mod context;
mod decision;
mod statement;

pub use caller::Caller;
pub use context::Context;
pub use decision::{AllowReason, Decision, DenyReason, Origin, Ruling};

use proto::arn::Arn;
use proto::identity::{AccountId, RegistryId};
use proto::name::RepositoryName;
use proto::policy::Policy;
use proto::policy::action::ActionName;

use statement::{Found, Grant, Side};

/// What is asked of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The account that owns it.
    owner: AccountId,
    /// Its name; `None` if the action knows no resource but `*` (§9.1).
    arn: Option<Arn>,
}

impl Resource {
    /// A repository, existing or not, as that action's service names it.
    pub fn repository(action: &ActionName, registry: &RegistryId, name: &RepositoryName) -> Self {
        let arn = Arn::repository(action.service(), registry, name);
        Self { owner: registry.account.clone(), arn: Some(arn) }
    }

    /// A whole registry or account, for actions whose resource is `*`.
    pub fn account(owner: AccountId) -> Self {
        Self { owner, arn: None }
    }

    /// Anything else that has an ARN: a user, a role.
    pub fn named(owner: AccountId, arn: Arn) -> Self {
        Self { owner, arn: Some(arn) }
    }

    /// The account that owns it.
    pub fn owner(&self) -> &AccountId {
        &self.owner
    }

    /// The ARN, or `*`.
    pub fn as_str(&self) -> &str {
        self.arn.as_ref().map_or("*", Arn::as_str)
    }
}

/// Somebody wants something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    caller: Caller,
    action: ActionName,
    resource: Resource,
    context: Context,
}

impl Request {
    /// What follows from the caller (`aws:PrincipalArn` and its like) replaces what `context` says of it.
    pub fn new(caller: Caller, action: ActionName, resource: Resource, mut context: Context) -> Self {
        caller.describe(&mut context);
        Self { caller, action, resource, context }
    }

    /// Who asks.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// For what.
    pub fn action(&self) -> &ActionName {
        &self.action
    }

    /// Of what.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }
}

/// A policy of the caller: of the user, of one of the groups, of the role.
#[derive(Clone, Copy, Debug)]
pub struct Attached<'p> {
    /// What a decision calls it.
    pub name: &'p str,
    /// What it says.
    pub policy: &'p Policy,
}

/// All policies that bear on a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policies<'p> {
    /// The caller's own; a root has none.
    pub identity: &'p [Attached<'p>],
    /// Given with the session or token; it only narrows (XP1).
    pub session: Option<&'p Policy>,
    /// Of the repository.
    pub repository: Option<&'p Policy>,
    /// Of the registry that the resource is or lies in.
    pub registry: Option<&'p Policy>,
    /// Of the role that the caller wants to become.
    pub trust: Option<&'p Policy>,
}

/// Actions without a resource side: only the caller's own policies count (§9.2, case A12).
const WITHOUT_RESOURCE_SIDE: [&str; 2] = ["ecr:GetAuthorizationToken", "ecr-public:GetAuthorizationToken"];

/// The services whose resources have policies. No policy of a registry may give away the cluster (`shoal:`) or the
/// account (`iam:`): one that says `*` means ECR's actions, though it is written so.
const WITH_RESOURCE_SIDE: [&str; 2] = ["ecr", "ecr-public"];

/// What nobody may without a trust policy.
const ASSUME_ROLE: &str = "sts:AssumeRole";
/// The service whose actions a role's trust policy speaks of.
const WITH_TRUST: &str = "sts";

fn has_resource_side(action: &ActionName) -> bool {
    let is_one = |service: &&str| action.service().eq_ignore_ascii_case(service);
    !WITHOUT_RESOURCE_SIDE.contains(&action.as_str()) && WITH_RESOURCE_SIDE.iter().any(is_one)
}

/// Decides.
pub fn evaluate<'p>(request: &Request, policies: &Policies<'p>) -> Decision<'p> {
    let policies = applicable(request, policies);
    let identity = statement::identity_side(request, policies.identity);
    let session = policies.session.map(|policy| Side::of(request, policy, Origin::Session));
    let repository = policies.repository.map(|policy| Side::of(request, policy, Origin::Repository));
    let registry = policies.registry.map(|policy| Side::of(request, policy, Origin::Registry));
    let trust = policies.trust.map(|policy| Side::of(request, policy, Origin::Trust));

    // Rule 1: any matching Deny, anywhere.
    let sides = [Some(identity), session, repository, registry, trust];
    if let Some(deny) = sides.into_iter().flatten().find_map(|side| side.deny) {
        return Decision::Deny(DenyReason::Explicit(deny));
    }
    if session.is_some_and(|session| session.allow.is_none()) {
        return Decision::Deny(DenyReason::NoSessionAllow);
    }
    let own = if request.caller.is_root() { Some(AllowReason::Root) } else { identity.allow.map(allowed) };
    match trust {
        Some(trust) => become_role(request, own, trust),
        // There is no such role.
        None if request.action.as_str().eq_ignore_ascii_case(ASSUME_ROLE) => {
            Decision::Deny(DenyReason::NoTrust)
        }
        None => combine(request, own, strongest(repository, registry)),
    }
}

/// A role becomes nobody whom its trust policy does not allow, of whatever account; whoever it means by an account only
/// needs a policy of their own as well (IAM user guide, "How IAM roles differ from resource-based policies").
fn become_role<'p>(request: &Request, own: Option<AllowReason<'p>>, trust: Side<'p>) -> Decision<'p> {
    let Some(trusted) = trust.allow else { return Decision::Deny(DenyReason::NoTrust) };
    let is_own = request.caller.account() == Some(&request.resource.owner);
    match own {
        Some(AllowReason::Statement(identity)) => {
            Decision::Allow(AllowReason::BothSides { identity, resource: trusted.ruling })
        }
        Some(_) => Decision::Allow(allowed(trusted)),
        None if is_own && trusted.grant == Grant::Direct => Decision::Allow(allowed(trusted)),
        None => Decision::Deny(DenyReason::NoIdentityAllow),
    }
}

/// The policies without those that cannot bear on the request, whoever passes them.
fn applicable<'p>(request: &Request, policies: &Policies<'p>) -> Policies<'p> {
    let mut policies = *policies;
    // Who has no account has no policies, and the root is above its own.
    if request.caller.account().is_none() || request.caller.is_root() {
        policies.identity = &[];
    }
    if request.resource.arn.is_none() {
        policies.repository = None;
    }
    if !has_resource_side(&request.action) {
        (policies.repository, policies.registry) = (None, None);
    }
    if !request.action.service().eq_ignore_ascii_case(WITH_TRUST) {
        policies.trust = None;
    }
    policies
}

fn allowed(found: Found<'_>) -> AllowReason<'_> {
    AllowReason::Statement(found.ruling)
}

/// What the resource side allows: repository's policy ∪ registry's. A grant to the caller itself goes before one to its
/// account.
fn strongest<'p>(repository: Option<Side<'p>>, registry: Option<Side<'p>>) -> Option<Found<'p>> {
    let allows = [repository, registry].map(|side| side.and_then(|side| side.allow));
    let direct = allows.into_iter().flatten().find(|found| found.grant == Grant::Direct);
    direct.or_else(|| allows.into_iter().flatten().next())
}

/// Rules 2 to 4.
fn combine<'p>(request: &Request, own: Option<AllowReason<'p>>, resource: Option<Found<'p>>) -> Decision<'p> {
    let Some(account) = request.caller.account() else {
        // Nobody's account could allow it: what the resource says is all there is.
        let missing = match request.caller {
            Caller::Anonymous => DenyReason::NotAuthenticated,
            _ => DenyReason::NoResourceAllow,
        };
        return resource.map(allowed).map_or(Decision::Deny(missing), Decision::Allow);
    };
    if *account == request.resource.owner {
        // Trusting the own account grants nothing to its users (case A3).
        let direct = resource.filter(|found| found.grant == Grant::Direct).map(allowed);
        return own.or(direct).map_or(Decision::Deny(DenyReason::NoAllow), Decision::Allow);
    }
    match (own, resource) {
        (Some(own), Some(resource)) => match own {
            AllowReason::Statement(identity) => {
                Decision::Allow(AllowReason::BothSides { identity, resource: resource.ruling })
            }
            _ => Decision::Allow(allowed(resource)),
        },
        (None, _) => Decision::Deny(DenyReason::NoIdentityAllow),
        (_, None) => Decision::Deny(DenyReason::NoResourceAllow),
    }
}

#[cfg(test)]
#[path = "policy_test.rs"]
mod tests;
