//! E38: all nodes are restarted one after the other, under load. Pushes may have to be tried again, elsewhere
//! too, three times at most; nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tests::http::Client;
use tests::journal::Journal;
use tests::load::{REPOSITORY, push_image};

use crate::rig::Rig;
use crate::{alone, report, size};

/// Tries after the first one.
const RETRIES: usize = 3;
/// Clients.
const PUSHERS: usize = 4;
/// Before each further try, this and as much again for every one before: what `Retry-After` asks for.
const PAUSE: Duration = Duration::from_millis(500);

/// Clients that push images, each to the next node when one does not take it.
pub(crate) struct Pushers {
    pub(crate) journal: Arc<Journal>,
    counts: Arc<Counts>,
    threads: Vec<thread::JoinHandle<()>>,
}

#[derive(Default)]
pub(crate) struct Counts {
    stop: AtomicBool,
    pub(crate) pushed: AtomicUsize,
    pub(crate) retried: AtomicUsize,
    pub(crate) failed: AtomicUsize,
}

impl Pushers {
    pub(crate) fn start(clients: &[Client], count: usize) -> Self {
        let (journal, counts) = (Arc::new(Journal::default()), Arc::new(Counts::default()));
        let push = |first: usize| {
            let (clients, journal, counts) = (clients.to_vec(), Arc::clone(&journal), Arc::clone(&counts));
            thread::spawn(move || {
                let mut node = first;
                while !counts.stop.load(Ordering::Relaxed) {
                    if !push_somewhere(&clients, &mut node, &journal, &counts) {
                        counts.failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        };
        let threads = (0..count).map(push).collect();
        Self { journal, counts, threads }
    }

    /// Ends the clients.
    pub(crate) fn stop(self) -> (Arc<Journal>, Arc<Counts>) {
        self.counts.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("a client"));
        (self.journal, self.counts)
    }
}

fn push_somewhere(clients: &[Client], node: &mut usize, journal: &Journal, counts: &Counts) -> bool {
    for attempt in 0..=RETRIES {
        if push_image(&clients[*node % clients.len()], REPOSITORY, journal, false).is_ok() {
            counts.pushed.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        // Backwards, or the clients would go along with the restarts.
        *node += clients.len() - 1;
        if attempt < RETRIES {
            counts.retried.fetch_add(1, Ordering::Relaxed);
            thread::sleep(PAUSE * (attempt as u32 + 1));
        }
    }
    false
}

#[test]
fn restarting_all_nodes_in_turn_loses_nothing_and_stops_no_push_for_long() {
    let _alone = alone();
    let rounds = size(2, 10);
    let mut rig = Rig::start(3, 3);
    let pushers = Pushers::start(&rig.clients(), PUSHERS);
    for _ in 0..rounds {
        for node in 0..rig.count() {
            rig.cluster.nodes[node].restart();
            // Whoever operates this waits for each node before the next one.
            rig.leader(node);
            let before = pushers.counts.pushed.load(Ordering::Relaxed);
            tests::wait_until("pushes to go on", tests::cluster::PATIENCE, || {
                pushers.counts.pushed.load(Ordering::Relaxed) >= before + PUSHERS
            });
        }
    }
    let (journal, counts) = pushers.stop();
    let verdicts: Vec<_> = (0..rig.count()).map(|node| journal.verify_all(&rig.client(node), 2)).collect();
    let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    report(
        "E38",
        &format!(
            "{} restarts: {} images pushed, {} tries repeated, {} pushes failed after {RETRIES} retries; {}",
            rounds * rig.count(),
            of(&counts.pushed),
            of(&counts.retried),
            of(&counts.failed),
            verdicts[0]
        ),
    );
    assert_eq!(of(&counts.failed), 0, "pushes failed");
    verdicts.iter().for_each(|verdict| verdict.assert_whole(String::new));
    rig.assert_no_panics();
}
