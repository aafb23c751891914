//! Which tags a rule means: patterns and prefixes (ECR specification §7.2).

use std::fmt;
use std::str::FromStr;

use crate::lifecycle::{LifecyclePolicyError, MAX_WILDCARDS};
use crate::name::{Tag, text_id};
use crate::settings::matches_stars;

text_id! {
    /// `*` is any run of characters, all else is itself, and the whole tag must match.
    TagPattern
}

impl FromStr for TagPattern {
    type Err = LifecyclePolicyError;

    fn from_str(text: &str) -> Result<Self, LifecyclePolicyError> {
        match text.bytes().filter(|byte| *byte == b'*').count() {
            _ if text.is_empty() => Err(LifecyclePolicyError::EmptyText),
            0..=MAX_WILDCARDS => Ok(Self(text.to_owned())),
            _ => Err(LifecyclePolicyError::Wildcards),
        }
    }
}

impl TagPattern {
    /// Whether the tag is meant. Time: the sum of both lengths.
    pub fn matches(&self, tag: &Tag) -> bool {
        matches_stars(&self.0, tag.as_str())
    }
}

text_id! {
    /// What a tag begins with; `*` is itself, which is in no tag.
    TagPrefix
}

impl FromStr for TagPrefix {
    type Err = LifecyclePolicyError;

    fn from_str(text: &str) -> Result<Self, LifecyclePolicyError> {
        if text.is_empty() { Err(LifecyclePolicyError::EmptyText) } else { Ok(Self(text.to_owned())) }
    }
}

impl TagPrefix {
    /// Whether the tag is meant.
    pub fn matches(&self, tag: &Tag) -> bool {
        tag.as_str().starts_with(&self.0)
    }
}
