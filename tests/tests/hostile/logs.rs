//! What is written down: XA8, XA11 and XA12 of `specs/hostile-inputs.md`, S17.

use std::net::IpAddr;
use std::time::Duration;

use crate::own_server;
use tests::content::serial;
use tests::http::{Client, basic};
use tests::raw::Connection;
use tests::registry::fresh_repository;
use tests::{Server, ServerOptions, wait_until};

fn with_logs(level: &str) -> Server {
    let environment = vec![("RUST_LOG".to_owned(), level.to_owned())];
    Server::start(ServerOptions { environment, ..ServerOptions::default() })
}

#[test]
fn secrets_are_nowhere_in_logs_metrics_or_arguments() {
    // XA8, S17
    let server = with_logs("trace");
    let repository = fresh_repository("logs");
    server.root().push_image(&repository, "v1");
    let scope = format!("repository:{repository}:pull");
    let answer = server.root().get(format!("/token?service=shoal&offline_token=true&scope={scope}")).send();
    let (token, refresh) = (answer.json()["token"].clone(), answer.json()["refresh_token"].clone());
    let (token, refresh) = (token.as_str().expect("a token"), refresh.as_str().expect("a refresh token"));
    Client::bearer(server.host(), token).tags(&repository);
    let wrong = format!("my other password {}", serial());
    let failing = Client::basic(server.host(), "root", &wrong).at(IpAddr::from([127, 5, 0, 1]));
    failing.get("/v2/").send().assert_error(401, "UNAUTHORIZED");
    server
        .anonymous()
        .get(format!("/token?refresh_token={refresh}&password={wrong}").replace(' ', "+"))
        .send();
    let form = format!("grant_type=refresh_token&refresh_token={refresh}");
    server
        .anonymous()
        .post("/token")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form)
        .send();
    let metrics =
        server.anonymous().get("/metrics").send().text() + &server.root().get("/metrics").send().text();
    let arguments = std::fs::read(format!("/proc/{}/cmdline", server.pid())).expect("the process");
    let shown = format!("{}{metrics}{}", server.log(), String::from_utf8_lossy(&arguments));
    let encoded = basic("root", server.password());
    let encoded = encoded.trim_start_matches("Basic ");
    for secret in [
        server.password(),
        encoded,
        &wrong,
        &wrong.replace(' ', "+"),
        &token[token.len() - 40..],
        &refresh[refresh.len() - 40..],
    ] {
        assert!(!shown.contains(secret), "{secret} is shown");
    }
}

#[test]
fn hostile_texts_do_not_write_lines_of_their_own() {
    // XA12, rule "Trace"
    let server = with_logs("trace");
    let before = server.log().lines().count();
    let evil = "\u{1b}[31mred \u{1b}]0;title\u{7} {\"json\": \"break\" \u{9b}x";
    let request = format!(
        "GET /v2/logs%0d%0aFORGED%20LINE/manifests/%1b%5b31m HTTP/1.1\r\nHost: x\r\nUser-Agent: {evil}\r\nReferer: {evil}\r\nConnection: close\r\n\r\n"
    );
    let answer = Connection::open(server.host()).expect("connect").exchange("GET", request.as_bytes());
    assert!(answer.map_or(true, |answer| answer.status < 500));
    let long = format!(
        "GET /v2/ HTTP/1.1\r\nHost: x\r\nUser-Agent: {}\r\nConnection: close\r\n\r\n",
        "u".repeat(30_000)
    );
    let answer = Connection::open(server.host())
        .expect("connect")
        .exchange("GET", long.as_bytes())
        .expect("an answer");
    assert_eq!(answer.status, 401);
    server.root().assert_serves();
    let log = server.log();
    assert!(log.lines().count() >= before);
    assert!(!log.lines().any(|line| line.trim_start().starts_with("FORGED")), "a forged line");
    assert!(
        !log.contains("\u{1b}[31mred") && !log.contains('\u{7}') && !log.contains("\u{1b}]0;"),
        "escapes reach the terminal"
    );
    assert!(log.lines().all(|line| line.len() < 20_000), "a line of any length");
}

#[test]
fn a_refused_request_is_one_line_and_moves_a_counter() {
    // rule "Trace"; 401 and 404 are daily business and logged at debug
    let server = with_logs("info,shoal=debug");
    let repository = fresh_repository("logs");
    server.root().push_image(&repository, "v1");
    let (root, anonymous) = (server.root(), server.anonymous());
    let refusals = [
        (root.get(format!("/v2/{repository}/blobs/sha256:x")), 400),
        (anonymous.get(format!("/v2/{repository}/tags/list")), 401),
        (root.get(format!("/v2/{repository}/manifests/none")), 404),
        (root.put("/v2/_catalog"), 405),
        (root.put(format!("/v2/{repository}/manifests/x")).body("{}"), 400),
    ];
    for (request, status) in refusals {
        let lines = |log: &str| log.lines().filter(|line| line.contains(&format!("status={status}"))).count();
        let counted = || -> u64 {
            let metrics = server.root().get("/metrics").send().text();
            let requests = metrics
                .lines()
                .filter(|line| line.contains("http_requests") && line.contains(&status.to_string()));
            requests.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        let (lines_before, counted_before) = (lines(&server.log()), counted());
        request.send().assert_status(status);
        wait_until("the request is in the log", Duration::from_secs(5), || {
            lines(&server.log()) > lines_before
        });
        assert_eq!(lines(&server.log()), lines_before + 1, "{status}");
        assert_eq!(counted(), counted_before + 1, "{status}");
    }
}

#[test]
fn metrics_do_not_grow_with_names() {
    // XA11
    let server = own_server();
    let metrics = || server.root().get("/metrics").send();
    assert!(matches!(metrics().status, 200), "{}", metrics().status);
    let touch = |number: usize| {
        let client = server.root();
        client
            .get(format!("/v2/logs/r{number}/manifests/t{number}"))
            .header("User-Agent", format!("agent/{number}"))
            .send();
        client.request(&format!("M{number}"), format!("/v2/x{number}")).send();
        client.get(format!("/p{number}?q={number}")).send();
    };
    (0..5).for_each(touch);
    let lines = metrics().text().lines().count();
    (5..200).for_each(touch);
    let after = metrics();
    assert!(after.text().lines().count() <= lines + 5, "{}", after.text());
    for text in ["r150", "agent/150", "M150", "x150", "p150"] {
        assert!(!after.text().contains(text), "{text} is a label");
    }
}

#[test]
fn health_says_only_whether() {
    // XP11: no address, version or path to strangers
    let server = own_server();
    for path in ["/healthz", "/readyz"] {
        let answer = server.anonymous().get(path).send();
        answer.assert_status(200);
        answer.assert_discreet();
        assert!(answer.body.len() < 200, "{}", answer.text());
    }
    for path in [
        "/debug/pprof",
        "/debug/vars",
        "/api/v1/users",
        "/api/v1/cluster",
        "/.git/config",
        "/server-status",
        "/actuator",
    ] {
        let answer = server.anonymous().get(path).send();
        assert!(matches!(answer.status, 401 | 403 | 404), "{path}: {}", answer.status);
        answer.assert_discreet();
    }
}
