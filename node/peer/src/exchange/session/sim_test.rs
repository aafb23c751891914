//! A small deterministic network for sessions: nodes with links of a rate and a latency, each serving what it has, some
//! of them badly. Leaves of all answers of a node share its uplink in turns, and queue for the downlink of the receiver; what
//! goes to another region waits at the sender while the link into it is busy.
//! Time is simulated, so a run depends on its seed only.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use proto::identity::NodeId;

use super::*;
use crate::exchange::codec::Holding;
use crate::exchange::leaves::LEAF;
use crate::exchange::serve::{PLACES, is_elsewhere};

/// Microseconds.
pub(super) type Micros = u64;

const LATENCY: Micros = 500;
/// More between regions.
const WIDE_LATENCY: Micros = 40_000;
/// What the queue of a link between regions holds.
const WIDE_QUEUE: Micros = 50_000;
/// Nodes of a region where fetchers meet.
const MEETING: usize = 4;
const TICK: Micros = 50_000;
const ANSWERS: usize = 8;
const TURN: Micros = 500_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    Honest,
    /// Every n-th leaf it sends is wrong.
    Liar(u64),
    /// Sends so many leaves, then nothing any more.
    Staller(u64),
    /// Never answers.
    Silent,
    /// Is gone from this time on.
    Vanishing(Micros),
    /// Says that it has everything, and never gives it.
    Boaster,
    /// Sends 1 KB a second.
    Trickle,
    /// Is always busy.
    Busy,
}

pub(super) struct SimNode {
    pub(super) behaviour: Behaviour,
    pub(super) class: Class,
    /// Nodes of other regions are far, whatever their class.
    pub(super) region: usize,
    /// When its fetch begins.
    pub(super) begins: Micros,
    /// Bytes a second.
    pub(super) rate: u64,
    pub(super) session: Option<Session>,
    pub(super) ended: Option<(Micros, Result<(), Failure>)>,
    pub(super) left: BTreeMap<NodeId, Reason>,
    /// Leaves that came although they were there.
    pub(super) doubled: u64,
    pub(super) sent: u64,
    flying: BTreeMap<AskId, (usize, What)>,
    answering: VecDeque<Answering>,
    waiting: VecDeque<Answering>,
    is_sending: bool,
    down_free: Micros,
    given: Leaves,
    askers: VecDeque<NodeId>,
}

#[derive(Clone, Debug)]
struct Answering {
    to: usize,
    ask: AskId,
    leaves: Range<u64>,
}

#[derive(Debug)]
enum Event {
    Request { from: usize, to: usize, ask: AskId, what: What },
    SendNext(usize),
    TurnOver { server: usize, to: usize, ask: AskId },
    Arrive { to: usize, ask: AskId, leaf: u64, wrong: bool, last: bool },
    Tell { to: usize, fact: Fact },
    Tick(usize),
}

pub(super) struct Sim {
    pub(super) cut: Cut,
    pub(super) now: Micros,
    pub(super) nodes: Vec<SimNode>,
    /// What a search finds at once; the others are found when named.
    pub(super) tracked: Vec<usize>,
    /// Links into each region: bytes a second, when free again, and bytes so far.
    pub(super) wide: Vec<(u64, Micros, u64)>,
    /// Questions who has what, asks for leaves, and those of them that a busy holder turned away.
    pub(super) polls: u64,
    pub(super) asked: u64,
    pub(super) turned_away: u64,
    queue: BinaryHeap<Reverse<(Micros, u64)>>,
    events: BTreeMap<u64, Event>,
    next_event: u64,
}

pub(super) fn id(index: usize) -> NodeId {
    NodeId::new(index as u64 + 1).expect("not zero")
}

impl Sim {
    pub(super) fn new(size: u64) -> Self {
        Self {
            cut: Cut::of(size),
            now: 0,
            nodes: Vec::new(),
            tracked: Vec::new(),
            wide: Vec::new(),
            polls: 0,
            asked: 0,
            turned_away: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            next_event: 0,
        }
    }

    /// Adds a node that has the blob.
    pub(super) fn holder(&mut self, behaviour: Behaviour, class: Class, rate: u64) -> usize {
        self.tracked.push(self.nodes.len());
        self.node(behaviour, class, rate, None)
    }

    /// Adds a node that fetches the blob from now on.
    pub(super) fn fetcher(&mut self, rate: u64, seed: u64) -> usize {
        self.fetcher_of(0, 0, rate, seed)
    }

    /// Adds a node of a region that fetches the blob from a time on.
    pub(super) fn fetcher_of(&mut self, region: usize, begins: Micros, rate: u64, seed: u64) -> usize {
        let none = Leaves::none(self.cut.leaves());
        let session = Session::new(self.cut, none, false, id(self.nodes.len()), seed);
        let node = self.node(Behaviour::Honest, Class::Region, rate, Some(session));
        (self.nodes[node].region, self.nodes[node].begins) = (region, begins);
        self.plan(begins, Event::Tick(node));
        node
    }

    fn node(&mut self, behaviour: Behaviour, class: Class, rate: u64, session: Option<Session>) -> usize {
        self.nodes.push(SimNode {
            behaviour,
            class,
            region: 0,
            begins: 0,
            rate,
            session,
            ended: None,
            left: BTreeMap::new(),
            doubled: 0,
            sent: 0,
            flying: BTreeMap::new(),
            answering: VecDeque::new(),
            waiting: VecDeque::new(),
            is_sending: false,
            down_free: 0,
            given: Leaves::none(self.cut.leaves()),
            askers: VecDeque::new(),
        });
        self.nodes.len() - 1
    }

    /// Runs until every fetcher ended; panics if one does not within an hour of simulated time.
    pub(super) fn run(&mut self) {
        while self.nodes.iter().any(|node| node.session.is_some() && node.ended.is_none()) {
            let Reverse((at, number)) = self.queue.pop().expect("a fetch without an end has a next tick");
            self.now = at;
            assert!(at < 3_600_000_000, "a fetch goes on for ever");
            let event = self.events.remove(&number).expect("each event happens once");
            self.happen(event);
        }
    }

    fn plan(&mut self, after: Micros, event: Event) {
        self.queue.push(Reverse((self.now + after, self.next_event)));
        self.events.insert(self.next_event, event);
        self.next_event += 1;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick(node) => {
                if self.nodes[node].ended.is_none() {
                    self.plan(TICK, Event::Tick(node));
                    self.tell(node, Fact::Tick);
                }
            }
            Event::Tell { to, fact } => self.tell(to, fact),
            Event::Request { from, to, ask, what } => self.requested(from, to, ask, what),
            Event::TurnOver { server, to, ask } => {
                let waiting = &mut self.nodes[server].waiting;
                let found = waiting.iter().position(|answer| (answer.to, answer.ask) == (to, ask));
                if let Some(answer) = found.and_then(|at| waiting.remove(at)) {
                    answer.leaves.for_each(|leaf| self.nodes[server].given.remove(leaf));
                    self.end(to, ask, End::Busy(Duration::from_millis(200)));
                }
            }
            Event::SendNext(server) => self.send_next(server),
            Event::Arrive { to, ask, leaf, wrong, last } => {
                if !self.nodes[to].flying.contains_key(&ask) {
                    return;
                }
                if wrong {
                    self.tell(to, Fact::Ended(ask, End::Wrong));
                    return;
                }
                let has = self.nodes[to].session.as_ref().is_some_and(|session| session.have().has(leaf));
                self.nodes[to].doubled += u64::from(has);
                self.tell(to, Fact::Received(ask));
                self.tell(to, Fact::Stored(ask, leaf));
                if last {
                    self.tell(to, Fact::Ended(ask, End::Complete));
                }
            }
        }
    }

    fn end(&mut self, to: usize, ask: AskId, end: End) {
        self.turned_away += u64::from(matches!(end, End::Busy(_) | End::Elsewhere));
        self.plan(LATENCY, Event::Tell { to, fact: Fact::Ended(ask, end) });
    }

    fn holding(&self, node: usize) -> Holding {
        let server = &self.nodes[node];
        Holding {
            leaves: server.session.as_ref().map(|session| session.have().clone()),
            given: server.given.clone(),
            askers: server.askers.iter().copied().collect(),
        }
    }

    fn requested(&mut self, from: usize, to: usize, ask: AskId, what: What) {
        match what {
            What::Have => self.polls += 1,
            _ => self.asked += 1,
        }
        match self.nodes[to].behaviour {
            Behaviour::Silent => return,
            Behaviour::Vanishing(at) if at <= self.now => return self.end(from, ask, End::Broken),
            Behaviour::Busy => return self.end(from, ask, End::Busy(Duration::from_millis(200))),
            _ => {}
        }
        let holding = self.holding(to);
        let askers = &mut self.nodes[to].askers;
        if !askers.contains(&id(from)) {
            askers.push_back(id(from));
            if askers.len() > 32 {
                askers.pop_front();
            }
        }
        if self.now < self.nodes[to].begins {
            self.plan(LATENCY, Event::Tell { to: from, fact: Fact::Header(ask, holding) });
            return self.end(from, ask, End::Missing);
        }
        let has = |leaf| holding.leaves.as_ref().is_none_or(|leaves| leaves.has(leaf));
        let leaves = match what {
            What::List | What::Have => 0..0,
            What::Whole => 0..self.cut.leaves(),
            What::Leaves(leaves) => {
                leaves.start..leaves.clone().find(|leaf| !has(*leaf)).unwrap_or(leaves.end)
            }
        };
        let is_missing = (what_is_leaves(&self.nodes[from], ask) && leaves.is_empty())
            || !leaves.clone().all(has)
            || self.nodes[to].behaviour == Behaviour::Boaster && !leaves.is_empty();
        let is_list = matches!(self.nodes[from].flying.get(&ask), Some((_, What::List | What::Whole)));
        if is_missing || leaves.is_empty() {
            self.plan(LATENCY, Event::Tell { to: from, fact: Fact::Header(ask, holding) });
        }
        if is_missing {
            return self.end(from, ask, End::Missing);
        }
        if is_list {
            self.plan(LATENCY, Event::Tell { to: from, fact: Fact::Listed(ask) });
        }
        if leaves.is_empty() {
            return self.end(from, ask, End::Complete);
        }
        let contended = self.nodes[to].answering.len() >= ANSWERS && what_is_leaves(&self.nodes[from], ask);
        let holding = self.holding(to);
        if contended && is_elsewhere(&holding, &What::Leaves(leaves.clone())) {
            self.plan(LATENCY, Event::Tell { to: from, fact: Fact::Header(ask, holding) });
            return self.end(from, ask, End::Elsewhere);
        }
        if self.nodes[to].answering.len() >= ANSWERS && self.nodes[to].waiting.len() >= PLACES * ANSWERS {
            return self.end(from, ask, End::Busy(Duration::from_millis(200)));
        }
        let given = &mut self.nodes[to].given;
        leaves.clone().for_each(|leaf| _ = given.insert(leaf));
        let answer = Answering { to: from, ask, leaves };
        if self.nodes[to].answering.len() < ANSWERS {
            self.begin(to, answer);
        } else {
            self.nodes[to].waiting.push_back(answer);
            self.plan(TURN, Event::TurnOver { server: to, to: from, ask });
        }
    }

    fn begin(&mut self, server: usize, answer: Answering) {
        let header = Fact::Header(answer.ask, self.holding(server));
        self.plan(LATENCY, Event::Tell { to: answer.to, fact: header });
        let node = &mut self.nodes[server];
        for leaf in answer.leaves.clone() {
            node.given.insert(leaf);
        }
        node.answering.push_back(answer);
        if !node.is_sending {
            self.send_next(server);
        }
    }

    /// The uplink is free: the next answer in turn sends one leaf.
    fn send_next(&mut self, server: usize) {
        self.nodes[server].is_sending = false;
        let vanished = matches!(self.nodes[server].behaviour, Behaviour::Vanishing(at) if at <= self.now);
        if let Some(free_at) = self.blocked_until(server) {
            self.nodes[server].is_sending = true;
            return self.plan(free_at - self.now, Event::SendNext(server));
        }
        while let Some(mut answer) = self.nodes[server].answering.pop_front() {
            let (to, ask) = (answer.to, answer.ask);
            if vanished {
                self.end(to, ask, End::Broken);
                continue;
            }
            if !self.nodes[to].flying.contains_key(&ask) {
                self.nodes[server].is_sending = true;
                self.next_turn(server);
                self.nodes[server].is_sending = false;
                continue;
            }
            if matches!(self.nodes[server].behaviour, Behaviour::Staller(after) if self.nodes[server].sent >= after)
            {
                continue;
            }
            let leaf = answer.leaves.start;
            answer.leaves.start += 1;
            let last = answer.leaves.is_empty();
            let bytes = self.cut.bytes(&(leaf..leaf + 1)).max(1);
            if self.nodes[server].behaviour == Behaviour::Trickle {
                for second in 1..4 {
                    self.plan(second * 1_000_000, Event::Tell { to, fact: Fact::Progress(ask, 1000) });
                }
                continue;
            }
            let node = &mut self.nodes[server];
            node.sent += 1;
            node.is_sending = true;
            let wrong = matches!(node.behaviour, Behaviour::Liar(every) if node.sent.is_multiple_of(every));
            let up = bytes * 1_000_000 / node.rate;
            if last {
                self.next_turn(server);
            } else {
                self.nodes[server].answering.push_back(answer);
            }
            let sent_at = self.now + up + LATENCY;
            let sent_at = self.cross(server, to, sent_at, bytes);
            let receiver = &mut self.nodes[to];
            let down = bytes * 1_000_000 / receiver.rate;
            receiver.down_free = sent_at.max(receiver.down_free + down);
            let arrives = receiver.down_free - self.now;
            self.plan(up, Event::SendNext(server));
            self.plan(arrives, Event::Arrive { to, ask, leaf, wrong, last });
            return;
        }
    }

    /// Puts an answer first whose way is free; if there is none, says when one will be.
    fn blocked_until(&mut self, server: usize) -> Option<Micros> {
        let free_at = |sim: &Self, answer: &Answering| {
            let region = sim.nodes[answer.to].region;
            let crosses =
                sim.nodes[server].region != region && sim.nodes[answer.to].flying.contains_key(&answer.ask);
            if crosses { sim.wide[region].1.saturating_sub(WIDE_QUEUE) } else { 0 }
        };
        let ways: Vec<_> = self.nodes[server].answering.iter().map(|answer| free_at(self, answer)).collect();
        match ways.iter().position(|at| *at <= self.now) {
            Some(first) => self.nodes[server].answering.rotate_left(first),
            None => return ways.into_iter().min(),
        }
        None
    }

    /// When bytes of `server`, sent at `sent_at`, are in the region of `to`.
    fn cross(&mut self, server: usize, to: usize, sent_at: Micros, bytes: u64) -> Micros {
        let region = self.nodes[to].region;
        if self.nodes[server].region == region {
            return sent_at;
        }
        let (rate, free, crossed) = &mut self.wide[region];
        *crossed += bytes;
        *free = sent_at.max(*free + bytes * 1_000_000 / *rate);
        *free + WIDE_LATENCY
    }

    fn class_of(&self, node: usize, holder: usize) -> Class {
        if self.nodes[node].region == self.nodes[holder].region {
            self.nodes[holder].class
        } else {
            Class::Wide
        }
    }

    fn next_turn(&mut self, server: usize) {
        if let Some(next) = self.nodes[server].waiting.pop_front() {
            self.begin(server, next);
        }
    }

    /// A reader of `node` waits for these leaves.
    pub(super) fn read(&mut self, node: usize, leaves: Range<u64>) {
        self.plan(0, Event::Tell { to: node, fact: Fact::Reading(1, leaves) });
    }

    fn tell(&mut self, node: usize, fact: Fact) {
        if let Fact::Ended(ask, _) = &fact {
            self.nodes[node].flying.remove(ask);
        }
        let now = Duration::from_micros(self.now - self.nodes[node].begins.min(self.now));
        let Some(mut session) = self.nodes[node].session.take() else { return };
        let decisions = session.on(now, fact);
        for decision in decisions {
            self.decided(node, &session, decision);
        }
        self.nodes[node].session = Some(session);
    }

    fn decided(&mut self, node: usize, session: &Session, decision: Decision) {
        match decision {
            Decision::Ask { ask, holder, what } => {
                self.check_ask(node, session, holder, &what);
                let to = usize::try_from(holder.get() - 1).expect("few nodes");
                self.nodes[node].flying.insert(ask, (to, what.clone()));
                self.plan(LATENCY, Event::Request { from: node, to, ask, what });
            }
            Decision::Stop(ask) => _ = self.nodes[node].flying.remove(&ask),
            Decision::Leave(holder, reason) => _ = self.nodes[node].left.insert(holder, reason),
            Decision::Find(named) => {
                let found = |index: usize, presumed| Found {
                    node: id(index),
                    class: self.class_of(node, index),
                    presumed,
                };
                // As a node does: those that asked it are interesting too.
                let named: BTreeSet<NodeId> =
                    named.into_iter().chain(self.nodes[node].askers.iter().copied()).collect();
                let named = named.iter().map(|node| usize::try_from(node.get() - 1).expect("few nodes"));
                let named = named.filter(|named| *named != node).map(|named| found(named, Presumed::Unknown));
                let tracked = self.tracked.iter().map(|holder| found(*holder, Presumed::Complete));
                let met = self.meeting(self.nodes[node].region);
                let met = met.into_iter().filter(|met| *met != node).map(|met| found(met, Presumed::Nothing));
                let all = tracked.chain(named).chain(met).collect();
                self.plan(2 * LATENCY, Event::Tell { to: node, fact: Fact::Found(all) });
            }
            Decision::Done => {
                assert!(session.have().is_full(), "done with leaves missing");
                self.nodes[node].ended = Some((self.now, Ok(())));
            }
            Decision::Failed(failure) => self.nodes[node].ended = Some((self.now, Err(failure))),
        }
    }

    /// The first fetchers of a region: which ones does not matter, only that all agree.
    fn meeting(&self, region: usize) -> Vec<usize> {
        let fetches = |node: &SimNode| node.session.is_some() && node.region == region;
        (0..self.nodes.len()).filter(|node| fetches(&self.nodes[*node])).take(MEETING).collect()
    }

    /// What must hold for every ask.
    fn check_ask(&self, node: usize, session: &Session, holder: NodeId, what: &What) {
        let fetcher = &self.nodes[node];
        assert_ne!(fetcher.left.get(&holder), Some(&Reason::Wrong), "a liar was asked again");
        let What::Leaves(leaves) = what else { return };
        assert!(!leaves.is_empty() && leaves.end - leaves.start <= crate::exchange::codec::REQUEST_LEAVES);
        let flying: BTreeSet<u64> = fetcher
            .flying
            .values()
            .flat_map(|(_, what)| match what {
                What::Leaves(leaves) => leaves.clone(),
                _ => 0..0,
            })
            .filter(|leaf| !session.have().has(*leaf))
            .collect();
        let missing = self.cut.leaves() - session.have().count();
        for leaf in leaves.clone() {
            assert!(!session.have().has(leaf), "asked for what it has");
            if flying.contains(&leaf) {
                assert_eq!(flying.len() as u64, missing, "asked twice before the endgame");
                let class = self.class_of(node, usize::try_from(holder.get() - 1).expect("few"));
                assert_ne!(class, Class::Wide, "an endgame over the wide area");
            }
        }
    }

    /// Bytes that `node` sent.
    pub(super) fn sent_bytes(&self, node: usize) -> u64 {
        self.nodes[node].sent * LEAF
    }
}

fn what_is_leaves(from: &SimNode, ask: AskId) -> bool {
    matches!(from.flying.get(&ask), Some((_, What::Leaves(_))))
}
