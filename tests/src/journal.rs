//! What clients were promised: every acknowledged push with the moment of its answer, and the check that all
//! of it can still be pulled, byte for byte.
//!
//! Lives outside the node, so no fault in the node reaches it. Never keeps content: digests name it.

use std::fmt::Write;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::content::{media_type, sha256, unique_bytes};
use crate::http::Client;
use crate::raw::Answer;

/// Most entries of each kind that a verdict's text names.
const NAMED: usize = 5;

/// One acknowledged push.
#[derive(Clone, Debug)]
pub struct Promise {
    /// Its repository.
    pub repository: String,
    /// `manifests` or `blobs`.
    pub kind: &'static str,
    /// A digest, or a tag that was pushed once only.
    pub reference: String,
    /// Of the content.
    pub digest: String,
    /// When the answer had been read.
    pub acked: Instant,
}

impl Promise {
    fn target(&self) -> String {
        format!("/v2/{}/{}/{}", self.repository, self.kind, self.reference)
    }
}

/// All promises so far; shared by those who push and those who check.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Vec<Promise>>);

/// What became of the promises.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Promises looked at.
    pub checked: usize,
    /// Answered 404, or with another error that says there is no such thing.
    pub lost: Vec<String>,
    /// Other bytes than promised.
    pub wrong: Vec<String>,
    /// No answer, a 5xx, or an answer that was cut.
    pub unavailable: Vec<String>,
}

/// How one promise was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Exactly.
    Whole,
    /// The node says there is no such thing.
    Lost,
    /// Other bytes came.
    Wrong,
    /// Nothing came, or less than all, and the node said so.
    Unavailable,
}

impl Journal {
    /// Notes that `digest` was acknowledged under `reference` just now.
    pub fn ack(&self, repository: &str, kind: &'static str, reference: &str, digest: &str) {
        let (repository, reference, digest) =
            (repository.to_owned(), reference.to_owned(), digest.to_owned());
        self.promises().push(Promise { repository, kind, reference, digest, acked: Instant::now() });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.promises().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them, by chance.
    pub fn any(&self) -> Option<Promise> {
        let promises = self.promises();
        let chance = random() as usize;
        chance.checked_rem(promises.len()).and_then(|at| promises.get(at).cloned())
    }

    /// All of them.
    pub fn all(&self) -> Vec<Promise> {
        self.promises().clone()
    }

    /// Takes back what was acknowledged at `moment` or later; returns how much that was.
    pub fn forget_since(&self, moment: Instant) -> usize {
        let mut promises = self.promises();
        let before = promises.len();
        promises.retain(|promise| promise.acked < moment);
        before - promises.len()
    }

    /// Takes back what was acknowledged between `from` and `to`; returns how much that was.
    pub fn forget_within(&self, from: Instant, to: Instant) -> usize {
        let mut promises = self.promises();
        let before = promises.len();
        promises.retain(|promise| promise.acked < from || promise.acked > to);
        before - promises.len()
    }

    /// Takes back everything.
    pub fn clear(&self) {
        self.promises().clear();
    }

    /// Pulls everything and compares digests, `readers` at a time.
    ///
    /// # Panics
    /// When a reader does.
    pub fn verify_all(&self, client: &Client, readers: usize) -> Verdict {
        self.verify_from(0, client, readers)
    }

    /// As [`Journal::verify_all`], without the `first` oldest promises.
    ///
    /// # Panics
    /// When a reader does.
    pub fn verify_from(&self, first: usize, client: &Client, readers: usize) -> Verdict {
        let promises = self.all().split_off(first.min(self.len()));
        let share = promises.len().div_ceil(readers.max(1)).max(1);
        let check = |part: &[Promise]| {
            let mut verdict = Verdict::default();
            part.iter().for_each(|promise| verdict.note(promise, check(client, promise)));
            verdict
        };
        std::thread::scope(|scope| {
            let parts: Vec<_> = promises.chunks(share).map(|part| scope.spawn(move || check(part))).collect();
            parts.into_iter().fold(Verdict::default(), |sum, part| sum.and(part.join().expect("a reader")))
        })
    }

    fn promises(&self) -> MutexGuard<'_, Vec<Promise>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pulls what was promised.
pub fn check(client: &Client, promise: &Promise) -> Kept {
    // Some registries hide manifests from clients that do not ask for their type.
    judge(promise, client.get(promise.target()).header("Accept", media_type::IMAGE).try_send())
}

fn judge(promise: &Promise, answer: io::Result<Answer>) -> Kept {
    match answer {
        Ok(answer) if answer.status == 200 && answer.complete => {
            if sha256(&answer.body) == promise.digest {
                Kept::Whole
            } else {
                Kept::Wrong
            }
        }
        Ok(answer) if answer.status == 200 || answer.status >= 500 || answer.status == 429 => {
            Kept::Unavailable
        }
        Ok(_) => Kept::Lost,
        Err(_) => Kept::Unavailable,
    }
}

impl Verdict {
    fn note(&mut self, promise: &Promise, kept: Kept) {
        self.checked += 1;
        match kept {
            Kept::Whole => {}
            Kept::Lost => self.lost.push(promise.target()),
            Kept::Wrong => self.wrong.push(promise.target()),
            Kept::Unavailable => self.unavailable.push(promise.target()),
        }
    }

    fn and(mut self, other: Self) -> Self {
        self.checked += other.checked;
        self.lost.extend(other.lost);
        self.wrong.extend(other.wrong);
        self.unavailable.extend(other.unavailable);
        self
    }

    /// Whether every promise was kept.
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.wrong.is_empty() && self.unavailable.is_empty()
    }

    /// Checks that every promise was kept.
    ///
    /// # Panics
    /// When one was not; `node` is asked for what the node logged.
    pub fn assert_whole(&self, node: impl FnOnce() -> String) {
        assert!(self.checked > 0, "nothing was promised, so nothing was tested");
        assert!(self.is_whole(), "{self}\n{}", node());
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} promises", self.checked)?;
        for (what, which) in
            [("lost", &self.lost), ("wrong", &self.wrong), ("unavailable", &self.unavailable)]
        {
            let named = which.iter().take(NAMED).fold(String::new(), |mut text, target| {
                let _ = write!(text, " {target}");
                text
            });
            write!(f, ", {} {what}{named}", which.len())?;
        }
        Ok(())
    }
}

/// A number by chance.
pub fn random() -> u64 {
    unique_bytes(8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A time by chance between `least` and `most`.
pub fn random_time(least: Duration, most: Duration) -> Duration {
    let span = most.saturating_sub(least).as_micros().max(1) as u64;
    least + Duration::from_micros(random() % span)
}
