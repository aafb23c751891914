//! Vectors of the specification and of botocore (`sigv4/vectors.py` makes those), properties, and the rows XS1 to XS14
//! of the hostile inputs as far as they are decided here.

use std::time::Duration as Span;

use proptest::prelude::*;
use serde::Deserialize as _;
use time::Duration;

use super::*;
use crate::digest::Algorithm;

const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW: &str = "20260102T030405Z";
const SKEW: Span = Span::from_mins(15);

/// A request that can be changed.
#[derive(Clone, Debug)]
struct Sent {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Sent {
    fn post(path: &str, body: &str) -> Self {
        let headers = [
            ("host", "127.0.0.1:8443"),
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        Self {
            method: "POST".to_owned(),
            path: path.to_owned(),
            query: String::new(),
            headers: headers.to_vec(),
            body: body.into(),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&Request<'_>) -> T) -> T {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        act(&Request { method: &self.method, path: &self.path, query: &self.query, headers: &headers })
    }

    fn add(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    fn set(self, name: &str, value: &str) -> Self {
        self.without(name).add(name, value)
    }

    fn get(&self, name: &str) -> String {
        let (_, value) = self.headers.iter().find(|(other, _)| other == name).unwrap();
        String::from_utf8(value.clone()).unwrap()
    }

    /// With the authorization header changed.
    fn edit(self, from: &str, to: &str) -> Self {
        let value = self.get("authorization");
        assert!(value.contains(from), "{value}");
        self.set("authorization", &value.replace(from, to))
    }

    fn body_hash(&self) -> Digest {
        Digest::of(Algorithm::Sha256, &self.body)
    }

    fn signed_by(mut self, signer: &Signer) -> Self {
        let added = self.with(|request| signer.sign(request, &self.body_hash(), now())).unwrap();
        self.headers.extend(added.into_iter().map(|(name, value)| (name.to_owned(), value.into())));
        self
    }

    fn signed(self) -> Self {
        self.signed_by(&signer())
    }

    /// Presigned: `host` and, if there is one, `x-amz-target` are signed. `parameters` stand before the signature.
    fn presigned(mut self, parameters: &str) -> Self {
        self.query = format!("{}{parameters}", self.query);
        let names = if self.headers.iter().any(|(name, _)| name == "x-amz-target") {
            "host;x-amz-target"
        } else {
            "host"
        };
        let canonical = self.with(|request| canonical(request, &SignedNames::parse(names).unwrap())).unwrap();
        let text = string_to_sign(canonical, &self.body_hash(), AmzDate::parse(NOW).unwrap(), &scope());
        let mut signature = Vec::new();
        push_hex(&mut signature, &SigningKey::derive(&secret(), &scope()).sign(&text));
        self.query += &format!("&X-Amz-Signature={}", String::from_utf8(signature).unwrap());
        self
    }

    fn judge_at(&self, now: OffsetDateTime) -> Result<(), SigV4Error> {
        let signed = self.with(Signed::parse)?;
        signed.verify(&SigningKey::derive(&secret(), signed.scope()), &self.body_hash(), now, SKEW)
    }

    fn judge(&self) -> Result<(), SigV4Error> {
        self.judge_at(now())
    }
}

fn now() -> OffsetDateTime {
    AmzDate::parse(NOW).unwrap().time()
}

fn secret() -> SecretKey {
    SECRET.parse().unwrap()
}

fn scope() -> Scope {
    let (region, service) = ("eu-west-1".parse().unwrap(), "ecr".parse().unwrap());
    Scope { day: now().date(), region, service }
}

fn signer() -> Signer {
    let Scope { region, service, .. } = scope();
    Signer { key_id: ID.parse().unwrap(), secret: secret(), token: None, region, service }
}

fn sent() -> Sent {
    Sent::post("/", "{}").signed()
}

const PARAMETERS: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256\
     &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260102%2Feu-west-1%2Fecr%2Faws4_request\
     &X-Amz-Date=20260102T030405Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host%3Bx-amz-target";

fn presigned(parameters: &str) -> Sent {
    Sent::post("/", "").without("content-type").presigned(parameters)
}

fn invalid(reason: Invalid) -> Result<(), SigV4Error> {
    Err(reason.into())
}

fn incomplete(reason: Incomplete) -> Result<(), SigV4Error> {
    Err(reason.into())
}

#[test]
fn the_vectors_of_the_specification_are_signed_alike() {
    for (service, region, path, target, token, body, canonical_hash, signature) in [
        (
            "ecr",
            "eu-west-1",
            "/",
            "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
            None,
            "{}",
            "063fe3a9776a30c482ab9fcd8b2b7710813f8c18bf0062aba22aedb881d9506b",
            "537c6e94895ba6292c720f430d6a97f9bd82732248d4d1c4b1f86ed8bb782d7e",
        ),
        (
            "ecr",
            "eu-west-1",
            "/",
            "AmazonEC2ContainerRegistry_V20150921.DescribeImages",
            Some("SESSIONTOKEN"),
            r#"{"repositoryName": "team/app"}"#,
            "71260510b3670a9a2ceebe74cfd61ea2e74e6d6790afd78355d851f85b4d4b46",
            "cab01954d5327383e27bc80df300814cbcfbef2915722d5d1fc4be3e8c60f0d2",
        ),
        (
            "ecr-public",
            "us-east-1",
            "/ecr/api",
            "SpencerFrontendService.DescribeRegistries",
            None,
            "{}",
            "e104dc0b44bf5c532173593600e0479ec61e4d9ecb4912a7a16cdc27db71578b",
            "732f5af45f869bf17b9dfdf8e11e50c47fe3b146237f57f73a5378261cab27bc",
        ),
    ] {
        let signer = Signer {
            token: token.map(str::to_owned),
            region: region.parse().unwrap(),
            service: service.parse().unwrap(),
            ..signer()
        };
        let sent = Sent::post(path, body).set("x-amz-target", target).signed_by(&signer);
        let signed = sent.with(Signed::parse).unwrap();
        let mut text = Vec::new();
        push_hex(&mut text, &signed.canonical.clone().chain_update(sent.body_hash().hex()).finalize());
        assert_eq!(String::from_utf8(text).as_deref(), Ok(canonical_hash));
        assert!(sent.get("authorization").ends_with(&format!("Signature={signature}")), "{target}");
        assert_eq!((signed.token(), sent.judge()), (token, Ok(())));
    }
}

type Case = (String, String, String, Vec<(String, String)>, String, usize);

#[test]
fn what_botocore_signs_verifies() {
    let lines: Vec<serde_json::Value> = serde_json::from_str(include_str!("sigv4/vectors.json")).unwrap();
    let secrets: Vec<SecretKey> =
        Vec::<String>::deserialize(&lines[0]).unwrap().iter().map(|text| text.parse().unwrap()).collect();
    let mut counted = [0, 0];
    for line in &lines[1..] {
        let (method, path, query, headers, body, secret) = Case::deserialize(line).unwrap();
        let headers = headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
        let sent = Sent { method, path, query, headers, body: body.into_bytes() };
        // What clients add behind the signer.
        let sent = sent.add("amz-sdk-invocation-id", "e2f4").add("amz-sdk-request", "attempt=1");
        let signed = sent.with(Signed::parse).unwrap_or_else(|error| panic!("{error}: {line}"));
        let key = SigningKey::derive(&secrets[secret], signed.scope());
        let verify = |key, body: &[u8]| {
            signed.verify(key, &Digest::of(Algorithm::Sha256, body), signed.date().time(), SKEW)
        };
        assert_eq!(verify(&key, &sent.body), Ok(()), "{line}");
        let other = SigningKey::derive(&secrets[(secret + 1) % secrets.len()], signed.scope());
        assert_eq!(verify(&other, &sent.body), invalid(Invalid::Mismatch), "{line}");
        assert!(verify(&key, b"other").is_err(), "{line}");
        counted[usize::from(signed.expires().is_some())] += 1;
    }
    assert_eq!(counted, [258, 102]);
}

#[test]
fn xs1_authorization_has_three_parts_once_each() {
    assert_eq!(sent().judge(), Ok(()));
    let value = sent().get("authorization");
    let (_, rest) = value.split_once(' ').unwrap();
    let parts: Vec<_> = rest.split(", ").collect();
    let with = |text: &str| sent().set("authorization", text).judge();
    let scheme = |parts: &[&str], between: &str| with(&format!("{ALGORITHM} {}", parts.join(between)));
    let [credential, names, signature] = parts[..] else { panic!("{value}") };

    assert_eq!(scheme(&[signature, names, credential], ","), Ok(()));
    for (kept, lost) in [
        ([names, signature], "Credential"),
        ([credential, signature], "SignedHeaders"),
        ([credential, names], "Signature"),
    ] {
        assert_eq!(scheme(&kept, ", "), incomplete(Incomplete::Part(lost)));
    }
    for wrong in [
        scheme(&[credential, names, signature, signature], ", "),
        scheme(&[credential, names, signature, "Extra=1"], ", "),
        scheme(&[credential, names, signature, ""], ","),
        scheme(&parts, " "),
        scheme(&parts, ",  "),
        scheme(&parts, ",\t"),
        with(&format!("{ALGORITHM}  {rest}")),
        with(&value.replace("Credential", "credential")),
        with(&value.replace("Signature=", "Signature")),
        with(&value.replace("host", "h\u{f6}st")),
        with(ALGORITHM),
        with(&format!("{ALGORITHM} ")),
        with(&format!("{value}{}", " ".repeat(10 << 10))),
    ] {
        assert_eq!(wrong, incomplete(Incomplete::Header));
    }
    assert_eq!(scheme(&parts, ""), incomplete(Incomplete::Part("SignedHeaders")), "no comma: one long part");
    for text in ["", "Basic QVdTOng=", "Bearer x", "AW", "\t"] {
        assert_eq!(with(text), Err(SigV4Error::Missing), "{text}");
    }
    assert_eq!(sent().without("authorization").judge(), Err(SigV4Error::Missing));
    assert_eq!(sent().add("Authorization", &value).judge(), incomplete(Incomplete::Twice));
    assert_eq!(sent().add("authorization", "Basic x").judge(), incomplete(Incomplete::Twice));
    assert_eq!(with(&"A".repeat(10 << 20)), incomplete(Incomplete::Request));
    for bad in ["Signature=A", "Signature=a"] {
        assert_eq!(sent().edit("Signature=", bad).judge(), incomplete(Incomplete::Signature));
    }
    let upper = format!("Signature={}", signature["Signature=".len()..].to_uppercase());
    assert_eq!(sent().edit(signature, &upper).judge(), incomplete(Incomplete::Signature));
    assert_eq!(sent().edit(signature, "Signature=").judge(), incomplete(Incomplete::Signature));
}

#[test]
fn xs2_the_date_is_sent_once_and_near() {
    for bad in ["20260231T250000Z", "", "2026-01-02T03:04:05Z", "Fri, 02 Jan 2026 03:04:05 GMT"] {
        assert_eq!(sent().set("x-amz-date", bad).judge(), invalid(Invalid::Date), "{bad}");
    }
    assert_eq!(sent().without("x-amz-date").judge(), invalid(Invalid::Date));
    assert_eq!(sent().without("x-amz-date").add("date", NOW).judge(), invalid(Invalid::Date));
    assert_eq!(sent().add("X-Amz-Date", NOW).judge(), invalid(Invalid::Date));
    assert_eq!(sent().add("date", "Thu, 01 Jan 1970 00:00:00 GMT").judge(), Ok(()), "nobody reads it");

    let at = |seconds| sent().judge_at(now() + Duration::seconds(seconds));
    for seconds in [0, 899, 900, -899, -900] {
        assert_eq!(at(seconds), Ok(()), "{seconds}");
    }
    assert_eq!(
        at(901).unwrap_err().to_string(),
        "Signature expired: 20260102T030405Z is now earlier than 20260102T030406Z (20260102T031906Z - 15 min.)"
    );
    assert_eq!(
        at(-901).unwrap_err().to_string(),
        "Signature not yet current: 20260102T030405Z is still later than 20260102T030404Z (20260102T024904Z + 15 min.)"
    );
    let far = sent().set("x-amz-date", "99991231T235959Z").edit("/20260102/", "/99991231/");
    assert!(matches!(far.judge(), Err(SigV4Error::Invalid(Invalid::NotYetCurrent { .. }))));
    let end = AmzDate::parse("99991231T235959Z").unwrap().time();
    assert_eq!(far.judge_at(end), invalid(Invalid::Mismatch), "and no overflow");
}

#[test]
fn xs3_the_scope_is_exact() {
    assert_eq!(sent().edit("/20260102/", "/20260103/").judge(), invalid(Invalid::ScopeDate));
    for (from, to) in [("/eu-west-1/", "/eu-west-2/"), ("/ecr/", "/ecr-public/")] {
        assert_eq!(sent().edit(from, to).judge(), invalid(Invalid::Mismatch), "{to}");
    }
    for (from, to) in [
        ("/eu-west-1/", "/EU-WEST-1/"),
        ("/eu-west-1/", "//"),
        ("/ecr/", "/ECR/"),
        ("/ecr/", "/ecr//"),
        ("/aws4_request", "/aws4_request/"),
        ("/aws4_request", "/AWS4_REQUEST"),
        ("/aws4_request", "/aws4_reques"),
        ("/aws4_request", ""),
        ("/20260102/", "/2026012/"),
        ("/20260102/", "//"),
    ] {
        assert_eq!(sent().edit(from, to).judge(), invalid(Invalid::Scope), "{to}");
    }
}

#[test]
fn xs4_host_and_all_headers_of_aws_are_signed() {
    const NAMES: &str = "SignedHeaders=content-type;host;x-amz-date;x-amz-target";
    let with = |names: &str| sent().edit(NAMES, &format!("SignedHeaders={names}")).judge();
    assert_eq!(with("content-type;x-amz-date;x-amz-target"), invalid(Invalid::Host));
    assert_eq!(with("content-type;host;x-amz-target"), invalid(Invalid::Unsigned));
    assert_eq!(with("content-type;host;x-amz-date"), invalid(Invalid::Unsigned));
    assert_eq!(sent().add("X-AMZ-Meta", "1").judge(), invalid(Invalid::Unsigned));
    assert_eq!(with("absent;content-type;host;x-amz-date;x-amz-target"), invalid(Invalid::Absent));
    assert_eq!(sent().without("x-amz-target").judge(), invalid(Invalid::Absent));
    assert_eq!(with("host;x-amz-date;x-amz-target"), invalid(Invalid::Mismatch));
    for bad in [
        "host;content-type;x-amz-date;x-amz-target",
        "content-type;host;host;x-amz-date;x-amz-target",
        "Content-Type;host;x-amz-date;x-amz-target",
        "authorization;content-type;host;x-amz-date;x-amz-target",
        "",
        ";",
    ] {
        assert_eq!(with(bad), invalid(Invalid::SignedHeaders), "{bad}");
    }
    for unsigned in ["amz-sdk-request", "x-amzn-trace-id", "user-agent", "accept-encoding"] {
        assert_eq!(sent().add(unsigned, "x").judge(), Ok(()), "{unsigned}");
    }
}

#[test]
fn xs5_headers_are_the_same_if_their_canonical_form_is() {
    let custom = |value: &str| Sent::post("/", "{}").add("x-custom", value).signed();
    let resent = |signed: &str, value: &str| custom(signed).set("x-custom", value).judge();
    for same in ["a b", " a  b\t", "a\tb", "a \t b"] {
        assert_eq!(resent("a b", same), Ok(()), "{same:?}");
    }
    for other in ["ab", "a  c", "a,b", "", "A b", "a\u{a0}b"] {
        assert_eq!(resent("a b", other), invalid(Invalid::Mismatch), "{other:?}");
    }
    assert_eq!(custom("a").add("X-Custom", "b").judge(), invalid(Invalid::Mismatch));
    assert_eq!(custom("a,b").set("x-custom", "a").add("x-custom", "b").judge(), Ok(()));
    assert_eq!(custom("a,b").set("x-custom", "b").add("x-custom", "a").judge(), invalid(Invalid::Mismatch));
    for once in ["host", "x-amz-target"] {
        let first = sent().get(once);
        assert_eq!(sent().add(once, &first).judge(), invalid(Invalid::Repeated), "{once}");
    }
}

#[test]
fn xs6_paths_and_queries_are_verified_as_they_were_sent() {
    let resent = |path: &str, query: &str, path_sent: &str, query_sent: &str| {
        let mut sent = Sent { query: query.to_owned(), ..Sent::post(path, "{}") }.signed();
        (sent.path, sent.query) = (path_sent.to_owned(), query_sent.to_owned());
        sent.judge()
    };
    for path in [
        "//",
        "/./",
        "/a/../",
        "/%2F",
        "/%2f",
        "/%7E",
        "/+",
        "/%zz",
        "/caf\u{e9}",
        "/cafe\u{301}",
        "/%00",
        "/\n",
    ] {
        assert_eq!(resent(path, "", path, ""), Ok(()), "{path}");
        assert_eq!(resent(path, "", &normal_path(path), ""), Ok(()), "{path}");
    }
    for (signed, other) in [
        ("/%2F", "/%2f"),
        ("/%2F", "//"),
        ("/%7E", "/~"),
        ("/+", "/%20"),
        ("/caf\u{e9}", "/cafe\u{301}"),
        ("/a", "/a/"),
        ("/a", "/a/.."),
        ("/a", "/A"),
    ] {
        assert_eq!(resent(signed, "", other, ""), invalid(Invalid::Mismatch), "{signed} {other}");
    }
    for same in ["a=1&b=&a=2", "a=2&a=1&b=", "b&a=2&a=1"] {
        assert_eq!(resent("/", "a=1&a=2&b=", "/", same), Ok(()), "{same}");
    }
    for other in ["a=1&b=&a=3", "a=1&b=", "a=1&a=2&b=&", "a=1&a=2&b=&c", "a=%31&a=2&b=", "", "a=1&a=1&a=2&b="]
    {
        assert_eq!(resent("/", "a=1&a=2&b=", "/", other), invalid(Invalid::Mismatch), "{other}");
    }
    assert_eq!(resent("/", "a=+", "/", "a=%20"), invalid(Invalid::Mismatch));
    for bad in ["", "a", "*", "http://x/"] {
        assert_eq!(resent("/", "", bad, ""), incomplete(Incomplete::Request), "{bad}");
    }
    for bad in ["a b", "a\nb", "a\u{7f}", "\0"] {
        assert_eq!(resent("/", "", "/", bad), incomplete(Incomplete::Request), "{bad:?}");
    }
}

#[test]
fn xs7_the_body_is_always_ours() {
    let hash = Sent::post("/", "{}").body_hash().hex();
    let claims = |value: &str| Sent::post("/", "{}").add("x-amz-content-sha256", value).signed();
    assert_eq!(claims(&hash).judge(), Ok(()));
    for bad in [
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "",
        &hash.to_uppercase(),
        &format!("{hash} "),
        &Digest::of(Algorithm::Sha256, b"other").hex(),
    ] {
        assert_eq!(claims(bad).judge(), invalid(Invalid::Body), "{bad}");
    }
    assert_eq!(claims(&hash).add("x-amz-content-sha256", &hash).judge(), invalid(Invalid::Repeated));
    assert_eq!(sent().add("x-amz-content-sha256", &hash).judge(), invalid(Invalid::Unsigned));
    for sent in [sent(), claims(&hash)] {
        let altered = Sent { body: b"{} ".to_vec(), ..sent.clone() };
        assert!(altered.judge().is_err());
        let signed = sent.with(Signed::parse).unwrap();
        let wide = Digest::of(Algorithm::Sha512, &sent.body);
        assert!(signed.verify(&SigningKey::derive(&secret(), &scope()), &wide, now(), SKEW).is_err());
    }
    let unsigned = format!("{PARAMETERS}&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD");
    assert_eq!(presigned(&unsigned).judge(), invalid(Invalid::Parameter));
}

#[test]
fn xs9_credentials_are_in_one_place() {
    let both = Sent { query: presigned(PARAMETERS).query, ..sent() };
    assert_eq!(both.judge(), incomplete(Incomplete::Twice));
    for (name, value) in [
        ("authorization", "Basic x"),
        ("Authorization", ""),
        ("x-amz-date", NOW),
        ("x-amz-security-token", "x"),
    ] {
        assert_eq!(presigned(PARAMETERS).add(name, value).judge(), incomplete(Incomplete::Twice), "{name}");
    }
    for part in ["X-Amz-Signature=x", "X-Amz-Security-Token=x", "X-Amz-Algorithm=AWS4-HMAC-SHA256"] {
        let sent = Sent { query: part.to_owned(), ..sent() };
        assert!(matches!(sent.judge(), Err(SigV4Error::Incomplete(_))), "{part}");
        let refused = sent.with(|request| signer().sign(request, &Digest::of(Algorithm::Sha256, b""), now()));
        assert!(refused.is_err(), "{part}");
    }
    let zero = sent().get("authorization").rsplit_once('=').unwrap().1.to_owned();
    assert_eq!(sent().edit(&zero, &"0".repeat(64)).judge(), invalid(Invalid::Mismatch));
}

#[test]
fn xs10_session_tokens_are_signed() {
    let session = Signer { token: Some("SESSIONTOKEN".to_owned()), ..signer() };
    let sent_with = || Sent::post("/", "{}").signed_by(&session);
    assert_eq!(sent_with().judge(), Ok(()));
    assert_eq!(sent_with().with(Signed::parse).unwrap().token(), Some("SESSIONTOKEN"));
    assert_eq!(sent_with().without("x-amz-security-token").judge(), invalid(Invalid::Absent));
    assert_eq!(sent_with().set("x-amz-security-token", "OTHER").judge(), invalid(Invalid::Mismatch));
    assert_eq!(sent().add("x-amz-security-token", "SESSIONTOKEN").judge(), invalid(Invalid::Unsigned));
    for bad in ["", "a b", "\u{e9}"] {
        assert_eq!(
            sent_with().set("x-amz-security-token", bad).judge(),
            Err(SigV4Error::Unrecognized),
            "{bad}"
        );
    }
    let mut appended = presigned(PARAMETERS);
    appended.query += "&X-Amz-Security-Token=SESSIONTOKEN";
    assert_eq!(appended.judge(), invalid(Invalid::Mismatch));
    let whole = presigned(&format!("{PARAMETERS}&X-Amz-Security-Token=a%2Bb%2F%3D%3D"));
    assert_eq!(whole.judge(), Ok(()));
    assert_eq!(whole.with(Signed::parse).unwrap().token(), Some("a+b/=="));
}

#[test]
fn xs11_presigned_requests_end_and_are_used_as_signed() {
    assert_eq!(presigned(PARAMETERS).judge(), Ok(()));
    for bad in ["0", "-1", "604801", "1e3", "", "060", "+60", "60.0", "4294967297", "%36%30%20"] {
        let parameters = PARAMETERS.replace("Expires=60", &format!("Expires={bad}"));
        assert_eq!(presigned(&parameters).judge(), invalid(Invalid::Expires), "{bad}");
    }
    for good in ["1", "604800"] {
        let parameters = PARAMETERS.replace("Expires=60", &format!("Expires={good}"));
        assert_eq!(presigned(&parameters).judge(), Ok(()), "{good}");
    }
    for absent in ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders"] {
        let part = PARAMETERS.split('&').find(|part| part.contains(absent)).unwrap();
        let parameters = PARAMETERS.replace(part, "a=1");
        assert!(matches!(
            presigned(&parameters).judge(),
            Err(SigV4Error::Incomplete(Incomplete::Parameter(_)))
        ));
    }
    let at = |seconds| presigned(PARAMETERS).judge_at(now() + Duration::seconds(seconds));
    assert_eq!((at(60), at(-900)), (Ok(()), Ok(())));
    assert_eq!(
        at(61).unwrap_err().to_string(),
        "Signature expired: 20260102T030505Z is now earlier than 20260102T030506Z (20260102T030506Z - 0 min.)"
    );
    assert!(matches!(at(-901), Err(SigV4Error::Invalid(Invalid::NotYetCurrent { .. }))));

    let good = presigned(PARAMETERS);
    let query = |query: String| Sent { query, ..good.clone() }.judge();
    let signature = good.query.rsplit_once('&').unwrap().1;
    assert_eq!(Sent { method: "GET".to_owned(), ..good.clone() }.judge(), invalid(Invalid::Mismatch));
    assert_eq!(Sent { path: "/a".to_owned(), ..good.clone() }.judge(), invalid(Invalid::Mismatch));
    assert_eq!(good.clone().set("host", "other").judge(), invalid(Invalid::Mismatch));
    assert_eq!(query(format!("{}&a=1", good.query)), invalid(Invalid::Mismatch));
    assert_eq!(query(format!("{}&{signature}", good.query)), invalid(Invalid::Parameter));
    assert_eq!(query(format!("{}&x-amz-signature=1", good.query)), invalid(Invalid::Parameter));
    assert_eq!(query(format!("{}&X-Amz-%53ignature=1", good.query)), invalid(Invalid::Parameter));
    assert_eq!(query(format!("{}&X-Amz-Target=a", good.query)), invalid(Invalid::Parameter));
    assert_eq!(query(PARAMETERS.to_owned()), incomplete(Incomplete::Parameter("X-Amz-Signature")));
    let broken = good.query.replace("%3B", "%3");
    assert_eq!(query(broken), incomplete(Incomplete::Parameter("X-Amz-SignedHeaders")));
}

#[test]
fn xs13_key_ids_that_cannot_be_are_unknown() {
    for bad in ["", "A", &"A".repeat(129), "AKIAIOSFODNN7EXAMPL_", "AKIAIOSFODNN7EXAMPL%"] {
        let sent = sent().edit(ID, bad);
        assert_eq!(sent.judge(), Err(SigV4Error::Unrecognized), "{bad}");
    }
    let nul = PARAMETERS.replace(ID, &format!("{ID}%00"));
    assert_eq!(presigned(&nul).judge(), Err(SigV4Error::Unrecognized));
    assert_eq!(sent().edit(ID, &"A".repeat(1 << 20)).judge(), incomplete(Incomplete::Request));
}

#[test]
fn xs14_there_is_one_algorithm() {
    for bad in ["AWS4-ECDSA-P256-SHA256", "AWS", "AWS4-HMAC-SHA1", "aws4-hmac-sha256", "AWS4-HMAC-SHA256x"] {
        assert_eq!(sent().edit(ALGORITHM, bad).judge(), incomplete(Incomplete::Algorithm), "{bad}");
        let parameters = PARAMETERS.replace(ALGORITHM, bad);
        assert_eq!(presigned(&parameters).judge(), incomplete(Incomplete::Algorithm), "{bad}");
    }
    let v2 = sent().set("authorization", "AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=");
    assert_eq!(v2.judge(), incomplete(Incomplete::Algorithm));
}

#[test]
fn everything_has_a_limit_that_can_be_reached() {
    let judge = |sent: Sent| {
        let added = sent.with(|request| signer().sign(request, &sent.body_hash(), now()));
        added.map(|_| sent.signed().judge().unwrap())
    };
    for (extra, answer) in [(0, Ok(())), (1, incomplete(Incomplete::Request))] {
        let long = |length: usize| "a".repeat(length + extra);
        assert_eq!(judge(Sent::post(&format!("/{}", long(MAX_PATH - 1)), "")), answer);
        assert_eq!(judge(Sent { query: long(MAX_QUERY), ..Sent::post("/", "") }), answer);
        assert_eq!(judge(Sent { method: long(MAX_METHOD), ..Sent::post("/", "") }), answer);

        // The limits of headers hold for what arrives, so for the signature too.
        let signed = Sent::post("/", "").signed();
        let used: usize = signed.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert_eq!(signed.clone().add("x", &long(MAX_HEADER_BYTES - used - 1)).judge(), answer);
        let mut many = signed.clone();
        many.headers.resize(MAX_HEADERS + extra, ("x".to_owned(), Vec::new()));
        assert_eq!(many.judge(), answer);
    }
    let token = |length| Signer { token: Some("t".repeat(length)), ..signer() };
    assert_eq!(Sent::post("/", "").signed_by(&token(MAX_TOKEN)).judge(), Ok(()));
    let longer = Sent::post("/", "").signed_by(&token(MAX_TOKEN + 1));
    assert_eq!(longer.judge(), Err(SigV4Error::Unrecognized));

    let names =
        |count: usize| (0..count).fold(Sent::post("/", ""), |sent, at| sent.add(&format!("h{at:02}"), ""));
    assert_eq!(judge(names(MAX_SIGNED_HEADERS - 4)), Ok(()));
    assert_eq!(judge(names(MAX_SIGNED_HEADERS - 3)), invalid(Invalid::SignedHeaders));

    let value = sent().get("authorization");
    let padded =
        |length: usize| value.replace("SignedHeaders=", &format!("SignedHeaders={}", "a".repeat(length)));
    let room = MAX_AUTHORIZATION - value.len();
    assert_eq!(sent().set("authorization", &padded(room)).judge(), invalid(Invalid::Absent));
    assert_eq!(sent().set("authorization", &padded(room + 1)).judge(), incomplete(Incomplete::Header));
}

#[test]
fn only_what_verifies_is_signed() {
    let sign = |sent: &Sent| sent.with(|request| signer().sign(request, &sent.body_hash(), now())).map(drop);
    assert_eq!(sign(&Sent::post("/", "").without("host")), invalid(Invalid::Host));
    assert_eq!(sign(&Sent::post("/", "").add("X-Amz-Date", NOW)), invalid(Invalid::Repeated));
    assert_eq!(sign(&Sent::post("/", "").add("authorization", "x")), invalid(Invalid::SignedHeaders));
    assert_eq!(sign(&Sent::post("/", "").add("a b", "x")), invalid(Invalid::SignedHeaders));
    assert_eq!(sign(&Sent::post("a", "")), incomplete(Incomplete::Request));
}

#[test]
fn debug_shows_neither_token_nor_signature() {
    let sent =
        Sent::post("/", "{}").signed_by(&Signer { token: Some("SESSIONTOKEN".to_owned()), ..signer() });
    let shown = format!("{:?}", sent.with(Signed::parse).unwrap());
    assert_eq!(shown, "Signed(AKIAIOSFODNN7EXAMPLE/20260102/eu-west-1/ecr/aws4_request at 20260102T030405Z)");
    let signer = format!("{:?}", Signer { token: Some("SESSIONTOKEN".to_owned()), ..signer() });
    assert!(!signer.contains(SECRET) && !signer.contains("SESSIONTOKEN"), "{signer}");
}

/// What stays the same of a header's value.
fn words(value: &[u8]) -> Vec<&[u8]> {
    value.split(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).filter(|word| !word.is_empty()).collect()
}

fn request() -> impl Strategy<Value = Sent> {
    let path = prop_oneof!["/[a-c/.%~é]{0,12}", "/[ -~é]{0,24}"];
    let query = prop_oneof!["[ab=&%2+]{0,12}", "[!-~]{0,24}"];
    let value = prop_oneof!["[ -~]{0,16}", "[ \tab]{0,8}"];
    let headers = prop::collection::btree_map("[a-z]{1,6}", value, 0..4);
    ("[A-Z]{1,8}", path, query, headers, prop::collection::vec(any::<u8>(), 0..32)).prop_map(
        |(method, path, query, headers, body)| {
            let headers = headers.into_iter().filter(|(name, _)| name != "host");
            let sent = Sent { method, path, query, body, ..Sent::post("/", "") };
            headers.fold(sent, |sent, (name, value)| sent.add(&name, &value))
        },
    )
}

/// `text` with one byte replaced; `None` if that is no text, or the same.
fn changed(text: &str, at: prop::sample::Index, byte: u8) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let place = at.index(bytes.len().max(1));
    let old = std::mem::replace(bytes.get_mut(place)?, byte);
    if old == byte { None } else { String::from_utf8(bytes).ok() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_signed_verifies_and_nothing_else_does(
        sent in request(), at in any::<prop::sample::Index>(), byte in any::<u8>(), printable in b'!'..=b'~',
    ) {
        let sent = sent.signed();
        prop_assert_eq!(sent.judge(), Ok(()));
        let others = |text: &str| [byte, printable].into_iter().filter_map(|byte| changed(text, at, byte)).collect::<Vec<_>>();

        for method in others(&sent.method) {
            let other = Sent { method, ..sent.clone() };
            prop_assert!(other.judge().is_err());
        }
        for path in others(&sent.path).into_iter().filter(|path| normal_path(path) != normal_path(&sent.path)) {
            let other = Sent { path, ..sent.clone() };
            prop_assert!(other.judge().is_err());
        }
        for query in others(&sent.query) {
            let other = Sent { query, ..sent.clone() };
            prop_assert!(other.judge().is_err(), "{other:?}");
        }
        let mut body = sent.body.clone();
        if let Some(place) = body.get_mut(at.index(sent.body.len().max(1))) {
            *place ^= byte.max(1);
            let other = Sent { body, ..sent.clone() };
            prop_assert!(other.judge().is_err());
        }
        // Names and values of all headers, so of those too that carry the signature.
        for number in 0..sent.headers.len() {
            let (name, value) = &sent.headers[number];
            let mut other = sent.clone();
            for name in others(name).into_iter().filter(|other| !other.eq_ignore_ascii_case(name)) {
                other.headers[number].0 = name;
                prop_assert!(other.judge().is_err());
            }
            other.headers[number].0.clone_from(name);
            if let Some(place) = other.headers[number].1.get_mut(at.index(value.len().max(1))) {
                *place = byte;
                let same = words(&other.headers[number].1) == words(value);
                // The id in the header is not signed: another id has another key, which does not verify.
                let id = value.windows(ID.len()).position(|part| part == ID.as_bytes());
                let id = id.is_some_and(|id| (id..id + ID.len()).contains(&at.index(value.len())));
                prop_assert!(same || id || other.judge().is_err(), "{name} {byte}");
            }
        }
    }

    #[test]
    fn one_changed_byte_of_a_presigned_query_fails(at in any::<prop::sample::Index>(), byte in b'!'..=b'~') {
        let sent = presigned(&format!("a=1&{PARAMETERS}"));
        if let Some(query) = changed(&sent.query, at, byte) {
            let other = Sent { query, ..sent };
            prop_assert!(other.judge().is_err());
        }
    }

    #[test]
    fn any_text_is_parsed_without_panic(
        method in ".{0,4}", path in ".{0,16}", query in "(X-Amz-[A-Za-z]{0,12}=[%0-9a-z]{0,8}&){0,4}.{0,8}",
        value in "(AWS4-HMAC-SHA256 )?(Credential=|SignedHeaders=|Signature=|,|/|[a-z0-9 ]{0,8}|.){0,12}",
    ) {
        let sent = Sent { method, path, query, ..Sent::post("/", "") }.add("authorization", &value);
        prop_assert!(sent.judge().is_err());
    }
}
