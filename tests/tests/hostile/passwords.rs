//! Passwords and the token endpoint's forms: section 6 of `specs/hostile-inputs.md`, XT12 to XT14, XT16.
//!
//! Wrong passwords count against an address, so each test comes from one of its own.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::{assert_alive, own_server, server};
use tests::http::Client;
use tests::raw::{Answer, Connection};
use tests::registry::is_full_run;
use tests::{Server, ServerOptions, wait_until};

fn ask(host: &str, source: [u8; 4], authorization: &str, target: &str) -> Answer {
    Client::authorized(host, authorization).at(IpAddr::from(source)).get(target).send()
}

#[test]
fn credentials_that_cannot_be_read_are_wrong_ones() {
    // XT12
    let encode = |bytes: &[u8]| format!("Basic {}", STANDARD.encode(bytes));
    let password = server().password();
    for (number, authorization) in [
        "Basic ".to_owned(),
        "Basic !!!".into(),
        "Basic =".into(),
        encode(b"root"),
        encode(b":"),
        encode(b"root:"),
        encode(format!(":{password}").as_bytes()),
        encode(format!("root:{password}\0").as_bytes()),
        encode(format!("root\0:{password}").as_bytes()),
        encode(format!(" root:{password}").as_bytes()),
        encode(format!("ROOT:{password}").as_bytes()),
        encode(format!("root:{password} ").as_bytes()),
        encode(b"root:\xe9\xff"),
        encode(b"\xff\xfe:x"),
        encode(&[b"root:".as_slice(), &[b'x'; 10_000]].concat()),
        format!("{} x", encode(b"root:x")),
    ]
    .into_iter()
    .enumerate()
    {
        let source = [127, 0, 1, u8::try_from(number + 1).expect("few")];
        for target in ["/v2/", "/token?service=shoal"] {
            let answer = ask(server().host(), source, &authorization, target);
            answer.assert_error(401, "UNAUTHORIZED");
            assert!(answer.json()["token"].is_null());
        }
    }
    let huge = Client::authorized(server().host(), &encode(&[b'x'; 1 << 20])).get("/v2/").try_send();
    assert!(huge.map_or(true, |answer| matches!(answer.status, 400 | 401 | 431)));
    assert_alive();
}

#[test]
fn long_passwords_are_compared_to_their_end() {
    // XT12, S18: bcrypt would look at 72 bytes
    let password = "x".repeat(100);
    let server = Server::start(ServerOptions { password: password.clone(), ..ServerOptions::default() });
    let ask = |password: &str| Client::basic(server.host(), "root", password).get("/v2/").send().status;
    assert_eq!(ask(&password), 200);
    assert_eq!(ask(&password[..72]), 401);
    assert_eq!(ask(&password[..99]), 401);
    assert_eq!(ask(&format!("{password}x")), 401);
    assert_eq!(ask(&format!("{}y", &password[..99])), 401);
}

#[test]
fn unknown_users_and_wrong_passwords_look_and_take_the_same() {
    // XT13, A24
    let server = own_server();
    let rounds = if is_full_run() { 1000 } else { 12 };
    let ask = |user: &str, source: [u8; 4]| {
        let began = Instant::now();
        let client = Client::basic(server.host(), user, "wrong password").at(IpAddr::from(source));
        let answer = client.get("/token?service=shoal").send();
        let headers: Vec<_> =
            answer.headers.into_iter().filter(|(name, _)| name != "date" && name != "x-request-id").collect();
        ((answer.status, headers, answer.body), began.elapsed())
    };
    let mut times: [Vec<Duration>; 2] = Default::default();
    for round in 0..rounds {
        // A fresh address each time, so that nobody is slowed down.
        let high = u8::try_from(round / 250 + 1).expect("few");
        let source = [127, 1, high, u8::try_from(round % 250 + 1).expect("few")];
        let mut answers = Vec::new();
        for (which, user) in ["root", "nobody"].into_iter().enumerate() {
            let (answer, time) = ask(user, source);
            times[which].push(time);
            answers.push(answer);
        }
        assert_eq!(answers[0].0, 401);
        assert_eq!(answers[0], answers[1]);
    }
    let medians = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    let (low, high) = (medians[0].min(medians[1]), medians[0].max(medians[1]));
    assert!(high < low * 2, "{medians:?}");
}

#[test]
fn guessing_is_slowed_and_the_owner_still_gets_in() {
    // XT14, H8
    let server = own_server();
    let ask = |source: [u8; 4], password: &str| {
        Client::basic(server.host(), "root", password).at(IpAddr::from(source)).get("/v2/").send()
    };
    let guesser = [127, 2, 0, 1];
    let mut slowed = 0;
    for number in 0..60 {
        let answer = ask(guesser, &format!("guess {number}"));
        assert!(matches!(answer.status, 401 | 429), "{}", answer.status);
        if answer.status == 429 {
            answer.assert_error(429, "TOOMANYREQUESTS");
            assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
            slowed += 1;
        }
    }
    assert!(slowed >= 30, "only {slowed} of 60 guesses were slowed");
    // From elsewhere at once, from the same address after a while.
    ask([127, 2, 0, 2], server.password()).assert_status(200);
    wait_until("the owner gets in from the guesser's address", Duration::from_secs(10), || {
        ask(guesser, server.password()).status == 200
    });
}

#[test]
fn many_wrong_passwords_at_once_do_not_take_the_node() {
    // XT14: hashing is bounded, so that others are served meanwhile
    let server = own_server();
    let before = server.usage();
    std::thread::scope(|scope| {
        for number in 0..40_u8 {
            let host = server.host();
            scope.spawn(move || {
                let client = Client::basic(host, "root", "wrong").at(IpAddr::from([127, 3, 0, number + 1]));
                let answer = client.get("/v2/").send();
                assert!(matches!(answer.status, 401 | 429 | 503), "{}", answer.status);
            });
        }
        let began = Instant::now();
        let token = server.anonymous().get("/v2/").send();
        assert_eq!(token.status, 401);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    });
    let after = server.usage();
    // A few hashes at once, not forty.
    assert!(after.memory < before.memory + (160 << 20), "{before:?} {after:?}");
    server.root().assert_serves();
}

#[test]
fn abandoned_logins_do_not_pile_up() {
    // XT14: who leaves before the answer has not freed the slot of a hash that still runs
    let server = own_server();
    let before = server.usage();
    for number in 1..=200_u8 {
        let source = IpAddr::from([127, 6, 0, number]);
        let client = Client::basic(server.host(), "root", "wrong");
        let mut connection = Connection::open_from(source, server.host()).expect("connect");
        connection.send(&client.get("/v2/").bytes()).expect("send");
    }
    let mut highest = 0;
    // Until the work is done: as long as processor time grows.
    let mut last = Duration::MAX;
    wait_until("the hashes end", Duration::from_secs(30), || {
        let now = server.usage();
        highest = highest.max(now.memory);
        let is_quiet = now.cpu == last;
        last = now.cpu;
        is_quiet
    });
    assert!(highest < before.memory + (160 << 20), "{before:?}, then {highest} bytes");
    server.root().assert_serves();
}

fn form(content_type: &str, fields: &str) -> Answer {
    let client = server().anonymous().at(IpAddr::from([127, 4, 0, 1]));
    client.post("/token").header("Content-Type", content_type).body(fields).send()
}

#[test]
fn forms_that_make_no_sense_are_refused() {
    // XT16
    let urlencoded = "application/x-www-form-urlencoded";
    let password: String = server().password().bytes().map(|byte| format!("%{byte:02X}")).collect();
    for (content_type, fields) in [
        (urlencoded, String::new()),
        (urlencoded, "grant_type=".into()),
        (urlencoded, "grant_type=none&username=root&password=x".into()),
        (urlencoded, format!("grant_type=client_credentials&username=root&password={password}")),
        (urlencoded, "grant_type=password".into()),
        (urlencoded, "grant_type=password&username=root".into()),
        (urlencoded, "grant_type=refresh_token".into()),
        (urlencoded, "grant_type=refresh_token&refresh_token=..".into()),
        (urlencoded, "%ff%fe=%00&grant_type=%00".into()),
        (urlencoded, "&&&===&&".into()),
        (
            "application/json",
            format!(
                "{{\"grant_type\":\"password\",\"username\":\"root\",\"password\":\"{}\"}}",
                server().password()
            ),
        ),
        ("text/plain", format!("grant_type=password&username=root&password={password}")),
        (urlencoded, format!("x={}", "y".repeat(1 << 20))),
    ] {
        let answer = form(content_type, &fields);
        answer.assert_discreet();
        assert!(matches!(answer.status, 400 | 401 | 404 | 413 | 415), "{}: {fields:.80}", answer.status);
        assert!(answer.json()["token"].is_null() && answer.json()["access_token"].is_null());
    }
    assert_alive();
}

#[test]
fn repeated_fields_have_one_meaning() {
    // XT16: never a mixture of the two
    let urlencoded = "application/x-www-form-urlencoded";
    let password: String = server().password().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let first_right =
        form(urlencoded, &format!("grant_type=password&username=root&password={password}&password=x"));
    let first_wrong =
        form(urlencoded, &format!("grant_type=password&username=root&password=x&password={password}"));
    let statuses = [first_right.status, first_wrong.status];
    assert!(statuses.iter().all(|status| matches!(status, 200 | 400 | 401)), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 200).count() <= 1, "{statuses:?}");
    assert_alive();
}

#[test]
fn other_methods_on_the_token_endpoint_are_refused() {
    for method in ["PUT", "DELETE", "PATCH", "FOO"] {
        let answer = server().anonymous().request(method, "/token").send();
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.header("allow").is_some());
    }
}
