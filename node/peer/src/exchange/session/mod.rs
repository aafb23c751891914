//! One fetch of one blob as a state machine: facts in, decisions out.
//!
//! Owns the choice of holders and leaves. Pure: no IO, no clock (time is what the caller says passed since the fetch
//! began), no randomness but the seed it was given, so any run can be played again. Never accepts a leaf itself:
//! the driver tells what the sink took.
//!
//! It always ends: every wait has an end, every holder can fail only so often, and a fetch that gets nothing for
//! [`STARVED`] fails.

mod ask;
mod choose;
mod fact;
mod holder;
mod map;
mod region;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use proto::digest::Digest;
use proto::identity::NodeId;

use super::codec::{SMALL, What};
use super::leaves::{Cut, Leaves};
use super::random::{Random, mix};

use ask::Ask;
use holder::Holder;
use map::Map;
use region::Wide;

pub use fact::Failure;
pub(super) use fact::{Decision, End, Fact};
pub use holder::{Class, Found, Presumed, Reason};

/// A holder that sends less than [`PROGRESS`] bytes for this long is left.
pub(super) const SILENCE: Duration = Duration::from_secs(2);
pub(super) const PROGRESS: u64 = 16 * 1024;

/// A fetch to which nothing came for this long fails.
pub(super) const STARVED: Duration = Duration::from_secs(30);

/// When a second holder is asked for the same list or small blob.
const HEDGE: Duration = Duration::from_millis(200);

/// How long a node that leaves the wide area to others of its region waits for them.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bounds of the time between two questions to a holder that has nothing for us yet.
const POLL_FIRST: Duration = Duration::from_millis(50);
const POLL_MAX: Duration = Duration::from_millis(500);

/// First pause after a failure of a holder; it doubles.
const AWAY_FIRST: Duration = Duration::from_millis(100);

/// First time after which a holder that was left may be found again; it doubles.
const COOL_OFF: Duration = Duration::from_secs(5);

/// Asks for leaves that fly at once; each costs the driver about two leaves of memory.
pub(super) const ASKS_MAX: usize = 32;

/// Holders that are asked in one fetch.
const HOLDERS_MAX: usize = 48;

/// Time between two searches for holders: with few of them, with enough, and with new names at hand.
const FIND_FEW: Duration = Duration::from_secs(1);
const FIND_ENOUGH: Duration = Duration::from_secs(5);
const FIND_HINTED: Duration = Duration::from_millis(50);
const ENOUGH: usize = 8;

/// Names from holders that are passed on in one fetch.
const NAMES_MAX: usize = 1024;

/// Names one ask of a session.
pub(super) type AskId = u64;

/// See the module.
pub(super) struct Session {
    node: NodeId,
    wide: Wide,
    /// Order among equally rare pieces.
    order: u64,
    random: Random,
    map: Map,
    listed: bool,
    holders: BTreeMap<NodeId, Holder>,
    asks: BTreeMap<AskId, Ask>,
    next_ask: AskId,
    readers: BTreeMap<u64, Range<u64>>,
    /// When something last came.
    fed_at: Duration,
    /// Nothing came for [`PATIENCE`], once: from now on distance does not matter.
    is_impatient: bool,
    finding: bool,
    /// A search was begun when nobody was left.
    last_hope: bool,
    found_at: Option<Duration>,
    /// When the next question who has what may go out.
    poll_at: Duration,
    /// Names that no search was told yet, and those that one was.
    hints: BTreeSet<NodeId>,
    told: BTreeSet<NodeId>,
    last_left: Option<Reason>,
    is_over: bool,
}

impl Session {
    /// A fetch by `node` of what `have` lacks. `listed`: whether the sink has the proven list.
    pub(super) fn new(cut: Cut, have: Leaves, listed: bool, node: NodeId, seed: u64) -> Self {
        Self {
            node,
            wide: Wide::default(),
            order: mix(seed),
            random: Random::new(seed),
            map: Map::new(cut, have),
            listed: listed || !cut.has_list(),
            holders: BTreeMap::new(),
            asks: BTreeMap::new(),
            next_ask: 0,
            readers: BTreeMap::new(),
            fed_at: Duration::ZERO,
            is_impatient: false,
            finding: false,
            last_hope: false,
            found_at: None,
            poll_at: Duration::ZERO,
            hints: BTreeSet::new(),
            told: BTreeSet::new(),
            last_left: None,
            is_over: false,
        }
    }

    /// How near a holder is; far if it is not known.
    pub(super) fn class(&self, holder: NodeId) -> Class {
        self.holders.get(&holder).map_or(Class::Wide, |holder| holder.class)
    }

    /// Which leaves are stored.
    #[cfg(test)]
    pub(super) fn have(&self) -> &Leaves {
        self.map.have()
    }

    /// Takes a fact that became known at `now` and says what to do. After [`Decision::Done`] or
    /// [`Decision::Failed`] nothing more is decided.
    pub(super) fn on(&mut self, now: Duration, fact: Fact) -> Vec<Decision> {
        let mut out = Vec::new();
        if self.is_over {
            return out;
        }
        let look = match fact {
            Fact::Found(found) => self.found(found, now),
            Fact::Listed(ask) => self.list_came(ask, now),
            Fact::Reading(reader, leaves) => {
                self.readers.insert(reader, leaves);
                true
            }
            Fact::ReadingEnded(reader) => {
                self.readers.remove(&reader);
                false
            }
            Fact::Header(ask, holding) => self.heard(ask, holding, now),
            Fact::Progress(ask, bytes) => self.progressed(ask, bytes, now),
            Fact::Received(ask) => self.received(ask),
            Fact::Stored(ask, leaf) => self.stored(ask, leaf, now, &mut out),
            Fact::Ended(ask, end) => self.ended(ask, end, now, &mut out),
            Fact::Tick => {
                self.leave_silent(now, &mut out);
                true
            }
        };
        if self.map.missing() == 0 && self.listed {
            self.stop_all(&mut out);
            self.is_over = true;
            out.push(Decision::Done);
        } else if look {
            self.decide(now, &mut out);
        }
        out
    }

    fn decide(&mut self, now: Duration, out: &mut Vec<Decision>) {
        self.is_impatient |= now.saturating_sub(self.fed_at) >= PATIENCE;
        if self.is_small() {
            self.ask_hedged(&What::Whole, now, out);
        } else {
            if !self.listed {
                self.ask_hedged(&What::List, now, out);
            }
            self.poll(now, out);
            self.share(now);
            if self.listed {
                self.fill(now, out);
                self.watch_others(now);
            }
        }
        self.find(now, out);
        let failure = if self.last_hope && !self.finding && self.active() == 0 {
            Some(Failure::NoHolder { last: self.last_left })
        } else {
            (now.saturating_sub(self.fed_at) >= STARVED).then_some(Failure::Starved)
        };
        if let Some(failure) = failure {
            self.stop_all(out);
            self.is_over = true;
            out.push(Decision::Failed(failure));
        }
    }

    fn is_small(&self) -> bool {
        self.map.cut.size() < SMALL
    }

    /// Holders that there is hope in.
    fn active(&self) -> usize {
        self.holders.values().filter(|holder| holder.is_active() && !holder.is_guess()).count()
    }

    fn found(&mut self, found: Vec<Found>, now: Duration) -> bool {
        self.finding = false;
        for found in found {
            self.hints.remove(&found.node);
            if let Some(known) = self.holders.get_mut(&found.node) {
                if known.come_back(now) {
                    self.map.learn(known.class, &holder::Knows::Nothing, &known.knows);
                }
                continue;
            }
            if self.active() >= HOLDERS_MAX {
                continue;
            }
            let holder = Holder::new(&found, &self.map.cut);
            self.map.learn(holder.class, &holder::Knows::Nothing, &holder.knows);
            self.holders.insert(found.node, holder);
        }
        true
    }

    fn find(&mut self, now: Duration, out: &mut Vec<Decision>) {
        let active = self.active();
        if active > 0 {
            self.last_hope = false;
        }
        let pause = match active {
            0 => Duration::ZERO,
            _ if !self.hints.is_empty() => FIND_HINTED,
            1..ENOUGH => FIND_FEW,
            _ => FIND_ENOUGH,
        };
        let due = self.found_at.is_none_or(|at| at + pause <= now);
        if self.finding || self.last_hope || !due {
            return;
        }
        self.finding = true;
        self.last_hope = active == 0;
        self.found_at = Some(now);
        let hints = std::mem::take(&mut self.hints);
        self.told.extend(&hints);
        out.push(Decision::Find(hints.into_iter().collect()));
    }
}

/// The `count` nodes of a region where those that fetch a blob meet: each asks them, so they know the others. The same
/// choice everywhere, another for each blob (rendezvous hashing).
pub fn elected(digest: &Digest, region: &[NodeId], count: usize) -> Vec<NodeId> {
    let name = digest.hash().iter().fold(0, |name, byte| mix(name ^ u64::from(*byte)));
    let mut nodes = region.to_vec();
    nodes.sort_unstable_by_key(|node| (mix(name ^ mix(node.get())), *node));
    nodes.dedup();
    nodes.truncate(count);
    nodes
}

#[cfg(test)]
mod session_test;
#[cfg(test)]
mod sim_test;
