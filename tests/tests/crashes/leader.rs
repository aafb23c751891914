//! E12: the leader is killed while clients write through the survivors and pull by digest from them.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::cluster::PATIENCE;
use tests::content::{media_type, serial};
use tests::http::Client;
use tests::journal::{Kept, Promise, check, random_time};
use tests::load::Tally;
use tests::registry::Image;

use crate::rig::{NODES, Rig};
use crate::{alone, report, size, spread};

/// Ten times the greatest gap of the table, which is printed.
const CEILING: Duration = Duration::from_secs(50);
const WRITERS: usize = 4;
const REPOSITORY: &str = "leader/images";

/// What the clients of one round share.
#[derive(Default)]
struct Round {
    is_over: AtomicBool,
    /// When the leader was killed.
    killed: Mutex<Option<Instant>>,
    gaps: Mutex<Vec<Duration>>,
    pulls: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

#[test]
fn writes_go_on_soon_after_the_leader_is_killed_and_pulls_never_stop() {
    let _alone = alone();
    let kills = size(4, 100);
    let mut rig = Rig::new();
    let image = rig.cluster.nodes[0].root().push_image(REPOSITORY, "base");
    rig.wait_for_copies();
    let (mut writers, mut firsts, mut pulls) = (Vec::new(), Vec::new(), 0);
    for kill in 0..kills {
        let leader = rig.cluster.leader();
        let round = Round::default();
        kill_and_watch(&mut rig, leader, &image, &round);
        let mut gaps = std::mem::take(&mut *lock(&round.gaps));
        assert_eq!(gaps.len(), WRITERS, "kill {kill}");
        gaps.sort();
        firsts.extend(gaps.first());
        writers.extend(gaps);
        pulls += round.pulls.load(Ordering::Relaxed);
        let failures = std::mem::take(&mut *lock(&round.failures));
        assert!(failures.is_empty(), "kill {kill}: {failures:?}\n{}", rig.complaints());
        rig.cluster.nodes[leader].restart();
    }
    let verdict = rig.assert_kept(&Tally::default());
    report(
        "E12",
        &format!(
            "{kills} leaders killed; write gap {} (each of {WRITERS} writers); first writer {}; {pulls} pulls by digest at survivors, 0 failed; {verdict}",
            spread(&writers),
            spread(&firsts),
        ),
    );
    assert!(writers.iter().all(|gap| *gap <= CEILING), "{writers:?}");
}

/// Kills the leader amid writes and pulls at the survivors; over when every writer had an answer to a write that it
/// began after the kill.
fn kill_and_watch(rig: &mut Rig, leader: usize, image: &Image, round: &Round) {
    let survivors = || (0..NODES).filter(|place| *place != leader);
    let clients: Vec<Client> = survivors().map(|place| rig.cluster.nodes[place].root()).collect();
    // The first use of a password costs a node much.
    for client in &clients {
        client.get(format!("/v2/{REPOSITORY}/manifests/base")).send().assert_status(200);
    }
    let journal = std::sync::Arc::clone(&rig.journal);
    let promises = [("manifests", &image.digest), ("blobs", &tests::content::sha256(&image.layer))].map(
        |(kind, digest)| Promise {
            repository: REPOSITORY.to_owned(),
            kind,
            reference: digest.clone(),
            digest: digest.clone(),
            acked: Instant::now(),
        },
    );
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (client, journal) = (&clients[writer % clients.len()], &journal);
            scope.spawn(move || write_on(client, image, journal, round));
        }
        for client in &clients {
            scope.spawn(|| pull_on(client, &promises, round));
        }
        thread::sleep(random_time(Duration::from_millis(200), Duration::from_millis(700)));
        rig.cluster.nodes[leader].kill9();
        *lock(&round.killed) = Some(Instant::now());
        let all_wrote =
            tests::wait::try_wait_for("every writer to go on", PATIENCE, || match lock(&round.gaps).len() {
                WRITERS => Ok(()),
                some => Err(format!("{some} did")),
            });
        round.is_over.store(true, Ordering::Relaxed);
        all_wrote.expect("every writer goes on");
    });
}

/// Puts the same manifest under ever new tags, until one is acknowledged that was asked for after the kill.
fn write_on(client: &Client, image: &Image, journal: &tests::journal::Journal, round: &Round) {
    while !round.is_over.load(Ordering::Relaxed) {
        let (began, tag) = (Instant::now(), format!("t{}", serial()));
        let put = client.put(format!("/v2/{REPOSITORY}/manifests/{tag}"));
        let put = put.header("Content-Type", media_type::IMAGE).body(image.manifest.clone()).try_send();
        if !put.is_ok_and(|answer| answer.status == 201) {
            thread::sleep(Duration::from_millis(5));
            continue;
        }
        journal.ack(REPOSITORY, "manifests", &tag, &image.digest);
        let killed = *lock(&round.killed);
        if let Some(killed) = killed.filter(|killed| began >= *killed) {
            lock(&round.gaps).push(killed.elapsed());
            return;
        }
    }
}

fn pull_on(client: &Client, promises: &[Promise], round: &Round) {
    while !round.is_over.load(Ordering::Relaxed) {
        for promise in promises {
            round.pulls.fetch_add(1, Ordering::Relaxed);
            match check(client, promise) {
                Kept::Whole => {}
                kept => lock(&round.failures).push(format!("{kept:?}: {promise:?}")),
            }
        }
    }
}

fn lock<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
