//! Upload sessions: section 2 of `specs/hostile-inputs.md`, XU3 to XU10, XU16.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use crate::{anonymous, assert_alive, own_server, root};
use tests::content::{sha256, unique_bytes};
use tests::raw::Connection;
use tests::registry::{fresh_repository, is_full_run, with_query};

#[test]
fn strange_content_ranges_leave_the_offset_alone() {
    // XU3
    let repository = fresh_repository("uploads");
    let session = root().start_upload(&repository);
    root().patch(&session).body(unique_bytes(10)).send().assert_status(202);
    for range in [
        "5-4",
        "-1-5",
        "12-21",
        "5-14",
        "0-9",
        "0-18446744073709551615",
        "10-18446744073709551615",
        "18446744073709551615-18446744073709551616",
        "99999999999999999999999999-99999999999999999999999999",
        "0-",
        "bytes 0-9/*",
        "10-18",
        "10-20",
        "10--19",
        "+10-19",
        "0x0a-0x13",
        "10-19,20-29",
        "10\u{a0}-19",
    ] {
        for method in ["PATCH", "PUT"] {
            let target = match method {
                "PUT" => with_query(&session, &format!("digest={}", sha256(b"x"))),
                _ => session.clone(),
            };
            let answer =
                root().request(method, target).header("Content-Range", range).body(unique_bytes(10)).send();
            assert!(matches!(answer.status, 400 | 416), "{method} {range}: {}", answer.status);
            let status = root().get(&session).send();
            status.assert_status(204);
            assert_eq!(status.header("range"), Some("0-9"), "{method} {range}");
        }
    }
    root().patch(&session).header("Content-Range", "10-19").body(unique_bytes(10)).send().assert_status(202);
    assert_alive();
}

#[test]
fn lengths_that_lie_cost_nothing_and_store_nothing() {
    // XU4
    let server = own_server();
    let client = server.root();
    let repository = fresh_repository("uploads");
    let session = client.start_upload(&repository);
    let before = server.usage();
    let digest = sha256(b"hello");
    for length in ["1000000000000000000", "18446744073709551615"] {
        let mut connection = Connection::open(client.host()).expect("connect");
        let target = with_query(&session, &format!("digest={digest}"));
        let head = format!(
            "PUT {target} HTTP/1.1\r\nHost: x\r\n{}Content-Length: {length}\r\n\r\nhello",
            client.authorization_line()
        );
        connection.send(head.as_bytes()).expect("send");
        drop(connection);
    }
    for length in ["-5", "5x", "99999999999999999999999", ""] {
        let request = format!(
            "PATCH {session} HTTP/1.1\r\nHost: x\r\n{}Content-Length: {length}\r\nConnection: close\r\n\r\nhello",
            client.authorization_line()
        );
        let connection = Connection::open(client.host()).expect("connect");
        let answer = connection.exchange("PATCH", request.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 400, "{length:?}");
    }
    let old = format!("PATCH {session} HTTP/1.0\r\nHost: x\r\n{}\r\nhello", client.authorization_line());
    let answer = Connection::open(client.host()).expect("connect").exchange("PATCH", old.as_bytes());
    assert!(answer.is_ok_and(|answer| answer.status < 500));
    client.head(format!("/v2/{repository}/blobs/{digest}")).send().assert_bodyless(404);
    assert!(server.usage().memory < before.memory + (16 << 20));
    client.assert_serves();
}

#[test]
fn sessions_of_others_and_of_nobody_are_unknown_alike() {
    // XU5, S8
    let (mine, theirs) = (fresh_repository("uploads"), fresh_repository("uploads"));
    let live = root().start_upload(&theirs);
    root().patch(&live).body("abc").send().assert_status(202);
    let id = |location: &str| {
        location.rsplit('/').next().expect("an id").split('?').next().expect("an id").to_owned()
    };
    let finished = root().start_upload(&mine);
    root().put(with_query(&finished, &format!("digest={}", sha256(b"f")))).body("f").send();
    let cancelled = root().start_upload(&mine);
    root().delete(&cancelled).send().assert_status(204);
    let mut bodies = BTreeSet::new();
    for id in [
        id(&live),
        id(&cancelled),
        "..%2f..%2fx".into(),
        "%2e%2e".into(),
        "x".into(),
        "0-00000000000000000000000000000000".into(),
        "x".repeat(3000),
    ] {
        for method in ["GET", "PATCH", "PUT", "DELETE"] {
            let mut target = format!("/v2/{mine}/blobs/uploads/{id}");
            if method == "PUT" {
                target = with_query(&target, &format!("digest={}", sha256(b"abc")));
            }
            let answer = root().request(method, target).send();
            if id.contains('%')
                && answer.status == 404
                && !answer.codes().contains(&"BLOB_UPLOAD_UNKNOWN".to_owned())
            {
                continue; // decoded, it is another path
            }
            answer.assert_refused(&[400, 404]);
            if answer.status == 404 {
                bodies.insert(answer.text());
            }
        }
    }
    assert_eq!(bodies.len(), 1, "answers differ: {bodies:?}");
    root()
        .get(format!("/v2/{mine}/blobs/uploads/{}", id(&finished)))
        .send()
        .assert_error(404, "BLOB_UPLOAD_UNKNOWN");
    let status = root().get(&live).send();
    status.assert_status(204);
    assert_eq!(status.header("range"), Some("0-2"));
    anonymous().get(&live).send().assert_error(401, "UNAUTHORIZED");
    assert_alive();
}

#[test]
fn ids_cannot_be_guessed_from_others() {
    // XU6
    let repository = fresh_repository("uploads");
    let locations: Vec<String> = (0..64).map(|_| root().start_upload(&repository)).collect();
    let random: BTreeSet<String> =
        locations.iter().filter_map(|at| at.rsplit(['/', '-']).next().map(str::to_owned)).collect();
    assert_eq!(random.len(), locations.len(), "ids repeat");
    assert!(
        random.iter().all(|hex| hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())),
        "{random:?}"
    );
    // 122 random bits: no position of the hex text may be the same in all but the six bits a UUID fixes.
    let fixed = (0..32)
        .filter(|at| random.iter().map(|hex| hex.as_bytes()[*at]).collect::<BTreeSet<_>>().len() == 1)
        .count();
    assert!(fixed <= 1, "{fixed} digits never change");
    let known = &locations[0];
    let (head, hex) = known.split_at(known.len() - 32);
    let number = u128::from_str_radix(hex, 16).expect("hex");
    for guess in 1..=500_u128 {
        for near in [number.wrapping_add(guess), number.wrapping_sub(guess)] {
            let answer = root().get(format!("{head}{near:032x}")).send();
            answer.assert_error(404, "BLOB_UPLOAD_UNKNOWN");
        }
    }
    for location in locations {
        root().delete(location).send().assert_status(204);
    }
    assert_alive();
}

#[test]
fn two_clients_on_one_session_never_mix_bytes() {
    // XU7: PATCH against PATCH
    let repository = fresh_repository("uploads");
    for round in 0..if is_full_run() { 1000 } else { 60 } {
        let session = root().start_upload(&repository);
        let bodies = [unique_bytes(20_000), unique_bytes(20_000)];
        let barrier = Barrier::new(2);
        let statuses: Vec<u16> = thread::scope(|scope| {
            let tries: Vec<_> = bodies
                .iter()
                .map(|body| {
                    let (barrier, session) = (&barrier, &session);
                    scope.spawn(move || {
                        barrier.wait();
                        root()
                            .patch(session)
                            .header("Content-Range", "0-19999")
                            .body(body.clone())
                            .send()
                            .status
                    })
                })
                .collect();
            tries.into_iter().map(|one| one.join().expect("an answer")).collect()
        });
        let winner = statuses.iter().position(|status| *status == 202).expect("one wins");
        assert_eq!(
            statuses.iter().filter(|status| **status == 202).count(),
            1,
            "round {round}: {statuses:?}"
        );
        assert!(statuses.iter().all(|status| matches!(status, 202 | 404 | 416)), "{statuses:?}");
        let digest = sha256(&bodies[winner]);
        root().put(with_query(&session, &format!("digest={digest}"))).send().assert_status(201);
    }
    assert_alive();
}

#[test]
fn closing_against_appending_or_cancelling_has_one_outcome() {
    // XU7: PUT against PATCH, DELETE against PUT
    let repository = fresh_repository("uploads");
    for round in 0..if is_full_run() { 1000 } else { 40 } {
        let bytes = unique_bytes(500);
        let digest = sha256(&bytes);
        let session = root().start_upload(&repository);
        root().patch(&session).body(bytes.clone()).send().assert_status(202);
        let barrier = Barrier::new(2);
        let (put, other) = thread::scope(|scope| {
            let put = scope.spawn(|| {
                barrier.wait();
                root().put(with_query(&session, &format!("digest={digest}"))).send().status
            });
            let other = scope.spawn(|| {
                barrier.wait();
                match round % 2 {
                    0 => root().patch(&session).body("more").send().status,
                    _ => root().delete(&session).send().status,
                }
            });
            (put.join().expect("an answer"), other.join().expect("an answer"))
        });
        assert!(matches!(put, 201 | 400 | 404 | 416), "{put}");
        assert!(matches!(other, 202 | 204 | 404 | 416), "{other}");
        let visible = root().head(format!("/v2/{repository}/blobs/{digest}")).send().status;
        assert_eq!(visible, if put == 201 { 200 } else { 404 }, "put {put}, other {other}");
        if put == 201 {
            assert_eq!(root().get(format!("/v2/{repository}/blobs/{digest}")).send().body, bytes);
        }
    }
    assert_alive();
}

#[test]
fn a_principal_has_a_thousand_sessions() {
    // XU8: at the limit and one above
    let server = own_server();
    let client = server.root();
    let repository = fresh_repository("uploads");
    let sessions: Vec<String> = (0..1000).map(|_| client.start_upload(&repository)).collect();
    let above = client.post(format!("/v2/{repository}/blobs/uploads/")).send();
    above.assert_error(429, "TOOMANYREQUESTS");
    assert!(above.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "H8");
    client.delete(&sessions[0]).send().assert_status(204);
    client.start_upload(&repository);
    // Pushing in one request needs a session too; reading does not.
    client.get("/v2/_catalog").send().assert_status(200);
    for session in &sessions[1..20] {
        client.delete(session).send().assert_status(204);
    }
    client.assert_serves();
}
