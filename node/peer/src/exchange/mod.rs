//! Blob bytes between nodes: who has which leaves, whom to ask for what, and both sides of the protocol.
//!
//! Owns the blob protocol. `session` decides, without IO and clock, whom to ask for which leaves; `driver` carries that
//! out over streams; `serve` answers others. Works over any stream; the node connects it to the transport ([`Connect`])
//! and to its blob store ([`Sink`], [`Source`]). Never opens a file, never decides who may read, never keeps a byte that
//! the sink did not check.
//!
//! Goals: every node that has a leaf serves it; each leaf leaves the first holder about once and crosses a wide area
//! about once a region; a slow, silent or lying holder costs at most two seconds; memory is bounded whatever the blob. Non-goals:
//! fairness by credit between nodes of one cluster, finding holders, hiding who has what from members.

mod codec;
mod driver;
mod leaves;
mod quarantine;
mod random;
mod rate;
mod serve;
mod session;

pub use codec::{Blob, CodecError, Holding, MAX_SIZE, REQUEST_LEAVES};
pub use driver::{Connect, Fetch, FetchError, Fetches, Reader, Sink, SinkError, Taken};
pub use leaves::{Cut, LEAF, Leaves, PIECE_MAX};
pub use serve::{Copy, Limits, RATE_MIN, Server, Source};
pub use session::{Class, Failure, Found, Presumed, Reason, elected};

#[cfg(test)]
mod driver_test;
#[cfg(test)]
mod serve_test;
#[cfg(test)]
mod testing_test;
