//! What is taken as a policy of each kind, what is refused and why, and how stored ones are read.

use super::condition::Quantifier;
use super::*;
use proptest::prelude::*;

fn read(kind: Kind, text: &str) -> Result<Policy, PolicyError> {
    Policy::parse(text.as_bytes(), kind, Extensions::Allowed)
}

/// A policy of one statement with these members beside an effect.
fn with(kind: Kind, members: &str) -> Result<Policy, PolicyError> {
    read(kind, &format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow",{members}}}]}}"#))
}

/// Why the one statement with these members is refused.
fn refused(kind: Kind, members: &str) -> StatementError {
    match with(kind, members) {
        Err(PolicyError::Statement { number: 0, reason }) => reason,
        other => panic!("{members}: {other:?}"),
    }
}

const IDENTITY: &str = r#""Action":"ecr:*","Resource":"*""#;
const REPOSITORY: &str = r#""Principal":"*","Action":"ecr:BatchGetImage""#;

#[test]
fn a_policy_is_read_with_all_its_elements() {
    let text = r#"{"Version":"2012-10-17","Id":"x","Statement":{
        "Sid":"pull from here","Effect":"Deny","NotPrincipal":{"AWS":["000000000001","*"],"Service":"ecr.amazonaws.com"},
        "NotAction":["ecr:Get*","ecr:PutImage"],"NotResource":"arn:aws:ecr:*:*:repository/${aws:username}/*",
        "Condition":{"ForAnyValue:StringLikeIfExists":{"aws:TagKeys":["a*","b"]},"Bool":{"aws:securetransport":false},
            "NumericLessThan":{"ecr:ResourceTag/Size":[10,"20.5"]}}}}"#;
    let policy = read(Kind::Registry, text).unwrap();
    let [statement] = policy.statements.as_slice() else { panic!("{policy:?}") };
    assert_eq!(statement.sid.as_deref(), Some("pull from here"));
    assert_eq!(statement.effect, Effect::Deny);
    assert!(matches!(&statement.principals, Element::AllBut(names) if names.len() == 3));
    assert!(matches!(&statement.actions, Element::AllBut(actions) if actions.len() == 2));
    assert!(matches!(&statement.resources, Element::AllBut(resources) if resources.len() == 1));
    assert_eq!(statement.conditions.len(), 3);
    assert!(statement.conditions.iter().any(|one| one.operator.quantifier == Quantifier::Any));
}

#[test]
fn one_value_and_a_list_of_one_are_the_same() {
    let one =
        with(Kind::Repository, r#""Principal":{"AWS":"000000000001"},"Action":"ecr:PutImage""#).unwrap();
    let list =
        with(Kind::Repository, r#""Principal":{"AWS":["000000000001"]},"Action":["ecr:PutImage"]"#).unwrap();
    assert_eq!(one, list);
    let everyone = with(Kind::Repository, r#""Principal":{"AWS":"*"},"Action":"ecr:BatchGetImage""#).unwrap();
    assert_eq!(everyone, with(Kind::Repository, REPOSITORY).unwrap());
    let condition = |value| {
        with(
            Kind::Identity,
            &format!(r#"{IDENTITY},"Condition":{{"StringEquals":{{"aws:userid":{value}}}}}"#),
        )
        .unwrap()
    };
    assert_eq!(condition("\"1\""), condition("[1]"));
    assert_eq!(
        with(Kind::Identity, IDENTITY).unwrap(),
        with(Kind::Identity, &format!(r#"{IDENTITY},"Condition":{{}}"#)).unwrap()
    );
}

#[test]
fn versions_are_two_and_the_older_has_no_variables() {
    let text = |version: &str| {
        format!(
            r#"{{{version}"Statement":[{{"Effect":"Allow","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:${{x}}"}}]}}"#
        )
    };
    for old in ["", r#""Version":"2008-10-17","#] {
        assert!(read(Kind::Identity, &text(old)).is_ok(), "{old}");
    }
    let new = read(Kind::Identity, &text(r#""Version":"2012-10-17","#));
    assert!(matches!(new, Err(PolicyError::Statement { reason: StatementError::Resource(_), .. })));
    for bad in [r#""Version":"2099-01-01","#, r#""Version":2012,"#, r#""Version":null,"#] {
        assert!(matches!(read(Kind::Identity, &text(bad)), Err(PolicyError::Version)), "{bad}");
    }
}

#[test]
fn each_kind_has_rules_of_its_own() {
    use StatementError::*;
    assert_eq!(refused(Kind::Identity, &format!(r#"{IDENTITY},"Principal":"*""#)), Principals);
    assert_eq!(refused(Kind::Identity, r#""Action":"ecr:*""#), Missing("Resource"));
    assert_eq!(refused(Kind::Identity, &format!(r#"{IDENTITY},"Sid":"a b""#)), Sid);
    assert!(with(Kind::Identity, r#""Action":["s3:GetObject","iam:*"],"Resource":"*""#).is_ok());
    for kind in [Kind::Repository, Kind::PublicRepository, Kind::Registry] {
        assert_eq!(refused(kind, r#""Action":"*","Resource":"*""#), Missing("Principal"));
        assert!(matches!(refused(kind, r#""Principal":"*","Action":"s3:*","Resource":"*""#), Action(_)));
        assert!(with(kind, r#""Principal":"*","Action":"*","Resource":"*","Sid":"a b""#).is_ok());
    }
    assert!(with(Kind::Repository, REPOSITORY).is_ok());
    assert!(matches!(refused(Kind::PublicRepository, REPOSITORY), Action(_)));
    assert!(with(Kind::PublicRepository, r#""Principal":"*","Action":"ecr-public:PutImage""#).is_ok());
    assert_eq!(refused(Kind::Registry, REPOSITORY), Missing("Resource"));
    let twice = r#"{"Statement":[{"Sid":"a","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},
        {"Sid":"a","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#;
    assert!(read(Kind::Repository, twice).is_ok(), "duplicate Sids are allowed");
    let twice = twice.replace(r#""Principal":"*","#, "");
    assert!(matches!(read(Kind::Identity, &twice), Err(PolicyError::SameSid)));
    assert!(matches!(
        read(Kind::Identity, r#"{"Id":"x","Statement":[]}"#),
        Err(PolicyError::Member(name)) if name == "Id"
    ));
}

#[test]
fn a_statement_that_is_not_understood_is_refused() {
    use StatementError::*;
    let repository = |rest: &str| refused(Kind::Repository, rest);
    assert_eq!(repository(&format!(r#"{REPOSITORY},"Comment":"x""#)), Member("Comment".into()));
    assert_eq!(repository(&format!(r#"{REPOSITORY},"NotAction":"*""#)), Both("Action"));
    assert_eq!(repository(&format!(r#"{REPOSITORY},"NotPrincipal":"*""#)), Both("Principal"));
    assert_eq!(repository(r#""Principal":"*""#), Missing("Action"));
    assert_eq!(repository(r#""Principal":"*","Action":[]"#), Empty("Action"));
    assert_eq!(repository(&format!(r#"{REPOSITORY},"Resource":[]"#)), Empty("Resource"));
    for empty in [r#"{"AWS":[]}"#, "{}"] {
        assert_eq!(repository(&format!(r#""Principal":{empty},"Action":"*""#)), Empty("Principal"));
    }
    for shape in ["1", "null", "[]", "\"000000000001\"", r#"{"AWS":[1]}"#] {
        assert_eq!(repository(&format!(r#""Principal":{shape},"Action":"*""#)), Type("Principal"));
    }
    for shape in ["1", "null", "{}", "[1]", "[[]]"] {
        assert_eq!(repository(&format!(r#""Principal":"*","Action":{shape}"#)), Type("Action"));
    }
    for shape in [
        "1",
        "[]",
        "null",
        r#"{"Bool":1}"#,
        r#"{"Bool":{"aws:userid":null}}"#,
        r#"{"Bool":{"aws:userid":{}}}"#,
    ] {
        assert_eq!(repository(&format!(r#"{REPOSITORY},"Condition":{shape}"#)), Type("Condition"));
    }
    for condition in [
        r#"{"StringEquals":{"aws:Nothing":"x"}}"#,
        r#"{"stringequals":{"aws:userid":"x"}}"#,
        r#"{"StringEquals":{"aws:userid":[]}}"#,
        r#"{"NumericEquals":{"aws:userid":"0x10"}}"#,
        r#"{"NumericEquals":{"aws:userid":1e30}}"#,
        r#"{"IpAddress":{"aws:SourceIp":"10.1"}}"#,
    ] {
        assert!(
            matches!(repository(&format!(r#"{REPOSITORY},"Condition":{condition}"#)), Condition(_)),
            "{condition}"
        );
    }
    assert!(matches!(repository(r#""Principal":{"Federated":"x"},"Action":"*""#), Principal(_)));
    assert!(matches!(
        repository(r#""Principal":{"AWS":"arn:aws:iam::000000000001:user/*"},"Action":"*""#),
        Principal(_)
    ));
    assert!(matches!(repository(&format!(r#"{REPOSITORY},"Resource":"repository/a""#)), Resource(_)));
    for effect in ["\"allow\"", "\"Permit\"", "1", "null"] {
        let text = format!(r#"{{"Statement":[{{"Effect":{effect},{REPOSITORY}}}]}}"#);
        let error = read(Kind::Repository, &text).unwrap_err();
        assert!(matches!(error, PolicyError::Statement { reason: Effect, .. }), "{effect}");
    }
    let text = format!(r#"{{"Statement":[{{{REPOSITORY}}}]}}"#);
    let error = read(Kind::Repository, &text).unwrap_err();
    assert!(matches!(error, PolicyError::Statement { reason: Missing("Effect"), .. }));
}

#[test]
fn strict_mode_takes_ecrs_keys_only() {
    let text = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Null":{"shoal:ImageTag":true}}}}"#;
    assert!(Policy::parse(text.as_bytes(), Kind::Identity, Extensions::Allowed).is_ok());
    assert!(Policy::parse(text.as_bytes(), Kind::Identity, Extensions::Refused).is_err());
}

#[test]
fn a_document_that_others_might_read_differently_is_refused() {
    let statement = format!(r#"{{"Effect":"Allow",{REPOSITORY}}}"#);
    for bad in [
        "".to_owned(),
        "null".into(),
        "[]".into(),
        "{".into(),
        format!(r#"{{"Statement":[{statement}],}}"#),
        format!(r#"{{"Statement":[{statement}]}} x"#),
        format!(r#"/* x */{{"Statement":[{statement}]}}"#),
        format!(r#"{{"Statement":[{statement}],"Statement":[{statement}]}}"#),
        format!(r#"{{"Statement":[{statement}],"Stat\u0065ment":[{statement}]}}"#),
        format!(r#"{{"Statement":[{{"Effect":"Deny",{}]}}"#, &statement[1..]),
        format!(r#"{{"Id":"\u0000","Statement":[{statement}]}}"#),
        format!(r#"{{"Id":"\ud800","Statement":[{statement}]}}"#),
        format!(
            r#"{{"Statement":[{{"Effect":"Allow",{REPOSITORY},"Condition":{{"NumericEquals":{{"aws:userid":1e999}}}}}}]}}"#
        ),
        format!("{}{}", r#"{"Statement":"#, "[".repeat(10_000)),
        format!(
            r#"{{"Statement":[{{"Effect":"Allow",{REPOSITORY},"Condition":{{"Bool":{{"aws:userid":[[]]}}}}}}]}}"#
        ),
    ] {
        assert!(matches!(read(Kind::Repository, &bad), Err(PolicyError::Json(_))), "{bad}");
    }
    for bad in [b"\xff{}".as_slice(), b"{\"Id\":\"\xc0\x80\"}", b"\xef\xbb\xbf{}", b"{\0}"] {
        assert!(matches!(
            Policy::parse(bad, Kind::Repository, Extensions::Allowed),
            Err(PolicyError::Json(_))
        ));
    }
    for bad in ["{}", r#"{"Statement":[]}"#, r#"{"Statement":"x"}"#, r#"{"Statement":null}"#] {
        assert!(matches!(read(Kind::Repository, bad), Err(PolicyError::NoStatement)), "{bad}");
    }
    // A lookalike of another script is another member.
    for bad in ["Ѕtatement", "statement", "Statement ", "Comment"] {
        let text = format!(r#"{{"Statement":[{statement}],"{bad}":[]}}"#);
        assert!(matches!(read(Kind::Repository, &text), Err(PolicyError::Member(name)) if name == bad));
    }
}

#[test]
fn a_policy_has_at_most_so_many_characters() {
    let statement = format!(r#"{{"Effect":"Allow",{REPOSITORY}}}"#);
    let sized = |characters: usize, filler: &str| {
        let rest = format!(r#"{{"Id":"","Statement":[{statement}]}}"#);
        let filler = filler.repeat(characters - rest.len());
        rest.replacen(r#""Id":"""#, &format!(r#""Id":"{filler}""#), 1)
    };
    for filler in ["a", "é", "𝄞"] {
        assert!(read(Kind::Repository, &sized(MAX_POLICY, filler)).is_ok());
        assert!(matches!(read(Kind::Repository, &sized(MAX_POLICY + 1, filler)), Err(PolicyError::TooLong)));
    }
    assert!(matches!(read(Kind::Repository, &"{".repeat(1 << 20)), Err(PolicyError::TooLong)));
    assert!(matches!(
        Policy::parse(&[0xff; 50_000], Kind::Repository, Extensions::Allowed),
        Err(PolicyError::TooLong)
    ));
}

#[test]
fn stored_policies_allow_only_what_is_understood_and_deny_the_rest() {
    let stored = |statement: &str| {
        Policy::stored(format!(r#"{{"Statement":[{statement}]}}"#).as_bytes(), Kind::Repository).statements
    };
    let known = format!(r#"{{"Effect":"Allow",{REPOSITORY}}}"#);
    assert_eq!(
        stored(&known),
        read(Kind::Repository, &format!(r#"{{"Statement":[{known}]}}"#)).unwrap().statements
    );
    for unknown in [
        r#"{"Effect":"Allow","Principal":"*","Action":"ecr:Foo"}"#,
        r#"{"Effect":"allow","Principal":"*","Action":"*"}"#,
        r#"{"Effect":"Allow","Principal":"*","Action":"*","Condition":{"Moon":{"aws:userid":"full"}}}"#,
    ] {
        assert_eq!(stored(unknown), [], "{unknown}");
    }
    let [denial] = &stored(
        r#"{"Sid":"x","Effect":"Deny","Principal":{"AWS":"000000000001"},"Action":"ecr:Foo",
            "Condition":{"Moon":{"aws:userid":"full"},"Bool":{"aws:SecureTransport":"false","aws:Moon":"true"}}}"#,
    )[..] else {
        panic!("it denies")
    };
    assert_eq!((denial.sid.as_deref(), denial.effect), (Some("x"), Effect::Deny));
    assert!(matches!(&denial.principals, Element::Only(names) if names.len() == 1));
    assert_eq!((&denial.actions, denial.conditions.len()), (&Element::all(), 1));
    for text in ["", "{}", r#"{"Version":"2099-01-01","Statement":[]}"#, r#"{"Statement":[1]}"#] {
        let all = Policy::stored(text.as_bytes(), Kind::Repository).statements;
        assert!(
            matches!(&all[..], [one] if one.effect == Effect::Deny && one.actions == Element::all()),
            "{text}"
        );
    }
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let warnings = |effect: &str, members: &str| -> Vec<Warning> {
        let text = format!(r#"{{"Statement":[{{"Effect":"{effect}",{members}}}]}}"#);
        read(Kind::Registry, &text).unwrap().warnings().into_iter().map(|(_, warning)| warning).collect()
    };
    let account = r#""Principal":{"AWS":"000000000001"}"#;
    let plain = format!(r#"{account},"Action":"*","Resource":"*""#);
    assert_eq!(warnings("Allow", &plain), []);
    for (effect, members, warning) in [
        ("Allow", format!(r#"{account},"NotAction":"ecr:PutImage","Resource":"*""#), Warning::AllowNotAction),
        ("Allow", plain.replacen('P', "NotP", 1), Warning::AllowNotPrincipal),
        ("Deny", plain.replacen('P', "NotP", 1), Warning::DenyNotPrincipal),
        ("Allow", plain.replace("Resource", "NotResource"), Warning::AllowNotResource),
        ("Deny", plain.replace("Resource", "NotResource"), Warning::DenyNotResource),
        ("Allow", plain.replace(account, r#""Principal":"*""#), Warning::AllowEveryone),
        (
            "Allow",
            format!(r#"{plain},"Condition":{{"ForAllValues:StringLike":{{"aws:TagKeys":"a"}}}}"#),
            Warning::AllowForAllValues,
        ),
        (
            "Deny",
            format!(r#"{plain},"Condition":{{"StringLike":{{"aws:TagKeys":"a"}}}}"#),
            Warning::NoQuantifier,
        ),
    ] {
        assert_eq!(warnings(effect, &members), [warning], "{members}");
        assert!(!warning.to_string().is_empty());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>, text in r#"(\{"Statement":)?[\[\]{}",:a\\0-9*]{0,40}"#) {
        for kind in [Kind::Identity, Kind::Repository, Kind::PublicRepository, Kind::Registry] {
            let _ = Policy::parse(&bytes, kind, Extensions::Allowed);
            let _ = read(kind, &text);
            prop_assert!(!Policy::stored(&bytes, kind).statements.is_empty());
        }
    }
}
