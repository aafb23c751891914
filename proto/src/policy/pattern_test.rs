//! Wildcards against a slow matcher, variables, and patterns that would blow up a careless one.

use super::*;
use proptest::prelude::*;

const GLOB: Syntax = Syntax { wildcards: true, variables: true };
const PLAIN: Syntax = Syntax { wildcards: false, variables: true };
const OLD: Syntax = Syntax { wildcards: true, variables: false };

fn lookup(key: &ConditionKey) -> Option<&'static str> {
    match key {
        ConditionKey::UserName => Some("al*ce"),
        ConditionKey::UserId => Some("${aws:username}"),
        _ => None,
    }
}

fn matches(pattern: &str, syntax: Syntax, text: &str) -> bool {
    Pattern::parse(pattern, syntax).unwrap().matches(text, Case::Sensitive, &lookup)
}

#[test]
fn wildcards_are_star_and_question_mark_and_nothing_else() {
    for (pattern, text) in [
        ("", ""),
        ("*", ""),
        ("**", "ab"),
        ("a*", "a"),
        ("a*c", "abbc"),
        ("a?c", "aéc"),
        ("*é?", "xéé"),
        ("?", "𝄞"),
    ] {
        assert!(matches(pattern, GLOB, text), "{pattern} {text}");
    }
    for (pattern, text) in [
        ("", "a"),
        ("?", ""),
        ("?", "ab"),
        ("a", "A"),
        ("a*c", "abcd"),
        ("[a-z]", "b"),
        ("{a,b}", "a"),
        ("\\*", "*"),
        ("?", "é́"),
        ("ab", "a"),
    ] {
        assert!(!matches(pattern, GLOB, text), "{pattern} {text}");
    }
    assert!(matches("\\*", GLOB, "\\x") && matches("[a-z]", GLOB, "[a-z]"));
    assert!(matches("a*", PLAIN, "a*") && !matches("a*", PLAIN, "ab"));
}

#[test]
fn case_is_a_matter_of_ascii_only() {
    let action = Pattern::parse("ecr:*Key", GLOB).unwrap();
    assert!(action.matches("ECR:getkEY", Case::Insensitive, &lookup));
    assert!(!action.matches("ecr:get\u{212a}ey", Case::Insensitive, &lookup));
    assert!(!action.matches("ECR:getKey", Case::Sensitive, &lookup));
}

#[test]
fn variables_are_inserted_as_text() {
    assert!(matches("u/${aws:username}/*", GLOB, "u/al*ce/x"));
    assert!(!matches("u/${aws:username}/*", GLOB, "u/alice/x"), "XP7: never as a pattern");
    assert!(matches("${aws:userid}", PLAIN, "${aws:username}") && !matches("${aws:userid}", PLAIN, "al*ce"));
    assert!(matches("${AWS:UserName}", PLAIN, "al*ce"), "keys have no case");
    assert!(matches("a${*}${?}${$}", GLOB, "a*?$") && !matches("a${*}", GLOB, "ab"));
    assert!(
        !matches("${aws:sourcearn}*", GLOB, "") && !matches("${aws:SourceArn}", GLOB, "${aws:SourceArn}")
    );
    assert!(matches("${aws:sourcearn, 'no*ne'}?", GLOB, "no*nex"));
    assert!(matches("${aws:username}", OLD, "${aws:username}"), "2008-10-17 has no variables");
    for bad in [
        "${",
        "${aws:username",
        "${aws:nothing}",
        "${aws:TagKeys}",
        "${}",
        "${aws:username,}",
        "${aws:username, x}",
    ] {
        let error = Pattern::parse(bad, GLOB).unwrap_err();
        assert_eq!(error, PatternError::Variable(bad.into()));
    }
}

#[test]
fn an_arn_is_matched_part_by_part() {
    let matches =
        |pattern: &str, text: &str| ArnPattern::parse(pattern, GLOB).unwrap().matches_text(text, &lookup);
    let arn = "arn:aws:ecr:eu:000000000001:repository/team-a/b";
    for pattern in [
        "*",
        "**",
        arn,
        "arn:aws:ecr:*:*:*",
        "arn:*:*:*:*:*",
        "arn:aws:ecr:e?:*:repository/team-*",
        "arn:aws:ecr:eu:*:repository/*/b",
    ] {
        assert!(matches(pattern, arn), "{pattern}");
    }
    for pattern in [
        "arn:aws:ecr:EU:*:*",
        "arn:aws:ecr:eu:*:repository/TEAM-*",
        "arn:aws:ecr:eu:*:repository/team",
        "arn:aws:ecr:eu:*:repository/team-",
        "arn:aws:*:*:*:000000000001:repository/team-a/b",
        "arn:aws:ecr:eu:00000000000[1]:*",
    ] {
        assert!(!matches(pattern, arn), "{pattern}");
    }
    assert!(matches("*", "no arn") && !matches("arn:*:*:*:*:*", "no arn"));
    for bad in
        ["", "repository/a", "arn:*", "arn:aws:ecr:*", "a?n:aws:ecr:eu:1:x", "ARN:aws:s3:::x", "*:*:*:*:*:*"]
    {
        assert_eq!(ArnPattern::parse(bad, GLOB).unwrap_err(), PatternError::Arn(bad.into()));
    }
    assert!(ArnPattern::parse("arn:aws:iam::*:user/${aws:username}", GLOB).is_ok());
    let early = "arn:aws:iam::${aws:PrincipalAccount}:root";
    assert!(ArnPattern::parse(early, GLOB).is_ok());
    assert_eq!(ArnPattern::parse_resource(early, GLOB), Err(PatternError::VariablePlace(early.into())));
}

/// XP4. That these end at all is the test: an exponential matcher would not.
#[test]
fn wildcard_bombs_take_a_moment() {
    let text = "a".repeat(10_000);
    let stars = format!("{}*b", "*a".repeat(5_000));
    assert!(!matches(&stars, GLOB, &text) && matches(&stars, GLOB, &format!("{text}b")));
    assert!(matches(&"*?".repeat(5_120), GLOB, &text) && !matches(&"*?".repeat(10_240), GLOB, &text));
    assert!(!matches(&format!("*{}b", "a".repeat(5_000)), GLOB, &text));
    assert!(matches(&"*".repeat(1 << 20), GLOB, &text));
    let arn = format!("arn:aws:ecr:eu:1:{}", "*a".repeat(900));
    assert!(!ArnPattern::parse(&arn, GLOB).unwrap().matches_text("arn:aws:ecr:eu:1:ab", &lookup));
}

/// Wildcards as anybody would write them down: slow, and exponential.
fn slow(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
        Some(('?', rest)) => !text.is_empty() && slow(rest, &text[1..]),
        Some((wanted, rest)) => text.first() == Some(wanted) && slow(rest, &text[1..]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn the_matcher_agrees_with_a_slow_one(pattern in "[abé*?]{0,8}", text in "[abé]{0,9}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(matches(&pattern, GLOB, &text), slow(&chars(&pattern), &chars(&text)));
    }

    #[test]
    fn any_text_parses_without_panic(text in "(arn)?[:$*?{}',a:é]{0,16}") {
        let _ = Pattern::parse(&text, GLOB);
        let _ = ArnPattern::parse_resource(&text, GLOB);
    }
}
