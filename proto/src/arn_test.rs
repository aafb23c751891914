//! What is an ARN, and what is a principal.

use super::*;
use proptest::prelude::*;

#[test]
fn an_arn_has_six_parts_of_which_the_last_may_hold_colons() {
    let arn: Arn = "arn:aws:ecr:eu-north-1:000000000001:repository/a:b".parse().unwrap();
    assert_eq!(arn.parts(), ["arn", "aws", "ecr", "eu-north-1", "000000000001", "repository/a:b"]);
    assert_eq!("arn:aws:s3:::".parse::<Arn>().unwrap().parts(), ["arn", "aws", "s3", "", "", ""]);
    let long = format!("arn:aws:s3:::{}", "a".repeat(MAX_ARN - 13));
    assert!(long.parse::<Arn>().is_ok() && format!("{long}a").parse::<Arn>().is_err());
    for bad in [
        "",
        "arn",
        "arn:aws:ecr",
        "arn:aws:ecr:a:b",
        "ARN:aws:ecr:::r",
        "arn:aws:ecr:::\0",
        "аrn:aws:ecr:::r",
    ] {
        assert_eq!(bad.parse::<Arn>(), Err(ArnError::Arn), "{bad:?}");
    }
}

#[test]
fn a_repository_has_an_arn_of_its_registry() {
    let registry =
        RegistryId { account: "000000000001".parse().unwrap(), region: "eu-north-1".parse().unwrap() };
    let name = "team/app".parse().unwrap();
    let arn = Arn::repository("ecr", &registry, &name);
    assert_eq!(arn.as_str(), "arn:aws:ecr:eu-north-1:000000000001:repository/team/app");
    assert_eq!(arn.as_str().parse(), Ok(arn));
    let public = Arn::repository("ecr-public", &registry, &name);
    assert_eq!(public.to_string(), "arn:aws:ecr-public::000000000001:repository/team/app");
    assert_eq!(public.parts()[3], "");
}

#[test]
fn principals_are_what_the_specification_lists_and_nothing_else() {
    for good in [
        "arn:aws:iam::000000000001:root",
        "arn:aws:iam::000000000001:user/alice",
        "arn:aws:iam::000000000001:user/team/a+=,.@_-b",
        "arn:aws:iam::000000000001:role/ci/deploy",
        "arn:aws:sts::000000000001:assumed-role/deploy/build-17",
    ] {
        assert_eq!(good.parse::<PrincipalArn>().unwrap().to_string(), good);
    }
    let root = "000000000001".parse::<PrincipalArn>().unwrap();
    assert_eq!(root.to_string(), "arn:aws:iam::000000000001:root");
    assert_eq!(root.account().as_str(), "000000000001");
    for bad in [
        "*",
        "00000000001",
        "٠٠٠٠٠٠٠٠٠٠٠١",
        "arn:aws:iam::*:root",
        "arn:aws:iam::000000000001:user/*",
        "arn:aws:iam::000000000001:user/a?",
        "arn:aws:iam::000000000001:user/",
        "arn:aws:iam::000000000001:user//a",
        "arn:aws:iam::000000000001:user/a/",
        "arn:aws:iam::000000000001:user/${aws:username}",
        "arn:aws:iam::000000000001:user/аlice",
        "arn:aws:iam::000000000001:User/alice",
        "arn:aws:iam::000000000001:group/a",
        "arn:aws:iam:eu:000000000001:root",
        "arn:aws-cn:iam::000000000001:root",
        "arn:aws:sts::000000000001:assumed-role/deploy",
        "arn:aws:sts::000000000001:assumed-role/a/b/c",
        "arn:aws:iam::000000000001:root\0",
    ] {
        assert!(bad.parse::<PrincipalArn>().is_err(), "{bad}");
    }
    let role: EntityName = "ci/deploy".parse().unwrap();
    assert_eq!(SessionName::new(&role, "build").unwrap().as_str(), "deploy/build");
    assert!(SessionName::new(&role, "a/b").is_err());
    assert_eq!("team/Build.Bot".parse::<EntityName>().unwrap().unique_name(), "build.bot");
}

proptest! {
    #[test]
    fn any_text_parses_without_panic_and_is_written_as_it_came(text in "(arn)?[:a/*é\0]{0,12}") {
        if let Ok(arn) = text.parse::<Arn>() {
            prop_assert_eq!(arn.parts().join(":"), text.as_str());
        }
        let _ = text.parse::<PrincipalArn>();
    }
}
