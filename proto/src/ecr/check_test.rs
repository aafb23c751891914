use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ecr::cases::{self, Answer};
use crate::ecr::model::MAX_MATCHED;
use crate::ecr::{Name, Service, table};

fn operation(name: Name) -> Operation {
    Operation::new(Service::Ecr, name).expect("it exists")
}

fn refused(name: Name, body: &str) -> (Exception, String) {
    let failure = Model::check(operation(name), body.as_bytes()).expect_err(body);
    (failure.exception(), failure.message().to_owned())
}

fn violated(path: &str, reason: &str) -> String {
    format!("Invalid parameter at '{path}' failed to satisfy constraint: '{reason}'")
}

#[test]
fn every_constraint_of_every_operation_is_enforced() {
    let (mut taken, mut unreadable, mut refusals) = (0, 0, 0);
    for operation in Operation::all() {
        for case in cases::of(operation) {
            let body = case.body.to_string();
            let checked = Model::check(operation, body.as_bytes());
            let shown = || format!("{} {}", case.what, body.chars().take(300).collect::<String>());
            match (case.answer.clone(), checked) {
                (Answer::Taken, Ok(_)) => taken += 1,
                (Answer::Unreadable(text), Err(failure)) => {
                    assert_eq!(failure.exception(), Exception::Serialization, "{}", shown());
                    assert!(failure.message().starts_with(text), "{}: {failure}", shown());
                    unreadable += 1;
                }
                (Answer::Violated(path, reason), Err(failure)) => {
                    assert_eq!(failure.exception(), cases::refusal(operation), "{}", shown());
                    assert_eq!(failure.message(), violated(&path, &reason), "{}", shown());
                    refusals += 1;
                }
                (_, Ok(_)) => panic!("taken: {}", shown()),
                (_, Err(failure)) => panic!("{failure}: {}", shown()),
            }
        }
    }
    println!("{taken} taken, {unreadable} unreadable, {refusals} violate a constraint");
    assert!(taken > 85 * 3 && unreadable > 85 * 3 && refusals > 85 * 3);
}

#[test]
fn a_body_that_is_not_strict_json_is_not_read() {
    for body in [
        " ",
        "[]",
        "null",
        "\"{}\"",
        "{",
        "{}{}",
        "{'a': 1}",
        r#"{"a": 1, "a": 1}"#,
        r#"{"later": [{"a": 1, "\u0061": 1}]}"#,
        r#"{"later": "\u0000"}"#,
        r#"{"later": "\ud800"}"#,
        r#"{"later": 1e999}"#,
        &format!(r#"{{"later": {}{}}}"#, "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)),
    ] {
        assert_eq!(refused(Name::DescribeRegistry, body).0, Exception::Serialization, "{body}");
    }
    let failure = Model::check(operation(Name::DescribeRegistry), b"{\"later\": \"\xff\"}");
    assert_eq!(failure.expect_err("not UTF-8").exception(), Exception::Serialization);
}

#[test]
fn an_empty_body_has_no_members() {
    assert!(Model::check(operation(Name::DescribeRegistry), b"").is_ok());
    let (exception, text) = refused(Name::DeleteRepository, "");
    assert_eq!(exception, Exception::InvalidParameter);
    assert_eq!(text, violated("repositoryName", "Member must not be null"));
}

#[test]
fn a_wrong_type_anywhere_comes_before_a_violated_constraint() {
    let (exception, _) = refused(Name::DescribeRepositories, r#"{"registryId": "x", "maxResults": "1"}"#);
    assert_eq!(exception, Exception::Serialization);
}

#[test]
fn the_first_violation_in_the_order_of_the_table_is_told() {
    let (_, text) = refused(Name::DescribeRepositories, r#"{"maxResults": 0, "registryId": "1"}"#);
    assert_eq!(text, violated("registryId", "must satisfy regular expression '[0-9]{12}'"));
}

#[test]
fn a_nested_member_is_told_by_its_path() {
    let body = r#"{"replicationConfiguration": {"rules": [
        {"destinations": [{"region": "eu-west-1", "registryId": "123456789012"}, {"region": "eu-west-1"}]}]}}"#;
    let path = "replicationConfiguration.rules.1.member.destinations.2.member.registryId";
    let (_, text) = refused(Name::PutReplicationConfiguration, body);
    assert_eq!(text, violated(path, "Member must not be null"));
}

#[test]
fn lengths_count_characters_not_bytes() {
    let body =
        |length| json!({"resourceArn": "a", "tags": [{"Key": "€".repeat(length), "Value": ""}]}).to_string();
    let tag = Operation::new(Service::EcrPublic, Name::TagResource).expect("it exists");
    assert!(Model::check(tag, body(128).as_bytes()).is_ok());
    assert!(Model::check(tag, body(129).as_bytes()).is_err());
}

#[test]
fn an_operation_without_invalid_parameter_answers_validation() {
    let table = "Word: 2..3\nDeleteSigningConfiguration | word! | - | SV VE";
    let model: &'static Model = Box::leak(Box::new(table::parse(table).expect("a table")));
    let failure = model.read(operation(Name::DeleteSigningConfiguration), b"{\"word\": \"a\"}");
    let failure = failure.expect_err("too short");
    assert_eq!(failure.exception(), Exception::Validation);
    assert_eq!(failure.message(), violated("word", "Member must have length greater than or equal to 2"));
}

#[test]
fn maps_numbers_and_moments_are_read_too() {
    let table = "Word: 2..3 ; Score: double ; Date: timestamp ; Words = map<Word,Word>\n\
                 DescribeRegistry | words score date | - | IP";
    let model: &'static Model = Box::leak(Box::new(table::parse(table).expect("a table")));
    let read = |body: &'static str| model.read(operation(Name::DescribeRegistry), body.as_bytes());
    assert!(read(r#"{"words": {"a": "ab"}, "score": -1, "date": 1448875853.241}"#).is_ok());
    for (body, path) in [
        (r#"{"words": {"a": "ab", "b": "b"}}"#, "'words.b.member'"),
        (r#"{"words": {"a": null}}"#, "'words.a.member'"),
        (r#"{"words": []}"#, "Start of list"),
        (r#"{"date": "2020-01-01"}"#, "STRING_VALUE"),
    ] {
        let failure = read(body).expect_err(body);
        assert!(failure.message().contains(path), "{failure}");
    }
}

#[test]
fn only_bodies_with_layers_and_manifests_may_be_large() {
    let large: Vec<String> = Operation::all()
        .filter(|operation| Model::body_limit(*operation) == LARGE_BODY)
        .map(|operation| operation.to_string())
        .collect();
    let expected =
        ["ecr:UploadLayerPart", "ecr:PutImage", "ecr-public:UploadLayerPart", "ecr-public:PutImage"];
    assert_eq!(large.len(), expected.len());
    assert!(expected.iter().all(|operation| large.iter().any(|large| large == operation)), "{large:?}");
    let body = " ".repeat(SMALL_BODY + 1);
    assert!(refused(Name::DescribeRegistry, &body).1.contains("at most"));
}

#[test]
fn strings_without_escapes_and_blobs_are_not_copied() {
    let body = br#"{"repositoryName": "team/app", "registryId": "12345678901\u0032"}"#;
    let input = Model::check(operation(Name::DeleteRepository), body).expect("valid");
    let borrowed = |member| matches!(input.get(member), Some(Datum::Text(std::borrow::Cow::Borrowed(_))));
    assert!(borrowed("repositoryName") && !borrowed("registryId"));
}

/// Texts that a backtracking matcher takes forever for, or a slow one long.
#[test]
fn patterns_take_bounded_time() {
    let started = Instant::now();
    let mut patterns = 0;
    for service in Service::ALL {
        for shape in Model::of(service).shapes() {
            let Kind::Text { pattern: Some(pattern), .. } = &shape.kind else { continue };
            patterns += 1;
            for part in ["a", "0", "a-", "a/", "*", "a_", "-", "/", "arn:aws-a", "é"] {
                for length in [MAX_MATCHED, 4 << 20] {
                    let text = part.repeat(length / part.len()) + "\n";
                    assert!(!pattern.matches(&text), "{} {part}", shape.name);
                    pattern.matches(text.trim_end());
                }
            }
        }
    }
    println!("{patterns} patterns: {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(30));
    let longest = Model::of(Service::Ecr).shapes().filter_map(|shape| match &shape.kind {
        Kind::Text { bounds, pattern: Some(_), .. } => bounds.max,
        _ => None,
    });
    assert!(longest.max() < i64::try_from(MAX_MATCHED).ok());
}

#[test]
fn a_text_of_four_mebibytes_is_refused_in_bounded_time() {
    let digest = format!("sha256:{}", "0".repeat((4 << 20) - 200));
    let body = json!({"repositoryName": "ab", "layerDigest": digest}).to_string();
    let started = Instant::now();
    let (exception, text) = refused(Name::GetDownloadUrlForLayer, &body);
    assert_eq!(exception, Exception::InvalidParameter);
    assert!(text.starts_with("Invalid parameter at 'layerDigest'"), "{text}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// JSON of any shape, with names that mean something.
fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "[a-z0-9/:-]{0,12}".prop_map(Value::from),
    ];
    let names: Vec<&'static str> = Service::ALL
        .into_iter()
        .flat_map(|service| Model::of(service).shapes())
        .filter_map(|shape| match &shape.kind {
            Kind::Structure(members) => Some(members.iter().map(|member| member.name)),
            _ => None,
        })
        .flatten()
        .collect();
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let key = prop_oneof![
            proptest::sample::select(names.clone()).prop_map(str::to_owned),
            ".{0,8}".prop_map(String::from)
        ];
        let object = proptest::collection::btree_map(key, inner.clone(), 0..6);
        prop_oneof![
            proptest::collection::vec(inner, 0..6).prop_map(Value::from),
            object.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// All members of an operation, each with any value.
fn requests() -> impl Strategy<Value = (Operation, Value)> {
    let operations: Vec<Operation> = Operation::all().collect();
    proptest::sample::select(operations).prop_flat_map(|operation| {
        let Some(Kind::Structure(members)) =
            Model::of(operation.service()).input(operation.name()).map(|shape| &shape.kind)
        else {
            panic!("{operation} takes a structure");
        };
        let values: Vec<_> =
            members.iter().map(|member| (Just(member.name.to_owned()), documents())).collect();
        let object = values.prop_map(|members| Value::Object(members.into_iter().collect()));
        (Just(operation), object)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_json_makes_the_check_panic((operation, body) in requests(), other in documents()) {
        let _ = Model::check(operation, body.to_string().as_bytes());
        let _ = Model::check(operation, other.to_string().as_bytes());
        let _ = Model::check_output(operation, &body);
    }

    #[test]
    fn no_bytes_make_the_check_panic(body: Vec<u8>, place in 0..85_usize, cut: proptest::sample::Index) {
        let operation = Operation::all().nth(place).expect("there are 85");
        let _ = Model::check(operation, &body);
        let valid = cases::of(Operation::all().nth(1).expect("there are 85")).swap_remove(1).body.to_string();
        let _ = Model::check(operation, &valid.as_bytes()[..cut.index(valid.len())]);
    }
}
