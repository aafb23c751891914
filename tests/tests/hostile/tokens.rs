//! Tokens: section 6 of `specs/hostile-inputs.md`, XT1 to XT7, XT11.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use crate::{assert_alive, root, server};
use tests::http::Client;
use tests::raw::Answer;
use tests::registry::fresh_repository;

/// The three parts of a token, taken apart.
pub(crate) struct Token {
    /// The first two parts as they came.
    signed: String,
    header: Value,
    pub(crate) claims: Value,
    signature: Vec<u8>,
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

impl Token {
    pub(crate) fn parse(text: &str) -> Self {
        let parts: Vec<&str> = text.split('.').collect();
        assert_eq!(parts.len(), 3, "not a JWT");
        let json = |text: &str| serde_json::from_slice(&decode(text)).expect("JSON");
        let signed = format!("{}.{}", parts[0], parts[1]);
        Self { signed, header: json(parts[0]), claims: json(parts[1]), signature: decode(parts[2]) }
    }

    /// A token that is good for everything in a fresh repository.
    pub(crate) fn good() -> (Self, String) {
        let repository = fresh_repository("tokens");
        root().push_image(&repository, "v1");
        let text = root().token(&[&format!("repository:{repository}:pull,push")]);
        (Self::parse(&text), repository)
    }

    /// The token with another signature, all else untouched.
    fn signed_by(&self, signature: &[u8]) -> String {
        format!("{}.{}", self.signed, URL_SAFE_NO_PAD.encode(signature))
    }

    /// The token with other claims, all else untouched.
    fn claiming(&self, claims: &Value) -> String {
        let header = self.signed.split('.').next().unwrap_or_default();
        format!(
            "{header}.{}.{}",
            URL_SAFE_NO_PAD.encode(claims.to_string()),
            URL_SAFE_NO_PAD.encode(&self.signature)
        )
    }

    fn signing_input(&self) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", encode(&self.header), encode(&self.claims))
    }

    fn text(&self) -> String {
        format!("{}.{}", self.signing_input(), URL_SAFE_NO_PAD.encode(&self.signature))
    }
}

pub(crate) fn ask(repository: &str, token: &str) -> Answer {
    Client::bearer(server().host(), token).get(format!("/v2/{repository}/tags/list")).send()
}

/// Checks that `token` opens nothing and gets a challenge.
pub(crate) fn assert_void(repository: &str, token: &str) {
    let answer = ask(repository, token);
    let shown: String = token.chars().take(300).collect();
    assert_eq!(answer.status, 401, "{shown}");
    answer.assert_error(401, "UNAUTHORIZED");
    assert!(answer.header("www-authenticate").is_some());
}

#[test]
fn no_other_algorithm_is_accepted() {
    // XT1, XT2
    let (mut token, repository) = Token::good();
    ask(&repository, &token.signed_by(&token.signature)).assert_status(200);
    let alg = token.header["alg"].clone();
    for other in
        ["none", "None", "nOnE", "", "HS256", "HS512", "RS256", "ES256", "PS256", "EdDSA ", "eddsa", "Ed448"]
    {
        token.header["alg"] = json!(other);
        assert_void(&repository, &token.text());
        assert_void(&repository, &format!("{}.", token.signing_input()));
    }
    for other in [json!(["none"]), json!(5), Value::Null, json!({})] {
        token.header["alg"] = other;
        assert_void(&repository, &token.text());
    }
    token.header.as_object_mut().expect("an object").remove("alg");
    assert_void(&repository, &token.text());
    token.header["alg"] = alg;
    assert_void(&repository, &format!("{}.", token.signing_input()));
    assert_void(&repository, &token.signing_input());
    assert_alive();
}

#[test]
fn a_token_with_any_character_changed_cut_or_doubled_opens_nothing() {
    // S3: the corpus is every place of a real token.
    let (_, repository) = Token::good();
    let token = root().token(&[&format!("repository:{repository}:pull")]);
    ask(&repository, &token).assert_status(200);
    for place in 0..token.len() {
        let (before, after) = (&token[..place], &token[place + 1..]);
        let other = match token.as_bytes()[place] {
            b'A' => 'B',
            _ => 'A',
        };
        assert_void(&repository, &format!("{before}{other}{after}"));
        if place % 16 == 0 {
            assert_void(&repository, before);
            assert_void(&repository, &format!("{before}{after}"));
            assert_void(&repository, &format!("{before}{other}{}", &token[place..]));
        }
    }
    assert_alive();
}

#[test]
fn public_material_is_no_secret_to_sign_with() {
    // XT2: HS256 with what anybody can know
    let (mut token, repository) = Token::good();
    let kid = token.header["kid"].as_str().unwrap_or_default().to_owned();
    token.header["alg"] = json!("HS256");
    let public = std::fs::read(server().data_dir().join("node.key")).unwrap_or_default();
    let tail = public.get(public.len().saturating_sub(32)..).unwrap_or_default().to_vec();
    for secret in [Vec::new(), kid.into_bytes(), b"shoal".to_vec(), vec![0; 32], tail] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        token.signature = hmac::sign(&key, token.signing_input().as_bytes()).as_ref().to_vec();
        assert_void(&repository, &token.text());
    }
    assert_alive();
}

#[test]
fn keys_that_come_with_the_token_are_not_trusted() {
    // XT3, S13
    let (token, repository) = Token::good();
    let trap = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    trap.set_nonblocking(true).expect("nonblocking");
    let url = format!("http://{}/keys", trap.local_addr().expect("an address"));
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([1; 32])});
    let huge = "k".repeat(1 << 12);
    for (name, value) in [
        ("jwk", key),
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("x5c", json!(["MIIB"])),
        ("kid", json!("../../dev/null")),
        ("kid", json!("' OR 1=1 --")),
        ("kid", json!("0000000000000001")),
        ("kid", json!("")),
        ("kid", json!(5)),
        ("kid", json!(huge)),
        ("crit", json!(["exp"])),
        ("zip", json!("DEF")),
    ] {
        let mut header = token.header.clone();
        header[name] = value;
        // The signature no longer fits, and nothing in the header makes it fit.
        let (signed, claims, signature) = (String::new(), token.claims.clone(), token.signature.clone());
        let changed = Token { signed, header, claims, signature };
        assert_void(&repository, &changed.text());
    }
    assert!(trap.accept().is_err(), "somebody came for keys");
    assert_alive();
}

#[test]
fn signatures_are_exact() {
    // XT4: zero, cut, longer, malleable (S plus the group order), of a small-order key
    let (token, repository) = Token::good();
    let good = token.signature.clone();
    assert_eq!(good.len(), 64);
    let mut flipped = good.clone();
    flipped[0] ^= 1;
    let order = decode("7dP1XBpjEljWnPei3vneFAAAAAAAAAAAAAAAAAAAABA");
    let mut carry = 0_u16;
    let malleable: Vec<u8> = good[32..]
        .iter()
        .zip(&order)
        .map(|(s, l)| {
            carry += u16::from(*s) + u16::from(*l);
            let byte = carry.to_le_bytes()[0];
            carry >>= 8;
            byte
        })
        .collect();
    let mut small_order = vec![0; 64];
    small_order[0] = 1;
    for signature in [
        vec![0; 64],
        Vec::new(),
        good[..63].to_vec(),
        [good.as_slice(), &[0]].concat(),
        flipped,
        [&good[..32], &malleable].concat(),
        small_order,
        good.repeat(2),
    ] {
        assert_void(&repository, &token.signed_by(&signature));
    }
    // Another text for the same bytes is another token.
    let text = token.signed_by(&good);
    ask(&repository, &text).assert_status(200);
    assert_void(&repository, &format!("{text}="));
    assert_void(&repository, &text.replacen('.', ". ", 1));
    assert_void(&repository, &format!("{text}."));
    assert_alive();
}

#[test]
fn changed_claims_are_void() {
    // XT5, XT6, XT9, A40: without our key no claim can be changed at all
    let (token, repository) = Token::good();
    for (name, value) in [
        ("aud", Value::Null),
        ("aud", json!(["shoal"])),
        ("aud", json!([])),
        ("aud", json!("sho")),
        ("iss", json!("x")),
        ("exp", json!(1)),
        ("exp", json!(1e300)),
        ("exp", json!("9999999999")),
        ("exp", json!(-1)),
        ("exp", json!(9_999_999_999_u64)),
        ("nbf", json!(9_999_999_999_u64)),
        ("iat", json!(9_999_999_999_u64)),
        ("sub", json!("root")),
        ("access", json!([{"type": "repository", "name": "*", "actions": ["*"]}])),
    ] {
        let mut claims = token.claims.clone();
        claims[name] = value;
        assert_void(&repository, &token.claiming(&claims));
    }
    for name in ["exp", "iat", "aud", "iss", "sub"] {
        let mut claims = token.claims.clone();
        claims.as_object_mut().expect("an object").remove(name);
        assert_void(&repository, &token.claiming(&claims));
    }
    assert_alive();
}

#[test]
fn the_life_of_a_token_is_short() {
    // XT11: an old bearer is good for at most five minutes
    let (token, _) = Token::good();
    let life = |name: &str| token.claims[name].as_u64().expect("seconds");
    assert!(life("exp") - life("iat") <= 300);
    assert!(life("nbf") <= life("iat"));
}

#[test]
fn enormous_tokens_are_refused_unread() {
    // XT7
    let repository = fresh_repository("tokens");
    for token in [
        "a".repeat(20_000),
        ".".repeat(20_000),
        "a.".repeat(10_000),
        "e30.e30.".to_owned() + &"A".repeat(12_000),
    ] {
        assert_void(&repository, &token);
    }
    for token in ["a".repeat(10 << 20), ".".repeat(1 << 20)] {
        let answer = Client::bearer(server().host(), &token).get("/v2/").try_send();
        assert!(answer.map_or(true, |answer| matches!(answer.status, 400 | 401 | 431)));
    }
    // JWE has five parts.
    assert_void(&repository, "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiemlwIjoiREVGIn0..AAAA.AAAA.AAAA");
    for odd in ["", " ", "a b c", "..", "...", "\u{e9}.x.y", "%2e%2e", "null", "{}"] {
        assert_void(&repository, odd);
    }
    assert_alive();
}
