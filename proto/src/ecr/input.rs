//! What handlers see of a request that was checked.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::Value;

use crate::ecr::failure::Failure;
use crate::ecr::model::Member;
use crate::ecr::read::Datum;

/// A structure of a request, or the whole of one; all its members are within their constraints. A member is asked
/// for by its name and as what the model says it is; anything else is a mistake that debug builds panic on.
///
/// Functions named after a type are for members that are required, those with `_if` for the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Input<'a> {
    /// What the structure may have.
    known: Known,
    /// What it has, in the order of the body.
    members: Vec<(&'static str, Datum<'a>)>,
}

/// The members that a shape has; two inputs do not differ by it.
#[derive(Clone, Copy, Debug)]
struct Known(&'static [Member]);

impl PartialEq for Known {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

static NOTHING: Input<'static> = Input { known: Known(&[]), members: Vec::new() };

impl<'a> Input<'a> {
    pub(super) fn new(known: &'static [Member]) -> Self {
        Self { known: Known(known), members: Vec::new() }
    }

    pub(super) fn push(&mut self, member: &'static str, datum: Datum<'a>) {
        self.members.push((member, datum));
    }

    /// The value of a member, if it is there.
    pub(super) fn get(&self, member: &str) -> Option<&Datum<'a>> {
        let known = self.known.0;
        debug_assert!(
            known.is_empty() || known.iter().any(|known| known.name == member),
            "no member {member}"
        );
        self.members.iter().find(|(name, _)| *name == member).map(|(_, datum)| datum)
    }

    /// Whether such a structure can have the member at all: for what most operations have, and some not.
    pub fn may_have(&self, member: &str) -> bool {
        self.known.0.iter().any(|known| known.name == member)
    }

    /// Whether a member is there; `null` is not.
    pub fn has(&self, member: &str) -> bool {
        self.get(member).is_some()
    }

    /// A string that is required.
    pub fn text(&self, member: &str) -> &str {
        present(self.text_if(member), member).unwrap_or_default()
    }

    /// A string that may be absent.
    pub fn text_if(&self, member: &str) -> Option<&str> {
        self.get(member).and_then(|datum| as_text(datum, member))
    }

    /// A list of strings; empty if it is absent.
    pub fn texts(&self, member: &str) -> impl Iterator<Item = &str> {
        self.list(member).iter().filter_map(move |item| as_text(item, member))
    }

    /// A string that is required, as what it stands for.
    ///
    /// # Errors
    /// `InvalidParameterException`, if it is a string to the model and yet not one to `T`.
    pub fn parse<T: FromStr<Err: Display>>(&self, member: &str) -> Result<T, Failure> {
        parsed(self.text(member), member)
    }

    /// A string that may be absent, as what it stands for.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_if<T: FromStr<Err: Display>>(&self, member: &str) -> Result<Option<T>, Failure> {
        self.text_if(member).map(|text| parsed(text, member)).transpose()
    }

    /// A whole number that is required.
    pub fn integer(&self, member: &str) -> i64 {
        present(self.integer_if(member), member).unwrap_or_default()
    }

    /// A whole number that may be absent.
    pub fn integer_if(&self, member: &str) -> Option<i64> {
        self.get(member).and_then(|datum| match datum {
            Datum::Integer(number) => Some(*number),
            _ => other(member),
        })
    }

    /// A boolean; one that is absent is false.
    pub fn flag(&self, member: &str) -> bool {
        let flag = self.get(member).and_then(|datum| match datum {
            Datum::Boolean(flag) => Some(*flag),
            _ => other(member),
        });
        flag.unwrap_or_default()
    }

    /// A structure that is required.
    pub fn structure(&self, member: &str) -> &Input<'a> {
        present(self.structure_if(member), member).unwrap_or(&NOTHING)
    }

    /// A structure that may be absent.
    pub fn structure_if(&self, member: &str) -> Option<&Input<'a>> {
        self.get(member).and_then(|datum| as_structure(datum, member))
    }

    /// A list of structures; empty if it is absent.
    pub fn structures(&self, member: &str) -> impl Iterator<Item = &Input<'a>> {
        self.list(member).iter().filter_map(move |item| as_structure(item, member))
    }

    /// Takes the decoded bytes of a blob out; empty if it is absent, or was taken.
    pub fn take_blob(&mut self, member: &str) -> Vec<u8> {
        let place = self.members.iter().position(|(name, _)| *name == member);
        match place.map(|place| self.members.swap_remove(place).1) {
            Some(Datum::Blob(bytes)) => bytes,
            Some(_) => other(member).unwrap_or_default(),
            None => Vec::new(),
        }
    }

    /// As a JSON object: what was given, as it was given.
    pub fn to_value(&self) -> Value {
        Value::Object(
            self.members.iter().map(|(name, datum)| ((*name).to_owned(), datum.to_value())).collect(),
        )
    }

    /// A member as JSON, `null` if it was not given.
    pub fn value_of(&self, member: &str) -> Value {
        self.get(member).map_or(Value::Null, Datum::to_value)
    }

    fn list(&self, member: &str) -> &[Datum<'a>] {
        let list = self.get(member).and_then(|datum| match datum {
            Datum::List(items) => Some(items.as_slice()),
            _ => other(member),
        });
        list.unwrap_or_default()
    }
}

fn as_text<'i>(datum: &'i Datum<'_>, member: &str) -> Option<&'i str> {
    match datum {
        Datum::Text(text) => Some(text),
        _ => other(member),
    }
}

fn as_structure<'i, 'a>(datum: &'i Datum<'a>, member: &str) -> Option<&'i Input<'a>> {
    match datum {
        Datum::Structure(input) => Some(input),
        _ => other(member),
    }
}

fn parsed<T: FromStr<Err: Display>>(text: &str, member: &str) -> Result<T, Failure> {
    text.parse().map_err(|error: T::Err| Failure::invalid_parameter(member, error))
}

/// A member that the check has seen.
fn present<T>(value: Option<T>, member: &str) -> Option<T> {
    debug_assert!(value.is_some(), "{member} is not required");
    value
}

/// A member that is asked for as something else than it is.
fn other<T>(member: &str) -> Option<T> {
    debug_assert!(false, "{member} has another type");
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecr::{Exception, Model, Operation};
    use crate::name::RepositoryName;

    fn checked<'a>(operation: &str, body: &'a str) -> Input<'a> {
        let target = format!("AmazonEC2ContainerRegistry_V20150921.{operation}");
        let operation = Operation::from_target(&target).expect("an operation");
        Model::check(operation, body.as_bytes()).expect("a valid body")
    }

    #[test]
    fn members_are_what_the_body_says() {
        let input = checked(
            "CreateRepository",
            r#"{"repositoryName": "a/b", "tags": [{"Key": "k", "Value": ""}, {"Key": "\u00e9", "Value": "v"}],
                "imageScanningConfiguration": {"scanOnPush": true}, "registryId": null, "later": [[1]]}"#,
        );
        assert_eq!(input.text("repositoryName"), "a/b");
        assert_eq!(input.parse::<RepositoryName>("repositoryName").expect("a name").as_str(), "a/b");
        let tags: Vec<_> = input.structures("tags").map(|tag| (tag.text("Key"), tag.text("Value"))).collect();
        assert_eq!(tags, [("k", ""), ("é", "v")]);
        assert!(input.structure("imageScanningConfiguration").flag("scanOnPush"));
        assert_eq!(input.text_if("registryId"), None);
        assert!(!input.has("registryId") && input.has("tags"));
        assert_eq!(input.structure_if("encryptionConfiguration"), None);
        assert_eq!(input.parse_if::<RepositoryName>("registryId").expect("absent"), None);
    }

    #[test]
    fn lists_of_strings_and_numbers_are_what_the_body_says() {
        let input =
            checked("DescribeRepositories", r#"{"repositoryNames": ["ab", "cd"], "maxResults": 1000}"#);
        assert_eq!(input.texts("repositoryNames").collect::<Vec<_>>(), ["ab", "cd"]);
        assert_eq!(input.integer_if("maxResults"), Some(1000));
        assert_eq!(checked("DescribeRepositories", "{}").texts("repositoryNames").count(), 0);
        assert_eq!(checked("DescribeRepositories", "{}").integer_if("maxResults"), None);
        assert!(!checked("DeleteRepository", r#"{"repositoryName": "ab"}"#).flag("force"));
    }

    #[test]
    fn what_was_given_can_be_written_again() {
        let body = r#"{"repositoryName": "ab", "tags": [{"Key": "k", "Value": "\u00e9"}], "registryId": null,
            "imageScanningConfiguration": {"scanOnPush": true}, "later": 1}"#;
        let input = checked("CreateRepository", body);
        let tags = serde_json::json!([{"Key": "k", "Value": "é"}]);
        assert_eq!(input.value_of("tags"), tags);
        assert_eq!(input.value_of("registryId"), Value::Null);
        let scanning = serde_json::json!({"scanOnPush": true});
        assert_eq!(
            input.to_value(),
            serde_json::json!({"repositoryName": "ab", "tags": tags, "imageScanningConfiguration": scanning})
        );
    }

    #[test]
    fn a_blob_is_decoded_and_can_be_taken() {
        let body = r#"{"repositoryName": "ab", "uploadId": "0b14a93c-2a6b-4ab4-8b7b-4a4e8ff06e6c",
            "partFirstByte": 0, "partLastByte": 2, "layerPartBlob": "\/w\u0041B"}"#;
        let mut input = checked("UploadLayerPart", body);
        assert_eq!((input.integer("partFirstByte"), input.integer("partLastByte")), (0, 2));
        assert_eq!(input.take_blob("layerPartBlob"), [0xff, 0, 1]);
        assert!(input.take_blob("layerPartBlob").is_empty());
    }

    #[test]
    fn a_string_that_the_model_takes_may_still_not_parse() {
        let body = format!(r#"{{"repositoryName": "{}"}}"#, "a".repeat(256));
        let failure = checked("DeleteRepository", &body).parse::<RepositoryName>("repositoryName");
        assert_eq!(failure.expect_err("256 are too many").exception(), Exception::InvalidParameter);
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "no member repositoryNane")]
    fn a_member_that_does_not_exist_is_a_mistake_of_ours() {
        checked("DeleteRepository", r#"{"repositoryName": "ab"}"#).has("repositoryNane");
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "registryId is not required")]
    fn an_optional_member_is_not_asked_for_as_a_required_one() {
        checked("DeleteRepository", r#"{"repositoryName": "ab"}"#).text("registryId");
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "force has another type")]
    fn a_member_is_not_asked_for_as_what_it_is_not() {
        checked("DeleteRepository", r#"{"repositoryName": "ab", "force": true}"#).text_if("force");
    }
}
