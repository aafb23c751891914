//! Tokens that are signed rightly and claim wrongly: XT2, XT5, XT6, XT9 of `specs/hostile-inputs.md`, A40 to A44.
//!
//! The tests sign with the node's own key, read from its data directory: nobody outside can do this, so these
//! rows are about what one node of a cluster believes another.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::{assert_alive, root, server};
use tests::http::Client;
use tests::registry::fresh_repository;

/// A token that is good for a repository, and the key to sign changes of it with.
struct Forge {
    repository: String,
    header: Value,
    claims: Value,
    key: Ed25519KeyPair,
}

impl Forge {
    fn new() -> Self {
        let repository = fresh_repository("claims");
        root().push_image(&repository, "v1");
        let token = root().token(&[&format!("repository:{repository}:pull")]);
        let part = |at: usize| {
            let text = token.split('.').nth(at).expect("three parts");
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64url")).expect("JSON")
        };
        let pkcs8 = std::fs::read(server().data_dir().join("node.key")).expect("the key's file");
        let key = Ed25519KeyPair::from_pkcs8(&pkcs8).expect("a key");
        Self { repository, header: part(0), claims: part(1), key }
    }

    fn input(header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", encode(header), encode(claims))
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let input = Self::input(header, claims);
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(self.key.sign(input.as_bytes()).as_ref()))
    }

    fn status(&self, repository: &str, token: &str) -> u16 {
        let answer = Client::bearer(server().host(), token).get(format!("/v2/{repository}/tags/list")).send();
        if answer.status != 200 {
            answer.assert_error(401, "UNAUTHORIZED");
            assert!(answer.header("www-authenticate").is_some());
        }
        answer.status
    }

    /// The status with one claim changed, or removed by `null`.
    fn with(&self, name: &str, value: &Value) -> u16 {
        let mut claims = self.claims.clone();
        match value {
            Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
            value => claims[name] = value.clone(),
        }
        self.status(&self.repository, &self.sign(&self.header, &claims))
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

#[test]
fn every_claim_is_needed_and_has_its_type() {
    // XT5, XT6, A40
    let forge = Forge::new();
    assert_eq!(
        forge.status(&forge.repository, &forge.sign(&forge.header, &forge.claims)),
        200,
        "the forge works"
    );
    for name in ["iss", "sub", "aud", "exp", "nbf", "iat", "access"] {
        for value in [Value::Null, json!(""), json!({}), json!([5]), json!(true)] {
            let status = forge.with(name, &value);
            assert_eq!(status, 401, "{name} = {value}");
        }
    }
    for (name, value) in [
        ("aud", json!("sho")),
        ("aud", json!("shoal ")),
        ("aud", json!("SHOAL")),
        ("aud", json!("shoal-refresh")),
        ("aud", json!([])),
        ("aud", json!(["other"])),
        ("iss", json!("shoal")),
        ("iss", json!("shoal:00000000000000000000000000000000")),
        ("sub", json!("root")),
        ("sub", json!("nobody")),
        ("exp", json!("9999999999")),
        ("exp", json!(1e300)),
        ("exp", json!(-1)),
        ("exp", json!(0)),
        ("nbf", json!(u64::MAX)),
        ("iat", json!(u64::MAX)),
    ] {
        assert_eq!(forge.with(name, &value), 401, "{name} = {value}");
    }
    assert_alive();
}

#[test]
fn clocks_may_differ_by_a_minute() {
    // XT6, A42: 61 would race with the second that passes between here and there
    let forge = Forge::new();
    assert_eq!(forge.with("exp", &json!(now() - 55)), 200);
    assert_eq!(forge.with("exp", &json!(now() - 65)), 401);
    for name in ["nbf", "iat"] {
        assert_eq!(forge.with(name, &json!(now() + 50)), 200, "{name}");
        assert_eq!(forge.with(name, &json!(now() + 70)), 401, "{name}");
        assert_eq!(forge.with(name, &json!(now() + 3600)), 401, "{name}");
    }
    assert_alive();
}

#[test]
fn the_algorithm_belongs_to_the_key() {
    // XT1, XT2: the public key as an HMAC secret, in each form it is written in
    let forge = Forge::new();
    let public = forge.key.public_key().as_ref();
    let der =
        [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], public].concat();
    let hex: String = public.iter().map(|byte| format!("{byte:02x}")).collect();
    for (alg, algorithm) in
        [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
    {
        let mut header = forge.header.clone();
        header["alg"] = json!(alg);
        let input = Forge::input(&header, &forge.claims);
        for secret in [public, &der, hex.as_bytes(), URL_SAFE_NO_PAD.encode(public).as_bytes()] {
            let tag = hmac::sign(&hmac::Key::new(algorithm, secret), input.as_bytes());
            let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()));
            assert_eq!(forge.status(&forge.repository, &token), 401, "{alg}");
        }
    }
    // Rightly signed under another name is wrong too.
    for alg in [
        json!("none"),
        json!("HS256"),
        json!("ES256"),
        json!("RS256"),
        json!("PS512"),
        json!(["EdDSA"]),
        Value::Null,
    ] {
        let mut header = forge.header.clone();
        header["alg"] = alg.clone();
        assert_eq!(forge.status(&forge.repository, &forge.sign(&header, &forge.claims)), 401, "{alg}");
    }
    assert_alive();
}

#[test]
fn the_key_id_only_chooses_among_known_keys() {
    // XT3, A41
    let forge = Forge::new();
    for kid in [
        json!(null),
        json!(""),
        json!("0000000000000000"),
        json!("../../dev/null"),
        json!(5),
        json!("x".repeat(4000)),
    ] {
        let mut header = forge.header.clone();
        header["kid"] = kid.clone();
        assert_eq!(forge.status(&forge.repository, &forge.sign(&header, &forge.claims)), 401, "{kid}");
    }
    // A stranger's key, named and delivered by the token itself.
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).expect("a key");
    let stranger = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
    let mut header = forge.header.clone();
    header["jwk"] =
        json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(stranger.public_key().as_ref())});
    let input = Forge::input(&header, &forge.claims);
    let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(stranger.sign(input.as_bytes()).as_ref()));
    assert_eq!(forge.status(&forge.repository, &token), 401);
    assert_alive();
}

#[test]
fn names_in_a_token_are_texts_and_not_patterns() {
    // XT8, XT9, A44
    let forge = Forge::new();
    for name in ["*", "claims/*", "claims", "", "..", ".*"] {
        let access = json!([{"type": "repository", "name": name, "actions": ["pull", "*"]}]);
        assert_eq!(forge.with("access", &access), 401, "{name}");
    }
    for access in [
        json!([{"type": "repository", "name": forge.repository, "actions": []}]),
        json!([]),
        json!({}),
        json!([{}]),
    ] {
        assert_eq!(forge.with("access", &access), 401, "{access}");
    }
    let right = json!([{"type": "repository", "name": forge.repository, "actions": ["pull"]}]);
    assert_eq!(forge.with("access", &right), 200);
    // A token never gives its bearer more than the principal has.
    let mut claims = forge.claims.clone();
    claims["sub"] = json!("anonymous");
    assert_eq!(forge.status(&forge.repository, &forge.sign(&forge.header, &claims)), 401);
    assert_alive();
}

#[test]
fn deep_and_large_claims_do_no_harm() {
    // XT7
    let forge = Forge::new();
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    for claims in
        ["[".repeat(6000), "{\"exp\":".repeat(800), format!("{{\"aud\":[{}\"x\"]}}", "\"x\",".repeat(1500))]
    {
        let input = format!("{}.{}", encode(&forge.header.to_string()), encode(&claims));
        let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(forge.key.sign(input.as_bytes()).as_ref()));
        assert_eq!(forge.status(&forge.repository, &token), 401);
        let headless = format!("{}.{}.AAAA", encode(&claims), encode("{}"));
        assert_eq!(forge.status(&forge.repository, &headless), 401);
    }
    assert_alive();
}
