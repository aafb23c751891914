//! Names that people choose: repositories, tags, and references that are one or the other.
//!
//! Owns their grammars (OCI distribution-spec, "Pulling manifests"; bounds from distribution/reference).
//! Names are parsed once, at the edge; a value of these types is always valid.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, DigestError};

/// Longest repository name in bytes (G2 of the OCI checklist).
pub const MAX_REPOSITORY_NAME: usize = 255;
/// Longest tag in bytes.
pub const MAX_TAG: usize = 128;

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a repository name.
    #[error("a repository name is 1 to 255 characters of lower-case components separated by /")]
    Repository,
    /// Not a tag.
    #[error("a tag is 1 to 128 characters of [A-Za-z0-9_.-] and begins with neither . nor -")]
    Tag,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}
pub(crate) use text_id;

text_id! {
    /// A repository's name inside its registry: `[a-z0-9]+` components with `.`, `_`, `__` or dashes
    /// inside, joined by `/`.
    RepositoryName
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = text.len() <= MAX_REPOSITORY_NAME && text.split('/').all(is_component);
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError::Repository) }
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = text.as_bytes();
    loop {
        let word = rest.iter().take_while(|byte| alphanumeric(byte)).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        if rest.is_empty() {
            return true;
        }
        let separator = rest.iter().take_while(|byte| !alphanumeric(byte)).count();
        let allowed = match &rest[..separator] {
            b"." | b"_" | b"__" => true,
            dashes => dashes.iter().all(|byte| *byte == b'-'),
        };
        if !allowed {
            return false;
        }
        rest = &rest[separator..];
    }
}

text_id! {
    /// A movable name of a manifest.
    Tag
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let bytes = text.as_bytes();
        let fits = bytes.len() <= MAX_TAG
            && bytes.first().is_some_and(word)
            && bytes.iter().all(|byte| word(byte) || matches!(byte, b'.' | b'-'));
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError::Tag) }
    }
}

/// What a manifest is asked by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A movable name.
    Tag(Tag),
    /// The immutable name.
    Digest(Digest),
}

/// Why a text is no reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It has no colon and is no tag.
    #[error(transparent)]
    Tag(#[from] NameError),
    /// It has a colon and is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl FromStr for Reference {
    type Err = ReferenceError;

    /// A text with a colon is never a tag (G4 of the OCI checklist).
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') { Ok(Self::Digest(text.parse()?)) } else { Ok(Self::Tag(text.parse()?)) }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn repository_names_follow_the_grammar() {
        for good in
            ["a", "a/b", "a.b", "a_b", "a__b", "a-b", "a---b", "0/1", "x/manifests/y", "x/blobs/uploads"]
        {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "A/b",
            "a//b",
            ".a",
            "a.",
            "a/-b",
            "a___b",
            "a..b",
            "-",
            "/a",
            "a/",
            "a b",
            "a\0",
            "ａpp",
            "а",
            "a_-b",
            "a/..",
            "a\\b",
            "a;v=1",
            "a%2f",
            "a/\u{202e}b",
        ] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(255).parse::<RepositoryName>().is_ok());
        assert!("a".repeat(256).parse::<RepositoryName>().is_err());
    }

    #[test]
    fn tags_follow_the_grammar() {
        for good in ["a", "_", "1.0", "A-b_c.d", "sha256-abc.sig"] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "a/b", "a:b", "a\0", "é", "a b", "a+b"] {
            assert!(bad.parse::<Tag>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(128).parse::<Tag>().is_ok());
        assert!("a".repeat(129).parse::<Tag>().is_err());
    }

    #[test]
    fn a_reference_with_a_colon_is_never_a_tag() {
        assert!(matches!("sha256:abc".parse::<Reference>(), Err(ReferenceError::Digest(_))));
        assert!(matches!(".bad".parse::<Reference>(), Err(ReferenceError::Tag(_))));
    }

    /// The grammar, written a second time and slowly, to hold the fast one against.
    fn slow_component(text: &str) -> bool {
        let separators = [".", "_", "__"];
        let word = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        let dashes = |part: &str| !part.is_empty() && part.chars().all(|c| c == '-');
        if word(text) {
            return true;
        }
        (1..text.len()).any(|start| {
            (start + 1..text.len()).any(|end| {
                text.is_char_boundary(start)
                    && text.is_char_boundary(end)
                    && word(&text[..start])
                    && (separators.contains(&&text[start..end]) || dashes(&text[start..end]))
                    && slow_component(&text[end..])
            })
        })
    }

    proptest! {
        #[test]
        fn names_agree_with_the_slow_grammar(text in "[a-c0._/A-]{0,9}") {
            let slow = text.split('/').all(slow_component);
            prop_assert_eq!(text.parse::<RepositoryName>().is_ok(), slow);
        }

        #[test]
        fn any_text_parses_without_panic(text: String) {
            let _ = text.parse::<RepositoryName>();
            let _ = text.parse::<Reference>();
        }
    }
}
