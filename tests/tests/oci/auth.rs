//! Challenges and the token endpoint (checklist §11).

use std::thread;

use crate::{anonymous, root, server};
use serde_json::Value;
use tests::content::ZERO_DIGEST;
use tests::http::Client;
use tests::raw::Answer;
use tests::registry::fresh_repository;
use tests::{Server, ServerOptions};

fn challenge(answer: &Answer) -> String {
    answer.assert_error(401, "UNAUTHORIZED");
    let found: Vec<&str> = answer.all("www-authenticate").collect();
    assert_eq!(found.len(), 1, "one header per scheme");
    assert!(found[0].starts_with("Bearer "), "{found:?}");
    found[0].to_owned()
}

fn form(fields: &str) -> Answer {
    anonymous().post("/token").header("Content-Type", "application/x-www-form-urlencoded").body(fields).send()
}

fn encoded_password() -> String {
    server().password().bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn token_in(answer: &Answer, field: &str) -> String {
    answer.assert_status(200);
    answer.json()[field].as_str().unwrap_or_else(|| panic!("no {field}: {}", answer.text())).to_owned()
}

#[test]
fn challenges_name_the_scope_that_is_missing() {
    // A4, A6, A7, S14
    let repository = fresh_repository("auth");
    root().push_image(&repository, "v1");
    for (method, path, actions) in [
        ("GET", "manifests/v1".to_owned(), "pull"),
        ("GET", format!("blobs/{ZERO_DIGEST}"), "pull"),
        ("GET", "tags/list".into(), "pull"),
        ("GET", format!("referrers/{ZERO_DIGEST}"), "pull"),
        ("POST", "blobs/uploads/".into(), "pull,push"),
        ("PUT", "manifests/v1".into(), "pull,push"),
        ("DELETE", "manifests/v1".into(), "delete"),
        ("DELETE", format!("blobs/{ZERO_DIGEST}"), "delete"),
    ] {
        let answer = anonymous().request(method, format!("/v2/{repository}/{path}")).send();
        let challenge = challenge(&answer);
        let scope = format!("scope=\"repository:{repository}:{actions}\"");
        let wide = format!("scope=\"repository:{repository}:pull,push,{actions}\"");
        assert!(
            challenge.contains(&scope) || (actions == "delete" && challenge.contains(&wide)),
            "{method} {challenge}"
        );
        assert!(!challenge.contains("error="), "no token was sent: {challenge}");
    }
}

#[test]
fn the_realm_is_the_public_url_whatever_a_request_says() {
    // L12, XN10
    let arguments = vec!["--public-url".to_owned(), "https://registry.example".to_owned()];
    let behind_proxy = Server::start(ServerOptions { arguments, ..ServerOptions::default() });
    for (server, url) in [
        (&behind_proxy, "https://registry.example".to_owned()),
        (server(), format!("http://{}", server().host())),
    ] {
        let forwarded = "host=evil.example;proto=https";
        let client = server.anonymous();
        let answer = client.get("/v2/").header("X-Forwarded-Host", "evil.example");
        let answer = answer.header("X-Forwarded-Proto", "https").header("Forwarded", forwarded).send();
        assert!(challenge(&answer).contains(&format!("realm=\"{url}/token\"")), "{answer:?}");
    }
    let started = behind_proxy.root().post("/v2/a/blobs/uploads/").send();
    assert!(started.assert_status(202).location().starts_with("/v2/a/"), "links stay relative");
}

#[test]
fn a_mount_asks_for_both_repositories() {
    // A8: the challenge names the target; the source may be added
    let repository = fresh_repository("auth");
    let answer =
        anonymous().post(format!("/v2/{repository}/blobs/uploads/?mount={ZERO_DIGEST}&from=other/x")).send();
    assert!(challenge(&answer).contains(&format!("repository:{repository}:pull,push")));
}

#[test]
fn bad_tokens_are_told_why() {
    // A4
    let repository = fresh_repository("auth");
    let invalid =
        Client::bearer(server().host(), "nonsense").get(format!("/v2/{repository}/tags/list")).send();
    assert!(challenge(&invalid).contains("error=\"invalid_token\""));
    let token = root().token(&[]);
    let narrow = Client::bearer(server().host(), &token).get(format!("/v2/{repository}/tags/list")).send();
    assert!(challenge(&narrow).contains("error=\"insufficient_scope\""));
}

#[test]
fn a_token_carries_what_clients_read() {
    // A2, A20, A32
    let repository = fresh_repository("auth");
    let scope = format!("repository:{repository}:pull,push");
    let target = format!("/token?account=root&client_id=docker&service=shoal&scope={scope}");
    let answer = root().get(target).send();
    let token = token_in(&answer, "token");
    assert_eq!(token, token_in(&answer, "access_token"));
    assert!(answer.json()["expires_in"].as_u64().is_some_and(|seconds| seconds >= 60), "{}", answer.text());
    let issued = answer.json()["issued_at"].as_str().expect("issued_at").to_owned();
    assert!(issued.ends_with('Z') && issued.contains('T'), "{issued}");
    assert_eq!(answer.json()["refresh_token"], Value::Null, "A26");
    assert!(token.len() < 4096);
    let client = Client::bearer(server().host(), &token);
    client.get("/v2/").send().assert_status(200);
    client.push_image(&repository, "v1");
}

#[test]
fn login_without_a_scope_checks_the_password() {
    // A21, A24, C1
    root()
        .get("/token?service=shoal&offline_token=true&account=root&client_id=docker")
        .send()
        .assert_status(200);
    let host = server().host();
    let wrong = Client::basic(host, "root", "wrong").get("/token?service=shoal").send();
    let unknown = Client::basic(host, "nobody", "wrong").get("/token?service=shoal").send();
    assert_eq!((wrong.status, unknown.status), (401, 401));
    assert_eq!(wrong.body, unknown.body);
    assert_eq!(wrong.json()["token"], Value::Null);
}

#[test]
fn empty_basic_credentials_are_anonymous_or_refused_but_never_root() {
    // A24, K18: `Og==` is a user and a password of no characters
    let answer = Client::authorized(server().host(), "Basic Og==").get("/token?service=shoal").send();
    assert!(matches!(answer.status, 200 | 401), "{}", answer.status);
    if answer.status == 200 {
        let token = token_in(&answer, "token");
        let repository = fresh_repository("auth");
        let client = Client::bearer(server().host(), &token);
        assert_eq!(client.post(format!("/v2/{repository}/blobs/uploads/")).send().status, 401);
    }
}

#[test]
fn anonymous_callers_get_a_token_without_rights() {
    // A3, A23
    let repository = fresh_repository("auth");
    root().push_image(&repository, "v1");
    let token = anonymous().token(&[&format!("repository:{repository}:pull,push")]);
    let client = Client::bearer(server().host(), &token);
    let answer = client.get(format!("/v2/{repository}/manifests/v1")).send();
    assert!(challenge(&answer).contains("error=\"insufficient_scope\""));
}

#[test]
fn several_scopes_come_repeated_or_joined() {
    // A22
    let (one, two) = (fresh_repository("auth"), fresh_repository("auth"));
    let (first, second) = (format!("repository:{one}:pull,push"), format!("repository:{two}:push,pull,pull"));
    let password = encoded_password();
    let post = |scopes: &str| {
        form(&format!(
            "grant_type=password&service=shoal&client_id=x&username=root&password={password}&{scopes}"
        ))
    };
    for token in [
        root().token(&[&first, &second]),
        root().token(&[&format!("{first}%20{second}")]),
        root().token(&[&format!("{first}+{second}")]),
        token_in(&post(&format!("scope={first}+{second}")), "access_token"),
        token_in(&post(&format!("scope={first}&scope={second}")), "access_token"),
    ] {
        let client = Client::bearer(server().host(), &token);
        for repository in [&one, &two] {
            client.start_upload(repository);
        }
    }
}

#[test]
fn a_token_is_good_for_its_names_and_actions_only() {
    // A43, A44, A11
    let repository = fresh_repository("auth");
    let image = root().push_image(&repository, "v1");
    let below = format!("{repository}/b");
    root().push_image(&below, "v1");
    let pull = Client::bearer(server().host(), &root().token(&[&format!("repository:{repository}:pull")]));
    pull.get(format!("/v2/{repository}/manifests/v1")).send().assert_status(200);
    for answer in [
        pull.get(format!("/v2/{below}/manifests/v1")).send(),
        pull.get(format!("/v2/{repository}b/manifests/v1")).send(),
        pull.put(format!("/v2/{repository}/manifests/v1")).body(image.manifest.clone()).send(),
        pull.post(format!("/v2/{repository}/blobs/uploads/")).send(),
        pull.delete(format!("/v2/{repository}/manifests/v1")).send(),
        pull.get("/v2/_catalog").send(),
    ] {
        assert!(challenge(&answer).contains("error=\"insufficient_scope\""));
    }
    for action in ["delete", "*"] {
        let delete =
            Client::bearer(server().host(), &root().token(&[&format!("repository:{repository}:{action}")]));
        delete.delete(format!("/v2/{repository}/manifests/v1")).send().assert_status(202);
        root().put_image(&repository, "v1", &image.manifest);
    }
    let catalog = Client::bearer(server().host(), &root().token(&["registry:catalog:*"]));
    catalog.get("/v2/_catalog").send().assert_status(200);
}

#[test]
fn unknown_scopes_are_dropped() {
    // A23, scope grammar
    for scope in
        ["plugin:x:pull", "repository:a:fly", "repository", "::", "repository(plugin):a:pull", "", "%20%20"]
    {
        let answer = root().get(format!("/token?service=shoal&scope={scope}")).send();
        token_in(&answer, "token");
    }
}

#[test]
fn passwords_by_form_and_refresh_tokens_work() {
    // A26, A27, A28, A30
    let repository = fresh_repository("auth");
    let scope = format!("repository:{repository}:pull,push");
    let password = encoded_password();
    let answer = form(&format!(
        "grant_type=password&service=shoal&client_id=x&access_type=offline&username=root&password={password}&scope={scope}"
    ));
    let access = token_in(&answer, "access_token");
    Client::bearer(server().host(), &access).start_upload(&repository);
    assert!(answer.json()["expires_in"].as_u64().is_some_and(|seconds| seconds >= 60));
    let refresh = token_in(&answer, "refresh_token");
    let fields =
        format!("grant_type=refresh_token&service=shoal&client_id=x&refresh_token={refresh}&scope={scope}");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let access = token_in(&form(&fields), "access_token");
                Client::bearer(server().host(), &access).start_upload(&repository);
            });
        }
    });
    let by_get = root().get("/token?service=shoal&offline_token=true").send();
    token_in(&by_get, "refresh_token");
    let wrong = form("grant_type=password&service=shoal&client_id=x&username=root&password=wrong");
    assert_eq!(wrong.status, 401);
    let stale = form("grant_type=refresh_token&service=shoal&client_id=x&refresh_token=nonsense");
    assert!(matches!(stale.status, 400 | 401), "{}", stale.status);
}

#[test]
fn basic_credentials_work_on_every_endpoint() {
    // A2
    let repository = fresh_repository("auth");
    root().push_image(&repository, "v1");
    let wrong = Client::basic(server().host(), "root", "wrong");
    challenge(&wrong.get(format!("/v2/{repository}/tags/list")).send());
    challenge(&wrong.get("/v2/").send());
}
