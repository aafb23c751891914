//! Whom to ask for what: lists and small blobs from one or two holders, leaves from many.

use std::cmp::Reverse;
use std::ops::Range;
use std::time::Duration;

use proto::identity::NodeId;

use super::ask::Ask;
use super::holder::{Class, Holder, Knows, PIPELINE_MAX};
use super::{ASKS_MAX, Decision, HEDGE, Session};
use crate::exchange::codec::What;
use crate::exchange::random::mix;

/// Leaves ahead of a reader that come before rarer ones.
const WINDOW: u64 = 8;

/// Of the asks that fly, one in so many may be for readers that wait: what all nodes read first would otherwise leave
/// the first holder many times over.
const WINDOW_SHARE: usize = 4;

/// Between two questions who has what, whomever they go to: while few asks fly, and while enough do. Answers to asks
/// say the same, so what a busy fetch asks besides would only cost the others' time.
const POLL_PAUSE: Duration = Duration::from_millis(5);
const POLL_PAUSE_FED: Duration = Duration::from_millis(50);
/// That many asks for leaves are enough.
const FED: usize = 8;
/// Questions that were not asked may be made up for, up to this time's worth.
const POLL_CREDIT: Duration = Duration::from_millis(50);

/// In the endgame, how long an ask may stand still before its leaves are asked for twice.
const STANDS: Duration = Duration::from_millis(250);

impl Session {
    /// Asks the nearest holder, and a second one if the first takes long.
    pub(super) fn ask_hedged(&mut self, what: &What, now: Duration, out: &mut Vec<Decision>) {
        let flying = self.asks.values().filter(|ask| ask.what == *what);
        let began: Vec<_> = flying.map(|ask| ask.began).collect();
        let wanted = match began.as_slice() {
            [] => true,
            [one] => now.saturating_sub(*one) >= HEDGE,
            _ => false,
        };
        if !wanted {
            return;
        }
        let candidates = self.holders.iter().filter(|(_, holder)| {
            holder.is_ready(now) && holder.others == 0 && holder.lacks_until <= now && !holder.is_guess()
        });
        let order = self.order;
        let best = candidates.min_by_key(|(node, holder)| {
            (holder.class, holder.knows != Knows::All, holder.lacks_until, mix(order ^ node.get()))
        });
        if let Some(node) = best.map(|(node, _)| *node) {
            self.ask(node, what.clone(), now, out);
        }
    }

    /// Asks holders that have something to come which leaves they have now: new ones at once, the others in turn.
    pub(super) fn poll(&mut self, now: Duration, out: &mut Vec<Decision>) {
        let due = self.holders.iter().filter(|(_, holder)| {
            holder.is_ready(now)
                && holder.knows != Knows::All
                && holder.poll_due <= now
                && holder.asks + holder.others == 0
        });
        let mut due: Vec<_> =
            due.map(|(node, holder)| (holder.knows != Knows::Nothing, holder.poll_due, *node)).collect();
        due.sort_unstable();
        let flying = self.asks.values().filter(|ask| matches!(ask.what, What::Leaves(_))).count();
        let pause = if flying >= FED { POLL_PAUSE_FED } else { POLL_PAUSE };
        for (is_known, _, node) in due {
            if is_known {
                if self.poll_at > now {
                    break;
                }
                self.poll_at = self.poll_at.max(now.saturating_sub(POLL_CREDIT)) + pause;
            }
            self.ask(node, What::Have, now, out);
        }
    }

    /// Asks for leaves as long as holders and bounds allow: one ask for each holder first, nearest and fastest first.
    pub(super) fn fill(&mut self, now: Duration, out: &mut Vec<Decision>) {
        let cut = self.map.cut;
        let mut flying = self.asks.values().filter(|ask| matches!(ask.what, What::Leaves(_))).count();
        let is_over = self.map.is_endgame() && !self.asks.values().any(|ask| self.is_doubled_by_none(ask));
        if flying >= ASKS_MAX || is_over {
            return;
        }
        let has_room = |holder: &Holder| holder.is_ready(now) && holder.asks < holder.pipeline(&cut);
        let ready = self.holders.iter().filter(|(_, holder)| has_room(holder) && self.may_help(holder));
        let mut ready: Vec<_> = ready.collect();
        let order = self.random.next();
        ready.sort_unstable_by_key(|(node, holder)| {
            (holder.class, Reverse(holder.rate.unwrap_or(u64::MAX)), mix(order ^ node.get()))
        });
        let mut wide = self.wide_asks();
        let mut ready: Vec<NodeId> = ready.into_iter().map(|(node, _)| *node).collect();
        for depth in 1..=PIPELINE_MAX {
            ready.retain(|node| {
                let Some(holder) = self.holders.get(node) else { return false };
                if flying >= ASKS_MAX || depth > holder.pipeline(&cut) {
                    return false;
                }
                if holder.asks >= depth {
                    return true;
                }
                let is_wide = holder.class == Class::Wide;
                if is_wide && !self.wide.has_room(wide) {
                    return false;
                }
                let Some(leaves) = self.pick(*node, holder, now) else { return false };
                flying += 1;
                wide += usize::from(is_wide);
                self.ask(*node, What::Leaves(leaves), now, out);
                true
            });
        }
    }

    /// Whether a look at what this holder has is worth its time.
    fn may_help(&self, holder: &Holder) -> bool {
        match &holder.knows {
            Knows::Nothing => false,
            Knows::Some(leaves) => self.map.is_endgame() || self.map.lacks_any_of(leaves),
            Knows::All => true,
        }
    }

    /// Whether a leaf of this ask is on its way once only.
    fn is_doubled_by_none(&self, ask: &Ask) -> bool {
        !ask.rest.is_empty() && self.map.flying(ask.rest.start) == 1
    }

    fn pick(&self, node: NodeId, holder: &Holder, now: Duration) -> Option<Range<u64>> {
        if self.map.is_endgame() {
            return self.pick_again(node, holder, now);
        }
        let fits =
            |leaf| self.map.is_open(leaf) && holder.gives(leaf, now) && self.may_come_from(holder, leaf);
        let first = self.pick_for_reader(&fits).or_else(|| self.pick_rarest(holder, &fits))?;
        // What it gave away is asked for alone, not behind what it did not.
        let given = holder.given.has(first);
        let alike = |leaf| fits(leaf) && holder.given.has(leaf) == given;
        Some(self.map.run(first, holder.run(&self.map.cut), alike))
    }

    /// The first leaf that a reader waits for.
    fn pick_for_reader(&self, fits: &impl Fn(u64) -> bool) -> Option<u64> {
        let window = |leaves: &Range<u64>| leaves.start..leaves.end.min(leaves.start + WINDOW);
        let is_for_reader =
            |ask: &Ask| self.readers.values().any(|leaves| window(leaves).contains(&ask.rest.start));
        let leaf = self.readers.values().find_map(|leaves| window(leaves).find(|leaf| fits(*leaf)))?;
        let flying = self.asks.values().filter(|ask| is_for_reader(ask)).count();
        (flying <= self.asks.len() / WINDOW_SHARE).then_some(leaf)
    }

    /// A leaf of the piece that the fewest are known to have, one that it gave away counts once more.
    fn pick_rarest(&self, holder: &Holder, fits: &impl Fn(u64) -> bool) -> Option<u64> {
        let cut = self.map.cut;
        let leaves = match &holder.knows {
            Knows::Nothing => return None,
            Knows::Some(leaves) => Some(leaves),
            Knows::All => None,
        };
        let fresh = self.map.open_in_pieces(Some(&holder.fresh));
        fresh.chain(self.map.open_in_pieces(leaves)).filter(|leaf| fits(*leaf)).min_by_key(|leaf| {
            let known = self.map.holders(*leaf) + u64::from(holder.given.has(*leaf));
            (known, mix(self.order ^ cut.piece_of(*leaf)))
        })
    }

    /// In the endgame: leaves that another holder is slow to bring, a second time, inside the region only.
    fn pick_again(&self, node: NodeId, holder: &Holder, now: Duration) -> Option<Range<u64>> {
        if holder.class == Class::Wide {
            return None;
        }
        let rate = |node: &NodeId| self.holders.get(node).and_then(|holder| holder.rate).unwrap_or_default();
        let fits = |leaf| !self.map.has(leaf) && self.map.flying(leaf) == 1 && holder.has(leaf);
        let slow = self.asks.values().filter(|ask| {
            ask.holder != node
                && !ask.rest.is_empty()
                && fits(ask.rest.start)
                && (now.saturating_sub(ask.fed_at) >= STANDS || rate(&ask.holder) * 2 < rate(&node))
        });
        let slowest = slow.min_by_key(|ask| (rate(&ask.holder), ask.fed_at))?;
        let run = self.map.run(slowest.rest.start, holder.run(&self.map.cut), fits);
        Some(run.start..run.end.min(slowest.rest.end))
    }

    fn may_come_from(&self, holder: &Holder, leaf: u64) -> bool {
        if holder.class != Class::Wide {
            return true;
        }
        self.is_wide_due(self.map.cut.piece_of(leaf)) && (self.map.near(leaf) == 0 || self.is_impatient)
    }
}
