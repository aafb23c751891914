//! E19: the clock of one node jumps, runs at twice the speed, or stands still. Nothing acknowledged is lost, no
//! read is stale, and what a wrong clock signed is not valid for longer than it should be.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tempfile::TempDir;
use tests::ServerOptions;
use tests::http::Client;
use tests::register_load::{RegisterLoad, RegisterOptions};

use crate::dice::Dice;
use crate::rig::Rig;
use crate::rolling::Pushers;
use crate::{alone, report, size};

/// What `libfaketime` understands: no change, jumps in seconds, twice the speed, and standing still.
const CLOCKS: [&str; 6] = ["+3600", "-3600", "+34560000", "+0 x2", "2026-01-01 00:00:00", "+0"];

#[test]
fn a_wrong_clock_of_one_node_has_no_wrong_outcome() {
    let _alone = alone();
    let rounds = size(1, 9);
    let held = Duration::from_secs(size(1, 10));
    let mut dice = Dice::new("E19");
    let place = TempDir::with_prefix("shoal-clock-").expect("a temporary directory");
    let files: Vec<PathBuf> = (0..3).map(|node| place.path().join(node.to_string())).collect();
    files.iter().for_each(|file| set(file, "+0"));
    let rig = Rig::start_with(3, 3, |node, options| fake(options, &files[node]));
    let load = RegisterLoad::start(
        &rig.clients(),
        RegisterOptions { clients_per_node: 1, ..RegisterOptions::default() },
    );
    let pushers = Pushers::start(&rig.clients(), 2);
    let mut leaders = 0;
    for round in 0..rounds {
        for clock in CLOCKS {
            // The leader's counts most: it tells the time that all commands carry.
            let leader = rig.leader(0);
            let node = if round == 0 { leader } else { dice.roll(3) };
            leaders += usize::from(node == leader);
            set(&files[node], clock);
            thread::sleep(held);
            assert_token_is_sound(&rig, node, clock);
            set(&files[node], "+0");
        }
    }
    let history = load.stop();
    let (journal, counts) = pushers.stop();
    let (pushed, failed) = (counts.pushed.load(Ordering::Relaxed), counts.failed.load(Ordering::Relaxed));
    let verdicts: Vec<_> = (0..3).map(|node| journal.verify_all(&rig.client(node), 2)).collect();
    report(
        "E19",
        &format!(
            "{} wrong clocks, {leaders} of them the leader's: {pushed} images pushed, {failed} failed after \
             retries; {}; {}",
            rounds * CLOCKS.len(),
            verdicts[0],
            crate::partitions::summary(&history)
        ),
    );
    assert!(pushed > 0, "nothing was pushed, so nothing was tested");
    verdicts.iter().for_each(|verdict| verdict.assert_whole(String::new));
    history.assert_linearizable();
    rig.assert_no_panics();
}

/// A token of the node with the wrong clock: at another node it counts only where the two clocks differ by little
/// (A42: 60 s ahead, and behind as long as it lives besides). What the clocks are say their tokens: `libfaketime` keeps what
/// a clock at twice the speed has gained.
fn assert_token_is_sound(rig: &Rig, node: usize, clock: &str) {
    let token = |node: usize| {
        let answer = rig.client(node).get("/token?service=shoal&scope=repository:team/clock:pull").send();
        answer.assert_status(200);
        answer.json()["token"].as_str().expect("a token").to_owned()
    };
    let (other, token, others) = ((node + 1) % 3, token(node), token((node + 1) % 3));
    let ahead = issued(&token) - issued(&others);
    let status =
        Client::bearer(rig.client(other).host(), &token).get("/v2/team/clock/tags/list").send().status;
    // 404: there is no such repository, and the token is good.
    let wanted: &[u16] = match ahead {
        -300..=50 => &[404],
        -370..=70 => &[401, 404],
        _ => &[401],
    };
    assert!(wanted.contains(&status), "{status}: a token of a node with the clock {clock}, {ahead} s ahead");
}

/// When a token says that it was issued, seconds since 1970.
fn issued(token: &str) -> i64 {
    let claims = token.split('.').nth(1).expect("a JWT");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    let claims: serde_json::Value = serde_json::from_slice(&claims).expect("claims");
    claims["iat"].as_i64().expect("a time")
}

/// Lets the node read its clock through `libfaketime`, which looks into `file` each time.
fn fake(options: &mut ServerOptions, file: &Path) {
    let library = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
        .map(|folder| PathBuf::from(folder).join("faketime/libfaketimeMT.so.1"))
        .into_iter()
        .find(|path| path.is_file())
        .expect("faketime: run tests/install first");
    for (name, value) in [
        ("LD_PRELOAD", library.to_string_lossy()),
        ("FAKETIME_TIMESTAMP_FILE", file.to_string_lossy()),
        ("FAKETIME_NO_CACHE", "1".into()),
        // A wrong clock says nothing of the time between two moments, nor of what the disk has.
        ("DONT_FAKE_MONOTONIC", "1".into()),
        ("NO_FAKE_STAT", "1".into()),
    ] {
        options.environment.push((name.to_owned(), value.into_owned()));
    }
}

/// At once: the node reads the file whenever it asks for the time.
fn set(file: &Path, clock: &str) {
    let next = file.with_extension("next");
    fs::write(&next, format!("{clock}\n")).expect("a file for the clock");
    fs::rename(&next, file).expect("a file for the clock");
}
