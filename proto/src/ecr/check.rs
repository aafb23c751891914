//! Whether a request is within the constraints of the model; clients check almost nothing (§1).

use crate::ecr::exception::Exception;
use crate::ecr::failure::Failure;
use crate::ecr::input::Input;
use crate::ecr::model::{Bounds, Kind, MAX_ITEMS, Member, Model, Shape};
use crate::ecr::operation::Operation;
use crate::ecr::read::{Datum, Reader};
use crate::strict_json;

/// Most bytes of a body with a layer part (20 MiB, in base64 a third more) or a manifest (4 Mi characters).
pub const LARGE_BODY: usize = 32 << 20;
/// Most bytes of any other body: a replication configuration with all rules, destinations and filters takes about one
/// MiB, a public repository's logo with its texts as much.
pub const SMALL_BODY: usize = 4 << 20;
/// Levels of objects and lists in a body. The deepest that the model has is a third of it.
pub const MAX_DEPTH: usize = 16;

/// A constraint that is violated, and where.
struct Violation {
    /// `imageIds.1.member.imageTag`: lists count from one.
    path: String,
    reason: String,
}

impl Violation {
    fn here(reason: impl Into<String>) -> Self {
        Self { path: String::new(), reason: reason.into() }
    }

    fn within(self, outer: impl Into<String>) -> Self {
        let outer = outer.into();
        let path = if self.path.is_empty() { outer } else { format!("{outer}.{}", self.path) };
        Self { path, ..self }
    }
}

impl Model {
    /// Most bytes of a body of that operation; to be known before the body is read.
    pub fn body_limit(operation: Operation) -> usize {
        let model = Self::of(operation.service());
        let large = |member: &Member| match &model.shape(member.shape).kind {
            Kind::Text { bounds, .. } | Kind::Blob { bounds } => bounds.max.is_some_and(|max| max > 1 << 20),
            _ => false,
        };
        match model.input(operation.name()).map(|shape| &shape.kind) {
            Some(Kind::Structure(members)) if members.iter().any(large) => LARGE_BODY,
            _ => SMALL_BODY,
        }
    }

    /// Reads the body of a request. Members that the operation does not have are passed over, and one that is `null`
    /// is absent, as with AWS; unlike there a key must not appear twice, nor a NUL anywhere. An empty body is `{}`.
    ///
    /// # Errors
    /// `SerializationException` for what is not such JSON, is too large, or has a value of another type than the
    /// model says. Else the first constraint that is violated, members in the order of the table:
    /// `InvalidParameterException`, or `ValidationException` where the operation has no other.
    pub fn check(operation: Operation, body: &[u8]) -> Result<Input<'_>, Failure> {
        let limit = Self::body_limit(operation);
        if body.len() > limit {
            return Err(Failure::serialization(format!("A request may have at most {limit} bytes")));
        }
        Self::of(operation.service()).read(operation, body)
    }

    pub(super) fn read<'a>(
        &'static self,
        operation: Operation,
        body: &'a [u8],
    ) -> Result<Input<'a>, Failure> {
        let body = if body.is_empty() { b"{}" } else { body };
        let shape =
            self.input(operation.name()).ok_or_else(|| Failure::unknown_operation(&operation.target()))?;
        strict_json::check(body, MAX_DEPTH).map_err(Failure::serialization)?;
        let mut json = serde_json::Deserializer::from_slice(body);
        let datum = serde::de::DeserializeSeed::deserialize(Reader { model: self, shape }, &mut json);
        let datum = datum.map_err(Failure::serialization)?;
        self.datum(shape, &datum).map_err(|violation| {
            let invalid = Failure::invalid_parameter(&violation.path, violation.reason);
            let other = !self.may_fail(operation.name(), Exception::InvalidParameter);
            if other { Failure::new(Exception::Validation, invalid.message()) } else { invalid }
        })?;
        match datum {
            Datum::Structure(input) => Ok(input),
            _ => Err(Failure::serialization("Expected structure")),
        }
    }

    fn datum(&self, shape: &Shape, datum: &Datum<'_>) -> Result<(), Violation> {
        match (&shape.kind, datum) {
            (_, Datum::Null) => Err(Violation::here("Member must not be null")),
            (Kind::Text { bounds, pattern, values }, Datum::Text(text)) => {
                length(*bounds, text.chars().count())?;
                if let Some(pattern) = pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
                    let reason = format!("must satisfy regular expression '{}'", pattern.text);
                    return Err(Violation::here(reason));
                }
                if !values.is_empty() && !values.contains(&text.as_ref()) {
                    let reason = format!("Member must satisfy enum value set: [{}]", values.join(", "));
                    return Err(Violation::here(reason));
                }
                Ok(())
            }
            (Kind::Blob { bounds }, Datum::Blob(bytes)) => length(*bounds, bytes.len()),
            (Kind::Integer { bounds } | Kind::Long { bounds }, Datum::Integer(number)) => {
                within(*bounds, *number, "value")
            }
            (Kind::List { bounds, item }, Datum::List(items)) => {
                let bounds = Bounds { max: bounds.max.or(Some(MAX_ITEMS)), ..*bounds };
                length(bounds, items.len())?;
                let shape = self.shape(*item);
                let mut numbered = items.iter().zip(1..);
                numbered.try_for_each(|(item, number)| {
                    self.datum(shape, item).map_err(|inner| inner.within(format!("{number}.member")))
                })
            }
            (Kind::Map { value, .. }, Datum::Map(entries)) => {
                length(Bounds { min: None, max: Some(MAX_ITEMS) }, entries.len())?;
                let shape = self.shape(*value);
                let mut entries = entries.iter();
                entries.try_for_each(|(key, value)| {
                    self.datum(shape, value).map_err(|inner| inner.within(format!("{key}.member")))
                })
            }
            (Kind::Structure(members), Datum::Structure(input)) => {
                members.iter().try_for_each(|member| self.member(member, input))
            }
            _ => Ok(()),
        }
    }

    fn member(&self, member: &Member, input: &Input<'_>) -> Result<(), Violation> {
        let result = match input.get(member.name) {
            Some(datum) => self.datum(self.shape(member.shape), datum),
            None if member.required => Err(Violation::here("Member must not be null")),
            None => Ok(()),
        };
        result.map_err(|inner| inner.within(member.name))
    }
}

fn length(bounds: Bounds, length: usize) -> Result<(), Violation> {
    within(bounds, i64::try_from(length).unwrap_or(i64::MAX), "length")
}

fn within(bounds: Bounds, value: i64, what: &str) -> Result<(), Violation> {
    let violated = |side: &str, bound: i64| {
        Err(Violation::here(format!("Member must have {what} {side} than or equal to {bound}")))
    };
    match (bounds.min, bounds.max) {
        (Some(min), _) if value < min => violated("greater", min),
        (_, Some(max)) if value > max => violated("less", max),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "check_test.rs"]
mod tests;
