//! Requests and policies that have much in common, so that all decisions occur often.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

pub(crate) const OWNER: &str = "000000000001";
pub(crate) const OTHER: &str = "000000000002";

/// Who asks, in plain words.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    Anonymous,
    Service(&'static str),
    Root(&'static str),
    /// Account, path and name.
    User(&'static str, &'static str),
    /// Account, path and name of the role, session.
    Session(&'static str, &'static str, &'static str),
}

/// A request and the policies that bear on it, as JSON.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) who: Who,
    pub(crate) action: &'static str,
    /// A repository of [`OWNER`] in region `eu`, or the whole registry.
    pub(crate) repository_name: Option<&'static str>,
    pub(crate) context: Vec<(&'static str, &'static str)>,
    pub(crate) identity: Vec<Value>,
    pub(crate) session: Option<Value>,
    pub(crate) repository: Option<Value>,
    pub(crate) registry: Option<Value>,
}

pub(crate) fn scenario() -> impl Strategy<Value = Scenario> {
    let repository_name = prop_oneof![
        9 => select(vec!["team/app", "team/alice", "team-a/app", "other"]).prop_map(Some),
        1 => Just(None),
    ];
    let action =
        select(vec!["ecr:BatchGetImage", "ecr:BatchGetImage", "ecr:PutImage", "ecr:GetAuthorizationToken"]);
    let identity = prop::collection::vec(policy(Kind::Identity), 0..=2);
    let session = prop::option::weighted(0.15, policy(Kind::Identity));
    let repository = prop::option::weighted(0.7, policy(Kind::Repository));
    let registry = prop::option::weighted(0.4, policy(Kind::Registry));
    (who(), action, repository_name, context(), identity, session, repository, registry).prop_map(
        |(who, action, repository_name, context, identity, session, repository, registry)| Scenario {
            who,
            action,
            repository_name,
            context,
            identity,
            session,
            repository,
            registry,
        },
    )
}

fn who() -> impl Strategy<Value = Who> {
    let account = || select(vec![OWNER, OWNER, OTHER]);
    prop_oneof![
        1 => Just(Who::Anonymous),
        1 => select(vec!["ecr.amazonaws.com", "x.amazonaws.com"]).prop_map(Who::Service),
        1 => account().prop_map(Who::Root),
        5 => (account(), select(vec!["team/alice", "alice", "bob"])).prop_map(|(a, n)| Who::User(a, n)),
        3 => (account(), select(vec!["ci/deploy", "read"]), select(vec!["one", "two"]))
            .prop_map(|(a, r, s)| Who::Session(a, r, s)),
    ]
}

/// Keys and values that a request may have; one value each, but for TagKeys.
fn context() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let maybe = |key: &'static str, values: Vec<&'static str>| {
        prop::option::weighted(0.6, select(values)).prop_map(move |value| value.map(|value| (key, value)))
    };
    let tag_keys = prop::collection::vec(select(vec!["team", "env", "x"]), 0..=3)
        .prop_map(|keys| keys.into_iter().map(|key| ("aws:TagKeys", key)).collect::<Vec<_>>());
    let single = (
        maybe("aws:SourceIp", vec!["10.1.1.1", "8.8.8.8", "::ffff:10.1.1.1", "2001:db8::1", "10.1"]),
        maybe("aws:SecureTransport", vec!["true", "false", "yes"]),
        maybe("aws:CurrentTime", vec!["2020-01-01T00:00:00Z", "2021-06-01T00:00:00Z", "now"]),
        maybe("aws:PrincipalOrgID", vec!["o-1", "o-2"]),
        maybe("aws:RequestTag/team", vec!["team", "alice", "*", "te*", "", "${aws:username}"]),
        maybe("aws:ResourceTag/env", vec!["prod", "dev", "Prod"]),
        maybe("aws:ResourceTag/ENV", vec!["prod", "dev"]),
        maybe("aws:ResourceTag/size", vec!["1", "10", "9", "-1", "1.50", "0x10"]),
        maybe(
            "aws:SourceArn",
            vec!["arn:aws:ecr:eu:000000000001:repository/team/app", "arn:aws:s3:::team", "team"],
        ),
        maybe("shoal:ImageTag", vec!["v1", "latest", "V1"]),
    );
    (single, tag_keys).prop_map(|((a, b, c, d, e, f, g, h, i, j), tag_keys)| {
        [a, b, c, d, e, f, g, h, i, j].into_iter().flatten().chain(tag_keys).collect()
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Identity,
    Repository,
    Registry,
}

fn policy(kind: Kind) -> impl Strategy<Value = Value> {
    let version = select(vec![Some("2012-10-17"), Some("2012-10-17"), Some("2008-10-17"), None]);
    let statements = prop::collection::vec(statement(kind), 1..=3);
    (version, statements, any::<bool>()).prop_map(|(version, mut statements, bare)| {
        let mut policy = Map::new();
        if let Some(version) = version {
            policy.insert("Version".into(), version.into());
        }
        let one = bare && statements.len() == 1;
        let list = if one { statements.remove(0) } else { statements.into() };
        policy.insert("Statement".into(), list);
        policy.into()
    })
}

fn statement(kind: Kind) -> impl Strategy<Value = Value> {
    let effect = prop_oneof![3 => Just("Allow"), 1 => Just("Deny")];
    let negated = || prop::bool::weighted(0.12);
    let resources = (negated(), one_or_more(resource()));
    let named = prop::bool::weighted(0.2);
    let conditions = prop_oneof![
        3 => Just(Vec::new()).boxed(),
        2 => prop::collection::vec(condition(), 1..=2).boxed(),
    ];
    (effect, (negated(), principals()), (negated(), one_or_more(action())), (named, resources), conditions)
        .prop_map(move |(effect, principals, actions, (named, resources), conditions)| {
            let mut statement = Map::new();
            let mut put = |name: &str, (negated, value): (bool, Value)| {
                let name = if negated { format!("Not{name}") } else { name.to_owned() };
                statement.insert(name, value);
            };
            put("Effect", (false, effect.into()));
            put("Action", actions);
            if kind != Kind::Identity {
                put("Principal", principals);
            }
            if named || kind != Kind::Repository {
                put("Resource", resources);
            }
            let mut operators = Map::new();
            for (operator, key, values) in conditions {
                let keys = operators.entry(operator).or_insert_with(|| json!({}));
                keys[key] = values;
            }
            if !operators.is_empty() {
                statement.insert("Condition".into(), operators.into());
            }
            statement.into()
        })
}

/// A text, or a list of some.
fn one_or_more(text: impl Strategy<Value = &'static str>) -> impl Strategy<Value = Value> {
    (prop::collection::vec(text, 1..=3), any::<bool>())
        .prop_map(|(texts, bare)| if bare { texts[0].into() } else { texts.into() })
}

fn action() -> impl Strategy<Value = &'static str> {
    select(vec![
        "*",
        "*:*",
        "ecr:*",
        "ECR:batch*",
        "ecr:BatchGetImage",
        "ecr:?atchGetImage",
        "ecr:*Image",
        "ecr:PutImage",
        "ecr:Get*",
        "ecr:GetAuthorizationToken",
    ])
}

fn resource() -> impl Strategy<Value = &'static str> {
    select(vec![
        "*",
        "*",
        "*",
        "arn:aws:ecr:*:*:*",
        "arn:aws:ecr:eu:000000000001:repository/team/app",
        "arn:aws:ecr:*:*:repository/team*",
        "arn:aws:ecr:e?:*:repository/*/app",
        "arn:aws:ecr:*:*:repository/TEAM/*",
        "arn:aws:ecr:us:*:*",
        "arn:aws:*:*:repository/team/app:*",
        "arn:aws:ecr:*:*:repository/team/${aws:username}",
        "arn:aws:ecr:*:*:repository/${aws:RequestTag/team}/*",
        "arn:aws:ecr:*:*:repository/team/${aws:RequestTag/team, 'app'}",
        "arn:aws:ecr:*:*:repository/team${*}app",
    ])
}

fn principals() -> impl Strategy<Value = Value> {
    let aws = || {
        one_or_more(select(vec![
            "*",
            OWNER,
            OTHER,
            "arn:aws:iam::000000000001:root",
            "arn:aws:iam::000000000002:root",
            "arn:aws:iam::000000000001:user/team/alice",
            "arn:aws:iam::000000000002:user/team/alice",
            "arn:aws:iam::000000000001:user/alice",
            "arn:aws:iam::000000000001:role/ci/deploy",
            "arn:aws:iam::000000000002:role/ci/deploy",
            "arn:aws:iam::000000000001:role/read",
            "arn:aws:sts::000000000001:assumed-role/deploy/one",
            "arn:aws:sts::000000000002:assumed-role/read/two",
        ]))
    };
    prop_oneof![
        3 => Just(json!("*")),
        6 => aws().prop_map(|aws| json!({ "AWS": aws })),
        1 => aws().prop_map(|aws| json!({ "AWS": aws, "Service": ["ecr.amazonaws.com"] })),
    ]
}

/// Operator, key, values.
fn condition() -> impl Strategy<Value = (String, &'static str, Value)> {
    let texts = vec![
        "team",
        "prod",
        "te*",
        "*",
        "alice",
        "o-1",
        "V1",
        "${aws:username}",
        "${aws:SourceArn, 'x'}",
        "10.*",
    ];
    let arns = vec![
        "*",
        "arn:aws:iam::000000000001:role/ci/deploy",
        "arn:aws:iam::*:user/*",
        "arn:aws:ecr:*:*:repository/${aws:RequestTag/team}/*",
        "arn:aws:s3:::t?am",
    ];
    let named = |names: Vec<&'static str>, values: Vec<&'static str>| {
        (select(names), one_or_more(select(values)), any::<bool>())
    };
    let family = prop_oneof![
        4 => named(
            vec!["StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike",
                "StringNotLike"],
            texts,
        ),
        1 => named(vec!["ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike"], arns),
        1 => named(
            vec!["NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan",
                "NumericGreaterThanEquals"],
            vec!["1", "9", "10.0", "-2", "1.5"],
        ),
        1 => named(
            vec!["DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan",
                "DateGreaterThanEquals"],
            vec!["2020-01-01", "2020-01-01T01:00+01:00", "2021-01-01T00:00:00Z", "1622505600"],
        ),
        1 => named(vec!["Bool"], vec!["true", "false"]),
        2 => named(
            vec!["IpAddress", "NotIpAddress"],
            vec!["10.0.0.0/8", "10.1.1.1", "0.0.0.0/0", "2001:db8::/32", "8.8.8.9/31"],
        ),
    ];
    let quantifier = prop_oneof![6 => Just(""), 1 => Just("ForAnyValue:"), 1 => Just("ForAllValues:")];
    let compared = (quantifier, family, key()).prop_map(|(quantifier, (name, values, if_exists), key)| {
        let suffix = if if_exists { "IfExists" } else { "" };
        (format!("{quantifier}{name}{suffix}"), key, values)
    });
    let null = (select(vec![json!("true"), json!(false), json!(["true", "false"])]), key());
    prop_oneof![8 => compared, 1 => null.prop_map(|(values, key)| ("Null".to_owned(), key, values))]
}

fn key() -> impl Strategy<Value = &'static str> {
    select(vec![
        "aws:SourceIp",
        "AWS:sourceip",
        "aws:SecureTransport",
        "aws:CurrentTime",
        "aws:PrincipalOrgID",
        "aws:PrincipalArn",
        "aws:PrincipalAccount",
        "aws:PrincipalType",
        "aws:username",
        "aws:RequestTag/team",
        "ecr:ResourceTag/env",
        "aws:resourcetag/Env",
        "aws:ResourceTag/size",
        "aws:TagKeys",
        "aws:TagKeys",
        "aws:SourceArn",
        "shoal:ImageTag",
    ])
}
