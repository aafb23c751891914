//! Clients that put, read, delete and exchange tags at several nodes and record every call with its outcome,
//! for [`crate::register::check`].
//!
//! Owns its threads. Each client keeps to one node, so that a node that answers nothing stops its own clients
//! only. Nothing is repeated: a call without an answer is recorded as unknown.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::content::{self, media_type, sha256};
use crate::history::History;
use crate::http::{Client, Request};
use crate::journal::random;
use crate::raw::Answer;
use crate::register::{Call, Operation, Outcome, Value};
use crate::registry::fresh_repository;

/// Rest of a client after a call that failed at once, so that a node that is down is not hammered.
const REST: Duration = Duration::from_millis(10);

/// How many clients there are, and of what they write.
#[derive(Clone, Copy, Debug)]
pub struct RegisterOptions {
    /// Tags.
    pub keys: usize,
    /// Clients of each node.
    pub clients_per_node: usize,
    /// Between two calls of one client.
    pub rest: Duration,
}

impl Default for RegisterOptions {
    fn default() -> Self {
        Self { keys: 10, clients_per_node: 2, rest: Duration::ZERO }
    }
}

/// A running load. Dropping it stops it.
#[derive(Debug)]
pub struct RegisterLoad {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    began: Instant,
    options: RegisterOptions,
    /// Of all tags; no other load has it.
    repository: String,
    /// The manifest without its number.
    manifest: serde_json::Value,
    next: AtomicU64,
    stop: AtomicBool,
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    operations: Vec<Operation>,
    odd: Vec<String>,
    slowest_refusal: Duration,
    values: HashMap<String, Value>,
}

impl RegisterLoad {
    /// Pushes what the manifests need through the first of `nodes` and starts clients at all of them.
    ///
    /// # Panics
    /// When the first push fails.
    pub fn start(nodes: &[Client], options: RegisterOptions) -> Self {
        let (config, layer) = (b"{\"architecture\":\"amd64\",\"os\":\"linux\"}", b"layer");
        let repository = fresh_repository("registers");
        nodes[0].push_blob(&repository, config);
        nodes[0].push_blob(&repository, layer);
        let shared = Arc::new(Shared {
            began: Instant::now(),
            options,
            repository,
            manifest: content::image(config, &[layer]),
            next: AtomicU64::new(1),
            stop: AtomicBool::new(false),
            record: Mutex::default(),
        });
        let work = |node: usize| {
            let (shared, client) = (Arc::clone(&shared), nodes[node].clone());
            thread::spawn(move || Worker { shared: &shared, client, node, seen: BTreeMap::new() }.run())
        };
        let clients = nodes.len() * options.clients_per_node;
        let threads = (0..clients).map(|number| work(number % nodes.len())).collect();
        Self { shared, threads }
    }

    /// Time since the beginning of the history.
    pub fn now(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// How many calls have ended so far.
    pub fn len(&self) -> usize {
        self.shared.record(|record| record.operations.len())
    }

    /// Whether no call has ended yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends all clients; each finishes its last call.
    ///
    /// # Panics
    /// When a client did.
    pub fn stop(mut self) -> History {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().expect("a client"));
        let record = self.shared.record(std::mem::take);
        History {
            began: self.shared.began,
            operations: record.operations,
            odd: record.odd,
            slowest_refusal: record.slowest_refusal,
        }
    }
}

impl Drop for RegisterLoad {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn record<T>(&self, with: impl FnOnce(&mut Record) -> T) -> T {
        with(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A manifest that was never put before, and what it is known by from now on.
    fn fresh(&self) -> (Value, Vec<u8>) {
        let value = self.next.fetch_add(1, Ordering::Relaxed);
        let mut manifest = self.manifest.clone();
        manifest["annotations"] = json!({ "value": value.to_string() });
        let bytes = content::bytes_of(&manifest);
        self.record(|record| record.values.insert(sha256(&bytes), value));
        (value, bytes)
    }
}

struct Worker<'a> {
    shared: &'a Shared,
    client: Client,
    node: usize,
    /// What this client saw last in each register: digest and value.
    seen: BTreeMap<usize, (String, Value)>,
}

impl Worker<'_> {
    fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let key = random() as usize % self.shared.options.keys;
            let outcome = match random() % 20 {
                0..=9 => self.read(key),
                10..=14 => self.put(key, None),
                15..=17 => self.put(key, self.seen.get(&key).cloned()),
                18 => self.put_if_absent(key),
                _ => self.delete(key),
            };
            let rest = if outcome == Outcome::Unknown { REST } else { self.shared.options.rest };
            thread::sleep(rest);
        }
    }

    fn target(&self, key: usize) -> String {
        format!("/v2/{}/manifests/register-{key}", self.shared.repository)
    }

    fn read(&mut self, key: usize) -> Outcome {
        let client = self.client.clone();
        self.call(key, Call::Read, &client.get(self.target(key)), |answer| match answer.status {
            404 => Some(Outcome::Found(None)),
            // Other bytes than promised are odd.
            200 if Some(sha256(&answer.body).as_str()) == answer.header("docker-content-digest") => {
                Some(Outcome::Found(None))
            }
            _ => None,
        })
    }

    fn put(&mut self, key: usize, expected: Option<(String, Value)>) -> Outcome {
        let (new, bytes) = self.shared.fresh();
        let client = self.client.clone();
        let put = client.put(self.target(key)).header("Content-Type", media_type::IMAGE).body(bytes);
        match expected {
            None => self.call(key, Call::Put(new), &put, done),
            Some((digest, expected)) => {
                let put = put.header("If-Match", format!("\"{digest}\""));
                self.call(key, Call::PutIfMatch { expected, new }, &put, done)
            }
        }
    }

    fn put_if_absent(&mut self, key: usize) -> Outcome {
        let (new, bytes) = self.shared.fresh();
        let client = self.client.clone();
        let put = client.put(self.target(key)).header("Content-Type", media_type::IMAGE).body(bytes);
        self.call(key, Call::PutIfAbsent(new), &put.header("If-None-Match", "*"), done)
    }

    fn delete(&mut self, key: usize) -> Outcome {
        let client = self.client.clone();
        self.call(key, Call::Delete, &client.delete(self.target(key)), |answer| match answer.status {
            202 => Some(Outcome::Done),
            404 => Some(Outcome::Absent),
            _ => None,
        })
    }

    /// Sends the request and records what came of it. `judge` says what an answer means but for values.
    fn call(
        &mut self,
        key: usize,
        call: Call,
        request: &Request<'_>,
        judge: impl Fn(&Answer) -> Option<Outcome>,
    ) -> Outcome {
        let began = self.shared.began.elapsed();
        let answer = request.try_send().ok().filter(|answer| answer.complete);
        let ended = self.shared.began.elapsed();
        let node = self.node;
        let (outcome, seen) = self.shared.record(|record| {
            let (outcome, seen) = match &answer {
                None => (Outcome::Unknown, None),
                Some(answer) if answer.status == 503 => {
                    record.slowest_refusal = record.slowest_refusal.max(ended - began);
                    if answer.header("retry-after").is_none() {
                        record.odd.push(format!("503 without Retry-After to {call:?}"));
                    }
                    (Outcome::Unknown, None)
                }
                Some(answer) => understand(record, call, answer, judge(answer)),
            };
            record.operations.push(Operation { key, node, call, outcome, began, ended });
            (outcome, seen)
        });
        if let Some(seen) = seen {
            self.seen.insert(key, seen);
        }
        outcome
    }
}

/// The outcome with the value that the answer names, and that value.
fn understand(
    record: &mut Record,
    call: Call,
    answer: &Answer,
    judged: Option<Outcome>,
) -> (Outcome, Option<(String, Value)>) {
    let digest = answer.header("etag").map(|etag| etag.trim_matches('"').to_owned());
    let value = digest.as_ref().and_then(|digest| record.values.get(digest).copied());
    let seen = digest.clone().zip(value);
    let outcome = match (judged, answer.status) {
        (Some(Outcome::Found(_)), 200) if value.is_some() => Some(Outcome::Found(value)),
        (Some(Outcome::Found(_)), 200) => None,
        (Some(Outcome::Refused(_)), _) if digest.is_some() == value.is_some() => {
            Some(Outcome::Refused(value))
        }
        (judged, _) => judged,
    };
    outcome.map_or_else(
        || {
            record.odd.push(format!("{} to {call:?}: {}", answer.status, answer.text()));
            (Outcome::Unknown, None)
        },
        |outcome| (outcome, seen),
    )
}

/// What the answer to a put means.
fn done(answer: &Answer) -> Option<Outcome> {
    match answer.status {
        201 => Some(Outcome::Done),
        412 => Some(Outcome::Refused(None)),
        _ => None,
    }
}
