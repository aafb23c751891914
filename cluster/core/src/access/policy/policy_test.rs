//! The rules of §9.2 one by one, and its cases A1 to A12.

use proto::policy::{Extensions, Kind};

use super::*;

const OWNER: &str = "000000000001";
const OTHER: &str = "000000000002";
const PULL: &str = "ecr:BatchGetImage";

fn user(account: &str) -> Caller {
    Caller::User(account.parse().unwrap(), "team/alice".parse().unwrap())
}

fn root(account: &str) -> Caller {
    Caller::Root(account.parse().unwrap())
}

fn session(account: &str) -> Caller {
    let role = "ci/deploy".parse().unwrap();
    let name = proto::arn::SessionName::new(&role, "build-17").unwrap();
    Caller::Session { account: account.parse().unwrap(), role, name }
}

/// A request for the repository `team/app` of [`OWNER`], and the policies that bear on it.
struct Case {
    caller: Caller,
    action: &'static str,
    identity: Vec<Policy>,
    session: Option<Policy>,
    repository: Option<Policy>,
    registry: Option<Policy>,
    trust: Option<Policy>,
    context: Context,
}

fn read(kind: Kind, statements: &str) -> Policy {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    Policy::parse(text.as_bytes(), kind, Extensions::Allowed)
        .unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn case(caller: Caller) -> Case {
    Case {
        caller,
        action: PULL,
        identity: Vec::new(),
        session: None,
        repository: None,
        registry: None,
        trust: None,
        context: Context::default(),
    }
}

impl Case {
    fn action(mut self, action: &'static str) -> Self {
        self.action = action;
        self
    }

    fn identity(mut self, statements: &str) -> Self {
        self.identity.push(read(Kind::Identity, statements));
        self
    }

    fn session(mut self, statements: &str) -> Self {
        self.session = Some(read(Kind::Identity, statements));
        self
    }

    fn repository(mut self, statements: &str) -> Self {
        self.repository = Some(read(Kind::Repository, statements));
        self
    }

    fn registry(mut self, statements: &str) -> Self {
        self.registry = Some(read(Kind::Registry, statements));
        self
    }

    fn trust(mut self, statements: &str) -> Self {
        self.trust = Some(read(Kind::Trust, statements));
        self
    }

    fn knows(mut self, key: &str, value: &str) -> Self {
        self.context.insert(key.parse().unwrap(), value.to_owned());
        self
    }

    /// The decision as text, and whether it is a yes.
    fn decide(&self) -> (bool, String) {
        let registry = RegistryId { account: OWNER.parse().unwrap(), region: "eu".parse().unwrap() };
        let action: ActionName = self.action.parse().unwrap();
        let name = "team/app".parse().unwrap();
        let resource = match self.action {
            "ecr:GetAuthorizationToken" | "ecr:DescribeRegistry" => Resource::account(registry.account),
            "sts:AssumeRole" => {
                Resource::named(registry.account.clone(), Arn::principal(&registry.account, "role/ci"))
            }
            _ => Resource::repository(&action, &registry, &name),
        };
        let request = Request::new(self.caller.clone(), action, resource, self.context.clone());
        let identity: Vec<Attached<'_>> =
            self.identity.iter().map(|policy| Attached { name: "own", policy }).collect();
        let policies = Policies {
            identity: &identity,
            session: self.session.as_ref(),
            repository: self.repository.as_ref(),
            registry: self.registry.as_ref(),
            trust: self.trust.as_ref(),
        };
        let decision = evaluate(&request, &policies);
        (decision.is_allowed(), decision.to_string())
    }

    #[track_caller]
    fn allowed(self) {
        let (allowed, reason) = self.decide();
        assert!(allowed, "{reason}");
    }

    #[track_caller]
    fn denied(self, reason: &str) {
        assert_eq!(self.decide(), (false, format!("denied: {reason}")));
    }
}

const ALL: &str = r#"{"Effect":"Allow","Action":"ecr:*","Resource":"*"}"#;
const NO_ALLOW: &str = "no identity-based or resource-based policy allows the action";
const NO_IDENTITY: &str = "no identity-based policy allows the action";
const NO_RESOURCE: &str = "no resource-based policy allows the action";

/// A statement of a repository's or registry's policy.
fn to(effect: &str, principal: &str, rest: &str) -> String {
    format!(r#"{{"Effect":"{effect}","Principal":{principal},"Action":"ecr:BatchGetImage"{rest}}}"#)
}

fn account(id: &str) -> String {
    format!(r#"{{"AWS":"arn:aws:iam::{id}:root"}}"#)
}

fn alice(id: &str) -> String {
    format!(r#"{{"AWS":"arn:aws:iam::{id}:user/team/alice"}}"#)
}

#[test]
fn a1_to_a3_the_same_account_needs_one_side() {
    case(user(OWNER)).identity(ALL).allowed();
    case(user(OWNER)).repository(&to("Allow", &alice(OWNER), "")).allowed();
    case(user(OWNER)).repository(&to("Allow", &account(OWNER), "")).denied(NO_ALLOW);
    case(user(OWNER)).denied(NO_ALLOW);
}

#[test]
fn a4_to_a7_another_account_needs_both_sides() {
    let trust = to("Allow", &account(OTHER), "");
    case(user(OTHER)).identity(ALL).repository(&trust).allowed();
    case(user(OTHER)).repository(&trust).denied(NO_IDENTITY);
    case(user(OTHER)).repository(&to("Allow", &alice(OTHER), "")).denied(NO_IDENTITY);
    case(user(OTHER)).identity(ALL).denied(NO_RESOURCE);
    case(user(OTHER)).identity(ALL).registry(&to("Allow", &account(OTHER), r#","Resource":"*""#)).allowed();
    case(user(OTHER)).identity(ALL).repository(&to("Allow", &account(OWNER), "")).denied(NO_RESOURCE);
}

#[test]
fn a8_a_deny_of_the_repository_holds_for_the_owners_root_too() {
    let deny = to("Deny", "\"*\"", "");
    let why = "explicit deny in statement 0 of the repository policy";
    case(user(OWNER)).identity(ALL).repository(&deny).denied(why);
    case(root(OWNER)).repository(&deny).denied(why);
    case(root(OWNER)).repository(&deny).action("ecr:PutImage").allowed();
}

#[test]
fn a9_everyone_of_an_organization() {
    let ours = to("Allow", "\"*\"", r#","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}"#);
    case(user(OTHER)).identity(ALL).repository(&ours).knows("aws:PrincipalOrgID", "o-1").allowed();
    case(user(OTHER)).identity(ALL).repository(&ours).knows("aws:PrincipalOrgID", "o-2").denied(NO_RESOURCE);
    case(user(OTHER)).identity(ALL).repository(&ours).denied(NO_RESOURCE);
}

#[test]
fn a10_a_deny_outside_a_network() {
    let outside = to("Deny", "\"*\"", r#","Condition":{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#);
    let from = |address| case(user(OWNER)).identity(ALL).repository(&outside).knows("aws:SourceIp", address);
    from("10.1.1.1").allowed();
    from("::ffff:10.1.1.1").allowed();
    for address in ["8.8.8.8", "::1", "10.1", "no address"] {
        from(address).denied("explicit deny in statement 0 of the repository policy");
    }
}

#[test]
fn a11_a_deny_by_the_repositorys_tag() {
    let deny = r#"{"Effect":"Deny","Action":"ecr:*","Resource":"*","Sid":"prod",
        "Condition":{"StringEquals":{"ecr:ResourceTag/env":"prod"}}}"#;
    let tagged = |key, value| case(user(OWNER)).identity(ALL).identity(deny).knows(key, value);
    let why = r#"explicit deny in statement 0 ("prod") of identity policy "own""#;
    tagged("aws:ResourceTag/env", "prod").denied(why);
    tagged("aws:ResourceTag/ENV", "prod").denied(why);
    tagged("aws:ResourceTag/ENV", "dev").knows("aws:ResourceTag/env", "prod").denied(why);
    tagged("aws:ResourceTag/env", "dev").allowed();
    tagged("aws:RequestTag/env", "prod").allowed();
}

#[test]
fn a12_logging_in_is_a_matter_of_the_callers_own_policies() {
    let all = r#"{"Effect":"Allow","Principal":"*","Action":"*"}"#;
    let login = || case(user(OWNER)).action("ecr:GetAuthorizationToken");
    let registry = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
    login().repository(all).registry(registry).denied(NO_ALLOW);
    login().identity(ALL).allowed();
    login().identity(ALL).registry(&registry.replace("Allow", "Deny")).allowed();
    login().identity(&ALL.replace("*\"}", "arn:aws:ecr:*:*:*\"}")).denied(NO_ALLOW);
    case(root(OWNER)).action("ecr:GetAuthorizationToken").allowed();
}

#[test]
fn a_deny_anywhere_wins_in_any_order() {
    let deny = ALL.replace("Allow", "Deny");
    let everyone = to("Allow", "\"*\"", "");
    let all =
        || case(user(OWNER)).repository(&everyone).registry(&to("Allow", "\"*\"", r#","Resource":"*""#));
    all().identity(ALL).session(ALL).allowed();
    for statements in [format!("{ALL},{deny}"), format!("{deny},{ALL}")] {
        assert!(!all().identity(&statements).decide().0);
        assert!(!all().identity(ALL).session(&statements).decide().0);
    }
    assert!(!all().identity(ALL).identity(&deny).decide().0, "a group's");
    assert!(!all().identity(&deny).identity(ALL).decide().0);
    assert!(!all().identity(ALL).registry(&to("Deny", &account(OWNER), r#","Resource":"*""#)).decide().0);
    assert!(
        !all().identity(ALL).repository(&format!("{everyone},{}", to("Deny", &alice(OWNER), ""))).decide().0
    );
}

#[test]
fn a_session_policy_only_narrows() {
    let why = "no session policy allows the action";
    let other = ALL.replace("ecr:*", "ecr:PutImage");
    case(user(OWNER)).session(ALL).denied(NO_ALLOW);
    case(user(OWNER)).identity(ALL).session(&other).denied(why);
    case(root(OWNER)).session(&other).denied(why);
    case(root(OWNER)).session(ALL).allowed();
    let named = to("Allow", r#"{"AWS":"arn:aws:sts::000000000001:assumed-role/deploy/build-17"}"#, "");
    case(session(OWNER)).repository(&named).allowed();
    case(session(OWNER)).repository(&named).session(&other).denied(why);
}

#[test]
fn the_root_may_do_all_in_its_account_and_elsewhere_what_the_owner_allows() {
    case(root(OWNER)).allowed();
    case(root(OWNER)).identity(&ALL.replace("Allow", "Deny")).allowed();
    case(root(OTHER)).denied(NO_RESOURCE);
    case(root(OTHER)).repository(&to("Allow", &account(OTHER), "")).allowed();
    case(root(OTHER)).repository(&to("Allow", &format!(r#"{{"AWS":"{OTHER}"}}"#), "")).allowed();
}

#[test]
fn who_has_no_account_has_what_everyone_is_given() {
    let anonymous = "no resource-based policy allows the action to everyone";
    case(Caller::Anonymous).denied(anonymous);
    case(Caller::Anonymous).identity(ALL).denied(anonymous);
    case(Caller::Anonymous).repository(&to("Allow", "\"*\"", "")).allowed();
    case(Caller::Anonymous).repository(&to("Allow", r#"{"AWS":"*"}"#, "")).allowed();
    case(Caller::Anonymous).repository(&to("Allow", &account(OWNER), "")).denied(anonymous);
    case(Caller::Anonymous).action("ecr:GetAuthorizationToken").denied(anonymous);
    // Who did log in, in another account, needs both sides all the same.
    case(user(OTHER)).repository(&to("Allow", "\"*\"", "")).denied(NO_IDENTITY);
    let service = || Caller::Service("ecr.amazonaws.com".parse().unwrap());
    case(service()).repository(&to("Allow", r#"{"Service":"ecr.amazonaws.com"}"#, "")).allowed();
    case(service()).repository(&to("Allow", r#"{"Service":"x.amazonaws.com"}"#, "")).denied(NO_RESOURCE);
}

#[test]
fn principals_are_meant_by_name_role_or_account() {
    let arn = |arn: &str| to("Allow", &format!(r#"{{"AWS":["arn:aws:{arn}"]}}"#), "");
    case(session(OWNER)).repository(&arn("iam::000000000001:role/ci/deploy")).allowed();
    case(session(OWNER)).repository(&arn("sts::000000000001:assumed-role/deploy/build-17")).allowed();
    for other in [
        "iam::000000000001:role/deploy",
        "iam::000000000001:user/ci/deploy",
        "iam::000000000002:role/ci/deploy",
        "sts::000000000001:assumed-role/deploy/build-18",
        "sts::000000000001:assumed-role/Deploy/build-17",
    ] {
        case(session(OWNER)).repository(&arn(other)).denied(NO_ALLOW);
    }
    for other in [
        "iam::000000000001:user/alice",
        "iam::000000000001:user/team/Alice",
        "iam::000000000001:role/team/alice",
    ] {
        case(user(OWNER)).repository(&arn(other)).denied(NO_ALLOW);
    }
    // Among several, a grant to the caller itself counts, wherever it stands.
    let both = format!("{},{}", to("Allow", &account(OWNER), ""), to("Allow", &alice(OWNER), ""));
    case(user(OWNER)).repository(&both).allowed();
    let registry = to("Allow", "\"*\"", r#","Resource":"*""#);
    case(user(OWNER)).repository(&to("Allow", &account(OWNER), "")).registry(&registry).allowed();
}

#[test]
fn not_principal_is_read_to_the_safe_side() {
    let not = |effect, principal: &str| to(effect, principal, "").replace("Principal", "NotPrincipal");
    let spared = |caller: Caller, principal: &str| {
        case(caller).identity(ALL).repository(&not("Deny", principal)).decide().0
    };
    assert!(spared(user(OWNER), &alice(OWNER)) && spared(user(OWNER), "\"*\""));
    assert!(!spared(user(OWNER), &account(OWNER)), "the account spares its root only");
    assert!(spared(root(OWNER), &account(OWNER)));
    let role = r#"{"AWS":"arn:aws:iam::000000000001:role/ci/deploy"}"#;
    assert!(!spared(session(OWNER), role), "a role does not spare its sessions");
    assert!(spared(session(OWNER), r#"{"AWS":"arn:aws:sts::000000000001:assumed-role/deploy/build-17"}"#));
    assert!(!spared(user(OTHER), &alice(OWNER)) && !spared(Caller::Anonymous, &alice(OWNER)));

    case(user(OWNER)).repository(&not("Allow", &account(OTHER))).allowed();
    case(user(OWNER)).repository(&not("Allow", &account(OWNER))).denied(NO_ALLOW);
    case(session(OWNER)).repository(&not("Allow", role)).denied(NO_ALLOW);
    case(Caller::Anonymous).repository(&not("Allow", &account(OTHER))).allowed();
}

#[test]
fn actions_and_resources_are_matched_with_their_negations() {
    let own = |action: &str, resource: &str| {
        case(user(OWNER)).identity(&format!(r#"{{"Effect":"Allow",{action},{resource}}}"#))
    };
    let any = r#""Resource":"*""#;
    for action in ["ecr:batchgetimage", "ECR:Batch*", "ecr:?atchGetImage", "*"] {
        own(&format!(r#""Action":["ecr:PutImage","{action}"]"#), any).allowed();
        own(&format!(r#""NotAction":["ecr:PutImage","{action}"]"#), any).denied(NO_ALLOW);
    }
    own(r#""NotAction":"ecr:Put*""#, any).allowed();
    own(r#""Action":"ecr-public:*""#, any).denied(NO_ALLOW);
    let all = r#""Action":"*""#;
    for (resource, matches) in [
        ("*", true),
        ("arn:aws:ecr:eu:000000000001:repository/team/app", true),
        ("arn:aws:ecr:*:000000000001:repository/team*", true),
        ("arn:aws:ecr:*:*:repository/${aws:username, 'x'}", false),
        ("arn:aws:ecr:*:*:repository/*/${aws:ResourceTag/none, 'app'}", true),
        ("arn:aws:ecr:*:*:repository/TEAM/*", false),
        ("arn:aws:ecr:eu:*:repository/team", false),
        ("arn:aws:*:*:repository/team/app:*", false),
        ("arn:aws:ecr-public:*:*:*", false),
    ] {
        assert_eq!(own(all, &format!(r#""Resource":"{resource}""#)).decide().0, matches, "{resource}");
        assert_eq!(own(all, &format!(r#""NotResource":"{resource}""#)).decide().0, !matches, "{resource}");
    }
    // What has no ARN is `*` and nothing else.
    let whole = |resource: &str| own(all, resource).action("ecr:DescribeRegistry").decide().0;
    assert!(
        whole(any) && !whole(r#""Resource":"arn:*:*:*:*:*""#) && whole(r#""NotResource":"arn:*:*:*:*:*""#)
    );
    let elsewhere = r#","Resource":"arn:aws:ecr:eu:000000000001:repository/other""#;
    case(user(OWNER)).repository(&to("Allow", &alice(OWNER), elsewhere)).denied(NO_ALLOW);
}

#[test]
fn variables_are_the_requests_values_as_text() {
    let own = r#"{"Effect":"Allow","Action":"*","Resource":"arn:aws:ecr:*:*:repository/${aws:PrincipalAccount}/*"}"#;
    case(user(OWNER)).identity(own).denied(NO_ALLOW);
    let tagged = |value| {
        let policy = own.replace("aws:PrincipalAccount", "aws:RequestTag/team");
        case(user(OWNER)).identity(&policy).knows("aws:RequestTag/team", value)
    };
    tagged("team").allowed();
    for hostile in ["*", "t*", "????", "${aws:RequestTag/team}", "../team", "TEAM", ""] {
        tagged(hostile).denied(NO_ALLOW);
    }
    // What follows from the caller cannot be claimed.
    let named = r#"{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:username":"bob"}}}"#;
    case(user(OWNER)).identity(named).knows("aws:username", "bob").denied(NO_ALLOW);
    case(user(OWNER)).identity(&named.replace("bob", "alice")).allowed();
    case(session(OWNER))
        .identity(&named.replace("bob", "alice"))
        .knows("aws:username", "alice")
        .denied(NO_ALLOW);
    let role = named
        .replace("aws:username", "aws:PrincipalArn")
        .replace("bob", "arn:aws:iam::000000000001:role/ci/deploy");
    case(session(OWNER)).identity(&role).allowed();
}

/// Whether a statement with this condition matches, by the values of `aws:TagKeys` or of a tag.
fn met(operator: &str, key: &str, values: &str, asked: &[&str]) -> bool {
    let condition = format!(r#""Condition":{{"{operator}":{{"{key}":{values}}}}}"#);
    let statement = format!(r#"{{"Effect":"Allow","Action":"*","Resource":"*",{condition}}}"#);
    asked.iter().fold(case(user(OWNER)).identity(&statement), |case, value| case.knows(key, value)).decide().0
}

#[test]
fn absent_keys_follow_iams_table() {
    let absent = |operator: &str, values: &str| met(operator, "aws:RequestTag/k", values, &[]);
    for positive in ["StringEquals", "StringLike", "StringEqualsIgnoreCase"] {
        assert!(
            !absent(positive, r#""*""#) && absent(&format!("{positive}IfExists"), r#""*""#),
            "{positive}"
        );
    }
    for (operator, value) in
        [("Bool", "true"), ("NumericLessThan", "1"), ("IpAddress", "\"::/0\""), ("ArnLike", "\"*\"")]
    {
        assert!(!absent(operator, value) && absent(&format!("{operator}IfExists"), value), "{operator}");
    }
    for (operator, value) in [
        ("StringNotLike", "\"*\""),
        ("NotIpAddress", "\"::/0\""),
        ("ArnNotEquals", "\"*\""),
        ("DateNotEquals", "1"),
    ] {
        assert!(absent(operator, value) && absent(&format!("{operator}IfExists"), value), "{operator}");
    }
    assert!(absent("Null", "true") && !absent("Null", "false") && absent("Null", "[true,false]"));
    let present = |values| met("Null", "aws:RequestTag/k", values, &[""]);
    assert!(!present("true") && present("false"));
    for operator in ["StringEquals", "StringNotEquals", "StringEqualsIfExists"] {
        assert!(absent(&format!("ForAllValues:{operator}"), r#""a""#), "{operator}");
        assert!(!absent(&format!("ForAnyValue:{operator}"), r#""a""#), "{operator}");
    }
}

#[test]
fn several_values_are_or_and_quantifiers_speak_of_the_requests() {
    let keys = |operator, values, asked: &[&str]| met(operator, "aws:TagKeys", values, asked);
    let ab = r#"["a","b*"]"#;
    for (asked, any, all, none) in [
        (&["a"][..], true, true, false),
        (&["a", "bb"], true, true, false),
        (&["a", "c"], true, false, false),
        (&["c", "d"], false, false, true),
    ] {
        assert_eq!(keys("ForAnyValue:StringLike", ab, asked), any, "{asked:?}");
        assert_eq!(keys("ForAllValues:StringLike", ab, asked), all, "{asked:?}");
        assert_eq!(keys("ForAnyValue:StringNotLike", ab, asked), !all, "{asked:?}");
        assert_eq!(keys("ForAllValues:StringNotLike", ab, asked), none, "{asked:?}");
        assert_eq!(keys("StringLike", ab, asked), any, "{asked:?}");
        assert_eq!(keys("StringNotLike", ab, asked), none, "{asked:?}");
    }
}

#[test]
fn several_operators_and_keys_are_and() {
    let statement = r#"{"Effect":"Allow","Action":"*","Resource":"*","Condition":{
        "StringEquals":{"aws:RequestTag/a":"1","aws:RequestTag/b":["1","2"]},"Bool":{"aws:SecureTransport":"true"}}}"#;
    let full = || {
        case(user(OWNER)).identity(statement).knows("aws:RequestTag/a", "1").knows("aws:RequestTag/b", "2")
    };
    full().knows("aws:SecureTransport", "true").allowed();
    full().knows("aws:SecureTransport", "false").denied(NO_ALLOW);
    full().denied(NO_ALLOW);
    full().knows("aws:SecureTransport", "true").knows("aws:RequestTag/b", "3").denied(NO_ALLOW);
}

#[test]
fn a_value_without_an_equal_is_met_by_negations_only() {
    let none = r#""${aws:SourceArn}""#;
    assert!(!met("StringEquals", "aws:RequestTag/k", none, &[""]));
    assert!(met("StringNotEquals", "aws:RequestTag/k", none, &[""]));
    assert!(!met("NumericEquals", "aws:RequestTag/k", "1", &["one"]));
    assert!(met("NumericNotEquals", "aws:RequestTag/k", "1", &["one"]));
}

/// XP2: stored by a release that knows more.
#[test]
fn what_a_stored_policy_may_mean_denies_and_does_not_allow() {
    let stored = |statements: &str| {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        let mut case = case(user(OWNER)).identity(ALL);
        case.repository = Some(Policy::stored(text.as_bytes(), Kind::Repository));
        case
    };
    let moon =
        |effect, principal: &str| to(effect, principal, r#","Condition":{"Moon":{"aws:phase":"full"}}"#);
    stored(&moon("Deny", "\"*\"")).denied("explicit deny in statement 0 of the repository policy");
    stored(&moon("Deny", &alice(OTHER))).allowed();
    let mut allow = stored(&moon("Allow", "\"*\""));
    allow.identity.clear();
    allow.denied(NO_ALLOW);
}

/// XP4, in the largest policies there are. That it ends is the test; the benchmark tells when.
#[test]
fn wildcard_bombs_of_full_size_are_decided() {
    let bombs = [
        format!(r#""Action":"ecr:{}""#, "*a".repeat(120) + "*"),
        format!(r#""Action":"*","Resource":"arn:*:*:*:*:{}""#, "*a".repeat(4_000)),
        format!(r#""Action":"*","Resource":"arn:*:*:*:*:{}""#, "*?".repeat(4_000)),
        format!(r#""Action":"*","Resource":"arn:*:*:*:*:*{}""#, "${aws:RequestTag/k}".repeat(400)),
        format!(
            r#""Action":"*","Condition":{{"StringLike":{{"aws:RequestTag/k":"*{}b"}}}}"#,
            "a".repeat(4_000)
        ),
        format!(
            r#""Action":"*","Condition":{{"StringNotLike":{{"aws:RequestTag/k":[{}"x"]}}}}"#,
            r#""*a*a*b","#.repeat(800)
        ),
    ];
    for bomb in bombs {
        let text =
            format!(r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":"*",{bomb}}}}}"#);
        let Ok(policy) = Policy::parse(text.as_bytes(), Kind::Repository, Extensions::Allowed) else {
            assert!(text.contains("ecr:*a"), "no action has so many letters: {text}");
            continue;
        };
        let mut case = case(user(OTHER)).identity(ALL).knows("aws:RequestTag/k", &"a".repeat(8_000));
        case.repository = Some(policy);
        assert_eq!(case.decide().0, text.contains("NotLike"), "{text}");
    }
}

/// IAM user guide, "How IAM roles differ from resource-based policies".
#[test]
fn a_role_becomes_only_whom_it_trusts() {
    const ASSUME: &str = r#"{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}"#;
    let trusts = |principal: &str| {
        format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}"#)
    };
    let wants = |account: &str| case(user(account)).action("sts:AssumeRole");
    let nobody = trusts(&alice("000000000009"));
    wants(OWNER).trust(&trusts(&alice(OWNER))).allowed();
    wants(OWNER).trust(&trusts(&account(OWNER))).denied(NO_IDENTITY);
    wants(OWNER).trust(&trusts(&account(OWNER))).identity(ASSUME).allowed();
    wants(OWNER).trust(&nobody).identity(ASSUME).denied("the role's trust policy does not allow it");
    wants(OTHER).trust(&trusts(&alice(OTHER))).denied(NO_IDENTITY);
    wants(OTHER).trust(&trusts(&alice(OTHER))).identity(ASSUME).allowed();
    let deny = format!("{},{}", trusts(&alice(OWNER)), trusts("\"*\"").replace("Allow", "Deny"));
    assert!(!wants(OWNER).trust(&deny).identity(ASSUME).decide().0);
    // A trust policy says nothing of anything else, and no other policy of a resource says who may become a role.
    case(user(OWNER)).trust(&trusts(&alice(OWNER))).denied(NO_ALLOW);
    let registry = r#"{"Effect":"Allow","Principal":"*","NotAction":"ecr:PutImage","Resource":"*"}"#;
    wants(OWNER).registry(registry).denied("the role's trust policy does not allow it");
    wants(OWNER).identity(ASSUME).denied("the role's trust policy does not allow it");
}
