//! Patterns: texts with `*` and `?`, and with policy variables.
//!
//! Owns what stands for what inside a policy's strings (ECR specification §9.2; IAM user guide, "Variables and
//! tags"); `glob` matches. Brackets, braces and backslashes mean themselves. A variable's value is inserted as
//! text, so it is never a wildcard nor another variable.

use crate::arn::arn_parts;
use crate::policy::glob::{MANY, ONE, glob};
use crate::policy::key::ConditionKey;

pub use crate::policy::glob::Case;

/// Where the values of variables come from: `None` if the request has no such value.
pub type Lookup<'a> = dyn Fn(&ConditionKey) -> Option<&'a str> + 'a;

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// `${` without an end, of an unknown key or of one with many values, or with a default that is not quoted.
    #[error("{0:?} has a variable that is not known or not closed")]
    Variable(String),
    /// Neither `*` nor an ARN of six parts.
    #[error("{0:?} must be in ARN format or \"*\"")]
    Arn(String),
    /// A variable before the fifth colon of a resource (IAM user guide, "Variables", Resource element).
    #[error("{0:?} has a variable outside the last part of the ARN")]
    VariablePlace(String),
}

/// What is special in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// Whether `*` and `?` are wildcards.
    pub wildcards: bool,
    /// Whether `${…}` is a variable: in policies of version 2012-10-17.
    pub variables: bool,
}

/// A text with wildcards and variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Without variables: UTF-8, [`MANY`] and [`ONE`].
    Fixed(Box<[u8]>),
    /// With them.
    Filled(Box<[Piece]>),
}

/// A part of a pattern with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// As in [`Form::Fixed`].
    Text(Vec<u8>),
    /// `${key}` or `${key, 'default'}`: whose value is inserted, and what if the request has none.
    Variable { key: ConditionKey, default: Option<String> },
}

impl Pattern {
    /// Reads a text of a policy.
    pub fn parse(text: &str, syntax: Syntax) -> Result<Self, PatternError> {
        Ok(Self::of_pieces(pieces(text, syntax)?))
    }

    fn of_pieces(mut pieces: Vec<Piece>) -> Self {
        match pieces.as_mut_slice() {
            [] => Self(Form::Fixed(Box::default())),
            [Piece::Text(bytes)] => Self(Form::Fixed(std::mem::take(bytes).into())),
            _ => Self(Form::Filled(pieces.into())),
        }
    }

    /// Whether it is nothing but `*`.
    pub fn is_any(&self) -> bool {
        matches!(&self.0, Form::Fixed(bytes) if **bytes == [MANY])
    }

    /// Whether `text` matches. A variable without a value and default makes a pattern that nothing matches. Time: the
    /// product of both lengths at worst, their sum for what people write; allocates only for variables.
    pub fn matches(&self, text: &str, case: Case, lookup: &Lookup<'_>) -> bool {
        match &self.0 {
            Form::Fixed(bytes) => glob(bytes, text.as_bytes(), case),
            Form::Filled(pieces) => {
                let filled = filled(pieces, text.len(), lookup);
                filled.is_some_and(|bytes| glob(&bytes, text.as_bytes(), case))
            }
        }
    }
}

/// The pattern with its variables' values, unless one has none or no text of `most` bytes can match: all but `*` match a
/// byte at least, so that a hundred variables with long values cost no more than the text.
fn filled(pieces: &[Piece], most: usize, lookup: &Lookup<'_>) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut needed = 0;
    for piece in pieces {
        let next = match piece {
            Piece::Text(text) => text.as_slice(),
            Piece::Variable { key, default } => lookup(key).or(default.as_deref())?.as_bytes(),
        };
        needed += next.iter().filter(|byte| **byte != MANY).count();
        if needed > most {
            return None;
        }
        bytes.extend_from_slice(next);
    }
    Some(bytes)
}

/// An ARN with wildcards; each of its six parts is matched on its own, so that `*` spans `/` but no colon between parts
/// (IAM user guide, "ARN condition operators" and "Resource").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArnPattern {
    /// `*`: also what has no ARN.
    Any,
    /// Its parts after `arn`.
    Parts(Box<[Pattern; 5]>),
}

impl ArnPattern {
    /// Reads the value of an ARN operator.
    pub fn parse(text: &str, syntax: Syntax) -> Result<Self, PatternError> {
        let mut parts: Vec<Vec<Piece>> = vec![Vec::new()];
        for piece in pieces(text, syntax)? {
            let Piece::Text(bytes) = piece else {
                push(&mut parts, piece);
                continue;
            };
            let mut rest = bytes.as_slice();
            while parts.len() < 6
                && let Some(colon) = rest.iter().position(|byte| *byte == b':')
            {
                push(&mut parts, Piece::Text(rest[..colon].to_vec()));
                parts.push(Vec::new());
                rest = &rest[colon + 1..];
            }
            push(&mut parts, Piece::Text(rest.to_vec()));
        }
        let mut parts = parts.into_iter().map(Pattern::of_pieces);
        let bad = || PatternError::Arn(shorten(text));
        let first = parts.next().ok_or_else(bad)?;
        let rest: Vec<Pattern> = parts.collect();
        match (&first, <[Pattern; 5]>::try_from(rest)) {
            (Pattern(Form::Fixed(arn)), Ok(parts)) if **arn == *b"arn" => Ok(Self::Parts(Box::new(parts))),
            (first, Err(rest)) if first.is_any() && rest.is_empty() => Ok(Self::Any),
            _ => Err(bad()),
        }
    }

    /// Reads an entry of Resource or NotResource: variables may only be in the last part.
    pub fn parse_resource(text: &str, syntax: Syntax) -> Result<Self, PatternError> {
        let pattern = Self::parse(text, syntax)?;
        match &pattern {
            Self::Parts(parts) if parts[..4].iter().any(|part| matches!(part.0, Form::Filled(_))) => {
                Err(PatternError::VariablePlace(shorten(text)))
            }
            _ => Ok(pattern),
        }
    }

    /// Whether a text that should be an ARN matches; `None` is a resource without one, such as a whole registry.
    pub fn matches(&self, arn: Option<[&str; 6]>, lookup: &Lookup<'_>) -> bool {
        match (self, arn) {
            (Self::Any, _) => true,
            (Self::Parts(_), None) => false,
            // The last part differs most often.
            (Self::Parts(parts), Some([_, texts @ ..])) => parts
                .iter()
                .zip(texts)
                .rev()
                .all(|(pattern, text)| pattern.matches(text, Case::Sensitive, lookup)),
        }
    }

    /// Whether a value of the request matches, which is no ARN if it does not look like one.
    pub fn matches_text(&self, text: &str, lookup: &Lookup<'_>) -> bool {
        self.matches(arn_parts(text), lookup)
    }
}

fn push(parts: &mut [Vec<Piece>], piece: Piece) {
    let empty = matches!(&piece, Piece::Text(bytes) if bytes.is_empty());
    if let Some(part) = parts.last_mut().filter(|_| !empty) {
        part.push(piece);
    }
}

/// What of a policy's text is repeated in an error.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(128).collect()
}

/// Cuts a text at its variables; texts between them are never empty.
fn pieces(text: &str, syntax: Syntax) -> Result<Vec<Piece>, PatternError> {
    let mut pieces = Vec::new();
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if syntax.variables && rest.starts_with("${") {
            let (inside, after) =
                variable(&rest[2..]).ok_or_else(|| PatternError::Variable(shorten(text)))?;
            rest = after;
            match inside {
                // `${*}`, `${?}` and `${$}` are the characters themselves.
                Inside::Escaped(byte) => bytes.push(byte),
                Inside::Variable(piece) => {
                    if !bytes.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut bytes)));
                    }
                    pieces.push(piece);
                }
            }
            continue;
        }
        match next {
            // Several in a row are one.
            '*' if syntax.wildcards && bytes.last() == Some(&MANY) => {}
            '*' if syntax.wildcards => bytes.push(MANY),
            '?' if syntax.wildcards => bytes.push(ONE),
            _ => bytes.extend_from_slice(&rest.as_bytes()[..next.len_utf8()]),
        }
        rest = &rest[next.len_utf8()..];
    }
    if !bytes.is_empty() {
        pieces.push(Piece::Text(bytes));
    }
    Ok(pieces)
}

enum Inside {
    Escaped(u8),
    Variable(Piece),
}

/// What follows `${`, and the rest behind its `}`.
fn variable(text: &str) -> Option<(Inside, &str)> {
    let end = text.find(['}', ','])?;
    let (name, rest) = text.split_at(end);
    if let ("*" | "?" | "$", Some(rest)) = (name, rest.strip_prefix('}')) {
        return Some((Inside::Escaped(name.as_bytes()[0]), rest));
    }
    let key: ConditionKey = name.trim().parse().ok()?;
    if key.has_many_values() {
        return None;
    }
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((Inside::Variable(Piece::Variable { key, default: None }), rest));
    }
    let quoted = rest.strip_prefix(',')?.trim_start().strip_prefix('\'')?;
    let (default, rest) = quoted.split_once('\'')?;
    let rest = rest.trim_start().strip_prefix('}')?;
    let default = Some(default.to_owned());
    Some((Inside::Variable(Piece::Variable { key, default }), rest))
}

#[cfg(test)]
#[path = "pattern_test.rs"]
mod tests;
