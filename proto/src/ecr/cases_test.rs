//! Requests made from the tables: for each operation those that must be taken, and for each constraint one that
//! violates it, with what must be answered.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::ecr::exception::Exception;
use crate::ecr::model::{Bounds, Kind, MAX_ITEMS, Member, Model, Shape};
use crate::ecr::operation::Operation;

/// A request, and what is answered.
pub(super) struct Case {
    /// Operation and member, for the reader of a failed test.
    pub(super) what: String,
    pub(super) body: Value,
    pub(super) answer: Answer,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Taken,
    /// `SerializationException`, with a text that begins so.
    Unreadable(&'static str),
    /// A constraint is violated: the member's path and the reason.
    Violated(String, String),
}

/// A value that is wrong, and what is answered to it where it stands.
type Wrong = (Value, Answer);

/// Which members a structure has.
#[derive(Clone, Copy, PartialEq)]
enum Extent {
    Minimal,
    Full,
}

/// All of one operation.
pub(super) fn of(operation: Operation) -> Vec<Case> {
    let model = Model::of(operation.service());
    let shape = model.input(operation.name()).expect("it exists");
    let case = |what: &str, body, answer| Case { what: format!("{operation} {what}"), body, answer };
    let mut cases = vec![
        case("minimal", sample(model, shape, Extent::Minimal), Answer::Taken),
        case("full", sample(model, shape, Extent::Full), Answer::Taken),
    ];
    cases.extend(edges(model, shape).into_iter().map(|body| case("edge", body, Answer::Taken)));
    cases.extend(wrongs(model, shape).into_iter().map(|(body, answer)| {
        let what = format!("{answer:?}");
        // What is not even an object has words of its own.
        let answer = if body.is_object() { answer } else { Answer::Unreadable("not a JSON object") };
        case(&what, body, answer)
    }));
    cases
}

/// A value that its shape takes.
fn sample(model: &Model, shape: &Shape, extent: Extent) -> Value {
    match &shape.kind {
        Kind::Text { pattern: Some(_), .. } => json!(matching(shape.name)),
        Kind::Text { values, .. } if !values.is_empty() => json!(values[0]),
        Kind::Text { bounds, .. } => json!("x".repeat(size(bounds.min).max(1))),
        Kind::Blob { .. } => json!("AAEC"),
        Kind::Boolean => json!(true),
        Kind::Integer { bounds } | Kind::Long { bounds } => json!(bounds.min.unwrap_or(7)),
        Kind::Double | Kind::Timestamp => json!(1.5),
        Kind::List { item, .. } => json!([sample(model, model.shape(*item), extent)]),
        Kind::Map { .. } => json!({}),
        Kind::Structure(members) => {
            let wanted = |member: &&Member| member.required || extent == Extent::Full;
            let value = |member: &Member| sample(model, model.shape(member.shape), extent);
            let members = members.iter().filter(wanted);
            Value::Object(members.map(|member| (member.name.to_owned(), value(member))).collect())
        }
    }
}

/// A text for each pattern. A shape that is new in the table needs a line here.
fn matching(shape: &str) -> &'static str {
    match shape {
        "CredentialArn" => {
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/hub-a1B2"
        }
        "ImageTagMutabilityExclusionFilterValue" => "nightly-*",
        "KmsKeyForRepositoryCreationTemplate" => "arn:aws:kms:eu-west-1:123456789012:key/0b14-a93c",
        "LayerDigest" => "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "Prefix" | "PullThroughCacheRuleRepositoryPrefix" => "ROOT",
        "PrincipalArn" => "arn:aws:iam::123456789012:role/team/build",
        "Region" => "eu-west-1",
        "RegistryAliasName" => "alias",
        "RegistryId" => "123456789012",
        "UploadId" | "ReplicationBackfillId" => "0b14a93c-2a6b-4ab4-8b7b-4a4e8ff06e6c",
        "RepositoryFilterValue" => "team/",
        "RepositoryName" => "team/app",
        "ScanningRepositoryFilterValue" | "SigningRepositoryFilterValue" => "team/*",
        "SigningProfileArn" => "arn:aws:signer:eu-west-1:123456789012:/signing-profiles/build_1",
        _ => panic!("{shape} has a pattern and no sample"),
    }
}

/// Values at the very bounds of their shape, each still taken.
fn edges(model: &Model, shape: &Shape) -> Vec<Value> {
    match &shape.kind {
        Kind::Text { bounds, pattern: None, values } if values.is_empty() => {
            let lengths = [bounds.min.or(Some(0)), bounds.max].into_iter().flatten();
            lengths.map(|length| json!("é".repeat(size(Some(length))))).collect()
        }
        Kind::Text { values, .. } => values.iter().map(|value| json!(value)).collect(),
        Kind::Blob { bounds } => vec![json!(""), json!(STANDARD.encode(vec![7; size(bounds.max)]))],
        Kind::Boolean => vec![json!(true), json!(false)],
        Kind::Integer { bounds } => {
            vec![json!(bounds.min.unwrap_or(i32::MIN.into())), json!(bounds.max.unwrap_or(i32::MAX.into()))]
        }
        Kind::Long { bounds } => {
            vec![json!(bounds.min.unwrap_or(i64::MIN)), json!(bounds.max.unwrap_or(i64::MAX))]
        }
        Kind::Double | Kind::Timestamp | Kind::Map { .. } => Vec::new(),
        Kind::List { bounds, item } => {
            let item = model.shape(*item);
            let of = |length: i64| json!(vec![sample(model, item, Extent::Minimal); size(Some(length))]);
            let sizes = [bounds.min.unwrap_or(0), bounds.max.unwrap_or(MAX_ITEMS)];
            edges(model, item).into_iter().map(|edge| json!([edge])).chain(sizes.map(of)).collect()
        }
        Kind::Structure(members) => {
            let full = object(sample(model, shape, Extent::Full));
            let mut edges = vec![with(&full, "later", json!([[{}]]))];
            for member in members {
                let optional = if member.required { None } else { Some(Value::Null) };
                let values = self::edges(model, inner(model, member)).into_iter().chain(optional);
                edges.extend(values.map(|value| with(&full, member.name, value)));
            }
            edges
        }
    }
}

/// Values that violate one constraint each.
fn wrongs(model: &Model, shape: &Shape) -> Vec<Wrong> {
    let mut wrongs = types(shape);
    match &shape.kind {
        Kind::Text { bounds, pattern, values } => {
            wrongs.extend(lengths(*bounds, |length| json!("é".repeat(length))));
            if let Some(pattern) = pattern {
                let reason = format!("must satisfy regular expression '{}'", pattern.text);
                let fit = |bad: &String| {
                    bad.chars().count() <= bounds.max.map_or(usize::MAX, |max| size(Some(max)))
                };
                let good = matching(shape.name);
                let bad = [format!("{good}\n"), format!("\n{good}"), "é".repeat(size(bounds.min).max(1))];
                wrongs.extend(bad.into_iter().filter(fit).map(|bad| (json!(bad), violated(&reason))));
            }
            if !values.is_empty() {
                let reason = format!("Member must satisfy enum value set: [{}]", values.join(", "));
                let bad = [String::new(), format!("{} ", values[0]), swap_case(values[0])];
                wrongs.extend(bad.map(|bad| (json!(bad), violated(&reason))));
            }
        }
        Kind::Blob { bounds } => {
            wrongs.extend(lengths(*bounds, |length| json!(STANDARD.encode(vec![7; length]))));
        }
        Kind::Integer { bounds } | Kind::Long { bounds } => {
            let too_small = bounds.min.map(|min| (json!(min - 1), violated(&least("value", min))));
            let too_large = bounds.max.map(|max| (json!(max + 1), violated(&most("value", max))));
            wrongs.extend(too_small.into_iter().chain(too_large));
        }
        Kind::Boolean | Kind::Double | Kind::Timestamp | Kind::Map { .. } => {}
        Kind::List { bounds, item } => {
            let item = model.shape(*item);
            let good = sample(model, item, Extent::Minimal);
            let bounds = Bounds { max: bounds.max.or(Some(MAX_ITEMS)), ..*bounds };
            wrongs.extend(lengths(bounds, |length| json!(vec![good.clone(); length])));
            let mut inner = vec![(Value::Null, violated("Member must not be null"))];
            inner.extend(self::wrongs(model, item));
            let second = bounds.max > Some(1);
            wrongs.extend(inner.into_iter().map(|(bad, answer)| match second {
                true => (json!([good, bad]), within(answer, "2.member")),
                false => (json!([bad]), within(answer, "1.member")),
            }));
        }
        Kind::Structure(members) => wrongs.extend(in_structure(model, shape, members)),
    }
    wrongs
}

fn in_structure(model: &Model, shape: &Shape, members: &[Member]) -> Vec<Wrong> {
    let minimal = object(sample(model, shape, Extent::Minimal));
    let mut wrongs = Vec::new();
    for member in members {
        if member.required {
            let answer = within(violated("Member must not be null"), member.name);
            let mut without = minimal.clone();
            without.remove(member.name);
            wrongs.push((Value::Object(without), answer.clone()));
            wrongs.push((with(&minimal, member.name, Value::Null), answer));
        }
        let inner = self::wrongs(model, inner(model, member));
        let placed = |(bad, answer)| (with(&minimal, member.name, bad), within(answer, member.name));
        wrongs.extend(inner.into_iter().map(placed));
    }
    wrongs
}

/// Values of other types than the shape's.
fn types(shape: &Shape) -> Vec<Wrong> {
    let list = (json!([]), "Start of list found where not expected");
    let structure = (json!({}), "Start of structure or map found where not expected.");
    let wrongs = match shape.kind {
        Kind::Text { .. } => vec![
            (json!(7), "NUMBER_VALUE can not be converted to a String"),
            (json!(true), "TRUE_VALUE can not be converted to a String"),
            list,
            structure,
        ],
        Kind::Blob { .. } => vec![
            (json!(1.5), "NUMBER_VALUE can not be converted to a Blob"),
            (json!("*"), "Invalid base64 in a Blob"),
            (json!("AAE"), "Invalid base64 in a Blob"),
            list,
        ],
        Kind::Boolean => vec![
            (json!("true"), "STRING_VALUE can not be converted to a Boolean"),
            (json!(1), "NUMBER_VALUE can not be converted to a Boolean"),
            structure,
        ],
        Kind::Integer { .. } => vec![
            (json!("7"), "STRING_VALUE can not be converted to an Integer"),
            (json!(7.5), "NUMBER_VALUE can not be converted to an Integer"),
            (json!(1_i64 << 31), "NUMBER_VALUE can not be converted to an Integer"),
            (json!(u64::MAX), "NUMBER_VALUE can not be converted to an Integer"),
            list,
        ],
        Kind::Long { .. } => vec![
            (json!("7"), "STRING_VALUE can not be converted to a Long"),
            (json!(u64::MAX), "NUMBER_VALUE can not be converted to a Long"),
            (json!(false), "FALSE_VALUE can not be converted to a Long"),
            structure,
        ],
        Kind::Double | Kind::Timestamp => vec![(json!("7"), "STRING_VALUE can not be converted to a Double")],
        Kind::List { .. } => vec![(json!("a"), "Expected list or null"), structure],
        Kind::Map { .. } | Kind::Structure(_) => {
            vec![
                (json!("a"), "Expected structure or map or null"),
                (json!(7), "Expected structure or map or null"),
                list,
            ]
        }
    };
    wrongs.into_iter().map(|(value, text)| (value, Answer::Unreadable(text))).collect()
}

/// Values just outside the bounds of a length.
fn lengths(bounds: Bounds, of: impl Fn(usize) -> Value) -> Vec<Wrong> {
    let short = bounds
        .min
        .filter(|min| *min > 0)
        .map(|min| (of(size(Some(min - 1))), violated(&least("length", min))));
    let long = bounds.max.map(|max| (of(size(Some(max + 1))), violated(&most("length", max))));
    short.into_iter().chain(long).collect()
}

fn least(what: &str, min: i64) -> String {
    format!("Member must have {what} greater than or equal to {min}")
}

fn most(what: &str, max: i64) -> String {
    format!("Member must have {what} less than or equal to {max}")
}

fn violated(reason: &str) -> Answer {
    Answer::Violated(String::new(), reason.to_owned())
}

fn within(answer: Answer, outer: &str) -> Answer {
    match answer {
        Answer::Violated(path, reason) if path.is_empty() => Answer::Violated(outer.to_owned(), reason),
        Answer::Violated(path, reason) => Answer::Violated(format!("{outer}.{path}"), reason),
        other => other,
    }
}

fn swap_case(text: &str) -> String {
    if text.chars().any(char::is_lowercase) { text.to_uppercase() } else { text.to_lowercase() }
}

fn size(bound: Option<i64>) -> usize {
    usize::try_from(bound.unwrap_or(0)).expect("a length")
}

fn inner<'a>(model: &'a Model, member: &Member) -> &'a Shape {
    model.shape(member.shape)
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("{value} is no object") };
    object
}

fn with(object: &Map<String, Value>, member: &str, value: Value) -> Value {
    let mut object = object.clone();
    object.insert(member.to_owned(), value);
    Value::Object(object)
}

/// What an operation answers to a violated constraint.
pub(super) fn refusal(operation: Operation) -> Exception {
    let invalid = Model::allows(operation, Exception::InvalidParameter);
    if invalid { Exception::InvalidParameter } else { Exception::Validation }
}
