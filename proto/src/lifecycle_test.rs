//! What is taken as a lifecycle policy, what is refused and in which words, and which tags are meant.

use super::*;
use proptest::prelude::*;

const EXPIRE: &str = r#"{"type":"expire"}"#;
const ARCHIVE: &str = r#"{"type":"transition","targetStorageClass":"archive"}"#;
const COUNT: &str = r#""countType":"imageCountMoreThan","countNumber":1"#;
const SHAPE: &str = "instance failed to match exactly one schema (matched 0 out of 4)";

fn rule(priority: &str, selection: &str, action: &str) -> String {
    format!(r#"{{"rulePriority":{priority},"selection":{{{selection}}},"action":{action}}}"#)
}

fn read(rules: &[String]) -> Result<LifecyclePolicy, LifecyclePolicyError> {
    format!(r#"{{"rules":[{}]}}"#, rules.join(",")).parse()
}

fn refusal(text: &str) -> String {
    match text.parse::<LifecyclePolicy>() {
        Err(error) => error.to_string(),
        Ok(policy) => panic!("{text}: {policy:?}"),
    }
}

fn since(kind: &str, days: u32) -> String {
    format!(r#""countType":"since{kind}","countUnit":"days","countNumber":{days}"#)
}

fn count(number: u32) -> String {
    format!(r#""countType":"imageCountMoreThan","countNumber":{number}"#)
}

fn patterns(list: &str) -> String {
    format!(r#""tagStatus":"tagged","tagPatternList":[{list}],"#)
}

fn prefixes(list: &str) -> String {
    format!(r#""tagStatus":"tagged","tagPrefixList":[{list}],"#)
}

const ANY: &str = r#""tagStatus":"any","#;
const UNTAGGED: &str = r#""tagStatus":"untagged","#;
const ARCHIVED: &str = r#""storageClass":"archive","#;

/// One rule per entry: priority, selection, action.
fn policy(rules: &[(u32, String, &str)]) -> Result<LifecyclePolicy, LifecyclePolicyError> {
    let rules: Vec<_> =
        rules.iter().map(|(at, selection, action)| rule(&at.to_string(), selection, action)).collect();
    read(&rules)
}

#[test]
fn every_worked_example_is_read() {
    let examples = [
        vec![(10, UNTAGGED.to_owned() + &since("ImagePushed", 7), EXPIRE)],
        vec![
            (10, patterns(r#""rel-*""#) + &count(999), EXPIRE),
            (20, ANY.to_owned() + &since("ImagePushed", 7), EXPIRE),
        ],
        vec![(10, patterns(r#""rel-*""#) + &count(2), EXPIRE), (20, ANY.to_owned() + &count(3), EXPIRE)],
        vec![
            (10, prefixes(r#""rel-","edge""#) + &count(1), EXPIRE),
            (20, prefixes(r#""rel-""#) + &count(1), EXPIRE),
        ],
        vec![(5, patterns(r#""*-*7""#) + &since("ImagePushed", 7), EXPIRE)],
        vec![
            (1, patterns(r#""app-*""#) + &since("ImagePushed", 7), EXPIRE),
            (2, UNTAGGED.to_owned() + &since("ImagePushed", 7), EXPIRE),
        ],
        vec![
            (1, ANY.to_owned() + &since("ImagePulled", 90), ARCHIVE),
            (2, ANY.to_owned() + ARCHIVED + &since("ImageTransitioned", 90), EXPIRE),
        ],
        vec![(1, patterns(r#""x*""#) + &count(2), EXPIRE)],
        vec![
            (10, patterns(r#""nightly-*""#) + &since("ImagePushed", 5), EXPIRE),
            (20, UNTAGGED.to_owned() + &count(1), EXPIRE),
            (30, ANY.to_owned() + &since("ImagePushed", 50), EXPIRE),
        ],
    ];
    for example in examples {
        let read = policy(&example).unwrap();
        assert_eq!(read.rules().len(), example.len(), "{example:?}");
    }
}

#[test]
fn a_policy_is_read_with_all_its_members_and_sorted_by_priority() {
    let text = r#"{"rules":[
        {"rulePriority":9,"selection":{"tagStatus":"any","storageClass":"archive","countType":"sinceImageTransitioned",
            "countUnit":"days","countNumber":90},"action":{"type":"expire"}},
        {"rulePriority":2,"description":"d","selection":{"tagStatus":"tagged","tagPatternList":["a*","b"],
            "storageClass":"standard","countType":"sinceImagePulled","countUnit":"days","countNumber":2147483647},
            "action":{"type":"transition","targetStorageClass":"archive"}}]}"#;
    let read: LifecyclePolicy = text.parse().unwrap();
    let first = Rule {
        priority: 2,
        description: Some("d".to_owned()),
        selection: Selection {
            tags: TagStatus::Patterns(vec!["a*".parse().unwrap(), "b".parse().unwrap()]),
            class: StorageClass::Standard,
            count: Count::DaysSincePulled(MAX_NUMBER),
        },
        action: Action::Archive,
    };
    let second = Rule {
        priority: 9,
        description: None,
        selection: Selection {
            tags: TagStatus::Any,
            class: StorageClass::Archive,
            count: Count::DaysSinceTransitioned(90),
        },
        action: Action::Expire,
    };
    assert_eq!(read.rules(), [first, second]);
}

#[test]
fn no_policy_is_shorter_than_the_api_allows_and_none_longer_is_read() {
    let shortest = format!(r#"{{"rules":[{}]}}"#, rule("1", &format!("{ANY}{COUNT}"), EXPIRE));
    assert!(shortest.parse::<LifecyclePolicy>().is_ok() && shortest.len() >= 100, "{}", shortest.len());
    let padded = |length: usize| shortest.clone() + &" ".repeat(length - shortest.len());
    assert!(padded(MAX_LIFECYCLE_POLICY).parse::<LifecyclePolicy>().is_ok());
    assert_eq!(
        padded(MAX_LIFECYCLE_POLICY + 1).parse::<LifecyclePolicy>(),
        Err(LifecyclePolicyError::TooLong)
    );
}

#[test]
fn a_document_that_is_no_policy_is_refused_in_ecrs_words() {
    let json = "Could not map policyString into LifecyclePolicy.";
    let missing = r#"object has missing required properties (["rules"])"#;
    for (text, words) in [
        ("", json),
        ("[]", json),
        ("null", json),
        (r#"{"rules":[]"#, json),
        (r#"{"rules":[],"rules":[]}"#, json),
        ("{}", missing),
        (r#"{"rules":null}"#, missing),
        (r#"{"rules":{}}"#, missing),
        (
            r#"{"rules":[],"x":1}"#,
            r#"object instance has properties which are not allowed by the schema: (["x"])"#,
        ),
        (r#"{"rules":[]}"#, "array is too short: must have at least 1 elements but instance has 0 elements"),
        (
            r#"{"rules":["x"]}"#,
            r#"instance type (string) does not match any allowed primitive type (allowed: ["object"])"#,
        ),
        (
            r#"{"rules":[{}]}"#,
            r#"object has missing required properties (["action", "rulePriority", "selection"])"#,
        ),
    ] {
        assert_eq!(refusal(text), words, "{text}");
    }
    let many = |count: u32| {
        let rules: Vec<_> =
            (1..=count).map(|at| (at, patterns(&format!("\"{at}\"")) + COUNT, EXPIRE)).collect();
        policy(&rules)
    };
    assert!(many(50).is_ok());
    assert_eq!(many(51), Err(LifecyclePolicyError::Rules(51)));
}

#[test]
fn numbers_are_whole_from_one_to_31_bits() {
    let integer = |found| {
        format!(r#"instance type ({found}) does not match any allowed primitive type (allowed: ["integer"])"#)
    };
    for (number, words) in [
        ("0", "numeric instance is lower than the required minimum (minimum: 1, found: 0)".to_owned()),
        ("-5", "numeric instance is lower than the required minimum (minimum: 1, found: -5)".to_owned()),
        (
            "2147483648",
            "numeric instance is greater than the required maximum (maximum: 2147483647, found: 2147483648)"
                .to_owned(),
        ),
        ("1.0", integer("number")),
        ("1e30", integer("number")),
        ("\"1\"", integer("string")),
        ("true", integer("boolean")),
        ("[]", integer("array")),
    ] {
        let selection = format!(r#"{ANY}"countType":"imageCountMoreThan","countNumber":{number}"#);
        assert_eq!(read(&[rule("1", &selection, EXPIRE)]).unwrap_err().to_string(), words, "count {number}");
        let priority = rule(number, &format!("{ANY}{COUNT}"), EXPIRE);
        assert_eq!(read(&[priority]).unwrap_err().to_string(), words, "priority {number}");
    }
}

#[test]
fn a_selection_that_breaks_a_rule_is_refused() {
    use LifecyclePolicyError as E;
    let missing = r#"object has missing required properties (["countNumber", "countType"])"#.to_owned();
    let enumeration = |found, possible| {
        format!("instance value ({found}) not found in enum :(possible values: {possible})")
    };
    let list = |list: &str| format!(r#""tagStatus":"tagged",{list},{COUNT}"#);
    let string = r#"instance type (integer) does not match any allowed primitive type (allowed: ["string"])"#;
    for (selection, words) in [
        (r#""tagStatus":"any""#.to_owned(), missing),
        (format!(r#"{ANY}{COUNT},"x":1"#), E::Member("x".to_owned()).to_string()),
        (format!(r#""tagStatus":"none",{COUNT}"#), enumeration("none", r#"["any", "tagged", "untagged"]"#)),
        (format!(r#""tagStatus":1,{COUNT}"#), string.to_owned()),
        (format!(r#""tagStatus":null,{COUNT}"#), SHAPE.to_owned()),
        (format!(r#"{ANY}"storageClass":"cold",{COUNT}"#), enumeration("cold", r#"["standard", "archive"]"#)),
        (format!(r#"{ANY}"storageClass":null,{COUNT}"#), SHAPE.to_owned()),
        (format!(r#"{ANY}{ARCHIVED}{COUNT}"#), SHAPE.to_owned()),
        (format!("{ANY}{ARCHIVED}{}", since("ImagePushed", 7)), SHAPE.to_owned()),
        (format!(r#"{ANY}"countType":"x","countNumber":1"#), SHAPE.to_owned()),
        (format!(r#"{ANY}"countUnit":"days",{COUNT}"#), SHAPE.to_owned()),
        (format!(r#"{ANY}"countUnit":null,{COUNT}"#), SHAPE.to_owned()),
        (format!(r#"{ANY}"countUnit":"hours",{COUNT}"#), enumeration("hours", r#"["days"]"#)),
        (format!(r#"{ANY}"countType":"sinceImagePushed","countNumber":1"#), SHAPE.to_owned()),
        (format!(r#""tagStatus":"tagged",{COUNT}"#), E::NoTags.to_string()),
        (list(r#""tagPatternList":["a"],"tagPrefixList":["a"]"#), E::BothLists.to_string()),
        (list(r#""tagPatternList":null"#), SHAPE.to_owned()),
        (list(r#""tagPatternList":[]"#), E::Empty.to_string()),
        (list(r#""tagPrefixList":[]"#), E::Empty.to_string()),
        (list(r#""tagPrefixList":[""]"#), E::EmptyText.to_string()),
        (list(r#""tagPatternList":[""]"#), E::EmptyText.to_string()),
        (list(r#""tagPatternList":[1]"#), string.to_owned()),
        (list(r#""tagPatternList":["*a*b*c*d*"]"#), E::Wildcards.to_string()),
        (format!(r#"{ANY}"tagPatternList":["a"],{COUNT}"#), E::NotTagged.to_string()),
        (format!(r#"{UNTAGGED}"tagPrefixList":["a"],{COUNT}"#), E::NotTagged.to_string()),
    ] {
        assert_eq!(read(&[rule("1", &selection, EXPIRE)]).unwrap_err().to_string(), words, "{selection}");
    }
}

#[test]
fn an_action_that_breaks_a_rule_is_refused() {
    for (action, words) in [
        ("{}", r#"object has missing required properties (["type"])"#),
        (
            r#"{"type":"keep"}"#,
            r#"instance value (keep) not found in enum :(possible values: ["expire", "transition"])"#,
        ),
        (
            r#"{"type":"expire","x":1}"#,
            r#"object instance has properties which are not allowed by the schema: (["x"])"#,
        ),
        (r#"{"type":"expire","targetStorageClass":"archive"}"#, SHAPE),
        (r#"{"type":"expire","targetStorageClass":null}"#, SHAPE),
        (r#"{"type":null}"#, SHAPE),
        (r#"{"type":"transition"}"#, SHAPE),
        (
            r#"{"type":"transition","targetStorageClass":"standard"}"#,
            r#"instance value (standard) not found in enum :(possible values: ["archive"])"#,
        ),
    ] {
        let error = read(&[rule("1", &format!("{ANY}{COUNT}"), action)]).unwrap_err();
        assert_eq!(error.to_string(), words, "{action}");
    }
    let described = rule("1", &format!("{ANY}{COUNT}"), EXPIRE).replacen('{', r#"{"description":null,"#, 1);
    let words = r#"instance type (null) does not match any allowed primitive type (allowed: ["string"])"#;
    assert_eq!(read(&[described]).unwrap_err().to_string(), words);
}

#[test]
fn counts_go_with_the_actions_and_classes_of_the_table() {
    use LifecyclePolicyError as E;
    let moved = |class: &str, days| format!("{ANY}{class}{}", since("ImageTransitioned", days));
    let standard = |count: &str| format!("{ANY}{count}");
    for (selection, action, expected) in [
        (standard(COUNT), EXPIRE, Ok(())),
        (standard(COUNT), ARCHIVE, Ok(())),
        (standard(&since("ImagePushed", 1)), EXPIRE, Ok(())),
        (standard(&since("ImagePushed", 1)), ARCHIVE, Ok(())),
        (standard(&since("ImagePulled", 1)), ARCHIVE, Ok(())),
        (standard(&since("ImagePulled", 1)), EXPIRE, Err(E::PulledExpire)),
        (moved(ARCHIVED, 90), EXPIRE, Ok(())),
        (moved(ARCHIVED, 90), ARCHIVE, Err(E::TransitionedTransition)),
        (moved(ARCHIVED, 89), EXPIRE, Err(E::TransitionedDays)),
        (moved("", 90), EXPIRE, Err(E::TransitionedClass)),
    ] {
        assert_eq!(read(&[rule("1", &selection, action)]).map(|_| ()), expected, "{selection} {action}");
    }
}

#[test]
fn rules_that_do_not_stand_together_are_refused() {
    use LifecyclePolicyError as E;
    let two = |one: String, other: String| policy(&[(1, one, EXPIRE), (2, other, EXPIRE)]).map(|_| ());
    let tagged = |list: &str| patterns(list) + COUNT;
    let prefixed = |list: &str| prefixes(list) + COUNT;
    let same = policy(&[(7, tagged("\"a\""), EXPIRE), (7, tagged("\"b\""), EXPIRE)]);
    assert_eq!(same, Err(E::SamePriority(7)));
    let any = || format!("{ANY}{COUNT}");
    let untagged = || format!("{UNTAGGED}{COUNT}");
    let moved = |status: &str| format!("{status}{ARCHIVED}{}", since("ImageTransitioned", 90));
    for (one, other, expected) in [
        (any(), untagged(), Err(E::AnyNotLast)),
        (any(), any(), Err(E::AnyNotLast)),
        (untagged(), any(), Ok(())),
        (any(), moved(ANY), Ok(())),
        (moved(ANY), any(), Ok(())),
        (untagged(), untagged(), Err(E::TwoUntagged)),
        (untagged(), moved(UNTAGGED), Ok(())),
        (tagged(r#""a","b""#), tagged(r#""b","a""#), Err(E::SameTags)),
        (prefixed("\"a\""), prefixed(r#""a","a""#), Err(E::SameTags)),
        (tagged("\"a\""), tagged(r#""a","b""#), Ok(())),
        (tagged("\"a\""), prefixed("\"a\""), Ok(())),
        (tagged("\"a\""), moved(&patterns("\"a\"")), Ok(())),
    ] {
        assert_eq!(two(one.clone(), other.clone()), expected, "{one} {other}");
    }
}

#[test]
fn patterns_match_whole_tags_and_prefixes_their_beginning() {
    let pattern = |text: &str, tag: &str| text.parse::<TagPattern>().unwrap().matches(&tag.parse().unwrap());
    let prefix = |text: &str, tag: &str| text.parse::<TagPrefix>().unwrap().matches(&tag.parse().unwrap());
    for (text, tag) in
        [("*", "a"), ("rel-*", "rel-"), ("*-*7", "nightly-7"), ("a*a", "aa"), ("*a*b*c*", "xaxbxc")]
    {
        assert!(pattern(text, tag), "{text} {tag}");
    }
    for (text, tag) in
        [("rel-", "rel-1"), ("Rel-*", "rel-1"), ("a*a", "a"), ("*-*7", "nightly-8"), ("a?", "ab")]
    {
        assert!(!pattern(text, tag), "{text} {tag}");
    }
    assert!(prefix("rel-", "rel-1") && prefix("rel-1", "rel-1"));
    assert!(!prefix("el", "rel-1") && !prefix("Rel", "rel-1") && !prefix("rel*", "rel-1"));
}

fn json() -> impl Strategy<Value = String> {
    let names = "rules|rulePriority|description|selection|action|tagStatus|tagPatternList|tagPrefixList|storageClass|\
        countType|countUnit|countNumber|type|targetStorageClass|x";
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f32>().prop_map(|number| number.to_string()),
        "\"(any|tagged|untagged|days|expire|transition|archive|a\\*|imageCountMoreThan|sinceImagePulled)\"",
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|list| format!("[{}]", list.join(","))),
            prop::collection::vec((names, inner), 0..8).prop_map(|members| {
                let members: Vec<_> =
                    members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn reading_never_panics(text in ".*", value in json(), other in json(), number in json()) {
        let selection = format!(r#"{{"tagStatus":{other},"countType":{value},"countNumber":{number}}}"#);
        for rule in [
            value.clone(),
            format!(r#"{{"rulePriority":1,"selection":{value},"action":{other}}}"#),
            format!(r#"{{"rulePriority":{number},"selection":{selection},"action":{EXPIRE}}}"#),
        ] {
            let _ = format!(r#"{{"rules":[{rule}]}}"#).parse::<LifecyclePolicy>();
        }
        for document in [text, value, format!(r#"{{"rules":{other}}}"#)] {
            if let Err(error) = document.parse::<LifecyclePolicy>() {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
