//! What an answer looks like, and whether it is one.

use serde_json::{Map, Number, Value};

use crate::ecr::failure::Failure;
use crate::ecr::model::{Kind, Member, Model, Shape};
use crate::ecr::operation::Operation;

/// A structure of an answer. Members without a value are left out, as AWS does; `null` is never written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output(Map<String, Value>);

impl Output {
    /// One without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member; nothing if the value is `None`.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        match value.into() {
            Value::Null => {}
            value => {
                self.0.insert(member.to_owned(), value);
            }
        }
        self
    }

    /// Adds a list of structures, which may be empty.
    #[must_use]
    pub fn with_list(self, member: &str, items: impl IntoIterator<Item = Output>) -> Self {
        let items: Vec<Value> = items.into_iter().map(Value::from).collect();
        self.with(member, items)
    }

    /// Adds a moment, given in milliseconds since 1970: seconds with a fraction, as a number. Strict clients take
    /// nothing else (§1).
    #[must_use]
    pub fn with_time(self, member: &str, millis: impl Into<Option<u64>>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "exact for a quarter of a million years")]
        let seconds = |millis: u64| Number::from_f64(millis as f64 / 1000.0);
        self.with(member, millis.into().and_then(seconds))
    }

    /// The body of the answer.
    pub fn render(self) -> Vec<u8> {
        Value::from(self).to_string().into_bytes()
    }
}

impl From<Output> for Value {
    fn from(output: Output) -> Self {
        Self::Object(output.0)
    }
}

impl Model {
    /// Holds an answer against the model: no member that it does not have, none missing that is required, all of the
    /// right type, words of an enum only. Lengths and patterns are not asked for: what was stored is given back,
    /// and lists that must not be empty in a request are so in AWS's own answers. For tests.
    ///
    /// # Errors
    /// Where it differs, for the person who wrote it.
    pub fn check_output(operation: Operation, answer: &Value) -> Result<(), String> {
        let model = Self::of(operation.service());
        let shape = model.output(operation.name()).ok_or("no such operation")?;
        model.answers(shape, answer).map_err(|inner| format!("{operation}{inner}"))
    }

    /// The same for a refusal: an exception that the operation has, with the members that it has.
    ///
    /// # Errors
    /// As [`check_output`](Self::check_output).
    pub fn check_failure(operation: Operation, failure: &Failure) -> Result<(), String> {
        let exception = failure.exception();
        if !Self::allows(operation, exception) {
            return Err(format!("{operation} does not answer with {exception}"));
        }
        let model = Self::of(operation.service());
        let shape = model.shapes().find(|shape| shape.name == exception.as_str());
        match (shape, failure.members()) {
            (Some(shape), members) => {
                let members = Value::Object(members.clone());
                model.answers(shape, &members).map_err(|inner| format!("{operation}: {exception}{inner}"))
            }
            (None, members) if members.is_empty() => Ok(()),
            (None, _) => Err(format!("{operation}: {exception} has a message only")),
        }
    }

    fn answers(&self, shape: &Shape, value: &Value) -> Result<(), String> {
        let right = match (&shape.kind, value) {
            (Kind::Text { values, .. }, Value::String(text)) => {
                values.is_empty() || values.contains(&text.as_str())
            }
            (Kind::Blob { .. }, Value::String(_)) | (Kind::Boolean, Value::Bool(_)) => true,
            (Kind::Integer { .. }, Value::Number(number)) => {
                number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
            }
            (Kind::Long { .. }, Value::Number(number)) => number.is_i64(),
            (Kind::Double | Kind::Timestamp, Value::Number(_)) => true,
            (Kind::List { item, .. }, Value::Array(items)) => {
                for (place, value) in items.iter().enumerate() {
                    self.answers(self.shape(*item), value).map_err(|inner| format!("[{place}]{inner}"))?;
                }
                true
            }
            (Kind::Map { key, value }, Value::Object(entries)) => {
                for (name, entry) in entries {
                    let named = |inner: String| format!("[{name:?}]{inner}");
                    self.answers(self.shape(*key), &Value::from(name.as_str())).map_err(named)?;
                    self.answers(self.shape(*value), entry).map_err(named)?;
                }
                true
            }
            (Kind::Structure(members), Value::Object(object)) => {
                self.answers_members(members, object)?;
                true
            }
            _ => false,
        };
        if right { Ok(()) } else { Err(format!(": {value} is no {}", shape.name)) }
    }

    fn answers_members(&self, members: &[Member], object: &Map<String, Value>) -> Result<(), String> {
        if let Some(unknown) = object.keys().find(|key| members.iter().all(|member| member.name != *key)) {
            return Err(format!(".{unknown}: there is no such member"));
        }
        for member in members {
            let name = member.name;
            match object.get(name) {
                Some(value) => {
                    self.answers(self.shape(member.shape), value)
                        .map_err(|inner| format!(".{name}{inner}"))?;
                }
                None if member.required => return Err(format!(".{name}: it is required")),
                None => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecr::{Exception, Name, Service};
    use serde_json::json;

    fn operation(name: Name) -> Operation {
        Operation::new(Service::Ecr, name).expect("it exists")
    }

    #[test]
    fn members_without_a_value_are_left_out() {
        let output = Output::new()
            .with("a", "x")
            .with("b", None::<String>)
            .with("c", Value::Null)
            .with("d", Some(7))
            .with_time("e", None::<u64>)
            .with("f", Output::new().with("g", false))
            .with_list("h", []);
        assert_eq!(output.render(), br#"{"a":"x","d":7,"f":{"g":false},"h":[]}"#);
    }

    #[test]
    fn moments_are_seconds_with_a_fraction() {
        let time =
            |millis: u64| String::from_utf8(Output::new().with_time("t", millis).render()).expect("text");
        assert_eq!(time(1_448_875_853_241), r#"{"t":1448875853.241}"#);
        assert_eq!(time(1_448_875_853_000), r#"{"t":1448875853.0}"#);
        assert_eq!(time(1), r#"{"t":0.001}"#);
        assert_eq!(time(253_402_300_799_999), r#"{"t":253402300799.999}"#);
    }

    #[test]
    fn an_answer_has_only_what_the_model_has() {
        let describe = operation(Name::DescribeRepositories);
        let check = |answer| Model::check_output(describe, &answer);
        let repository = Output::new().with("repositoryName", "a/b").with_time("createdAt", 1500);
        assert_eq!(check(Output::new().with_list("repositories", [repository]).into()), Ok(()));
        assert_eq!(check(json!({})), Ok(()));
        for (answer, error) in [
            (json!([]), "ecr:DescribeRepositories: [] is no DescribeRepositories"),
            (json!({"repos": []}), "ecr:DescribeRepositories.repos: there is no such member"),
            (json!({"nextToken": null}), "ecr:DescribeRepositories.nextToken: null is no NextToken"),
            (
                json!({"repositories": [{"createdAt": "2020-01-01"}]}),
                "ecr:DescribeRepositories.repositories[0].createdAt: \"2020-01-01\" is no CreationTimestamp",
            ),
            (
                json!({"repositories": [{"imageTagMutability": "mutable"}]}),
                "ecr:DescribeRepositories.repositories[0].imageTagMutability: \"mutable\" is no ImageTagMutability",
            ),
            (
                json!({"repositories": [{"encryptionConfiguration": {}}]}),
                "ecr:DescribeRepositories.repositories[0].encryptionConfiguration.encryptionType: it is required",
            ),
        ] {
            assert_eq!(check(answer), Err(error.to_owned()));
        }
    }

    #[test]
    fn maps_of_an_answer_are_checked_by_key_and_value() {
        let findings = operation(Name::DescribeImageScanFindings);
        let counts = |counts| json!({"imageScanFindings": {"findingSeverityCounts": counts}});
        assert_eq!(Model::check_output(findings, &counts(json!({"HIGH": 2}))), Ok(()));
        assert!(Model::check_output(findings, &counts(json!({"high": 2}))).is_err());
        assert!(Model::check_output(findings, &counts(json!({"HIGH": 2.5}))).is_err());
    }

    #[test]
    fn a_refusal_is_one_that_the_operation_has() {
        let upload = operation(Name::UploadLayerPart);
        let check = |failure: &Failure| Model::check_failure(upload, failure);
        assert_eq!(check(&Failure::new(Exception::UploadNotFound, "gone")), Ok(()));
        assert_eq!(check(&Failure::new(Exception::AccessDenied, "no")), Ok(()));
        assert!(check(&Failure::new(Exception::ScanNotFound, "odd")).is_err());
        let kms = Failure::new(Exception::Kms, "no key").with("kmsError", "NotFoundException");
        assert_eq!(check(&kms), Ok(()));
        assert!(check(&kms.with("odd", 1)).is_err());
        assert!(check(&Failure::new(Exception::UploadNotFound, "gone").with("uploadId", "x")).is_err());
    }
}
