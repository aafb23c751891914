//! The tables, parsed: what shapes there are and what each operation takes and gives.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::ecr::exception::Exception;
use crate::ecr::operation::{Name, Operation, Service};
use crate::ecr::table;

/// Most items of a list to which AWS sets no limit.
pub const MAX_ITEMS: i64 = 1000;
/// Longest text in bytes that can match a pattern; the longest that a maximum of the model allows a pattern is 2048.
/// It keeps a layer digest, which has no maximum, from costing the time of a whole body.
pub const MAX_MATCHED: usize = 4096;

/// All operations and shapes of one service.
#[derive(Debug)]
pub struct Model {
    shapes: Vec<Shape>,
    operations: BTreeMap<Name, Definition>,
}

/// What one operation takes and gives.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) input: ShapeId,
    pub(super) output: ShapeId,
    pub(super) exceptions: Vec<Exception>,
}

/// A shape's place in its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ShapeId(pub(super) usize);

/// A type of the API, by its name; inputs and outputs have the name of their operation.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// What values a shape has.
#[derive(Debug)]
pub(super) enum Kind {
    /// A string; its bounds count characters.
    Text { bounds: Bounds, pattern: Option<Pattern>, values: Vec<&'static str> },
    /// Bytes, in base64; its bounds count them decoded.
    Blob { bounds: Bounds },
    /// `true` or `false`.
    Boolean,
    /// A whole number of 32 bits.
    Integer { bounds: Bounds },
    /// A whole number of 64 bits.
    Long { bounds: Bounds },
    /// A number.
    Double,
    /// Seconds since 1970, with a fraction.
    Timestamp,
    /// A list; its bounds count items.
    List { bounds: Bounds, item: ShapeId },
    /// An object whose keys are data.
    Map { key: ShapeId, value: ShapeId },
    /// An object whose keys are members.
    Structure(Vec<Member>),
}

/// A member of a structure.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) shape: ShapeId,
}

/// Inclusive bounds of a number, or of a length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
}

/// A regular expression that a whole text must match.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) text: &'static str,
    /// Over bytes: the classes `\w` and `\S` of the model are Java's, which know ASCII only.
    whole: regex::bytes::Regex,
}

impl Pattern {
    pub(super) fn new(text: &'static str) -> Result<Self, regex::Error> {
        let whole = regex::bytes::RegexBuilder::new(&format!(r"\A(?:{text})\z")).unicode(false).build()?;
        Ok(Self { text, whole })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        text.len() <= MAX_MATCHED && self.whole.is_match(text.as_bytes())
    }
}

static ECR: LazyLock<Model> = LazyLock::new(|| parsed(include_str!("ecr.model")));
static ECR_PUBLIC: LazyLock<Model> = LazyLock::new(|| parsed(include_str!("ecr-public.model")));

#[expect(clippy::expect_used, reason = "a table that does not parse fails every test of this module")]
fn parsed(text: &'static str) -> Model {
    table::parse(text).expect("the tables are well formed")
}

impl Model {
    /// The model of a service. The first call parses it, which takes milliseconds: make it at start.
    pub fn of(service: Service) -> &'static Self {
        match service {
            Service::Ecr => &ECR,
            Service::EcrPublic => &ECR_PUBLIC,
        }
    }

    pub(super) fn new(shapes: Vec<Shape>, operations: BTreeMap<Name, Definition>) -> Self {
        Self { shapes, operations }
    }

    /// Whether an operation may answer with that exception.
    pub fn allows(operation: Operation, exception: Exception) -> bool {
        exception.is_common() || Self::of(operation.service()).may_fail(operation.name(), exception)
    }

    pub(super) fn has(&self, name: Name) -> bool {
        self.operations.contains_key(&name)
    }

    pub(super) fn may_fail(&self, name: Name, exception: Exception) -> bool {
        self.operations.get(&name).is_some_and(|known| known.exceptions.contains(&exception))
    }

    /// The shape of what an operation takes.
    pub(super) fn input(&self, name: Name) -> Option<&Shape> {
        self.operations.get(&name).map(|known| self.shape(known.input))
    }

    /// The shape of what an operation gives.
    pub(super) fn output(&self, name: Name) -> Option<&Shape> {
        self.operations.get(&name).map(|known| self.shape(known.output))
    }

    pub(super) fn shape(&self, id: ShapeId) -> &Shape {
        &self.shapes[id.0]
    }

    pub(super) fn shapes(&self) -> impl Iterator<Item = &Shape> {
        self.shapes.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_texts_only() {
        let pattern = Pattern::new("a|b[0-9-_]+").expect("a pattern");
        for (text, fits) in
            [("a", true), ("b0-_", true), ("ab0", false), ("a\n", false), ("xa", false), ("", false)]
        {
            assert_eq!(pattern.matches(text), fits, "{text:?}");
        }
    }

    #[test]
    fn classes_of_patterns_know_ascii_only() {
        let word = Pattern::new(r"\w+").expect("a pattern");
        assert!(word.matches("a_0") && !word.matches("é") && !word.matches("٣"));
        assert!(Pattern::new(r"\S+").expect("a pattern").matches("é\u{a0}"));
    }
}
