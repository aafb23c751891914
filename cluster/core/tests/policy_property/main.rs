//! The evaluator of IAM policies against a second one that is slow and obvious, over random requests and policies.
//!
//! With `SHOAL_TEST_FULL=1` a million cases: minutes with `--release`.

#![expect(clippy::expect_used, reason = "what is generated is valid")]

mod generate;
mod slow;

use std::cell::Cell;

use cluster_core::access::policy::{
    Attached, Caller, Context, Decision, DenyReason, Policies, Request, Resource, evaluate,
};
use generate::{OWNER, Scenario, Who};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use proto::arn::SessionName;
use proto::identity::RegistryId;
use proto::policy::action::ActionName;
use proto::policy::{Extensions, Kind, Policy};
use slow::Verdict;

const ORDINARY_CASES: u32 = 1_000;
const FULL_CASES: u32 = 1_000_000;
/// Least share of each verdict, so that none is tested by chance only.
const LEAST_PERCENT: u32 = 10;

fn read(kind: Kind, policy: &serde_json::Value) -> Policy {
    Policy::parse(policy.to_string().as_bytes(), kind, Extensions::Allowed)
        .unwrap_or_else(|error| panic!("{policy}: {error:?}"))
}

fn caller(who: &Who) -> Caller {
    match who {
        Who::Anonymous => Caller::Anonymous,
        Who::Service(name) => Caller::Service(name.parse().expect("a service")),
        Who::Root(account) => Caller::Root(account.parse().expect("an account")),
        Who::User(account, name) => {
            Caller::User(account.parse().expect("an account"), name.parse().expect("a name"))
        }
        Who::Session(account, role, session) => {
            let role = role.parse().expect("a role");
            let name = SessionName::new(&role, session).expect("a session");
            Caller::Session { account: account.parse().expect("an account"), role, name }
        }
    }
}

fn request(scenario: &Scenario) -> Request {
    let registry =
        RegistryId { account: OWNER.parse().expect("an account"), region: "eu".parse().expect("a region") };
    let action: ActionName = scenario.action.parse().expect("an action");
    let resource = match scenario.repository_name {
        Some(name) => Resource::repository(&action, &registry, &name.parse().expect("a name")),
        None => Resource::account(registry.account),
    };
    let mut context = Context::default();
    for (key, value) in &scenario.context {
        context.insert(key.parse().expect("a key"), (*value).to_owned());
    }
    Request::new(caller(&scenario.who), action, resource, context)
}

fn fast(scenario: &Scenario) -> Verdict {
    let identity: Vec<Policy> = scenario.identity.iter().map(|policy| read(Kind::Identity, policy)).collect();
    let attached: Vec<Attached<'_>> =
        identity.iter().map(|policy| Attached { name: "own", policy }).collect();
    let session = scenario.session.as_ref().map(|policy| read(Kind::Identity, policy));
    let repository = scenario.repository.as_ref().map(|policy| read(Kind::Repository, policy));
    let registry = scenario.registry.as_ref().map(|policy| read(Kind::Registry, policy));
    let policies = Policies {
        identity: &attached,
        session: session.as_ref(),
        repository: repository.as_ref(),
        registry: registry.as_ref(),
        trust: None,
    };
    match evaluate(&request(scenario), &policies) {
        Decision::Allow(_) => Verdict::Allow,
        Decision::Deny(DenyReason::Explicit(_)) => Verdict::ExplicitDeny,
        Decision::Deny(_) => Verdict::ImplicitDeny,
    }
}

#[test]
fn both_evaluators_decide_alike() {
    let full = std::env::var_os("SHOAL_TEST_FULL").is_some();
    let cases = if full { FULL_CASES } else { ORDINARY_CASES };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let seen = [const { Cell::new(0_u32) }; 3];
    let outcome = runner.run(&generate::scenario(), |scenario| {
        let wanted = slow::decide(&scenario);
        let seen = &seen[wanted as usize];
        seen.set(seen.get() + 1);
        let found = fast(&scenario);
        if found == wanted {
            return Ok(());
        }
        Err(TestCaseError::fail(format!("{found:?} instead of {wanted:?}")))
    });
    outcome.unwrap_or_else(|difference| panic!("{difference}"));
    let [allow, explicit, implicit] = seen.map(Cell::into_inner);
    println!(
        "{cases} cases, 0 differences: {allow} allowed, {explicit} denied explicitly, {implicit} implicitly"
    );
    for count in [allow, explicit, implicit] {
        assert!(count >= cases * LEAST_PERCENT / 100, "a verdict is too rare: {count} of {cases}");
    }
}
