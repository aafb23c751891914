//! Every operator, and what is none.

use super::*;

fn parse(operator: &str, values: &[&str]) -> Result<Condition, ConditionError> {
    let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
    Condition::parse(operator, ConditionKey::UserId, &values, Variables::Inserted)
}

/// Whether a value meets the operator, negation apart.
fn matches(operator: &str, value: &str, asked: &str) -> bool {
    parse(operator, &[value]).unwrap().test.matches(asked, &|_| None)
}

#[test]
fn operators_compare_as_iam_says() {
    for (operator, value, yes, no) in [
        ("StringEquals", "a*", "a*", "ab"),
        ("StringEqualsIgnoreCase", "Ab", "aB", "abc"),
        ("StringLike", "a*", "ab", "Ab"),
        ("ArnEquals", "arn:aws:ecr:*:1:r/*", "arn:aws:ecr:eu:1:r/a", "arn:aws:ecr:eu:2:r/a"),
        ("ArnLike", "arn:aws:ecr:*:1:r", "arn:aws:ecr:eu:1:r", "r"),
        ("NumericEquals", "1.0", "1", "1.1"),
        ("NumericLessThan", "10", "9", "10"),
        ("NumericLessThanEquals", "10", "10", "0x9"),
        ("NumericGreaterThan", "-2", "-1", "-2"),
        ("NumericGreaterThanEquals", "2", "2", "two"),
        ("DateEquals", "2020-01-01", "2020-01-01T00:00:00Z", "2020-01-01T00:00:01Z"),
        ("DateLessThan", "2020-01-01T00:00:00Z", "2019-12-31T23:59:59Z", "1577836800"),
        ("DateLessThanEquals", "1577836800", "2020-01-01", "2020-01-02"),
        ("DateGreaterThan", "2020-01-01", "2020-01-02", "2020-01-01"),
        ("DateGreaterThanEquals", "2020-01-01", "2020-01-01", "2020-01-01T00:00:00"),
        ("Bool", "true", "True", "1"),
        ("IpAddress", "10.0.0.0/8", "10.1.1.1", "10.1"),
    ] {
        let condition = parse(operator, &[value]).unwrap();
        let plain = Operator { quantifier: Quantifier::Single, negated: false, if_exists: false };
        assert_eq!(condition.operator, plain, "{operator}");
        assert!(matches(operator, value, yes) && !matches(operator, value, no), "{operator}");
    }
}

#[test]
fn negations_prefixes_and_suffixes_are_read() {
    for negated in [
        "StringNotEquals",
        "StringNotEqualsIgnoreCase",
        "StringNotLike",
        "ArnNotEquals",
        "ArnNotLike",
        "NumericNotEquals",
        "DateNotEquals",
        "NotIpAddress",
    ] {
        let value = match negated.as_bytes()[0] {
            b'S' => "a",
            b'A' => "arn:aws:s3:::a",
            b'D' => "2020-01-01",
            _ if negated.contains("Ip") => "10.0.0.0/8",
            _ => "1",
        };
        for (prefix, quantifier) in
            [("", Quantifier::Single), ("ForAnyValue:", Quantifier::Any), ("ForAllValues:", Quantifier::All)]
        {
            for (suffix, if_exists) in [("", false), ("IfExists", true)] {
                let condition = parse(&format!("{prefix}{negated}{suffix}"), &[value]).unwrap();
                assert_eq!(condition.operator, Operator { quantifier, negated: true, if_exists });
            }
        }
    }
    assert_eq!(parse("Null", &["true", "false"]).unwrap().test, Test::Absent(vec![true, false]));
}

#[test]
fn what_is_no_operator_or_value_is_refused() {
    for bad in [
        "",
        "stringequals",
        "StringEqual",
        "String",
        "IfExists",
        "NullIfExists",
        "ForAnyValue:Null",
        "NotNull",
        "NotBool",
        "BoolNot",
        "BinaryEquals",
        "NumericNotLessThan",
        "DateNotGreaterThanEquals",
        "Numeric",
        "ForSomeValues:StringEquals",
        "ForAnyValue:ForAllValues:StringEquals",
        "ForAnyValue: StringEquals",
        "StringEqualsIfExistsIfExists",
        "StringNotNotEquals",
        "NotStringEquals",
        "StringEqualsNotIgnoreCase",
        "IpNotAddress",
        "NotIpAddressNot",
        "ArnEqualsIgnoreCase",
        "StringLessThan",
    ] {
        assert_eq!(parse(bad, &["true"]), Err(ConditionError::Operator(bad.into())), "{bad}");
    }
    for (operator, value) in [
        ("NumericEquals", "0x10"),
        ("NumericEquals", "${aws:username}"),
        ("DateEquals", "2020-01-01T00:00:00"),
        ("IpAddress", "10.1"),
        ("NotIpAddress", "10.0.0.0/33"),
        ("Bool", "1"),
        ("Null", "yes"),
    ] {
        assert!(
            matches!(parse(operator, &["true", value]), Err(ConditionError::Value(..))),
            "{operator} {value}"
        );
    }
    assert!(matches!(parse("ArnLike", &["role/a"]), Err(ConditionError::Pattern(_))));
    assert!(matches!(parse("StringLike", &["${x}"]), Err(ConditionError::Pattern(_))));
    assert!(matches!(parse("StringLike", &[]), Err(ConditionError::Empty(_))));
}
