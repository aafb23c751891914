//! The grammars of settings, and which tags a filter means (ECR specification §6.3).

use proptest::prelude::*;

use super::*;

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn mutability(mode: MutabilityMode, filters: &[&str]) -> Mutability {
    Mutability::new(mode, filters.iter().map(|filter| filter.parse().unwrap()).collect()).unwrap()
}

#[test]
fn exclusions_turn_the_mode_round_for_the_tags_they_mean() {
    use MutabilityMode::{Immutable, Mutable};
    let cases: [(MutabilityMode, &[&str], &str, MutabilityMode); 9] = [
        (Mutable, &[], "v1", Mutable),
        (Immutable, &[], "v1", Immutable),
        (Immutable, &["latest", "dev-*"], "latest", Mutable),
        (Immutable, &["latest", "dev-*"], "dev-7", Mutable),
        (Immutable, &["latest", "dev-*"], "v1", Immutable),
        (Immutable, &["latest", "dev-*"], "devel", Immutable),
        (Mutable, &["v*.*"], "v1", Mutable),
        (Mutable, &["v*.*"], "v1.2", Immutable),
        (Mutable, &["rc.1"], "rc-1", Mutable),
    ];
    for (mode, filters, text, expected) in cases {
        assert_eq!(mutability(mode, filters).of(&tag(text)), expected, "{mode:?} {filters:?} {text}");
    }
    assert_eq!(Mutability::default(), mutability(Mutable, &[]));
}

#[test]
fn a_filter_means_whole_tags_and_its_parts_do_not_overlap() {
    for (filter, text, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a", "A", false),
        ("*", "a", true),
        ("**", "a", true),
        ("a*", "a", true),
        ("*a", "ba", true),
        ("*a", "ab", false),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("ab*ba", "aba", false),
        ("*ab*ab*", "ab.ab", true),
        ("*ab*ab*", "abab", true),
        ("*aba*bab*", "ababab", true),
        ("*aba*bab*", "abab", false),
        ("a.c", "abc", false),
    ] {
        assert_eq!(filter.parse::<TagFilter>().unwrap().matches(&tag(text)), expected, "{filter} {text}");
    }
}

#[test]
fn what_breaks_a_grammar_or_bound_is_refused() {
    for bad in ["", "a/b", "a b", "a?", "é", &"a".repeat(129)] {
        assert_eq!(bad.parse::<TagFilter>(), Err(SettingsError::TagFilter), "{bad:?}");
    }
    assert!("*".repeat(128).parse::<TagFilter>().is_ok());
    let six = vec!["a".parse().unwrap(); 6];
    assert_eq!(Mutability::new(MutabilityMode::Mutable, six), Err(SettingsError::TagFilters));
    assert!("é".repeat(128).parse::<ResourceTagKey>().is_ok());
    for bad in ["", &"k".repeat(129)] {
        assert_eq!(bad.parse::<ResourceTagKey>(), Err(SettingsError::ResourceTagKey));
    }
    assert!("".parse::<ResourceTagValue>().is_ok() && "é".repeat(256).parse::<ResourceTagValue>().is_ok());
    assert_eq!("v".repeat(257).parse::<ResourceTagValue>(), Err(SettingsError::ResourceTagValue));
    for bad in ["", &"k".repeat(2049)] {
        assert_eq!(bad.parse::<KmsKey>(), Err(SettingsError::KmsKey));
    }
    for bad in ["a\0", "a\n", &"p".repeat(257)] {
        assert_eq!(bad.parse::<DocumentId>(), Err(SettingsError::DocumentId));
    }
    assert_eq!("".parse(), Ok(DocumentId::only()));
}

/// The meaning of a filter, written a second time and slowly.
fn slow(filter: &[u8], text: &[u8]) -> bool {
    match filter.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skipped| slow(rest, &text[skipped..])),
        Some((byte, rest)) => text.first() == Some(byte) && slow(rest, &text[1..]),
    }
}

proptest! {
    #[test]
    fn filters_agree_with_the_slow_ones(filter in "[ab.*]{1,7}", text in "[ab][ab.]{0,7}") {
        let expected = slow(filter.as_bytes(), text.as_bytes());
        prop_assert_eq!(filter.parse::<TagFilter>().unwrap().matches(&tag(&text)), expected);
    }
}
