//! Decisions by IAM's rules: what a policy costs by its size, and what a hostile one costs.

#![expect(clippy::expect_used, reason = "without its setting a benchmark has nothing to measure")]

use std::hint::black_box;

use cluster_core::access::policy::{Attached, Caller, Context, Policies, Request, Resource, evaluate};
use criterion::{Criterion, criterion_group, criterion_main};
use proto::identity::RegistryId;
use proto::policy::action::ActionName;
use proto::policy::{Extensions, Kind, MAX_POLICY, Policy};

/// What a team's pipeline may do: five actions, two resources, two conditions.
const STATEMENT: &str = r#"{"Sid":"Team0000","Effect":"Allow","Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer",
"ecr:BatchCheckLayerAvailability","ecr:PutImage","ecr:Describe*"],"Resource":["arn:aws:ecr:*:000000000001:repository/team-0000/*",
"arn:aws:ecr:eu-north-1:*:repository/shared/*/0000"],"Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.168.0.0/16"]},
"StringLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/team-0000/*"}}}"#;

/// Wildcards that a careless matcher tries in all combinations.
const BOMB: &str = r#"{"Sid":"Bomb0000","Effect":"Deny","Action":"ecr:*a*e*a*e*","Resource":"arn:aws:ecr:*:*:*e*e*e*e*e*e*e*e*e*e*0000"}"#;

/// Of everything, dates are what takes longest to compare.
const DATES: &str = r#"{"Sid":"Date0000","Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}}"#;

/// Statements like `one` up to that size, each with a number of its own; whitespace counts.
fn policy(one: &str, characters: usize) -> (Policy, usize) {
    let mut text = r#"{"Version":"2012-10-17","Statement":["#.to_owned();
    let mut number = 0;
    while text.len() + one.len() + 3 <= characters || number == 0 {
        let comma = if number == 0 { "" } else { "," };
        text += &format!("{comma}{}", one.replace("0000", &format!("{number:04}")));
        number += 1;
    }
    text += "]}";
    (Policy::parse(text.as_bytes(), Kind::Identity, Extensions::Allowed).expect("a policy"), text.len())
}

fn request() -> Request {
    let account = "000000000001".parse().expect("an account");
    let registry = RegistryId { account, region: "eu-north-1".parse().expect("a region") };
    let action: ActionName = "ecr:BatchGetImage".parse().expect("an action");
    let name = "team-9999/service/linux-amd64".parse().expect("a name");
    let resource = Resource::repository(&action, &registry, &name);
    let mut context = Context::default();
    for (key, value) in [
        ("aws:SourceIp", "10.20.30.40"),
        ("aws:SecureTransport", "true"),
        ("aws:CurrentTime", "2026-01-01T00:00:00Z"),
    ] {
        context.insert(key.parse().expect("a key"), value.to_owned());
    }
    let caller = Caller::User(registry.account, "team-9999/alice".parse().expect("a name"));
    Request::new(caller, action, resource, context)
}

fn decisions(criterion: &mut Criterion) {
    let request = request();
    for (name, statement, characters) in [
        ("ordinary", STATEMENT, 1),
        ("ordinary", STATEMENT, 2048),
        ("ordinary", STATEMENT, MAX_POLICY),
        ("any action and resource", DATES, MAX_POLICY),
        ("wildcard bomb", BOMB, MAX_POLICY),
    ] {
        let (policy, size) = policy(statement, characters);
        let identity = [Attached { name: "own", policy: &policy }];
        let policies = Policies { identity: &identity, ..Policies::default() };
        criterion.bench_function(&format!("policy/decide, {name}, {size} characters"), |bencher| {
            bencher.iter(|| evaluate(black_box(&request), black_box(&policies)).is_allowed());
        });
    }
    criterion.bench_function("policy/read, ordinary, 10 KiB", |bencher| {
        bencher.iter(|| policy(black_box(STATEMENT), MAX_POLICY));
    });
}

criterion_group!(benches, decisions);
criterion_main!(benches);
