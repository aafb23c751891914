//! One holder as a session sees it: how near it is, what it has, how fast it is, and whether to ask it now. Pure.

use std::time::Duration;

use proto::identity::NodeId;

use super::{AWAY_FIRST, COOL_OFF, POLL_FIRST, POLL_MAX, SILENCE};
use crate::exchange::codec::Holding;
use crate::exchange::leaves::{Cut, LEAF, Leaves};

/// How near a holder is; the nearest are asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The same site or zone.
    Site,
    /// The same region.
    Region,
    /// Another region.
    Wide,
}

impl Class {
    /// All, the nearest first.
    pub const ALL: [Self; 3] = [Self::Site, Self::Region, Self::Wide];

    /// For settings, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Region => "region",
            Self::Wide => "wide_area",
        }
    }

    pub(in crate::exchange) fn index(self) -> usize {
        self as usize
    }
}

/// What is believed of a holder before it says so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presumed {
    /// It has the whole blob, as a record says.
    Complete,
    /// Nobody knows; it is asked.
    Unknown,
    /// Nothing, but in this region it is asked who fetches the blob: see [`super::elected`].
    Nothing,
}

/// A node that may have the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which one.
    pub node: NodeId,
    /// How near it is.
    pub class: Class,
    /// What it should have.
    pub presumed: Presumed,
}

/// Why a holder is not asked any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Reason {
    /// It sent too little for too long, or nothing.
    #[error("it made no progress")]
    Silent,
    /// It broke off again and again, or did not have what it said it has.
    #[error("it broke off")]
    Broken,
    /// It sent a list or leaf that is not of this blob.
    #[error("it sent a wrong piece")]
    Wrong,
    /// It does not speak this protocol with us.
    #[error("it refused")]
    Refused,
}

/// Leaves that a holder is known to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Knows {
    Nothing,
    Some(Leaves),
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Active,
    /// Left; may be found again at this time, or never.
    Left(Option<Duration>),
}

pub(super) struct Holder {
    pub(super) class: Class,
    pub(super) state: State,
    pub(super) knows: Knows,
    /// It said that it has a copy, whole or partial.
    pub(super) has_copy: bool,
    is_expected: bool,
    /// Leaves that it gave away lately, and those that it has besides.
    pub(super) given: Leaves,
    pub(super) fresh: Leaves,
    /// Asks for leaves that are flying, and others.
    pub(super) asks: usize,
    pub(super) others: usize,
    /// Not asked for anything before this time.
    pub(super) away_until: Duration,
    /// Until when it is not asked for what it gave to others, being busy with what nobody has; and the next such pause.
    fresh_only: (Duration, Duration),
    /// Not asked for a list or a whole blob before this time.
    pub(super) lacks_until: Duration,
    pub(super) poll_due: Duration,
    poll_every: Duration,
    /// Shortest time to a header.
    pub(super) round_trip: Option<Duration>,
    /// Leaves in the next ask; more than a piece has means more asks.
    run: u64,
    /// Bytes a second, over the last half seconds; `None` before the first.
    pub(super) rate: Option<u64>,
    epoch: (Duration, u64),
    strikes: u32,
    leaves_in_all: u32,
}

/// How long bytes are counted for one figure of the rate.
const EPOCH: Duration = Duration::from_millis(500);

/// Most time between two questions to a node that may begin to fetch the same: as long as it does not, we do its part.
const POLL_GUESS: Duration = Duration::from_millis(250);

/// What one ask should take: long enough to be worth a round trip, short enough to adapt.
pub(super) const ASK_AIM: Duration = Duration::from_millis(150);

/// Most asks that fly to one holder, and the round trip from which on they may.
pub(super) const PIPELINE_MAX: usize = 8;
const LONG_WAY: Duration = Duration::from_millis(20);

/// Bounds of the time in which a busy holder is asked only for leaves that it gave to nobody.
const ELSEWHERE_FIRST: Duration = Duration::from_millis(40);
const ELSEWHERE_MAX: Duration = Duration::from_millis(320);
/// Shortest time to stay away from a busy holder.
const BUSY_MIN: Duration = Duration::from_millis(50);
/// Failures in a row that a holder may have.
const STRIKES: u32 = 3;

impl Holder {
    pub(super) fn new(found: &Found, cut: &Cut) -> Self {
        Self {
            class: found.class,
            state: State::Active,
            knows: if found.presumed == Presumed::Complete { Knows::All } else { Knows::Nothing },
            has_copy: false,
            is_expected: found.presumed != Presumed::Nothing,
            given: Leaves::none(cut.leaves()),
            fresh: Leaves::none(cut.leaves()),
            asks: 0,
            others: 0,
            away_until: Duration::ZERO,
            fresh_only: (Duration::ZERO, ELSEWHERE_FIRST),
            lacks_until: Duration::ZERO,
            poll_due: Duration::ZERO,
            poll_every: POLL_FIRST,
            round_trip: None,
            run: 1,
            rate: None,
            epoch: (Duration::ZERO, 0),
            strikes: 0,
            leaves_in_all: 0,
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.state == State::Active
    }

    /// Whether it is only asked for who has the blob.
    pub(super) fn is_guess(&self) -> bool {
        !self.is_expected && !self.has_copy
    }

    /// Whether it can be asked for something now.
    pub(super) fn is_ready(&self, now: Duration) -> bool {
        self.is_active() && self.away_until <= now
    }

    /// Whether it would give `leaf` now, as far as is known.
    pub(super) fn gives(&self, leaf: u64, now: Duration) -> bool {
        self.has(leaf) && (self.fresh_only.0 <= now || self.fresh.has(leaf))
    }

    /// It is busy and gives other leaves: what it gave already is asked for later, and later each time. Several asks
    /// that are turned away together count once.
    pub(super) fn turned_away(&mut self, now: Duration) {
        if self.fresh_only.0 <= now {
            self.fresh_only = (now + self.fresh_only.1, (self.fresh_only.1 * 2).min(ELSEWHERE_MAX));
        }
    }

    /// It asks to stay away for so long.
    pub(super) fn busy(&mut self, after: Duration, now: Duration) {
        self.away_until = now + after.clamp(BUSY_MIN, SILENCE);
    }

    pub(super) fn has(&self, leaf: u64) -> bool {
        match &self.knows {
            Knows::Nothing => false,
            Knows::Some(leaves) => leaves.has(leaf),
            Knows::All => true,
        }
    }

    /// Leaves in the next ask.
    pub(super) fn run(&self, cut: &Cut) -> u64 {
        self.run.min(cut.piece_leaves())
    }

    /// Asks for leaves that may fly at once: a second one hides the round trip; more only if asks cannot grow, and
    /// many only if the way is long.
    pub(super) fn pipeline(&self, cut: &Cut) -> usize {
        let most = if self.round_trip.is_some_and(|time| time >= LONG_WAY) { PIPELINE_MAX } else { 4 };
        let grown = usize::try_from(self.run / cut.piece_leaves()).unwrap_or(most);
        (2 + grown).min(most)
    }

    /// Takes what it says of itself; returns what was known before.
    pub(super) fn hear(&mut self, holding: Holding, useful: bool, now: Duration) -> Knows {
        self.fresh = match &holding.leaves {
            None => Leaves::all(holding.given.len()).without(&holding.given),
            Some(leaves) => leaves.without(&holding.given),
        };
        self.given = holding.given;
        let most = if self.is_guess() { POLL_GUESS } else { POLL_MAX };
        self.poll_every = if useful { POLL_FIRST } else { (self.poll_every * 2).min(most) };
        self.poll_due = now + self.poll_every;
        let knows = match holding.leaves {
            None => Knows::All,
            Some(leaves) => Knows::Some(leaves),
        };
        std::mem::replace(&mut self.knows, knows)
    }

    /// A leaf of `bytes` came from it.
    pub(super) fn delivered(&mut self, bytes: u64, now: Duration) {
        self.strikes = 0;
        self.epoch.1 += bytes;
        let age = now.saturating_sub(self.epoch.0);
        if age >= EPOCH {
            let fresh = self.epoch.1 * 1000 / u64::try_from(age.as_millis()).unwrap_or(u64::MAX).max(1);
            // After a pause the old figure says more than an average over the pause.
            let settled = age < 2 * EPOCH;
            self.rate = Some(match self.rate {
                Some(rate) if settled => u64::midpoint(rate, fresh),
                Some(rate) => rate,
                None if settled => fresh,
                None => LEAF,
            });
            self.epoch = (now, 0);
        }
    }

    /// The leaves of an ask came within `took`: the next one is sized by that.
    pub(super) fn completed(&mut self, leaves: u64, took: Duration, cut: &Cut) {
        self.fresh_only = (Duration::ZERO, ELSEWHERE_FIRST);
        if took < ASK_AIM && leaves >= self.run(cut) {
            self.run = (self.run * 2).min(cut.piece_leaves() * PIPELINE_MAX as u64);
        } else if took > 4 * ASK_AIM {
            self.run = (self.run / 2).max(1);
        }
    }

    /// It failed; true if that was once too often.
    pub(super) fn strike(&mut self, now: Duration) -> bool {
        self.strikes += 1;
        self.away_until = now + AWAY_FIRST * (1 << self.strikes.min(5));
        self.strikes >= STRIKES
    }

    /// From now on it is not asked.
    pub(super) fn leave(&mut self, reason: Reason, now: Duration) {
        self.leaves_in_all += 1;
        let for_ever = matches!(reason, Reason::Wrong | Reason::Refused) || self.leaves_in_all >= STRIKES;
        let back = (!for_ever).then(|| now + COOL_OFF * (1 << self.leaves_in_all));
        self.state = State::Left(back);
    }

    /// It was found again; true if it may be asked again.
    pub(super) fn come_back(&mut self, now: Duration) -> bool {
        let back = matches!(self.state, State::Left(Some(back)) if back <= now);
        if back {
            self.state = State::Active;
            self.strikes = 0;
            self.run = 1;
            self.poll_due = now;
            self.fresh_only = (Duration::ZERO, ELSEWHERE_FIRST);
        }
        back
    }
}
