//! Actions: what a policy speaks of, and what a request asks for.
//!
//! Owns the actions of `ecr` and `ecr-public` (ECR specification §9.1): the operations, less ListImageReferrers, which
//! rides on BatchGetImage, and the three that are permissions only. Other services' actions are taken as they are:
//! identity policies speak of them too. Actions have no case.

mod known;

use std::fmt;
use std::str::FromStr;

use crate::policy::pattern::{Case, Pattern, Syntax};
use known::{ECR, ECR_PUBLIC};

/// Longest action in bytes, service included (IAM: 128 for each side of the colon).
const MAX_ACTION: usize = 257;

/// Why a text is no action, or no pattern of any.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// Not `service:Name`.
    #[error("{0:?} must be prefaced by a vendor, e.g., ecr, and name an action")]
    Form(String),
    /// No action of that service.
    #[error("{0:?} is not an action")]
    Unknown(String),
}

/// What a request asks for: `ecr:BatchGetImage`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionName {
    text: String,
    /// Where the colon is.
    colon: usize,
}

/// What the names of actions begin with that change nothing.
const READS: [&str; 7] = ["Get", "List", "Describe", "BatchGet", "BatchCheck", "Simulate", "Validate"];
/// What begins so, and buys something.
const BUYS: &str = "GetAuthorizationToken";

impl ActionName {
    /// Whether it changes nothing, by its name.
    pub fn reads(&self) -> bool {
        let name = &self.text[self.colon + 1..];
        name != BUYS && READS.iter().any(|verb| name.starts_with(verb))
    }

    /// The service: `ecr`.
    pub fn service(&self) -> &str {
        &self.text[..self.colon]
    }

    /// The text, as AWS writes it if the action is one of ECR's.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for ActionName {
    type Err = ActionError;

    fn from_str(text: &str) -> Result<Self, ActionError> {
        let (service, name) = halves(text).ok_or_else(|| ActionError::Form(shorten(text)))?;
        let text = match actions_of(service) {
            None => text.to_owned(),
            Some(actions) => {
                let known = actions.iter().find(|action| action.eq_ignore_ascii_case(name));
                let known = known.ok_or_else(|| ActionError::Unknown(shorten(text)))?;
                format!("{}:{known}", service.to_ascii_lowercase())
            }
        };
        Ok(Self { text, colon: service.len() })
    }
}

impl fmt::Display for ActionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Service and name, both words.
fn halves(text: &str) -> Option<(&str, &str)> {
    let (service, name) = text.split_once(':')?;
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    (text.len() <= MAX_ACTION && word(service) && word(name)).then_some((service, name))
}

/// The actions that are known of a service; `None` if it is none of ours.
fn actions_of(service: &str) -> Option<&'static [&'static str]> {
    if service.eq_ignore_ascii_case("ecr") {
        Some(&ECR)
    } else if service.eq_ignore_ascii_case("ecr-public") {
        Some(&ECR_PUBLIC)
    } else {
        None
    }
}

fn shorten(text: &str) -> String {
    super::pattern::shorten(text)
}

/// An entry of Action or NotAction: `ecr:Get*`, `ecr:*`, `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionPattern {
    /// Lower case; `None` for any.
    service: Option<String>,
    name: Pattern,
}

impl ActionPattern {
    /// All of them.
    pub const ALL: &'static str = "*";

    /// Reads an entry; `service` is the only one that it may name, if there is such. One that names no action of ours,
    /// with or without wildcards, is refused (XP2). Wildcards in the service are not taken, as IAM does not.
    pub fn parse(text: &str, service: Option<&str>) -> Result<Self, ActionError> {
        let syntax = Syntax { wildcards: true, variables: false };
        let pattern = |text: &str| Pattern::parse(text, syntax).map_err(|_| ActionError::Form(shorten(text)));
        if matches!(text, Self::ALL | "*:*") {
            return Ok(Self { service: None, name: pattern(Self::ALL)? });
        }
        // Wildcards stand where letters may.
        let form: String =
            text.chars().map(|char| if matches!(char, '*' | '?') { 'a' } else { char }).collect();
        let (own, name) = match (halves(&form), text.split_once(':')) {
            (Some((own, _)), Some((written, name))) if own == written => (own.to_ascii_lowercase(), name),
            _ => return Err(ActionError::Form(shorten(text))),
        };
        let name = pattern(name)?;
        let known = actions_of(&own).is_none_or(|actions| {
            actions.iter().any(|action| name.matches(action, Case::Insensitive, &|_| None))
        });
        if !known || service.is_some_and(|only| only != own) {
            return Err(ActionError::Unknown(shorten(text)));
        }
        Ok(Self { service: Some(own), name })
    }

    /// Whether it speaks of that action.
    pub fn matches(&self, action: &ActionName) -> bool {
        let same = |own: &String| own.eq_ignore_ascii_case(action.service());
        self.service.as_ref().is_none_or(same)
            && self.name.matches(&action.text[action.colon + 1..], Case::Insensitive, &|_| None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_those_of_the_specification() {
        // 58 operations of the reference less ListImageReferrers plus three permissions, and four backfill operations.
        assert_eq!((ECR.len(), ECR_PUBLIC.len()), (64, 23));
        assert!(ECR.is_sorted() && ECR_PUBLIC.is_sorted());
        for good in ["ecr:BatchGetImage", "ecr:ReplicateImage", "ecr-public:PutImage", "iam:PassRole"] {
            assert_eq!(good.parse::<ActionName>().unwrap().to_string(), good);
        }
        let action: ActionName = "ECR:batchgetimage".parse().unwrap();
        assert_eq!((action.as_str(), action.service()), ("ecr:BatchGetImage", "ecr"));
        for bad in [
            "",
            "ecr",
            "ecr:",
            ":x",
            "ecr:ListImageReferrers",
            "ecr:Foo",
            "ecr:*",
            "ecr:\u{212a}",
            "a b:c",
            "a:b:c",
        ] {
            assert!(bad.parse::<ActionName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_match_in_any_case_and_name_what_exists() {
        let action: ActionName = "ecr:BatchGetImage".parse().unwrap();
        for pattern in
            ["*", "*:*", "ecr:*", "ECR:BATCHGETIMAGE", "ecr:batch*", "ecr:BatchGet?mage", "ecr:*Image"]
        {
            assert!(ActionPattern::parse(pattern, Some("ecr")).unwrap().matches(&action), "{pattern}");
        }
        for pattern in ["ecr-public:*", "ecr:Put*", "s3:*", "ecr:BatchGetImage?*"] {
            let matches = ActionPattern::parse(pattern, None).is_ok_and(|pattern| pattern.matches(&action));
            assert!(!matches, "{pattern}");
        }
        for bad in [
            "",
            "BatchGetImage",
            "ecr",
            "ecr:",
            "ec*:PutImage",
            "*:PutImage",
            "ecr:Put Image",
            "ecr:${aws:username}",
            "ecr:[a-z]*",
            "ecr:é*",
            "ecr:a:b",
        ] {
            assert_eq!(ActionPattern::parse(bad, None), Err(ActionError::Form(bad.into())));
        }
        for bad in ["ecr:Foo", "ecr:Foo*", "ecr:PutImag\u{65}s", "ecr-public:BatchGetImage"] {
            assert_eq!(ActionPattern::parse(bad, None), Err(ActionError::Unknown(bad.into())));
        }
        assert!(
            ActionPattern::parse("s3:*", Some("ecr")).is_err() && ActionPattern::parse("s3:*", None).is_ok()
        );
    }
}
