//! The asks that are flying: what their answers say, how they end, and when their holder is left.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use proto::identity::NodeId;

use super::holder::{ASK_AIM, Class, Knows, Reason};
use super::{AskId, Decision, End, NAMES_MAX, PROGRESS, SILENCE, Session};
use crate::exchange::codec::{Holding, What};

/// Pause before a holder that has no list or no whole blob yet is asked for it again.
const LACKS: Duration = Duration::from_millis(250);

/// Pause before a holder that gives other leaves is asked for one of those.
const ELSEWHERE: Duration = Duration::from_millis(10);

/// One question to one holder.
pub(super) struct Ask {
    pub(super) holder: NodeId,
    pub(super) what: What,
    /// Leaves that have not come yet.
    pub(super) rest: Range<u64>,
    pub(super) began: Duration,
    answered_at: Option<Duration>,
    /// When it last made progress worth the name, and the bytes since.
    pub(super) fed_at: Duration,
    bytes: u64,
    /// Bytes are here and are being stored.
    storing: bool,
}

impl Session {
    pub(super) fn ask(&mut self, holder: NodeId, what: What, now: Duration, out: &mut Vec<Decision>) {
        let rest = match &what {
            What::Leaves(leaves) => leaves.clone(),
            What::Whole => 0..self.map.cut.leaves(),
            What::List | What::Have => 0..0,
        };
        rest.clone().for_each(|leaf| self.map.take_off(leaf));
        if let Some(asked) = self.holders.get_mut(&holder) {
            match what {
                What::Leaves(_) => asked.asks += 1,
                What::List | What::Have | What::Whole => asked.others += 1,
            }
        }
        let ask = self.next_ask;
        self.next_ask += 1;
        let began = now;
        let flying = Ask {
            holder,
            what: what.clone(),
            rest,
            began,
            answered_at: None,
            fed_at: now,
            bytes: 0,
            storing: false,
        };
        self.asks.insert(ask, flying);
        out.push(Decision::Ask { ask, holder, what });
    }

    pub(super) fn heard(&mut self, ask: AskId, mut holding: Holding, now: Duration) -> bool {
        let Some(ask) = self.asks.get_mut(&ask) else { return false };
        ask.fed_at = now;
        ask.answered_at = Some(now);
        let (node, waited) = (ask.holder, now.saturating_sub(ask.began));
        for named in std::mem::take(&mut holding.askers) {
            let is_new = !self.holders.contains_key(&named) && !self.told.contains(&named);
            if is_new && self.hints.len() + self.told.len() < NAMES_MAX {
                self.hints.insert(named);
            }
        }
        let Some(holder) = self.holders.get_mut(&node).filter(|holder| holder.is_active()) else {
            return false;
        };
        let useful = match &holding.leaves {
            None => true,
            Some(leaves) => leaves.without(self.map.have()).count() > 0,
        };
        holder.round_trip = Some(holder.round_trip.map_or(waited, |shortest| shortest.min(waited)));
        let before = holder.hear(holding, useful, now);
        self.map.learn(holder.class, &before, &holder.knows);
        before != holder.knows
    }

    pub(super) fn list_came(&mut self, ask: AskId, now: Duration) -> bool {
        self.listed = true;
        self.fed_at = now;
        if let Some(ask) = self.asks.get_mut(&ask) {
            ask.storing = false;
            ask.fed_at = now;
        }
        true
    }

    pub(super) fn progressed(&mut self, ask: AskId, bytes: u64, now: Duration) -> bool {
        if let Some(ask) = self.asks.get_mut(&ask) {
            ask.bytes += bytes;
            if ask.bytes >= PROGRESS {
                ask.bytes = 0;
                ask.fed_at = now;
                self.fed_at = now;
            }
        }
        false
    }

    pub(super) fn received(&mut self, ask: AskId) -> bool {
        if let Some(ask) = self.asks.get_mut(&ask) {
            ask.storing = true;
        }
        false
    }

    pub(super) fn stored(&mut self, id: AskId, leaf: u64, now: Duration, out: &mut Vec<Decision>) -> bool {
        let twice = self.map.flying(leaf) > 1;
        self.map.store(leaf);
        self.fed_at = now;
        if let Some(ask) = self.asks.get_mut(&id) {
            ask.storing = false;
            ask.fed_at = now;
            ask.bytes = 0;
            if let Some(holder) = self.holders.get_mut(&ask.holder) {
                holder.delivered(self.map.cut.bytes(&(leaf..leaf + 1)), now);
            }
            if ask.rest.contains(&leaf) {
                let came = ask.rest.start..leaf + 1;
                ask.rest.start = leaf + 1;
                came.for_each(|leaf| self.map.land(leaf));
            }
        }
        if twice {
            let useless = self.asks.iter().filter(|(other, ask)| {
                **other != id && !ask.rest.is_empty() && ask.rest.clone().all(|leaf| self.map.has(leaf))
            });
            let useless: Vec<_> = useless.map(|(ask, _)| *ask).collect();
            for ask in useless {
                self.remove(ask);
                out.push(Decision::Stop(ask));
            }
        }
        twice
    }

    pub(super) fn ended(&mut self, id: AskId, end: End, now: Duration, out: &mut Vec<Decision>) -> bool {
        let Some(ask) = self.remove(id) else { return false };
        let Some(holder) = self.holders.get_mut(&ask.holder).filter(|holder| holder.is_active()) else {
            return true;
        };
        match end {
            End::Complete => {
                holder.has_copy = true;
                if let What::Leaves(leaves) = &ask.what {
                    // The way there and the wait for a turn are no reason to ask for less.
                    let took = now.saturating_sub(ask.answered_at.unwrap_or(ask.began));
                    holder.completed(leaves.end - leaves.start, took, &self.map.cut);
                    if holder.class == Class::Wide {
                        self.wide.completed(leaves.end - leaves.start, took, ASK_AIM);
                    }
                }
            }
            End::Elsewhere => {
                holder.away_until = now + ELSEWHERE;
                holder.turned_away(now);
            }
            End::Busy(after) => holder.busy(after, now),
            End::Missing => match ask.what {
                // It said that it has these leaves.
                What::Leaves(leaves) if leaves.clone().any(|leaf| holder.has(leaf)) => {
                    if holder.strike(now) {
                        self.leave(ask.holder, Reason::Broken, now, out);
                    }
                }
                What::Leaves(_) => {}
                What::Have => holder.has_copy = false,
                What::List | What::Whole => holder.lacks_until = now + LACKS,
            },
            End::Broken => {
                if holder.strike(now) {
                    self.leave(ask.holder, Reason::Broken, now, out);
                }
            }
            End::Wrong => self.leave(ask.holder, Reason::Wrong, now, out),
            End::Refused => self.leave(ask.holder, Reason::Refused, now, out),
        }
        true
    }

    /// Leaves the holders of asks without progress.
    pub(super) fn leave_silent(&mut self, now: Duration, out: &mut Vec<Decision>) {
        let silent =
            self.asks.values().filter(|ask| !ask.storing && now.saturating_sub(ask.fed_at) >= SILENCE);
        let silent: BTreeSet<_> = silent.map(|ask| ask.holder).collect();
        for holder in silent {
            self.leave(holder, Reason::Silent, now, out);
        }
    }

    pub(super) fn stop_all(&mut self, out: &mut Vec<Decision>) {
        out.extend(std::mem::take(&mut self.asks).into_keys().map(Decision::Stop));
    }

    fn leave(&mut self, node: NodeId, reason: Reason, now: Duration, out: &mut Vec<Decision>) {
        let Some(holder) = self.holders.get_mut(&node).filter(|holder| holder.is_active()) else { return };
        holder.leave(reason, now);
        self.map.learn(holder.class, &holder.knows, &Knows::Nothing);
        self.last_left = Some(reason);
        let flying: Vec<_> =
            self.asks.iter().filter(|(_, ask)| ask.holder == node).map(|(ask, _)| *ask).collect();
        for ask in flying {
            self.remove(ask);
            out.push(Decision::Stop(ask));
        }
        out.push(Decision::Leave(node, reason));
    }

    fn remove(&mut self, id: AskId) -> Option<Ask> {
        let ask = self.asks.remove(&id)?;
        ask.rest.clone().for_each(|leaf| self.map.land(leaf));
        if let Some(holder) = self.holders.get_mut(&ask.holder) {
            match ask.what {
                What::Leaves(_) => holder.asks -= 1,
                What::List | What::Have | What::Whole => holder.others -= 1,
            }
        }
        Some(ask)
    }
}
