//! The task of one fetch: waits for what happens, tells the session, does what it says.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use proto::identity::NodeId;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use super::lane::{Event, Lane};
use super::{Connect, FetchError, Shared, Shelf, Sink};
use crate::exchange::codec::{MAX_SIZE, What};
use crate::exchange::session::{AskId, Decision, Fact, Found, Reason, Session};

/// How often the session is told that time passed.
const TICK: Duration = Duration::from_millis(50);

/// Facts that may wait; the lanes wait when they are more.
const EVENTS: usize = 256;

/// Idle streams that are kept for each holder.
const IDLE: usize = 4;

/// Runs a fetch to its end and says how it ended. Dropping the future stops it; the sink keeps what it has.
pub(super) async fn run<C: Connect, S: Sink>(shared: Arc<Shared<S>>, shelf: Arc<Shelf<C, S>>, seed: u64) {
    let stop = shared.stop.clone();
    let fetched = async {
        if shared.blob.size > MAX_SIZE {
            return Err(FetchError::TooLarge);
        }
        Run::new(&shared, shelf, seed).until_done().await?;
        Ok(shared.sink.finish().await?)
    };
    let outcome = tokio::select! {
        outcome = fetched => outcome,
        () = stop.cancelled() => Err(FetchError::Stopped),
    };
    if let Err(error) = &outcome {
        tracing::debug!(digest = %shared.blob.digest, %error, "a fetch ended without its blob");
    }
    shared.outcome.send_replace(Some(outcome));
}

struct Run<'a, C: Connect, S: Sink> {
    shared: &'a Arc<Shared<S>>,
    shelf: Arc<Shelf<C, S>>,
    session: Session,
    began: Instant,
    /// Owns the tasks of the asks; dropping it ends them.
    lanes: JoinSet<()>,
    flying: HashMap<AskId, AbortHandle>,
    idle: HashMap<NodeId, Vec<C::Stream>>,
    searches: JoinSet<Vec<Found>>,
    events: mpsc::Sender<Event<C::Stream>>,
    arriving: mpsc::Receiver<Event<C::Stream>>,
    readers: BTreeMap<u64, Range<u64>>,
}

impl<'a, C: Connect, S: Sink> Run<'a, C, S> {
    fn new(shared: &'a Arc<Shared<S>>, shelf: Arc<Shelf<C, S>>, seed: u64) -> Self {
        let (events, arriving) = mpsc::channel(EVENTS);
        let session =
            Session::new(shared.cut, shared.sink.leaves(), shared.sink.has_list(), shelf.node, seed);
        Self {
            shared,
            shelf,
            session,
            began: Instant::now(),
            lanes: JoinSet::new(),
            flying: HashMap::new(),
            idle: HashMap::new(),
            searches: JoinSet::new(),
            events,
            arriving,
            readers: BTreeMap::new(),
        }
    }

    async fn until_done(mut self) -> Result<(), FetchError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let facts = tokio::select! {
                Some(event) = self.arriving.recv() => vec![self.take(event)?],
                Some(found) = self.searches.join_next() => vec![Fact::Found(found.unwrap_or_default())],
                Some(_) = self.lanes.join_next() => Vec::new(),
                () = self.shared.readers_moved.notified() => self.moved_readers(),
                _ = tick.tick() => vec![Fact::Tick],
            };
            for fact in facts {
                let decisions = self.session.on(self.began.elapsed(), fact);
                for decision in decisions {
                    match decision {
                        Decision::Done => return Ok(()),
                        Decision::Failed(failure) => return Err(failure.into()),
                        Decision::Ask { ask, holder, what } => self.ask(ask, holder, what),
                        Decision::Stop(ask) => {
                            self.flying.remove(&ask).inspect(AbortHandle::abort);
                        }
                        Decision::Leave(holder, reason) => self.leave(holder, reason),
                        Decision::Find(named) => self.find(named),
                    }
                }
            }
        }
    }

    fn take(&mut self, event: Event<C::Stream>) -> Result<Fact, FetchError> {
        match event {
            Event::Fact(fact) => {
                if let Fact::Stored(_, leaf) = fact {
                    self.shared.arrived(leaf);
                }
                Ok(fact)
            }
            Event::Sink(error) => Err(error.into()),
            Event::Ended { ask, holder, end, stream } => {
                self.flying.remove(&ask);
                let idle = self.idle.entry(holder).or_default();
                if idle.len() < IDLE {
                    idle.extend(stream);
                }
                Ok(Fact::Ended(ask, end))
            }
        }
    }

    fn ask(&mut self, ask: AskId, holder: NodeId, what: What) {
        let lane = Lane {
            shared: Arc::clone(self.shared),
            shelf: Arc::clone(&self.shelf),
            events: self.events.clone(),
            ask,
            holder,
            class: self.session.class(holder),
        };
        let stream = self.idle.get_mut(&holder).and_then(Vec::pop);
        let task = self.lanes.spawn(lane.run(what, stream));
        self.flying.insert(ask, task);
    }

    fn find(&mut self, named: Vec<NodeId>) {
        let (shelf, blob) = (Arc::clone(&self.shelf), self.shared.blob);
        self.searches.spawn(async move {
            let mut found = shelf.connect.find(&blob, named).await;
            found.retain(|found| !shelf.quarantine.holds(found.node, Instant::now()));
            found
        });
    }

    fn leave(&mut self, holder: NodeId, reason: Reason) {
        self.idle.remove(&holder);
        if reason == Reason::Wrong && self.shelf.quarantine.count(holder, Instant::now()) {
            tracing::warn!(node.id = %holder, "quarantined: its pieces were wrong again and again");
        }
        self.shelf.connect.left(&self.shared.blob, holder, reason);
    }

    /// What changed among the readers since the last look.
    fn moved_readers(&mut self) -> Vec<Fact> {
        let now = self.shared.readers().wanted.clone();
        let ended = self.readers.keys().filter(|id| !now.contains_key(id)).map(|id| Fact::ReadingEnded(*id));
        let moved = now.iter().filter(|(id, leaves)| self.readers.get(id) != Some(leaves));
        let facts = ended.chain(moved.map(|(id, leaves)| Fact::Reading(*id, leaves.clone()))).collect();
        self.readers = now;
        facts
    }
}
