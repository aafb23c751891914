//! What tokens are for: section 6 of `specs/hostile-inputs.md`, XT8 to XT10.

use serde_json::json;

use crate::tokens::{Token, ask, assert_void};
use crate::{assert_alive, own_server, root, server};
use tests::http::Client;
use tests::registry::fresh_repository;

#[test]
fn scopes_give_the_intersection_with_the_rights() {
    // XT8
    let repository = fresh_repository("tokens");
    root().push_image(&repository, "v1");
    let access = |scopes: &[&str]| Token::parse(&root().token(scopes)).claims["access"].clone();
    // `*` as a name is a text that no repository has.
    let star = access(&["repository:*:pull"]);
    assert!(star == json!([]) || star[0]["name"] == "*");
    assert_void(&repository, &root().token(&["repository:*:pull"]));
    assert_void(
        &repository,
        &root().token(&[
            "repository:a/../b:pull",
            "repository:..:pull",
            "repository::pull",
            "repository:%2f:pull",
        ]),
    );
    for (scope, client) in [("pull,push,delete,*", server().anonymous()), ("*", server().anonymous())] {
        let token = client.token(&[&format!("repository:{repository}:{scope}"), "registry:catalog:*"]);
        assert_eq!(Token::parse(&token).claims["access"], json!([]));
        assert_void(&repository, &token);
    }
    assert_alive();
}

#[test]
fn a_thousand_scopes_make_no_enormous_token() {
    // XT8, A32
    let scopes: Vec<String> =
        (0..1000).map(|number| format!("repository:tokens/r{number}:pull,push,delete,*")).collect();
    let form = format!(
        "grant_type=password&username=root&password={}&scope={}",
        percent(server().password()),
        scopes.join("%20")
    );
    let answer = server()
        .anonymous()
        .post("/token")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form)
        .send();
    if answer.status == 200 {
        assert!(answer.body.len() < 64 << 10, "{} bytes", answer.body.len());
        let token = answer.json()["access_token"].as_str().expect("a token").to_owned();
        let used = Client::bearer(server().host(), &token).get("/v2/").send();
        assert!(matches!(used.status, 200), "our own token is refused: {}", used.status);
    } else {
        answer.assert_refused(&[400, 413]);
    }
    assert_alive();
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn a_token_names_one_repository_exactly() {
    // XT9
    let repository = fresh_repository("tokens");
    root().push_image(&repository, "v1");
    let token = root().token(&[&format!("repository:{repository}:pull")]);
    for other in [
        format!("{repository}/b"),
        format!("{repository}b"),
        repository[..repository.len() - 1].to_owned(),
        "tokens".into(),
    ] {
        assert_void(&other, &token);
    }
    ask(&repository, &token).assert_status(200);
    ask(&repository.to_uppercase(), &token).assert_refused(&[400, 401]);
    assert_alive();
}

#[test]
fn tokens_are_for_one_use_and_one_cluster() {
    // XT10
    let (_, repository) = Token::good();
    let refresh = root().get("/token?service=shoal&offline_token=true").send();
    let refresh = refresh.json()["refresh_token"].as_str().expect("a refresh token").to_owned();
    assert_void(&repository, &refresh);
    let scope = format!("repository:{repository}:pull");
    let bearer = root().token(&[&scope]);
    let as_refresh = format!("grant_type=refresh_token&service=shoal&refresh_token={bearer}&scope={scope}");
    let answer = server()
        .anonymous()
        .post("/token")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(as_refresh)
        .send();
    answer.assert_refused(&[400, 401]);
    // A token gets no token, and is no password.
    let more =
        Client::bearer(server().host(), &bearer).get(format!("/token?service=shoal&scope={scope}")).send();
    assert!(more.status == 401 || more.json()["token"].is_null());
    let as_password = Client::basic(server().host(), "root", &bearer).at([127, 0, 8, 1]).get("/v2/").send();
    assert_eq!(as_password.status, 401);
    let elsewhere = own_server();
    let foreign = elsewhere.root().token(&[&scope]);
    assert_void(&repository, &foreign);
    let bearer_there = Client::bearer(elsewhere.host(), &bearer).get("/v2/").send();
    assert_eq!(bearer_there.status, 401);
    assert_alive();
}
