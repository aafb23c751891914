//! Routes, methods and hosts: section 1 of `specs/hostile-inputs.md`, XN8 to XN10, XN12 to XN14.

use std::time::Duration;

use crate::{anonymous, assert_alive, root};
use tests::content::{ZERO_DIGEST, sha256, unique_bytes};
use tests::http::Client;
use tests::raw::{Answer, Connection};
use tests::registry::fresh_repository;

/// Sends a request line as it is, as root unless `client` is another.
pub(crate) fn line(client: &Client, request: &str) -> Answer {
    let bytes = format!(
        "{request} HTTP/1.1\r\nHost: {}\r\n{}Connection: close\r\n\r\n",
        client.host(),
        client.authorization_line()
    );
    let method = request.split(' ').next().unwrap_or_default();
    let connection = Connection::open(client.host()).expect("connect");
    connection.exchange(method, bytes.as_bytes()).expect("an answer")
}

#[test]
fn no_spelling_of_a_path_avoids_the_login() {
    // XN8, XN14, S10
    let repository = fresh_repository("names");
    root().push_image(&repository, "v1");
    for target in [
        "//v2/_catalog".to_owned(),
        "/v2/_catalog/".into(),
        "/v2/./_catalog".into(),
        "/v2/%5fcatalog".into(),
        "/%76%32/_catalog".into(),
        "/v2//_catalog".into(),
        "/V2/_catalog".into(),
        "/v2/_CATALOG".into(),
        "/v2/_catalog;x=1".into(),
        format!("/v2//{repository}/manifests/v1"),
        format!("/v2/./{repository}/manifests/v1"),
        format!("//v2/{repository}/manifests/v1"),
        format!("/V2/{repository}/manifests/v1"),
        format!("/v2/{repository}/manifests/v1/"),
        format!("/v2/{repository}/manifests/v1;x"),
        format!("/v2/{repository}/Manifests/v1"),
        format!("/v2/{repository}%2fmanifests%2fv1"),
        format!("/v2/{repository}/tags/list/"),
        format!("/v2/{}/manifests/v1", repository.replace('/', "%2F")),
        format!("/v2/{}/manifests/v1", repository.replace('n', "%6e")),
    ] {
        let answer = line(&anonymous(), &format!("GET {target}"));
        assert!(matches!(answer.status, 400 | 401 | 404), "{target}: {}", answer.status);
        // With the right, the variant is the plain path or nothing.
        let answer = line(&root(), &format!("GET {target}"));
        assert!(matches!(answer.status, 200 | 400 | 404), "{target}: {}", answer.status);
    }
    assert_alive();
}

#[test]
fn headers_do_not_replace_method_or_path() {
    // XN9
    let repository = fresh_repository("names");
    let image = root().push_image(&repository, "v1");
    let path = format!("/v2/{repository}/manifests/v1");
    let answer = root()
        .get(&path)
        .header("X-HTTP-Method-Override", "DELETE")
        .header("X-Original-URL", "/v2/_catalog")
        .header("X-Rewrite-URL", "/v2/_catalog")
        .header("X-Forwarded-Prefix", "/evil")
        .send();
    answer.assert_status(200);
    assert_eq!(answer.body, image.manifest);
    assert_eq!(root().tags(&repository), ["v1"]);
    let location =
        root().post(format!("/v2/{repository}/blobs/uploads/")).header("X-Forwarded-Prefix", "/evil").send();
    assert!(location.location().starts_with(&format!("/v2/{repository}/")));
    assert_alive();
}

#[test]
fn the_host_header_is_one_and_well_formed() {
    // XN10
    let host = root().host().to_owned();
    for hosts in [
        String::new(),
        format!("Host: {host}\r\nHost: {host}\r\n"),
        "Host: a\r\nHost: b\r\n".into(),
        "Host: \r\n".into(),
        "Host: a b\r\n".into(),
        "Host: evil\",service=\"x\r\n".into(),
        "Host: evil/path\r\n".into(),
        "Host: user@evil\r\n".into(),
        "Host: evil:99999\r\n".into(),
        "Host: evil:x\r\n".into(),
    ] {
        let request = format!("GET /v2/ HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        let connection = Connection::open(&host).expect("connect");
        let answer = connection.exchange("GET", request.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 400, "{hosts:?}");
        assert!(!format!("{:?}", answer.headers).contains("evil"), "{:?}", answer.headers);
    }
    assert_alive();
}

#[test]
fn an_absolute_target_does_not_change_where_answers_point() {
    // XN10: RFC 9112 3.2.2 lets the target's host win over the header; no link may name it
    let repository = fresh_repository("names");
    let request = format!(
        "POST http://evil.invalid/v2/{repository}/blobs/uploads/ HTTP/1.1\r\nHost: {}\r\n{}Content-Length: 0\r\nConnection: close\r\n\r\n",
        root().host(),
        root().authorization_line()
    );
    let connection = Connection::open(root().host()).expect("connect");
    let answer = connection.exchange("POST", request.as_bytes()).expect("an answer");
    assert!(matches!(answer.status, 202 | 400 | 404), "{}", answer.status);
    assert!(!format!("{:?}", answer.headers).contains("evil"), "{:?}", answer.headers);
    assert_alive();
}

#[test]
fn a_foreign_registry_host_shows_nothing_to_strangers() {
    // XN12, as far as one registry goes: the host never opens what the caller may not read
    let repository = fresh_repository("names");
    root().push_image(&repository, "v1");
    for host in
        ["999999999999.dkr.ecr.x.evil", "99999999999.dkr.ecr.local.x", "9999999999999.dkr.ecr.local.x"]
    {
        let request = format!(
            "GET /v2/{repository}/manifests/v1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );
        let connection = Connection::open(root().host()).expect("connect");
        let answer = connection.exchange("GET", request.as_bytes()).expect("an answer");
        assert!(matches!(answer.status, 401 | 404), "{host}: {}", answer.status);
    }
    assert_alive();
}

#[test]
fn no_method_on_any_route_misses_the_check() {
    // XN13, S14
    let repository = fresh_repository("names");
    let image = root().push_image(&repository, "v1");
    let blob = sha256(&image.layer);
    let session = root().start_upload(&repository);
    let narrow = Client::bearer(root().host(), &root().token(&["repository:names/other:pull,push,delete,*"]));
    let routes = [
        "/v2/_catalog".to_owned(),
        format!("/v2/{repository}/tags/list"),
        format!("/v2/{repository}/manifests/v1"),
        format!("/v2/{repository}/manifests/{}", image.digest),
        format!("/v2/{repository}/blobs/{blob}"),
        format!("/v2/{repository}/referrers/{}", image.digest),
        format!("/v2/{repository}/blobs/uploads/"),
        session.clone(),
        format!("{session}?digest={blob}"),
    ];
    let methods =
        ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "FOO"];
    for client in [anonymous(), narrow] {
        for route in &routes {
            for method in methods {
                let answer = line(&client, &format!("{method} {route}"));
                let found = answer.status;
                assert!(matches!(found, 400 | 401 | 404 | 405 | 501), "{method} {route}: {found}");
                assert!(found != 401 || answer.header("www-authenticate").is_some());
                assert!(found != 405 || answer.header("allow").is_some(), "{method} {route}: no Allow");
                assert!(!answer.body.windows(20).any(|part| part == &image.layer[..20]));
            }
            // The methods that exist here ask for a login; nothing says whether the thing exists.
            let get = client.get(route).send();
            assert!(matches!(get.status, 401 | 405), "{route}: {}", get.status);
        }
    }
    assert_eq!(root().tags(&repository), ["v1"]);
    root().get(&session).send().assert_status(204);
    assert_alive();
}

#[test]
fn there_and_not_there_look_the_same_to_strangers() {
    // Silence: same status, same body but for the name asked
    let (here, nowhere) = (fresh_repository("names"), fresh_repository("names"));
    root().push_image(&here, "v1");
    for path in [
        "manifests/v1".to_owned(),
        "tags/list".into(),
        format!("blobs/{ZERO_DIGEST}"),
        "blobs/uploads/x".into(),
    ] {
        let ask = |name: &str| {
            let answer = anonymous().get(format!("/v2/{name}/{path}")).send();
            let challenge = answer.header("www-authenticate").unwrap_or_default().replace(name, "*");
            (answer.status, answer.text().replace(name, "*"), challenge)
        };
        assert_eq!(ask(&here), ask(&nowhere), "{path}");
    }
}

#[test]
fn a_body_does_not_keep_a_refused_connection_busy() {
    // XU10, second half: the body of an early 401 is drained or the connection ends
    let repository = fresh_repository("names");
    let target = format!("/v2/{repository}/blobs/uploads/?digest={ZERO_DIGEST}");
    let answer = anonymous().post(target).body(unique_bytes(6 << 20)).send();
    answer.assert_error(401, "UNAUTHORIZED");
    let mut connection = Connection::open(root().host()).expect("connect");
    let head = format!(
        "POST /v2/{repository}/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    );
    connection.send(head.as_bytes()).expect("send");
    connection.answer("POST").expect("an answer").assert_error(401, "UNAUTHORIZED");
    assert!(connection.is_closed_within(Duration::from_secs(20)), "still open");
}
