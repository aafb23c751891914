//! "Not yours" and "not there" are the same: the rule of silence in `specs/hostile-inputs.md`, in time.
//!
//! Medians of interleaved samples, since single answers are noise.

use std::time::{Duration, Instant};

use crate::root;
use tests::content::{ZERO_DIGEST, unique_bytes};
use tests::http::Client;
use tests::registry::{fresh_repository, is_full_run};

/// Asks for both in turn and compares the medians of the times; returns the common status.
fn assert_alike(client: &Client, requests: [(&str, String); 2]) -> u16 {
    let rounds = if is_full_run() { 1000 } else { 120 };
    let mut times: [Vec<Duration>; 2] = Default::default();
    let mut statuses = Vec::new();
    for _ in 0..rounds {
        for (which, (method, target)) in requests.iter().enumerate() {
            let began = Instant::now();
            let answer = client.request(method, target).send();
            times[which].push(began.elapsed());
            statuses.push(answer.status);
        }
    }
    statuses.dedup();
    assert_eq!(statuses.len(), 1, "{statuses:?}");
    let medians = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    let (low, high) = (medians[0].min(medians[1]), medians[0].max(medians[1]));
    assert!(high < low.mul_f64(1.5) + Duration::from_micros(200), "{requests:?}: {medians:?}");
    statuses[0]
}

#[test]
fn a_blob_elsewhere_takes_as_long_as_a_blob_nowhere() {
    // XU13
    let (mine, theirs) = (fresh_repository("silence"), fresh_repository("silence"));
    root().push_image(&mine, "v1");
    let digest = root().push_blob(&theirs, &unique_bytes(1 << 20));
    let path = |digest: &str| format!("/v2/{mine}/blobs/{digest}");
    assert_eq!(assert_alike(&root(), [("GET", path(&digest)), ("GET", path(ZERO_DIGEST))]), 404);
    assert_eq!(assert_alike(&root(), [("HEAD", path(&digest)), ("HEAD", path(ZERO_DIGEST))]), 404);
}

#[test]
fn a_mount_takes_as_long_whether_the_blob_exists() {
    // XU12
    let (mine, theirs) = (fresh_repository("silence"), fresh_repository("silence"));
    let digest = root().push_blob(&theirs, &unique_bytes(1 << 20));
    let narrow = Client::bearer(root().host(), &root().token(&[&format!("repository:{mine}:pull,push")]));
    let path = |digest: &str| format!("/v2/{mine}/blobs/uploads/?mount={digest}&from={theirs}");
    let rows = [("POST", path(&digest)), ("POST", path(ZERO_DIGEST))];
    assert_eq!(assert_alike(&narrow, rows), 401);
}

#[test]
fn sessions_of_others_take_as_long_as_none() {
    // XU5
    let (mine, theirs) = (fresh_repository("silence"), fresh_repository("silence"));
    let live = root().start_upload(&theirs).replacen(&theirs, &mine, 1);
    let end = if live.ends_with('0') { "1" } else { "0" };
    let none = format!("{}{end}", &live[..live.len() - 1]);
    assert_eq!(assert_alike(&root(), [("GET", live.clone()), ("GET", none.clone())]), 404);
    assert_eq!(assert_alike(&root(), [("DELETE", live), ("DELETE", none)]), 404);
}

#[test]
fn strangers_wait_alike_for_what_is_there_and_what_is_not() {
    // XL2, XN13
    let (there, nowhere) = (fresh_repository("silence"), fresh_repository("silence"));
    root().push_image(&there, "v1");
    let anonymous = Client::anonymous(root().host());
    let path = |repository: &str| format!("/v2/{repository}/manifests/v1");
    assert_eq!(assert_alike(&anonymous, [("GET", path(&there)), ("GET", path(&nowhere))]), 401);
}
