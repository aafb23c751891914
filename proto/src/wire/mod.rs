//! Wire formats: the types generated from the `.proto` files in `proto/wire/`.
//!
//! Owns the shape of bytes that are stored or sent. A generated type is never used past the function
//! that encodes or decodes it: `cluster-core` turns commands, their answers and records into typed values,
//! `cluster` does so for what Raft keeps.

/// Commands in the Raft log.
#[allow(
    missing_docs,
    clippy::module_inception,
    reason = "generated; the comments stand in wire/command.proto"
)]
pub mod command {
    include!(concat!(env!("OUT_DIR"), "/shoal.command.v1.rs"));
}

/// Values of the replicated state.
#[allow(missing_docs, reason = "generated; the comments stand in wire/record.proto")]
pub mod record {
    include!(concat!(env!("OUT_DIR"), "/shoal.record.v1.rs"));
}

/// Raft's own values, and what nodes say to each other about them and the metadata.
#[allow(missing_docs, reason = "generated; the comments stand in wire/raft.proto")]
pub mod raft {
    include!(concat!(env!("OUT_DIR"), "/shoal.raft.v1.rs"));
}

/// Join tokens.
#[allow(missing_docs, reason = "generated; the comments stand in wire/join.proto")]
pub mod join {
    include!(concat!(env!("OUT_DIR"), "/shoal.join.v1.rs"));
}

/// What nodes say to each other in single frames.
#[allow(missing_docs, reason = "generated; the comments stand in wire/peer.proto")]
pub mod peer {
    include!(concat!(env!("OUT_DIR"), "/shoal.peer.v1.rs"));
}

/// Blob bytes between nodes.
#[allow(missing_docs, reason = "generated; the comments stand in wire/exchange.proto")]
pub mod exchange {
    include!(concat!(env!("OUT_DIR"), "/shoal.exchange.v1.rs"));
}
