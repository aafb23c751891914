//! The cluster core in a simulation: several nodes of the production crates `cluster` and `cluster-core` on one
//! thread, with one source of chance, simulated time, network, clocks and disks.
//!
//! Production code that runs: everything of `cluster` (openraft, elections, group commit, read index, snapshots,
//! membership, storage with redb over a simulated disk), and of `cluster-core` (apply, placement, repair plan,
//! voters). Modelled: what the crate `node` does around it (`homes`: files of blobs, repair, janitor, collection,
//! the leader's care), after that crate's jobs. Not here: blob bytes and the exchange, which has a simulation of
//! its own beside its code.
//!
//! A run that fails prints its seed and the command that repeats it. `SHOAL_SIM_SEEDS=10000` runs so many seeds
//! from `SHOAL_SIM_FIRST` on (default 0), `SHOAL_SIM_THREADS` at once; `SHOAL_SIM_SEED=123` one of them;
//! `SHOAL_SIM_TRACE=1` prints what happens in it.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(unexpected_cfgs, reason = "`tests/simulate` sets tokio_unstable")]
#![allow(clippy::print_stderr, reason = "figures and seeds are for the person who runs it")]

mod client;
mod disk;
mod faults;
mod homes;
mod invariants;
mod network;
mod random;
mod run;
mod world;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use run::Ended;
use world::lock;

/// A deliberate mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    /// Writes count before they are on disk.
    AckBeforeSync,
    /// Strong reads look at the local state without asking for an index.
    StaleRead,
    /// Staged files go by the node's own clock (R3).
    JanitorByLocalClock,
    /// A copy that is not owed any more goes before the entry that allows it (R5).
    ReleaseBeforeEntry,
    /// A receipt is sent before the file is synced (R7).
    ReceiptBeforeSync,
}

/// So many seeds run with all other tests.
const SHORT: u64 = 4;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Seeds that once broke an invariant, and why; they run first. What a seed does changes with the code.
const REGRESSIONS: [(u64, &str); 9] = [
    (29, "the network repeated a proposal: `Transport::call` forbids it"),
    (143, "the same"),
    (45, "a node became a member, did not learn it and never asked again"),
    (73, "log time was far ahead of all clocks after one had jumped"),
    (919, "a leader with a lower id had won first and heard of it later"),
    (4397, "a state was judged that was older than what was acknowledged"),
    (6646, "a janitor counted from a log time before the upload's and removed a copy before its deadline"),
    (1411, "a follower was given a snapshot for ever that the log did not go on from"),
    (2103, "a snapshot waited 300 s for a lost reply: what is lost ends its connection after 2 s"),
];

/// What became of many runs.
#[derive(Default)]
struct Sum {
    counts: BTreeMap<&'static str, u64>,
    broken: Vec<u64>,
    trace: u64,
}

impl Sum {
    fn add(&mut self, seed: u64, ended: Ended) {
        // Whatever the order in which they end.
        self.trace ^= ended.trace;
        for (what, by) in ended.counts {
            *self.counts.entry(what).or_default() += by;
        }
        if !ended.violations.is_empty() {
            eprintln!("seed {seed}: {:#?}", ended.violations);
            eprintln!("repeat with: tests/simulate seed {seed}");
            self.broken.push(seed);
        }
    }
}

/// Runs all seeds, each on one thread, as many at once as there are processors; `then` says whether to go on.
fn run_all(seeds: &[u64], mutant: Option<Mutant>, then: impl Fn(u64, Ended) -> bool + Sync) {
    let next = AtomicUsize::new(0);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = number("SHOAL_SIM_THREADS").map_or(processors, |threads| threads as usize);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(seeds.len()) {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if !then(*seed, run::run(*seed, mutant)) {
                        next.store(seeds.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
}

#[test]
fn no_seed_breaks_an_invariant() {
    let first = number("SHOAL_SIM_FIRST").unwrap_or(0);
    let seeds: Vec<u64> = match (number("SHOAL_SIM_SEED"), number("SHOAL_SIM_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, count) => REGRESSIONS
            .into_iter()
            .map(|(seed, _)| seed)
            .chain(first..first + count.unwrap_or(SHORT))
            .collect(),
    };
    let started = Instant::now();
    let sum = Mutex::new(Sum::default());
    run_all(&seeds, None, |seed, ended| {
        lock(&sum).add(seed, ended);
        true
    });
    let Sum { counts, broken, trace } = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (count, seconds) = (seeds.len(), started.elapsed().as_secs_f64());
    let pace = count as f64 / seconds;
    eprintln!("{count} seeds in {seconds:.1} s ({pace:.1}/s), trace {trace:x}: {counts:?}");
    assert!(broken.is_empty(), "{} of {count} seeds broke an invariant: {broken:?}", broken.len());
    // A run in which nothing succeeds, or nothing fails, shows nothing.
    let often = ["pushes acknowledged", "reads", "swaps", "crashes", "messages"];
    let seldom = ["snapshots installed", "blobs dropped", "copies released", "nodes removed", "writes torn"];
    let expected = seldom.iter().filter(|_| count >= 100).chain(often.iter().filter(|_| count > 1));
    for what in expected {
        assert!(counts.get(what).is_some_and(|count| *count > 0), "no {what} in {count} seeds");
    }
}

/// Which mutant, how many seeds may pass before it is caught, and by what.
const MUTANTS: [(Mutant, u64, &[&str]); 5] = [
    (Mutant::AckBeforeSync, 20, &["I3", "I4", "I5", "I6", "I7", "I9", "I25", "E5"]),
    (Mutant::StaleRead, 20, &["I18"]),
    (Mutant::ReleaseBeforeEntry, 20, &["I9", "I16"]),
    (Mutant::ReceiptBeforeSync, 40, &["I9"]),
    (Mutant::JanitorByLocalClock, 100, &["I9", "I16"]),
];

#[test]
fn each_mutant_is_caught_by_its_invariant() {
    // The last needs more seeds than a short run has.
    let mutants = if tests::registry::is_full_run() { MUTANTS.len() } else { MUTANTS.len() - 1 };
    for (mutant, most, invariants) in MUTANTS.into_iter().take(mutants) {
        let caught = Mutex::new(None);
        run_all(&(0..most).collect::<Vec<_>>(), Some(mutant), |seed, ended| {
            // Others may notice it too; that it is this one shows that this one works.
            let is_named = |violation: &String| {
                let names = violation.split(" at ").next().unwrap_or_default();
                names.split('/').any(|name| invariants.contains(&name))
            };
            let Some(violation) = ended.violations.into_iter().find(is_named) else { return true };
            *lock(&caught) = Some((seed, violation));
            false
        });
        let Some((seed, violation)) = lock(&caught).take() else {
            panic!("{most} seeds of {mutant:?} broke none of {invariants:?}")
        };
        eprintln!("{mutant:?} is caught at seed {seed}: {violation}");
    }
}

/// Only with the runtime's own draws seeded too, as `tests/simulate` builds it.
#[cfg(tokio_unstable)]
#[test]
fn a_seed_repeats_itself() {
    for seed in 0..10 {
        let (one, two) = (run::run(seed, None), run::run(seed, None));
        assert_eq!(one.trace, two.trace, "seed {seed} differs: {:?} and {:?}", one.counts, two.counts);
        assert_eq!(one.counts, two.counts);
    }
}
