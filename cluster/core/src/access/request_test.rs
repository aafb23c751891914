//! What is asked for each call, and what the operator's settings add to the policies.

use proto::identity::AccountId;
use proto::policy::{Extensions, Kind, Policy};

use super::super::Verb;
use super::super::policy::Attached;
use super::*;
use crate::key::RepositoryId;

fn registry(account: &str) -> RegistryId {
    RegistryId { account: account.parse().unwrap(), region: "home".parse().unwrap() }
}

fn default() -> RegistryId {
    registry("000000000001")
}

fn repository(of: &RegistryId) -> Resource {
    Resource::Repository(RepositoryId { registry: of.clone(), name: "team/app".parse().unwrap() })
}

fn user(account: &AccountId) -> Caller {
    Caller::User(account.clone(), "alice".parse().unwrap())
}

fn parse(text: &str, kind: Kind) -> Policy {
    Policy::parse(text.as_bytes(), kind, Extensions::Refused).unwrap()
}

fn says(effect: &str, action: &str) -> Policy {
    let text = format!(r#"{{"Statement":{{"Effect":"{effect}","Action":"{action}","Resource":"*"}}}}"#);
    parse(&text, Kind::Identity)
}

fn open(anonymous_pull: bool) -> Facts {
    Facts { anonymous_pull, default_registry: default() }
}

fn decided<'p>(
    caller: &Caller,
    wanted: &Wanted,
    anonymous_pull: bool,
    policies: &Policies<'p>,
) -> Decision<'p> {
    let context = Context::default();
    decide(&Request { caller, wanted, context: &context }, &open(anonymous_pull), policies)
}

/// Without any policies.
fn allowed(caller: &Caller, action: Action, of: &RegistryId, anonymous_pull: bool) -> bool {
    let wanted = Wanted::call(action, repository(of));
    decided(caller, &wanted, anonymous_pull, &Policies::default()).is_allowed()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Allowed,
    Denied,
    /// By a statement.
    Forbidden,
}

/// Of a user of the default account with these policies.
fn with(action: Action, policies: &[Policy]) -> Verdict {
    let attached: Vec<_> = policies.iter().map(|policy| Attached { name: "own", policy }).collect();
    let policies = Policies { identity: &attached, ..Policies::default() };
    let wanted = Wanted::call(action, repository(&default()));
    match decided(&user(&default().account), &wanted, false, &policies) {
        Decision::Allow(_) => Verdict::Allowed,
        Decision::Deny(DenyReason::Explicit(_)) => Verdict::Forbidden,
        Decision::Deny(_) => Verdict::Denied,
    }
}

#[test]
fn root_may_do_everything_in_its_account_and_nothing_elsewhere() {
    let own = default();
    let root = Caller::Root(own.account.clone());
    for action in Action::ALL {
        assert!(allowed(&root, action, &own, false), "{action:?}");
        let elsewhere = allowed(&root, action, &registry("000000000002"), true);
        assert_eq!(elsewhere, action == Action::Connect, "{action:?}");
    }
}

#[test]
fn anonymous_may_only_read_and_only_where_that_is_switched_on() {
    let (default, other) = (default(), registry("000000000002"));
    for action in Action::ALL {
        assert_eq!(allowed(&Caller::Anonymous, action, &default, true), action.is_read(), "{action:?}");
        assert!(!allowed(&Caller::Anonymous, action, &default, false), "{action:?}");
        assert!(!allowed(&Caller::Anonymous, action, &other, true), "{action:?}");
    }
}

#[test]
fn anonymous_reads_a_repository_whose_policy_says_everyone() {
    let text = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":["ecr:BatchGetImage"]}}"#;
    let policy = parse(text, Kind::Repository);
    let policies = Policies { repository: Some(&policy), ..Policies::default() };
    for action in Action::ALL {
        let wanted = Wanted::call(action, repository(&default()));
        let is_named = matches!(action, Action::ReadManifest | Action::ListReferrers);
        let decision = decided(&Caller::Anonymous, &wanted, false, &policies);
        assert_eq!(decision.is_allowed(), is_named, "{action:?}");
    }
}

#[test]
fn who_logs_in_keeps_what_anybody_may_unless_a_statement_denies_it() {
    let wanted = Wanted::call(Action::ReadManifest, repository(&default()));
    let stranger = user(&"000000000002".parse().unwrap());
    let decision = decided(&stranger, &wanted, true, &Policies::default());
    assert_eq!(decision, Decision::Allow(AllowReason::AnonymousPull));
    assert!(!decided(&stranger, &wanted, false, &Policies::default()).is_allowed());
    let deny = says("Deny", "ecr:BatchGetImage");
    let attached = [Attached { name: "own", policy: &deny }];
    let policies = Policies { identity: &attached, ..Policies::default() };
    let decision = decided(&stranger, &wanted, true, &policies);
    assert!(matches!(decision, Decision::Deny(DenyReason::Explicit(_))), "{decision}");
    // ECR's API has no anonymous callers.
    let operation = Wanted::operation("ecr:BatchGetImage".parse().unwrap(), repository(&default()));
    assert!(!decided(&stranger, &operation, true, &Policies::default()).is_allowed());
}

#[test]
fn everybody_who_is_somebody_connects_whatever_policies_say() {
    assert_eq!(with(Action::Connect, &[says("Deny", "*")]), Verdict::Allowed);
    assert!(!allowed(&Caller::Anonymous, Action::Connect, &default(), false));
}

#[test]
fn one_of_the_actions_of_a_call_is_enough_unless_its_own_is_denied() {
    let (check, get) = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer");
    for (policies, verdict) in [
        (vec![], Verdict::Denied),
        (vec![says("Allow", check)], Verdict::Allowed),
        (vec![says("Allow", get)], Verdict::Allowed),
        (vec![says("Allow", get), says("Deny", check)], Verdict::Forbidden),
        (vec![says("Allow", check), says("Deny", get)], Verdict::Allowed),
        (vec![says("Deny", get)], Verdict::Denied),
    ] {
        assert_eq!(with(Action::StatBlob, &policies), verdict, "{policies:?}");
    }
    assert_eq!(with(Action::ReadBlob, &[says("Allow", "ecr:*"), says("Deny", get)]), Verdict::Forbidden);
}

#[test]
fn the_documented_set_for_pulls_pulls_and_does_not_push() {
    // ECR user guide: ecr:BatchGetImage and ecr:GetDownloadUrlForLayer.
    let pull = [says("Allow", "ecr:BatchGetImage"), says("Allow", "ecr:GetDownloadUrlForLayer")];
    for action in [Action::ReadManifest, Action::ReadBlob, Action::StatBlob] {
        assert_eq!(with(action, &pull), Verdict::Allowed, "{action:?}");
    }
    for action in Verb::Push.actions().chain(Verb::Delete.actions()).chain([Action::ManageCluster]) {
        assert_eq!(with(action, &pull), Verdict::Denied, "{action:?}");
    }
}

#[test]
fn the_cluster_is_managed_by_policies_of_the_default_account_alone() {
    let everyone = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}"#;
    let of_registry = parse(everyone, Kind::Registry);
    let all = says("Allow", "*");
    let attached = [Attached { name: "own", policy: &all }];
    let cluster = Resource::Registry(default());
    for action in [Action::ManageCluster, Action::ReadMetrics] {
        let wanted = Wanted::call(action, cluster.clone());
        let generous = Policies { registry: Some(&of_registry), ..Policies::default() };
        let own = Policies { identity: &attached, ..generous };
        let alice = user(&default().account);
        let stranger = user(&"000000000002".parse().unwrap());
        assert!(decided(&alice, &wanted, false, &own).is_allowed(), "{action:?}");
        assert!(!decided(&alice, &wanted, false, &generous).is_allowed(), "{action:?}");
        for other in [stranger, Caller::Root("000000000002".parse().unwrap()), Caller::Anonymous] {
            assert!(!decided(&other, &wanted, true, &own).is_allowed(), "{action:?} {other}");
        }
        // A name of a repository is not the cluster's.
        let repositories =
            r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:ecr:*:*:repository/*"}}"#;
        let repositories = parse(repositories, Kind::Identity);
        let attached = [Attached { name: "own", policy: &repositories }];
        let narrow = Policies { identity: &attached, ..Policies::default() };
        assert!(!decided(&alice, &wanted, false, &narrow).is_allowed(), "{action:?}");
    }
}
