//! Who of a region fetches what over the wide area: those that fetch a blob at the same time share its pieces, and give
//! each other what came. Nobody assigns the shares: each node takes its own by whom it knows. Pure.

use std::time::Duration;

use proto::identity::NodeId;

use super::holder::{Class, Holder, Knows};
use super::{ASKS_MAX, PATIENCE, Session};
use crate::exchange::codec::What;
use crate::exchange::random::mix;

/// Nodes of a region that fetch one blob over the wide area.
const SHARES: usize = 4;

/// How long a fetch may wait for the first words of nodes nearby before it goes far.
const MEETING: Duration = Duration::from_millis(300);

/// How long a node must have fetched over the wide area itself to know how fast that goes.
const MEASURED: Duration = Duration::from_millis(250);

/// Asks over the wide area that fly at first. Few: what flies may be on its way to a neighbour too, and on a slow link
/// many asks would only wait for each other.
const FIRST_ASKS: usize = 2;

/// This node's part of what crosses the wide area.
pub(super) struct Wide {
    /// It fetches the pieces with number % of = index; `None`: others do.
    share: Option<(u64, u64)>,
    /// Asks over the wide area that may fly.
    asks: usize,
    /// Leaves that came over it, and for how long some were on their way.
    came: u64,
    busy: Duration,
    looked_at: Duration,
    /// Since when it has had nothing to fetch there, and how many leaves it missed then.
    idle: Option<(Duration, u64)>,
    /// Others are so slow that it does their part too.
    helps: bool,
}

impl Default for Wide {
    fn default() -> Self {
        Self {
            share: Some((0, 1)),
            asks: FIRST_ASKS,
            came: 0,
            busy: Duration::ZERO,
            looked_at: Duration::ZERO,
            idle: None,
            helps: false,
        }
    }
}

impl Wide {
    /// An ask for `leaves` over the wide area took so long. `aim`: what it should take.
    pub(super) fn completed(&mut self, leaves: u64, took: Duration, aim: Duration) {
        self.came += leaves;
        if took < aim {
            self.asks = (self.asks + 1).min(ASKS_MAX);
        } else if took > 4 * aim {
            self.asks = (self.asks - 1).max(1);
        }
    }

    /// Whether one more ask may fly.
    pub(super) fn has_room(&self, flying: usize) -> bool {
        flying < self.asks
    }
}

impl Session {
    /// Takes this node's share by who is known to fetch in this region.
    pub(super) fn share(&mut self, now: Duration) {
        let fetches =
            |holder: &Holder| near(holder) && holder.has_copy && matches!(holder.knows, Knows::Some(_));
        let others = self.holders.iter().filter(|(_, holder)| fetches(holder)).map(|(node, _)| *node);
        let mut nodes: Vec<NodeId> = others.chain([self.node]).collect();
        // Other nodes for another blob.
        let size = self.map.cut.size();
        nodes.sort_unstable_by_key(|node| (mix(size ^ mix(node.get())), *node));
        nodes.truncate(SHARES);
        let index = nodes.iter().position(|node| *node == self.node);
        self.wide.share = index.map(|index| (index as u64, nodes.len() as u64));
        let is_meeting = now < MEETING
            && (self.finding
                || !self.hints.is_empty()
                || self.holders.values().any(|holder| near(holder) && holder.knows == Knows::Nothing));
        if is_meeting {
            self.wide.share = None;
        }
    }

    /// Asks for leaves over the wide area that fly.
    pub(super) fn wide_asks(&self) -> usize {
        let is_wide = |node| self.holders.get(node).is_some_and(|holder| holder.class == Class::Wide);
        self.asks.values().filter(|ask| matches!(ask.what, What::Leaves(_)) && is_wide(&ask.holder)).count()
    }

    /// Whether it is up to this node to fetch a piece over the wide area.
    pub(super) fn is_wide_due(&self, piece: u64) -> bool {
        let own = self.wide.share.is_some_and(|(index, of)| piece % of == index);
        own || self.wide.helps || self.is_impatient
    }

    /// A node whose share is done helps the others if less comes from them than it could fetch itself.
    pub(super) fn watch_others(&mut self, now: Duration) {
        let looked_at = std::mem::replace(&mut self.wide.looked_at, now);
        if self.wide.idle.is_none() {
            self.wide.busy += now.saturating_sub(looked_at);
        }
        if self.wide_asks() > 0 {
            self.wide.idle = None;
            return;
        }
        let missing = self.map.missing();
        let (since, before) = *self.wide.idle.get_or_insert((now, missing));
        if now.saturating_sub(since) < PATIENCE {
            return;
        }
        let theirs = before.saturating_sub(missing) as f64 / PATIENCE.as_secs_f64();
        let own = self.wide.came as f64 / self.wide.busy.as_secs_f64();
        self.wide.helps |= self.wide.busy >= MEASURED && theirs < own / 2.0;
        self.wide.idle = Some((now, missing));
    }
}

fn near(holder: &Holder) -> bool {
    holder.is_active() && holder.class != Class::Wide
}
