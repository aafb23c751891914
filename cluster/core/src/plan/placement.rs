//! Which nodes are the homes of a blob: weighted rendezvous hashing, spread over zones first.
//!
//! Every node gets a number between 0 and 1 for the blob, `u`, and the score `-log(u) / weight`; the lowest
//! scores win (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", SPAA 2005: the logarithmic
//! method). Scores do not depend on the other nodes, so a change of one node moves only what it gains or
//! loses, and shares are proportional to weights. All in integers: a logarithm of floating point may differ
//! in its last bit from machine to machine, and homes would differ with it.

use proto::digest::Digest;
use proto::identity::{NodeId, Zone};

use crate::record::NodeRecord;

/// Of a node that does not know its capacity.
const DEFAULT_CAPACITY: u64 = 1 << 40;
/// Bits after the point of a logarithm.
const FRACTION_BITS: u32 = 40;

/// A node that may be a home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub node: NodeId,
    /// Where; all candidates are of one region.
    pub zone: Zone,
    /// Its share is proportional to it; 0 counts as 1.
    pub weight: u64,
}

/// The candidates that these nodes are (`state::node::homes`), weighed by whole GiB of capacity: a volume
/// that changes by a little moves nothing.
pub fn candidates(homes: &[(NodeId, NodeRecord)]) -> Vec<Candidate> {
    let candidate = |(node, record): &(NodeId, NodeRecord)| {
        let capacity = match record.weight_bytes() {
            0 => DEFAULT_CAPACITY,
            bytes => bytes,
        };
        Candidate { node: *node, zone: record.zone.clone(), weight: (capacity >> 30).max(1) }
    };
    homes.iter().map(candidate).collect()
}

/// The homes of a blob, best first: as many as `replicas` if there are, each in the zone that has fewest of
/// the others. The order of the candidates does not matter; each node must be there once.
pub fn homes(digest: &Digest, candidates: &[Candidate], replicas: usize) -> Vec<NodeId> {
    let name = name_of(digest);
    let mut ranked: Vec<Ranked<'_>> = candidates.iter().map(|candidate| rank(name, candidate)).collect();
    ranked.sort_unstable_by(Ranked::compare);
    let mut homes = Vec::with_capacity(replicas.min(ranked.len()));
    let mut zones: Vec<&Zone> = Vec::with_capacity(homes.capacity());
    while homes.len() < replicas && !ranked.is_empty() {
        let crowd = |zone: &Zone| zones.iter().filter(|taken| **taken == zone).count();
        // The first of those that are equally lonely, so the one with the best score.
        let best = ranked.iter().enumerate().min_by_key(|(_, ranked)| crowd(&ranked.candidate.zone));
        let Some((at, _)) = best else { break };
        let chosen = ranked.remove(at);
        zones.push(&chosen.candidate.zone);
        homes.push(chosen.candidate.node);
    }
    homes
}

struct Ranked<'a> {
    candidate: &'a Candidate,
    /// `-log2(u)` in fixed point.
    distance: u64,
}

impl Ranked<'_> {
    /// By `distance / weight`, without dividing; the id decides between equals.
    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        let scaled =
            |one: &Self, by: &Self| u128::from(one.distance) * u128::from(by.candidate.weight.max(1));
        let order = scaled(self, other).cmp(&scaled(other, self));
        order.then_with(|| self.candidate.node.cmp(&other.candidate.node))
    }
}

/// The first 16 bytes of the hash: as good as the whole, since it is one.
fn name_of(digest: &Digest) -> (u64, u64) {
    let word = |at: usize| {
        let bytes = digest.hash().get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_be_bytes)
    };
    (word(0), word(8))
}

fn rank(name: (u64, u64), candidate: &Candidate) -> Ranked<'_> {
    let drawn = mix(mix(mix(candidate.node.get()) ^ name.0) ^ name.1);
    Ranked { candidate, distance: negative_log2(drawn) }
}

/// A bijection in which every bit of the input changes half of the output (the finalizer of splitmix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// `-log2((drawn + 1) / 2^64)` with [`FRACTION_BITS`] bits after the point, rounded up; 0 to 64.
fn negative_log2(drawn: u64) -> u64 {
    let number = u128::from(drawn) + 1;
    let whole = number.ilog2();
    // The number as 1.x with 63 bits after the point; squaring it doubles the logarithm, whose next bit is
    // then whether it reached 2.
    let mut mantissa = if whole <= 63 { number << (63 - whole) } else { number >> (whole - 63) };
    let mut fraction = 0u64;
    for _ in 0..FRACTION_BITS {
        mantissa = (mantissa * mantissa) >> 63;
        fraction <<= 1;
        if mantissa >> 64 != 0 {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    (64 << FRACTION_BITS) - ((u64::from(whole) << FRACTION_BITS) | fraction)
}

#[cfg(test)]
#[path = "placement_test.rs"]
mod tests;
