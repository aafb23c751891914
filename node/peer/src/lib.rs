//! This node among others: encrypted streams to them, and the exchange of blobs.
//!
//! The only crate that names libp2p. Knows peers by their public keys and addresses; never knows what the
//! replicated state says, nor what a client may read.
