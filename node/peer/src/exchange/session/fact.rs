//! What a session is told and what it decides.

use std::ops::Range;
use std::time::Duration;

use proto::identity::NodeId;

use super::AskId;
use super::holder::{Found, Reason};
use crate::exchange::codec::{Holding, What};

/// What happened.
#[derive(Clone, Debug)]
pub(in crate::exchange) enum Fact {
    /// These nodes may have the blob: the answer to [`Decision::Find`], or news.
    Found(Vec<Found>),
    /// The sink has the proven list.
    Listed(AskId),
    /// A reader waits for the first of these leaves, then wants the others in order.
    Reading(u64, Range<u64>),
    /// A reader ended.
    ReadingEnded(u64),
    /// A holder answered and said what it has.
    Header(AskId, Holding),
    /// So many bytes came since the last such fact.
    Progress(AskId, u64),
    /// All bytes of a leaf or list are there and are being checked and written: the time that takes is ours.
    Received(AskId),
    /// The sink checked this leaf and wrote it.
    Stored(AskId, u64),
    /// An ask is over.
    Ended(AskId, End),
    /// Only time passed.
    Tick,
}

/// How an ask ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::exchange) enum End {
    /// All came that the header announced.
    Complete,
    /// The holder has not got it.
    Missing,
    /// The holder is busy, and others were given these leaves.
    Elsewhere,
    /// The holder is busy for so long.
    Busy(Duration),
    /// No connection, or it broke.
    Broken,
    /// Bytes that are not of this blob, or a frame that breaks the protocol.
    Wrong,
    /// The holder will never answer.
    Refused,
}

/// What the driver shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::exchange) enum Decision {
    Ask {
        ask: AskId,
        holder: NodeId,
        what: What,
    },
    /// The answer is of no use any more: close its stream.
    Stop(AskId),
    /// This holder is not asked any more.
    Leave(NodeId, Reason),
    /// Look for holders; these nodes were named by others. Answer with [`Fact::Found`].
    Find(Vec<NodeId>),
    /// Every leaf is stored.
    Done,
    /// The fetch is over.
    Failed(Failure),
}

/// Why a fetch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody is left to ask.
    #[error("no holder is left")]
    NoHolder {
        /// Why the last one was left, if there was one.
        #[source]
        last: Option<Reason>,
    },
    /// There are holders, but nothing comes from them.
    #[error("no holder has what is missing")]
    Starved,
}
