//! A mixed load from outside: clients that push images nobody has pushed before, clients that pull what was
//! acknowledged, all against the same addresses, while the nodes behind them may come and go.
//!
//! Owns its threads. A push that fails is counted and never repeated: what it left behind is unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::content::{self, media_type, serial, sha256, unique_bytes};
use crate::http::Client;
use crate::journal::{self, Journal, Kept, Promise, random};
use crate::raw::Answer;
use crate::registry::with_query;

/// Pause after a failure, so that a node that is down is not hammered.
const PAUSE: Duration = Duration::from_millis(5);
/// Smallest layer, bytes; each is this times a power of two.
const LEAST_LAYER: usize = 4 << 10;
/// Largest layer, as a power of two of [`LEAST_LAYER`]: 1 MiB.
const LAYER_STEPS: u64 = 9;
/// Every how many pushes the manifest is large, where [`LoadOptions::large_manifests`] says so.
const LARGE_EVERY: u64 = 12;
/// Bytes of a large manifest, about.
const LARGE: usize = 3 << 20;

/// How long a token is used; it is valid for 300 s.
const TOKEN_LIFE: Duration = Duration::from_secs(200);

/// The repository that every load works in.
pub const REPOSITORY: &str = "load/images";

/// Who does what.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Clients that push.
    pub pushers: usize,
    /// Clients that pull.
    pub pullers: usize,
    /// Whether some manifests have about 3 MiB.
    pub large_manifests: bool,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Images acknowledged.
    pub pushed: u64,
    /// Images given up.
    pub push_failures: u64,
    /// Whole pulls.
    pub pulled: u64,
    /// Pulls without an answer, cut, or answered 5xx.
    pub pull_failures: u64,
    /// Pulls of something acknowledged that were answered "not found" or with other bytes.
    pub broken: Vec<String>,
}

/// A running load. Dropping it stops it.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Tally>>,
}

impl Load {
    /// Starts the clients against one node; what is acknowledged goes to `journal`.
    pub fn start(client: &Client, options: LoadOptions, journal: &Arc<Journal>) -> Self {
        Self::start_on(std::slice::from_ref(client), options, journal)
    }

    /// Starts the clients against several nodes: each image goes to one by chance, each pull to one by chance and
    /// then to the others, until one answers.
    pub fn start_on(nodes: &[Client], options: LoadOptions, journal: &Arc<Journal>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let spawn = |work: fn(&Worker) -> Tally| {
            let worker = Worker {
                nodes: nodes.to_vec(),
                journal: Arc::clone(journal),
                stop: Arc::clone(&stop),
                large_manifests: options.large_manifests,
            };
            thread::spawn(move || work(&worker))
        };
        let pushers = (0..options.pushers).map(|_| spawn(Worker::push_on));
        let pullers = (0..options.pullers).map(|_| spawn(Worker::pull_on));
        let threads = pushers.chain(pullers).collect();
        Self { stop, threads }
    }

    /// Ends all clients and adds up what they did.
    ///
    /// # Panics
    /// When a client did.
    pub fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let sum = |mut sum: Tally, one: Tally| {
            sum.pushed += one.pushed;
            sum.push_failures += one.push_failures;
            sum.pulled += one.pulled;
            sum.pull_failures += one.pull_failures;
            sum.broken.extend(one.broken);
            sum
        };
        self.threads.drain(..).map(|thread| thread.join().expect("a client")).fold(Tally::default(), sum)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Worker {
    nodes: Vec<Client>,
    journal: Arc<Journal>,
    stop: Arc<AtomicBool>,
    large_manifests: bool,
}

impl Worker {
    fn runs(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Clients of all nodes with a token, got as soon as one answers: the check of a password costs the node as
    /// much as many requests, and it forgets which ones it knows when it is killed.
    fn log_in(&self) -> (Vec<Client>, Instant) {
        while self.runs() {
            let target = format!("/token?service=shoal&scope=repository:{REPOSITORY}:pull,push");
            let answer = self.nodes[by_chance(self.nodes.len())].get(target).try_send();
            let token = answer.ok().and_then(|answer| Some(answer.json()["token"].as_str()?.to_owned()));
            if let Some(token) = token {
                let clients = self.nodes.iter().map(|node| Client::bearer(node.host(), &token));
                return (clients.collect(), Instant::now());
            }
            thread::sleep(PAUSE);
        }
        (self.nodes.clone(), Instant::now())
    }

    fn push_on(&self) -> Tally {
        let mut tally = Tally::default();
        let (mut clients, mut since) = self.log_in();
        while self.runs() {
            if since.elapsed() > TOKEN_LIFE {
                (clients, since) = self.log_in();
            }
            let large = self.large_manifests && serial().is_multiple_of(LARGE_EVERY);
            match push_image(&clients[by_chance(clients.len())], REPOSITORY, &self.journal, large) {
                Ok(_) => tally.pushed += 1,
                Err(_) => {
                    tally.push_failures += 1;
                    thread::sleep(PAUSE);
                }
            }
        }
        tally
    }

    fn pull_on(&self) -> Tally {
        let mut tally = Tally::default();
        let (mut clients, mut since) = self.log_in();
        while self.runs() {
            if since.elapsed() > TOKEN_LIFE {
                (clients, since) = self.log_in();
            }
            let Some(promise) = self.journal.any() else {
                thread::sleep(PAUSE);
                continue;
            };
            match check_somewhere(&clients, &promise) {
                Kept::Whole => tally.pulled += 1,
                Kept::Unavailable => {
                    tally.pull_failures += 1;
                    thread::sleep(PAUSE);
                }
                broken => tally.broken.push(format!("{broken:?}: {promise:?}")),
            }
        }
        tally
    }
}

/// Pulls what was promised from a node by chance, and from the next one where nothing came.
fn check_somewhere(clients: &[Client], promise: &Promise) -> Kept {
    let first = by_chance(clients.len());
    let order = clients[first..].iter().chain(&clients[..first]);
    let kept = order.map(|client| journal::check(client, promise)).find(|kept| *kept != Kept::Unavailable);
    kept.unwrap_or(Kept::Unavailable)
}

fn by_chance(count: usize) -> usize {
    random() as usize % count.max(1)
}

/// Pushes one fresh image: a configuration, one to three layers, a manifest by tag. Notes each part that is
/// acknowledged, and returns the manifest's tag.
///
/// # Errors
/// The answer that was not what a push needs; `None` when there was no answer.
pub fn push_image(
    client: &Client,
    repository: &str,
    journal: &Journal,
    large: bool,
) -> Result<String, Option<Answer>> {
    let config =
        format!("{{\"architecture\":\"amd64\",\"os\":\"linux\",\"serial\":{}}}", serial()).into_bytes();
    let layers: Vec<Vec<u8>> =
        (0..=random() % 3).map(|_| unique_bytes(LEAST_LAYER << (random() % LAYER_STEPS))).collect();
    for blob in std::iter::once(&config).chain(&layers) {
        push_blob(client, repository, journal, blob)?;
    }
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let mut manifest = content::image(&config, &layers);
    if large {
        manifest["annotations"] = json!({"padding": "x".repeat(LARGE), "serial": serial().to_string()});
    }
    let manifest = content::bytes_of(&manifest);
    let digest = sha256(&manifest);
    let tag = format!("t{}", serial());
    let put =
        client.put(format!("/v2/{repository}/manifests/{tag}")).header("Content-Type", media_type::IMAGE);
    expect(put.body(manifest).try_send().ok(), 201)?;
    journal.ack(repository, "manifests", &tag, &digest);
    Ok(tag)
}

/// Pushes one blob, sometimes in one request and sometimes as a session with a chunk.
///
/// # Errors
/// As [`push_image`].
pub fn push_blob(
    client: &Client,
    repository: &str,
    journal: &Journal,
    bytes: &[u8],
) -> Result<String, Option<Answer>> {
    let digest = sha256(bytes);
    let uploads = format!("/v2/{repository}/blobs/uploads/");
    let close = |session: &Answer| {
        with_query(session.header("location").unwrap_or_default(), &format!("digest={digest}"))
    };
    if random().is_multiple_of(2) {
        let posted = client.post(format!("{uploads}?digest={digest}")).body(bytes).try_send().ok();
        match posted {
            // A registry need not take a blob in one request; then it opens a session.
            Some(session) if session.status == 202 => {
                expect(client.put(close(&session)).body(bytes).try_send().ok(), 201)?
            }
            posted => expect(posted, 201)?,
        };
    } else {
        let session = expect(client.post(uploads).try_send().ok(), 202)?;
        let location = session.header("location").unwrap_or_default();
        let (chunk, rest) = bytes.split_at(bytes.len() / 2);
        let session = expect(client.patch(location).body(chunk).try_send().ok(), 202)?;
        expect(client.put(close(&session)).body(rest).try_send().ok(), 201)?;
    }
    journal.ack(repository, "blobs", &digest, &digest);
    Ok(digest)
}

fn expect(answer: Option<Answer>, status: u16) -> Result<Answer, Option<Answer>> {
    match answer {
        Some(answer) if answer.status == status => Ok(answer),
        other => Err(other),
    }
}
